"""Sets A and B of the PhysioNet 2012 challenge against the account of the data that comes with them."""

from __future__ import annotations

import polars as pl
import pytest

from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.preprocessing.cohort import CohortOptions
from icudl.preprocessing.splits import SplitOptions
from icudl.sources.base import WindowOptions
from icudl.sources.physionet2012 import cleaning
from icudl.sources.physionet2012.files import find_sets
from icudl.sources.physionet2012.options import PhysioNet2012Options
from icudl.sources.physionet2012.parameters import PARAMETERS, SERIES
from icudl.sources.physionet2012.records import read_lines
from icudl.sources.physionet2012.source import PhysioNet2012
from icudl.stages.preprocess import preprocess
from icudl.variables import select

# Slow: all 8,000 records are read twice; the default suite reads a few records, written by hand (tests/unit/sources).
pytestmark = [pytest.mark.data, pytest.mark.slow, pytest.mark.xdist_group("physionet2012")]

# variable: records with a value, lines, 5th, 50th and 95th percentile, before any cleaning but with -1 left out.
ACCOUNT = {
    "potassium": (7831, 29107, 3.20, 4.10, 5.30),
    "ph": (6071, 48180, 7.24, 7.38, 7.49),
    "pco2": (6035, 46133, 28.00, 39.00, 56.00),
    "lactate": (4398, 16485, 0.90, 2.10, 8.30),
    "albumin": (3246, 4806, 1.90, 2.90, 4.00),
    "bun": (7880, 27807, 7.00, 20.00, 74.00),
    "creatinine": (7880, 27942, 0.50, 1.00, 4.30),
    "sodium": (7862, 27291, 131.00, 139.00, 147.00),
    "bicarbonate": (7863, 27225, 15.00, 23.00, 31.00),
    "platelet": (7870, 28453, 58.00, 172.00, 382.00),
    "glucose": (7799, 26175, 79.00, 127.00, 246.00),
    "magnesium": (7814, 27315, 1.40, 2.00, 2.70),
    "heartrate": (7872, 457144, 60.00, 86.00, 120.00),
    "sysbp": (7872, 489660, 86.00, 117.00, 162.00),
    "diasbp": (7872, 489249, 39.00, 58.00, 84.00),
    "tempc": (7871, 170957, 35.60, 37.10, 38.40),
    "resprate": (2228, 111410, 12.00, 19.00, 30.00),
    "spo2": (3545, 15777, 92.00, 97.00, 99.00),
}
WITHOUT_SERIES = {140501, 140936, 141264, 142731, 142998, 143656, 145611, 147514, 150309, 150649}
ROWS = {"a": 1_757_980, "b": 1_762_535}


class _Bar:
    def __init__(self):
        self.units = 0

    def advance(self, units=1):
        self.units += units

    def note(self, text):
        pass


@pytest.fixture(scope="module")
def raw(data_folder):
    """All lines of both sets as numbers, and all record ids."""
    parts, ids = [], []
    for record_set in find_sets(data_folder / "physionet-2012"):
        bar = _Bar()
        text, records = read_lines(record_set, bar)
        assert (text.height, len(records), bar.units) == (ROWS[record_set.name], 4000, 4000)
        parts.append(cleaning.numbered(text, record_set.path.name).frame)
        ids += records.to_list()
    return pl.concat(parts), set(ids)


@pytest.fixture(scope="module")
def tables(data_folder, tmp_path_factory):
    context = RunContext(
        executor=SerialExecutor(),
        device="cpu",
        progress=SilentProgress(),
        scratch=tmp_path_factory.mktemp("scratch"),
        seed=7,
    )
    source = PhysioNet2012(PhysioNet2012Options(path=str(data_folder / "physionet-2012")), 0)
    return source.extract(select(["all"], source.available), WindowOptions(), context)


def test_the_lines_before_cleaning_equal_the_account(raw):
    lines, records = raw
    assert len(records) == 8000
    assert records - set(lines.filter(cleaning.is_series())["record"]) == WITHOUT_SERIES
    for variable, expected in ACCOUNT.items():
        items = [PARAMETERS.index(parameter) for parameter in SERIES[variable]]
        values = lines.filter(pl.col("item").is_in(items) & (pl.col("value") != -1))
        percentiles = [values["value"].quantile(q, "nearest") for q in (0.05, 0.5, 0.95)]
        assert (values["record"].n_unique(), values.height) == expected[:2], variable
        assert percentiles == pytest.approx(expected[2:], abs=0.011), variable


def test_stays_and_deaths(tables):
    deaths = tables.stays.group_by("source_set").agg(pl.col("died").sum()).sort("source_set")
    assert deaths.rows() == [("a", 554), ("b", 568)]
    assert tables.stays.height == 8000 - len(WITHOUT_SERIES)
    assert not WITHOUT_SERIES & set(tables.stays["stay_id"])


def test_the_drops_explain_what_is_left(tables):
    counts = {
        key: dict(zip(rows["rule"], rows["rows"], strict=True)) for (key,), rows in tables.cleaning.group_by("variable")
    }
    entries = dict(tables.hours.group_by("variable").agg(pl.col("count").sum()).rows())
    for position, variable in enumerate(tables.variables):
        rules = counts[variable.name]
        dropped = sum(rows for rule, rows in rules.items() if rule.startswith("dropped"))
        assert rules["read"] == rules["kept"] + dropped, variable.name
        assert rules["kept"] == entries[position], variable.name
        if variable.name in ACCOUNT:
            assert rules["read"] - rules["dropped: -1 means missing"] == ACCOUNT[variable.name][1]
    assert counts["(records)"] == {"records read": 8000, "records without a time series": 10}
    assert counts["(lines)"]["lines read"] == sum(ROWS.values())
    assert counts["(lines)"]["lines without a parameter"] == 0
    assert sum(rules.get("several values at one time", 0) for rules in counts.values()) == 7705
    assert counts["ph"]["repaired unit"] == 3
    assert counts["sysbp"]["dropped: zero"] == 351 + 1232
    assert tables.hours["mean"].is_finite().all()


def test_train_on_one_set_and_test_on_the_other(tables, context):
    grid = preprocess(tables, CohortOptions(), SplitOptions(test_sets=("b",)), context)
    assert set(grid.stays.filter(grid.is_test)["source_set"]) == {"b"}
    assert set(grid.stays.filter(~grid.is_test)["source_set"]) == {"a"}
    assert grid.flow["stays"][0] == 7990
    assert grid.static_names[-4:] == ("icu_type=CCU", "icu_type=CSRU", "icu_type=MICU", "icu_type=SICU")
