"""The PhysioNet/CinC Challenge 2019: what is read, what is refused."""

from __future__ import annotations

import tarfile
from pathlib import Path

import polars as pl
import pytest

from icudl.artifacts import SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext
from icudl.preprocessing.cohort import CohortOptions, select_cohort
from icudl.preprocessing.outcome import OutcomeOptions
from icudl.sources.base import WindowOptions
from icudl.sources.locating import Survey
from icudl.sources.physionet2019.columns import HEADER, LABELS, MEASURED
from icudl.sources.physionet2019.options import PhysioNet2019Options
from icudl.sources.physionet2019.source import PhysioNet2019
from icudl.variables import CATALOGUE
from physionet2019_records import challenge_folder, record, write_records


def _read(folder: Path, context: RunContext, *use: str, hours: int = 24) -> SourceTables:
    source = PhysioNet2019(PhysioNet2019Options(path=str(folder)), 1)
    return source.extract(tuple(CATALOGUE[name] for name in use), WindowOptions(hours=hours), context)


def test_the_columns_are_the_challenges() -> None:
    assert len(HEADER) == 41
    assert set(LABELS) - {"Calcium, ionised"} <= set(MEASURED)


def test_hours_descriptors_and_the_label(tmp_path: Path, context: RunContext) -> None:
    texts = {1: record(30, HR={0: 80, 5: 90, 25: 70}), 2: record(40, sepsis_from=30, HR={1: 100}, Age={0: 100})}
    tables = _read(write_records(tmp_path / "training_setB", texts), context, "heartrate")
    assert tables.hours.select("stay_id", "hour", "mean").rows() == [(1, 0, 80.0), (1, 5, 90.0), (2, 1, 100.0)]
    assert tables.stays["stay_hours"].to_list() == [30.0, 40.0]
    assert tables.stays["age_years"].to_list() == pytest.approx([60, 91.4])
    assert tables.stays.select("sex", "icu_type", "source_set").row(0) == ("F", "MICU", "b")
    assert tables.outcomes.rows() == [(1, False, None), (2, True, 30.0)]


def test_sepsis_inside_the_window_is_not_predicted(tmp_path: Path, context: RunContext) -> None:
    charted = {0: 80.0}
    onsets = {1: 23, 2: 24, 3: 25, 4: None}
    texts = {number: record(sepsis_from=onset, HR=charted) for number, onset in onsets.items()}
    tables = _read(write_records(tmp_path / "set", texts), context, "heartrate")
    left, flow = select_cohort(tables, CohortOptions(), OutcomeOptions(event="column"))
    assert left.select("stay_id", "label").rows() == [(3, True), (4, False)]
    assert ("without the outcome at hour 24", 2, 2, 2, 1) in flow.rows()


def test_calcium_is_two_variables(tmp_path: Path, context: RunContext) -> None:
    texts = {1: record(HR={0: 80}, Calcium={0: 1.1, 1: 8.4})}
    tables = _read(write_records(tmp_path / "set", texts), context, "calcium", "calcium_total")
    assert tables.hours.select("hour", "variable", "mean").rows() == [(0, 0, 1.1), (1, 1, 8.4)]


def test_an_archive_gives_what_its_folder_gives(tmp_path: Path, context: RunContext) -> None:
    challenge_folder(tmp_path / "folder")
    (tmp_path / "archive").mkdir()
    with tarfile.open(tmp_path / "archive" / "training_setA.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "folder" / "training_setA", "training_setA")
    packed, unpacked = (_read(tmp_path / name, context, "heartrate", "potassium") for name in ("archive", "folder"))
    assert packed.hours.equals(unpacked.hours)
    assert packed.stays.equals(unpacked.stays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("HR|", "Pulse|", 1), "has other columns than those of the challenge"),
        (lambda text: text + "1|2|3\n", "record p000001 has a row that is not whole"),
        (lambda text: text.replace("80", "8O", 1), "holds a value that is no number"),
        (lambda text: text + text.splitlines()[1] + "\n", "record p000001 has hour 0 more than once"),
    ],
)
def test_what_is_not_the_challenges_is_one_error(
    tmp_path: Path, context: RunContext, change: object, message: str
) -> None:
    text = change(record(HR={0: 80}))  # type: ignore[operator]
    with pytest.raises(SourceError, match=message):
        _read(write_records(tmp_path / "set", {1: text}), context, "heartrate")


def test_places_without_a_set_are_one_error(tmp_path: Path, context: RunContext) -> None:
    with pytest.raises(SourceError, match="holds no set of the challenge; found: scratch"):
        _read(tmp_path, context, "heartrate")
    with pytest.raises(SourceError, match="does not exist"):
        _read(tmp_path / "nowhere", context, "heartrate")
    for name in ("training_setA", "training_setB"):
        write_records(tmp_path / name, {1: record(HR={0: 80})})
    with pytest.raises(SourceError, match="Record p000001 is in two sets"):
        _read(tmp_path, context, "heartrate")


def test_it_is_located(tmp_path: Path) -> None:
    challenge_folder(tmp_path)
    found = PhysioNet2019.locate(tmp_path, Survey())
    assert found is not None
    assert (found.source, found.is_readable) == ("physionet2019", True)
    assert PhysioNet2019.locate(tmp_path / "nowhere", Survey()) is None


@pytest.mark.slow
@pytest.mark.data
def test_set_b(data_folder: Path, context: RunContext) -> None:
    tables = _read(data_folder / "physionet-2019", context, "heartrate")
    assert len(tables.stays) == 20_000
    assert tables.stays["stay_hours"].sum() >= 761_995
    assert tables.outcomes.select(pl.col("column").sum()).item() == 1_142
