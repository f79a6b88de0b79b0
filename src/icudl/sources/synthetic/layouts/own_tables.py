"""The hospital as a hospital's own two tables, in its own names, with the configuration that tells what they mean."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from icudl.files import write_atomically
from icudl.sources.synthetic.layouts.base import SECONDS_PER_YEAR, Frames, Layout, charted, labels, variables, with_stay
from icudl.sources.synthetic.layouts.clif import FAHRENHEIT
from icudl.sources.table import units

CONFIGURATION = "study.toml"


def _name(item: int) -> str:
    """Return the name of an item: its label, with the item behind it where two items have one label."""
    label = labels()[item]
    alike = [other for other in variables() if labels()[other] == label]
    return label if variables()[item] == variables()[alike[0]] else f"{label} ({item})"


def _names() -> dict[int, str]:
    return {item: _name(item) for item in variables()}


def _units() -> dict[int, str]:
    return {
        item: "°F" if item in FAHRENHEIT else units.canonical_unit(variable).unit
        for item, variable in variables().items()
    }


def frames(tables: Frames) -> Frames:
    """Return stays and measurements of one block."""
    columns = ("SUBJECT_ID", "CHARTTIME", "ITEMID", "VALUE", "VALUENUM")
    events = pl.concat([charted(tables).select(columns), tables["LABEVENTS"].select(columns)])
    item = pl.col("ITEMID")
    placed = with_stay(events.filter(item.is_in(list(variables()))), tables["ICUSTAYS"])
    # Where the number is missing, the cell holds the text that stands there.
    number = pl.col("VALUENUM").cast(pl.String)
    return {
        "stays": _stays(tables),
        "measurements": placed.select(
            stay_id="ICUSTAY_ID",
            time="CHARTTIME",
            name=item.replace_strict(_names(), return_dtype=pl.String),
            value=pl.coalesce(number, "VALUE"),
            unit=item.replace_strict(_units(), return_dtype=pl.String),
        ),
    }


def _stays(tables: Frames) -> pl.DataFrame:
    joined = (
        tables["ICUSTAYS"]
        .join(tables["PATIENTS"].select("SUBJECT_ID", "GENDER", "DOB"), on="SUBJECT_ID", maintain_order="left")
        .join(tables["ADMISSIONS"].drop("SUBJECT_ID"), on="HADM_ID", maintain_order="left")
    )
    age = (pl.col("INTIME") - pl.col("DOB")).dt.total_seconds() / SECONDS_PER_YEAR
    return joined.select(
        stay_id="ICUSTAY_ID",
        patient_id="SUBJECT_ID",
        admission_id="HADM_ID",
        # MIMIC-III dates the birth of those above 89 three hundred years back.
        age=pl.when(age > 89).then(pl.lit("> 89")).otherwise(age.cast(pl.String)),
        sex="GENDER",
        icu_type="FIRST_CAREUNIT",
        in_time="INTIME",
        out_time="OUTTIME",
        died="HOSPITAL_EXPIRE_FLAG",
        death_time="DEATHTIME",
    )


def finish(folder: Path, file_format: str) -> None:  # noqa: ARG001 - all layouts are finished alike
    """Write the configuration that reads the tables."""
    pairs = sorted({(_names()[item], variable) for item, variable in variables().items()})
    names = [f"{json.dumps(name)} = {json.dumps(variable)}" for name, variable in pairs]
    text = "\n".join(["[source]", 'name = "table"', 'path = "."', "open_data = true", "", "[source.names]", *names])
    write_atomically(folder / CONFIGURATION, lambda path: path.write_text(text + "\n", "utf-8"))


OWN_TABLES = Layout(
    name="table", formats=("csv", "parquet"), tables=("stays", "measurements"), frames=frames, finish=finish
)
