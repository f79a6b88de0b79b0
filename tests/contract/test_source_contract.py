"""What every clinical data source must do alike; a registered source that is not tried here fails the suite."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from icudl.artifacts import SourceTables
from icudl.execution.context import RunContext
from icudl.plugins import load_plugin, registered
from icudl.sources.base import DataSource, SourceOptions, WindowOptions
from icudl.sources.synthetic.source import write_hospital
from icudl.variables import STUDY_VARIABLES
from source_cases import physionet_folder

HOURS = 24
TRIED_ELSEWHERE = {"mimic3_postgres"}
"""Needs a server: ``test_mimic3_postgres.py`` holds that its tables are bit for bit those of ``mimic3``."""


def hospital_folder(folder: Path) -> None:
    write_hospital(folder, patients=40, seed=5)


CASES: dict[str, Callable[[Path], None] | None] = {
    "synthetic": None,
    "mimic3": hospital_folder,
    "physionet2012": physionet_folder,
}


def test_every_registered_source_is_tried() -> None:
    assert set(registered("icudl.sources")) == set(CASES) | TRIED_ELSEWHERE


@pytest.fixture(scope="module", params=list(CASES))
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    folder = tmp_path_factory.mktemp(request.param) / "data"
    make = CASES[request.param]
    if make is not None:
        folder.mkdir()
        make(folder)
    made = load_plugin("icudl.sources", request.param)(
        SourceOptions(name=request.param, path=str(folder), patients=40), 5
    )
    assert isinstance(made, DataSource)
    return made


@pytest.fixture
def tables(source: DataSource, context: RunContext) -> SourceTables:
    return source.extract(STUDY_VARIABLES, WindowOptions(hours=HOURS), context)


def test_stays_and_hours_belong_together(tables: SourceTables) -> None:
    assert tables.stays["stay_id"].is_unique().all()
    assert tables.hours["stay_id"].is_in(tables.stays["stay_id"].to_list()).all()
    assert tables.hours.select("stay_id", "hour", "variable").is_unique().all()
    assert tables.hours["hour"].is_between(0, HOURS - 1).all()
    assert tables.hours["count"].min() >= 1  # type: ignore[operator]
    assert tables.hours.height > 0


def test_values_are_plausible_and_in_the_canonical_unit(tables: SourceTables) -> None:
    for index, variable in enumerate(tables.variables):
        values = tables.hours.filter(pl.col("variable") == index)["mean"]
        assert values.is_between(variable.low, variable.high).all(), variable.name


def test_deaths_are_consistent(tables: SourceTables) -> None:
    assert tables.stays["died"].null_count() == 0
    assert tables.stays.filter(pl.col("death_hours").is_not_null())["died"].all()


def test_no_absolute_date_leaves_the_source(tables: SourceTables) -> None:
    for frame in (tables.stays, tables.hours, tables.cleaning):
        assert not any(dtype.is_temporal() for dtype in frame.dtypes)


def test_extraction_is_repeatable_to_the_byte(
    source: DataSource, tables: SourceTables, context: RunContext, tmp_path: Path
) -> None:
    scratch = tmp_path / "again"
    scratch.mkdir()
    again = source.extract(STUDY_VARIABLES, WindowOptions(hours=HOURS), dataclasses.replace(context, scratch=scratch))
    for name, one in (("one", tables), ("two", again)):
        (tmp_path / name).mkdir()
        one.write(tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_longer_window_leaves_the_first_hours_as_they_are(
    source: DataSource, tables: SourceTables, context: RunContext, tmp_path: Path
) -> None:
    scratch = tmp_path / "longer"
    scratch.mkdir()
    longer = source.extract(
        STUDY_VARIABLES, WindowOptions(hours=2 * HOURS), dataclasses.replace(context, scratch=scratch)
    )
    assert longer.hours.filter(pl.col("hour") < HOURS).equals(tables.hours)


def test_the_fingerprint_is_that_of_the_data_not_of_the_place(source: DataSource, tmp_path: Path) -> None:
    first, second = (source.fingerprint(tmp_path) for _ in range(2))
    assert first == second
    assert len(first.digest) == 64
    assert str(tmp_path) not in str(first)
