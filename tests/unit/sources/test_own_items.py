"""Each source finds the items of variables beside the catalogue."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from mimic3_tables import Hospital, chart, lab

from eicu_tables import study_folder
from icudl.artifacts import SourceTables
from icudl.errors import ConfigError
from icudl.execution.context import RunContext
from icudl.plugins import load_plugin, options_of
from icudl.sources.base import OwnVariableOptions, VariableOptions, WindowOptions
from icudl.stages.extract import extract
from yaib_cohorts import cohort_frames, write_cohort


def _read(
    source: str, context: RunContext, own: dict[str, object], use: tuple[str, ...], **options: object
) -> SourceTables:
    made = load_plugin("icudl.sources", source)(options_of("icudl.sources", source)(**options), 1)
    return extract(made, VariableOptions(use=use, own=own), WindowOptions(hours=24), context)


def _values(tables: SourceTables, name: str) -> list[float]:
    (index,) = [place for place, variable in enumerate(tables.variables) if variable.name == name]
    return tables.hours.filter(pl.col("variable") == index)["mean"].to_list()


def _own(**items: object) -> dict[str, object]:
    return {"crp": {"unit": "mg/L", "range": [0, 500], "items": items}}


def test_mimic_takes_labs_and_charts_by_their_ids(tmp_path: Path, context: RunContext) -> None:
    hospital = Hospital(
        charts=[chart(0.5, 211, 80), chart(1.5, 9999, 7)], labs=[lab(0.5, 50889, 20), lab(2.5, 50889, 900)]
    )
    folder = hospital.write(tmp_path / "tables")
    tables = _read("mimic3", context, _own(mimic3=[50889, 9999]), ("heartrate",), path=str(folder))
    assert _values(tables, "crp") == [20.0, 7.0], "900 is beyond the range"
    explicit = _own(mimic3={"chartevents": [9999]})
    assert _values(_read("mimic3", context, explicit, ("heartrate",), path=str(folder)), "crp") == [7.0]
    for wrong in ([True], ["50889"], [], {"nowhere": [1]}, 50889, [50889, 50889]):
        with pytest.raises(ConfigError, match=r"variables\.crp\.items\.mimic3"):
            _read("mimic3", context, _own(mimic3=wrong), ("heartrate",), path=str(folder))


def test_an_item_measures_one_of_the_variables_read(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital(charts=[chart(0.5, 211, 80)]).write(tmp_path / "tables")
    with pytest.raises(ConfigError, match="Item 211 measures heartrate and crp"):
        _read("mimic3", context, _own(mimic3=[211]), ("heartrate",), path=str(folder))
    alone = _read("mimic3", context, _own(mimic3=[211]), ("bun",), path=str(folder))
    assert _values(alone, "crp") == [80.0]


def test_a_variable_that_a_source_has_no_items_for_is_named(tmp_path: Path, context: RunContext) -> None:
    folder = Hospital().write(tmp_path / "tables")
    tables = _read("mimic3", context, _own(mimic4=[50889]), ("bun",), path=str(folder))
    assert _values(tables, "crp") == []
    assert any(
        text.startswith("No value of crp was found. [variables.crp] has items for mimic4") for text in tables.warnings
    )


def test_yaib_takes_columns(tmp_path: Path, context: RunContext) -> None:
    frames = cohort_frames()
    folder = write_cohort(tmp_path / "cohort", frames)
    tables = _read("yaib", context, _own(yaib=["crp"]), ("heartrate",), path=str(folder), database="mimic3")
    inside = frames["dyn"].filter(pl.col("time") < pl.duration(hours=24))
    assert len(_values(tables, "crp")) == inside["crp"].count()
    assert not tables.cleaning.filter(pl.col("rule") == "unknown name").height


def test_a_table_takes_names_and_the_one_unit(tmp_path: Path, context: RunContext) -> None:
    (tmp_path / "stays.csv").write_text("stay_id,patient_id,age,sex,died,stay_hours\n1,1,60,F,0,90\n", "utf-8")
    rows = ["stay_id,time,name,value,unit", "1,0.5,CRP,12,mg/l", "1,1.5,C-reaktives Protein,14,", "1,2.5,crp,9,mg/dL"]
    (tmp_path / "measurements.csv").write_text("\n".join([*rows, "1,3.5,heartrate,80,"]) + "\n", "utf-8")
    tables = _read("table", context, _own(table=["C-reaktives Protein"]), ("heartrate",), path=str(tmp_path))
    assert _values(tables, "crp") == [12.0, 14.0], "mg/dL is no unit of it"
    dropped = tables.cleaning.filter(pl.col("variable") == "crp", pl.col("rule") == "dropped: unknown unit")
    assert dropped["rows"].to_list() == [1]


def test_eicu_takes_labels(tmp_path: Path, context: RunContext) -> None:
    folder = tmp_path / "eicu"
    folder.mkdir()
    study_folder(folder)
    (path,) = folder.glob("lab.*")
    frame = pl.read_csv(path)
    row = frame.head(1).with_columns(
        labname=pl.lit("CRP"), labresult=pl.lit(33.0), labmeasurenameinterface=pl.lit("mg/L")
    )
    pl.concat([frame, row.cast(frame.schema)]).write_csv(folder / "lab.csv")
    if path.name != "lab.csv":
        path.unlink()
    tables = _read("eicu", context, _own(eicu=["CRP"]), ("potassium",), path=str(folder))
    assert _values(tables, "crp") == [33.0]
    with pytest.raises(ConfigError, match=r"variables\.crp\.items\.eicu names 5"):
        _read("eicu", context, _own(eicu=[5]), ("potassium",), path=str(folder))


def test_a_label_and_a_unit_come_from_the_table() -> None:
    made = OwnVariableOptions.variable("hgb", {"range": [1, 30], "label": "Haemoglobin", "group": "lab"})
    assert (made.label, made.unit, made.group) == ("Haemoglobin", "", "lab")
