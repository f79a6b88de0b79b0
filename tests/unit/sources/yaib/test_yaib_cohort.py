"""YAIB's cohorts: what is read, what is refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from icudl.artifacts import SourceTables
from icudl.cli import main
from icudl.errors import SourceError
from icudl.execution.context import RunContext
from icudl.preprocessing.outcome import OutcomeOptions, require_told
from icudl.sources.locating import Survey
from icudl.sources.yaib.columns import LABELS, OTHER, rule_book
from icudl.sources.yaib.options import YaibOptions
from icudl.sources.yaib.source import Yaib
from yaib_cohorts import HOURS, cohort_frames, read, write_cohort


def _counts(tables: SourceTables, variable: str) -> dict[str, int]:
    rows = tables.cleaning.filter(pl.col("variable") == variable, pl.col("rows") > 0)
    return dict(rows.select("rule", "rows").iter_rows())


def test_every_column_of_yaib_is_a_variable_or_known_to_be_none() -> None:
    assert len(LABELS) + len(OTHER) == 48, "YAIB has 48 columns"
    assert not set(LABELS) & set(OTHER)
    assert all(rule.why for rule in rule_book().rules)


def test_hours_descriptors_and_labels(tmp_path: Path, context: RunContext) -> None:
    frames = cohort_frames()
    tables = read(write_cohort(tmp_path / "cohort", frames), context, ("heartrate", "fio2"))
    first = frames["dyn"].filter(pl.col("stay_id") == 201001).with_row_index("hour")
    expected = first.filter(pl.col("hour") < 24, pl.col("fio2").is_not_null())
    found = tables.hours.filter(pl.col("stay_id") == 201001, pl.col("variable") == 1)
    assert found["hour"].to_list() == expected["hour"].to_list()
    assert found["mean"].to_list() == pytest.approx((expected["fio2"] / 100).to_list(), abs=1e-6)
    assert tables.stays["stay_hours"].unique().to_list() == [HOURS]
    assert tables.stays["age_years"].max() == pytest.approx(91.4), "90 is the age of all above"
    assert tables.stays["died"].null_count() == len(tables.stays), "death in hospital is not told"
    assert tables.outcomes["icu_death"].to_list() == (frames["outc"]["label"] == 1).to_list()
    assert tables.population == "yaib-mimic-iii"


def test_each_value_has_one_fate(tmp_path: Path, context: RunContext) -> None:
    frames = cohort_frames()
    stranger = frames["dyn"].filter(pl.col("stay_id") == 201001).with_columns(stay_id=pl.lit(7, pl.Int32))
    odd = pl.when(pl.col("time") == pl.duration(hours=3)).then(900.0).otherwise("hr")
    frames["dyn"] = pl.concat([frames["dyn"].with_columns(hr=odd), stranger.with_columns(time=-pl.col("time"))])
    counts = _counts(read(write_cohort(tmp_path / "cohort", frames), context, ("heartrate",)), "heartrate")
    assert counts["read"] == frames["dyn"]["hr"].count()
    assert counts["read"] == sum(rows for rule, rows in counts.items() if rule == "kept" or rule.startswith("dropped"))
    assert counts["dropped: implausible value"] == 12
    assert counts["dropped: of no stay with an outcome"] == stranger["hr"].count()


def test_a_strange_column_is_counted(tmp_path: Path, context: RunContext) -> None:
    frames = cohort_frames()
    frames["dyn"] = frames["dyn"].with_columns(hear_rate=pl.when(pl.int_range(pl.len()) < 3).then(1.0))
    tables = read(write_cohort(tmp_path / "cohort", frames), context, ("heartrate",))
    assert _counts(tables, "hear_rate") == {"unknown name": 3}
    assert _counts(tables, "crp") == {}, "a column of YAIB that is no variable here"


def test_the_label_says_what_the_options_say(tmp_path: Path, context: RunContext) -> None:
    folder = write_cohort(tmp_path / "cohort")
    tables = read(folder, context, ("heartrate",), label="hospital_death")
    assert tables.stays["died"].sum() == 4
    assert tables.outcomes.width == 1
    source = Yaib(YaibOptions(path=str(folder), database="eicu"), 1)
    require_told(source.outcomes, OutcomeOptions(event="icu_death"), "yaib")
    with pytest.raises(Exception, match=r"'hospital_death' is not told by the source 'yaib'.* It tells icu_death"):
        require_told(source.outcomes, OutcomeOptions(), "yaib")


def test_a_window_beyond_the_rows_is_told(tmp_path: Path, context: RunContext) -> None:
    folder = write_cohort(tmp_path / "cohort")
    assert not any("no row after" in text for text in read(folder, context, ("heartrate",)).warnings)
    (text,) = [text for text in read(folder, context, ("heartrate",), hours=72).warnings if "no row after" in text]
    assert "window.hours = 72" in text


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "outc",
            lambda frame: frame.with_columns(label=pl.lit(2)),
            "has the label 2, and 12 labels .* neither 0 nor 1",
        ),
        ("outc", lambda frame: pl.concat([frame, frame]), "more than once. Expected one row a stay"),
        ("outc", lambda frame: frame.drop("label"), "lacks the column 'label'"),
        ("outc", lambda frame: frame.clear(), "has no rows"),
        (
            "outc",
            lambda frame: pl.concat([frame, frame]).with_columns(time=pl.lit(1)),
            "a label at every hour .*one label of 0 or 1 a stay",
        ),
        ("sta", lambda frame: pl.concat([frame, frame]), "sta.parquet has stay 201001 more than once"),
        ("dyn", lambda frame: pl.concat([frame, frame]), "has hour 0 of stay 201001 more than once"),
        ("dyn", lambda frame: frame.with_columns(hr=pl.col("hr").cast(pl.String)), "column 'hr' of type String"),
        ("dyn", lambda frame: frame.with_columns(time=pl.lit("1 h")), "has times of type String"),
        ("dyn", lambda frame: frame.with_columns(stay_id=pl.lit(None, pl.Int32)), "rows without stay_id"),
    ],
)
def test_what_is_not_yaibs_is_one_error(
    tmp_path: Path, context: RunContext, name: str, change: object, message: str
) -> None:
    frames = cohort_frames()
    frames[name] = change(frames[name])  # type: ignore[operator]
    with pytest.raises(SourceError, match=message):
        read(write_cohort(tmp_path / "cohort", frames), context, ("heartrate",))


def test_a_missing_or_damaged_file_is_one_error(tmp_path: Path, context: RunContext) -> None:
    folder = write_cohort(tmp_path / "cohort")
    whole = (folder / "dyn.parquet").read_bytes()
    (folder / "dyn.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"dyn\.parquet cannot be read"):
        read(folder, context, ("heartrate",))
    (folder / "dyn.parquet").unlink()
    with pytest.raises(SourceError, match=r"lacks dyn\.parquet; found: outc\.parquet, sta\.parquet"):
        read(folder, context, ("heartrate",))
    with pytest.raises(SourceError, match=r"source\.database is empty"):
        read(folder, context, ("heartrate",), database="")


def test_times_as_numbers_are_hours(tmp_path: Path, context: RunContext) -> None:
    frames = cohort_frames()
    expected = read(write_cohort(tmp_path / "durations", frames), context, ("heartrate",))
    frames["dyn"] = frames["dyn"].with_columns(time=pl.col("time").dt.total_hours().cast(pl.Float64))
    found = read(write_cohort(tmp_path / "numbers", frames), context, ("heartrate",))
    assert found.hours.equals(expected.hours)


def test_it_is_located_with_its_database(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path / "cohort")
    found = Yaib.locate(folder, Survey())
    assert found is not None
    assert found.is_readable
    assert found.settings == {"path": str(folder), "database": "mimic3"}
    assert any("4 stays have the label 1" in note for note in found.notes)
    (folder / "sta.parquet").unlink()
    without = Yaib.locate(folder, Survey())
    assert without is not None
    assert not without.is_readable
    assert Yaib.locate(tmp_path, Survey()) is None


def test_the_command_says_what_the_source_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_cohort(tmp_path / "cohort")
    words = ["extract", "--store", str(tmp_path / "runs"), "--workers", "1", "--set", "source.name=yaib"]
    words += ["--set", f"source.path={folder}", "--set", "source.database=mimic3"]
    assert main(words) != 0
    assert "It tells icu_death: choose from these" in " ".join(capsys.readouterr().err.split())
