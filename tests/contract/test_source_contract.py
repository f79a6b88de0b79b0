"""What every clinical data source must do alike; a registered source that is not tried here fails the suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clif_tables import study_folder as clif_folder
from eicu_tables import study_folder as eicu_folder
from icudl.plugins import load_plugin, options_of, registered
from icudl.sources import DataSource
from icudl.sources.synthetic.source import write_hospital
from icudl.testing import SOURCE_CHECKS
from meds_data import study_folder as meds_folder
from mimic4_tables import busy_hospital
from physionet2019_records import challenge_folder
from source_cases import physionet_folder, table_folder
from yaib_cohorts import yaib_folder

TRIED_ELSEWHERE = {"mimic3_postgres", "mimic4_postgres", "eicu_postgres"}
"""Need a server: ``test_mimic3_postgres.py``, ``test_mimic4_postgres.py`` and ``test_eicu_postgres.py`` hold that their
tables are bit for bit those of ``mimic3``, ``mimic4`` and ``eicu``."""


def hospital_folder(folder: Path) -> None:
    write_hospital(folder, patients=40, seed=5)


def mimic4_folder(folder: Path) -> None:
    busy_hospital().write(folder)


CASES: dict[str, Callable[[Path], None] | None] = {
    "synthetic": None,
    "mimic3": hospital_folder,
    "mimic4": mimic4_folder,
    "physionet2012": physionet_folder,
    "physionet2019": challenge_folder,
    "yaib": yaib_folder,
    "table": table_folder,
    "eicu": eicu_folder,
    "meds": meds_folder,
    "clif": clif_folder,
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
    given = {"patients": 40} if make is None else {"path": str(folder)}
    if request.param == "yaib":
        given["database"] = "mimic3"
    options = options_of("icudl.sources", request.param)(**given)
    made: DataSource = load_plugin("icudl.sources", request.param)(options, 5)
    return made


@pytest.mark.parametrize("check", SOURCE_CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract(check: Callable[[DataSource, Path], None], source: DataSource, tmp_path: Path) -> None:
    check(source, tmp_path / "work")
