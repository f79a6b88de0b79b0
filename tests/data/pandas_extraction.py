"""Hourly means of MIMIC-III in pandas, written from the description of the data and the decision records alone.

Item ids and gates are those that MIT-LCP/mimic-code documents for its concepts; assignment to stays, the order of the
rules and the repairs those of docs/decisions/0020. Nothing of ``icudl.sources`` is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

LABS: Mapping[int, str] = {
    50822: "potassium", 50808: "calcium", 50820: "ph", 50818: "pco2", 50813: "lactate", 50862: "albumin", 51006: "bun",
    50912: "creatinine", 50983: "sodium", 50882: "bicarbonate", 51265: "platelet", 50931: "glucose", 50960: "magnesium",
}  # fmt: skip
CHARTS: Mapping[int, str] = {
    **dict.fromkeys((211, 220045), "heartrate"),
    **dict.fromkeys((51, 442, 455, 6701, 220179, 220050), "sysbp"),
    **dict.fromkeys((8368, 8440, 8441, 8555, 220180, 220051), "diasbp"),
    **dict.fromkeys((678, 223761, 676, 223762), "tempc"),
    **dict.fromkeys((615, 618, 220210, 224690), "resprate"),
    **dict.fromkeys((646, 220277), "spo2"),
}
FAHRENHEIT, CELSIUS, PH = (678, 223761), (676, 223762), 50820


def _table(folder: Path, name: str, columns: list[str]) -> pd.DataFrame:
    path = next(path for path in folder.iterdir() if path.name.upper().startswith(f"{name}."))
    frame = pd.read_csv(path, usecols=lambda column: column.upper() in columns, low_memory=False)
    return frame.rename(columns=str.upper)


def hourly_means(folder: Path, ranges: Mapping[str, tuple[float, float]], hours: int) -> pd.DataFrame:
    """Return stay_id, hour, variable, mean and count, sorted, from a folder of CSV files.

    Args:
        folder: ICUSTAYS, CHARTEVENTS and LABEVENTS as .csv or .csv.gz.
        ranges: Plausible range of each variable, both ends included.
        hours: Length of the window.
    """
    charts = _table(folder, "CHARTEVENTS", ["SUBJECT_ID", "ITEMID", "CHARTTIME", "VALUENUM", "ERROR"])
    charts = charts[charts["ITEMID"].isin(list(CHARTS)) & (charts["ERROR"] != 1)]
    labs = _table(folder, "LABEVENTS", ["SUBJECT_ID", "ITEMID", "CHARTTIME", "VALUENUM"])
    rows = pd.concat([charts, labs[labs["ITEMID"].isin(list(LABS))]])
    rows["VARIABLE"] = rows["ITEMID"].map({**LABS, **CHARTS})
    rows = rows.dropna(subset=["CHARTTIME", "VALUENUM"])
    rows = rows[np.isfinite(rows["VALUENUM"])]
    rows["VALUENUM"] = _in_canonical_units(rows["ITEMID"], rows["VALUENUM"])
    low, high = (rows["VARIABLE"].map({name: span[end] for name, span in ranges.items()}) for end in (0, 1))
    rows = rows[(rows["VALUENUM"] >= low) & (rows["VALUENUM"] <= high)]
    rows = _in_stays(rows, _table(folder, "ICUSTAYS", ["SUBJECT_ID", "ICUSTAY_ID", "INTIME", "OUTTIME"]))
    rows = rows[rows["HOUR"] < hours]
    rows = rows.drop_duplicates(["SUBJECT_ID", "CHARTTIME", "ITEMID", "VALUENUM"])
    grouped = rows.groupby(["ICUSTAY_ID", "HOUR", "VARIABLE"])["VALUENUM"].agg(["mean", "count"]).reset_index()
    named = grouped.rename(columns={"ICUSTAY_ID": "stay_id", "HOUR": "hour", "VARIABLE": "variable"})
    return named.sort_values(["stay_id", "hour", "variable"]).reset_index(drop=True)


def _in_canonical_units(item: pd.Series, value: pd.Series) -> pd.Series:
    """Degrees Celsius, and pH as such; NaN for temperatures outside the gate of their scale."""
    celsius = (value - 32) / 1.8
    hot = value.between(70, 120)
    value = value.where(~item.isin(FAHRENHEIT), celsius.where(hot))
    value = value.where(~item.isin(CELSIUS), celsius.where(hot, value.where(value.between(10, 50))))
    return value.where(~((item == PH) & value.between(630, 840)), value / 100)


def _in_stays(rows: pd.DataFrame, stays: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows inside the patient's last stay that began before them, with the hour since it began."""
    for column in ("INTIME", "OUTTIME"):
        stays[column] = pd.to_datetime(stays[column]).astype("datetime64[s]")
    rows["CHARTTIME"] = pd.to_datetime(rows["CHARTTIME"]).astype("datetime64[s]")
    joined = pd.merge_asof(
        rows.sort_values("CHARTTIME"),
        stays.dropna(subset=["INTIME"]).sort_values(["INTIME", "ICUSTAY_ID"]),
        left_on="CHARTTIME", right_on="INTIME", by="SUBJECT_ID",
    )  # fmt: skip
    inside = joined["INTIME"].notna() & (joined["OUTTIME"].isna() | (joined["CHARTTIME"] < joined["OUTTIME"]))
    joined = joined[inside]
    seconds = (joined["CHARTTIME"] - joined["INTIME"]).dt.total_seconds()
    return joined.assign(HOUR=(seconds // 3600).astype(int), ICUSTAY_ID=joined["ICUSTAY_ID"].astype(int))
