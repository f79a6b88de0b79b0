"""Rows under names that nobody knows are counted."""

from __future__ import annotations

import polars as pl

from icudl.sources import count_unknown_names, rows_of_variables
from icudl.variables import select


def test_only_the_rows_of_chosen_variables_are_taken_in_their_order() -> None:
    table = pl.DataFrame({"code": ["spo2", "x", "heartrate", "lactate", "spo2"], "value": [1, 2, 3, 4, 5]})
    rows = rows_of_variables(table, select(("heartrate", "spo2")), column="code")
    assert rows.select("value", "variable", "low").rows() == [(1, 1, 20.0), (3, 0, 10.0), (5, 1, 20.0)]
    assert rows.schema["variable"] == pl.UInt8


def test_a_name_of_the_catalogue_is_known_though_nobody_asked_for_it() -> None:
    names = pl.Series(["heartrate", "hart rate", None, "lactate", "hart rate"], dtype=pl.String)
    assert count_unknown_names(names).rows() == [("hart rate", "unknown name", 2), ("(no name)", "unknown name", 1)]
    assert count_unknown_names(pl.Series(["gcs"])).is_empty()


def test_a_source_may_have_names_of_its_own() -> None:
    assert count_unknown_names(pl.Series(["HR", "hr"]), {"HR"}).rows() == [("hr", "unknown name", 1)]


def test_many_unknown_names_are_counted_together_beyond_the_first_hundred() -> None:
    names = pl.Series([f"n{k:03d}" for k in range(130) for _ in range(1 + (k < 100))])
    counts = count_unknown_names(names)
    assert counts.height == 101
    assert counts.rows()[-1] == ("(other names)", "unknown name", 30)
    assert counts["rows"].sum() == len(names)
