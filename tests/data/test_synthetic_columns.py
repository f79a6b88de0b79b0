"""The synthetic tables have the columns, items and units of the real ones."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from icudl.sources.synthetic.files import Hospital, block_tables
from icudl.sources.synthetic.records import chart_items, lab_items

pytestmark = pytest.mark.data
SOME_ITEMS = (211, 220045, 455, 220050, 678, 223761, 646, 220210)
SOME_LABS = (50820, 50813, 50862, 50912, 50931, 51265)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    hospital = Hospital(tmp_path_factory.mktemp("none"), 120, 1, 0.05, "parquet")
    return {**block_tables(hospital, 0), "D_ITEMS": chart_items(), "D_LABITEMS": lab_items()}


def _real(data_folder: Path, name: str) -> pl.LazyFrame:
    path = data_folder / "mimic-iii-demo-1.4" / f"{name}.csv.gz"
    frame = pl.scan_csv(path, infer_schema=False, encoding="utf8-lossy")
    return frame.rename(lambda column: column.upper())


@pytest.mark.parametrize(
    "name", ["PATIENTS", "ADMISSIONS", "ICUSTAYS", "CHARTEVENTS", "LABEVENTS", "D_ITEMS", "D_LABITEMS"]
)
def test_columns_are_those_of_mimic(synthetic: dict[str, pl.DataFrame], data_folder: Path, name: str) -> None:
    assert synthetic[name].columns == _real(data_folder, name).collect_schema().names()


@pytest.mark.parametrize(("name", "items"), [("CHARTEVENTS", SOME_ITEMS), ("LABEVENTS", SOME_LABS)])
def test_items_have_the_units_of_mimic(
    synthetic: dict[str, pl.DataFrame], data_folder: Path, name: str, items: tuple[int, ...]
) -> None:
    real = _real(data_folder, name).select(pl.col("ITEMID").cast(pl.Int32), "VALUEUOM").drop_nulls().unique().collect()
    for item in items:
        units = set(synthetic[name].filter(ITEMID=item)["VALUEUOM"].drop_nulls())
        assert units
        assert units <= set(real.filter(ITEMID=item)["VALUEUOM"]), item


@pytest.mark.parametrize("name", ["D_ITEMS", "D_LABITEMS"])
def test_items_have_the_labels_of_mimic(synthetic: dict[str, pl.DataFrame], data_folder: Path, name: str) -> None:
    real = _real(data_folder, name).select(pl.col("ITEMID").cast(pl.Int64), "LABEL").collect()
    ours = synthetic[name].select(pl.col("ITEMID").cast(pl.Int64), "LABEL").join(real, on="ITEMID", suffix="_REAL")
    assert ours.filter(pl.col("LABEL") != pl.col("LABEL_REAL")).rows() == []
    assert ours.height == synthetic[name].height


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("ADMISSIONS", ("ADMISSION_TYPE", "ADMISSION_LOCATION", "INSURANCE", "RELIGION")),
        ("ICUSTAYS", ("DBSOURCE", "FIRST_CAREUNIT")),
    ],
)
def test_words_are_those_of_mimic(
    synthetic: dict[str, pl.DataFrame], data_folder: Path, name: str, columns: tuple[str, ...]
) -> None:
    real = _real(data_folder, name).collect()
    for column in columns:
        words = set(synthetic[name][column].drop_nulls()) - {"NEWBORN", "NICU", "Self Pay"}  # the demo is of adults
        assert words <= set(real[column]), column
