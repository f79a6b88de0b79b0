"""What the text of a cell says."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.errors import ConfigError, SourceError
from icudl.sources.table import ids, number_of
from icudl.sources.table.texts import filled, moments, numbers, require_format, require_zone


def microseconds(text: str) -> int:
    moment = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
    return round(moment.timestamp() * 1e6)


def test_a_text_is_a_number_or_nothing() -> None:
    written = ["7.4", "-1", "+3", ".5", "5.", "1e2", "7,4", "1,234.5", "<0.1", "7.4 mg", "inf", "nan", "1e999", "1_0"]
    assert numbers(pl.Series(written)).to_list() == [7.4, -1.0, 3.0, 0.5, 5.0, 100.0, *[None] * 8]


def test_the_decimal_sign_is_one_of_two_and_never_both() -> None:
    assert numbers(pl.Series(["7,4", "7.4", "1.234,5", "12"]), ",").to_list() == [7.4, None, None, 12.0]


@given(st.floats(-1e12, 1e12, allow_nan=False))
def test_a_number_is_read_to_the_last_bit(value: float) -> None:
    assert numbers(pl.Series([repr(value)])).item() == value
    assert numbers(pl.Series([repr(value).replace(".", ",")]), ",").item() == value


def test_empty_is_what_programs_write_for_nothing() -> None:
    texts = pl.Series("text", [" 7 ", "", " ", "NA", "NULL", "nan", "\u00a0-\u00a0", None, "-9", "x"])
    assert filled(texts, ("-9",)).to_list() == ["7", *[None] * 8, "x"]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-03-01 10:05", "2024-03-01 10:05:00"),
        ("2024-03-01T10:05:30", "2024-03-01 10:05:30"),
        ("2024-03-01 10:05:30.25", "2024-03-01 10:05:30.250000"),
        ("2024-03-01 10:05:00+01:00", "2024-03-01 09:05:00"),
        ("2024-03-01T10:05:00-0530", "2024-03-01 15:35:00"),
        ("2024-03-01T10:05:00Z", "2024-03-01 10:05:00"),
        ("2024-03-01 10:05+02", "2024-03-01 08:05:00"),
    ],
)
def test_a_timestamp(text: str, utc: str) -> None:
    assert moments(pl.Series([text])).moment.item() == microseconds(utc)


@pytest.mark.parametrize("text", ["2024-03-01", "01.03.2024 10:00", "2024-02-30 10:00", "2024-03-01 25:00", "10:00"])
def test_what_is_no_timestamp(text: str) -> None:
    assert moments(pl.Series([text])).moment.item() is None


def test_a_format_of_ones_own() -> None:
    assert moments(pl.Series(["01.03.2024 10:05"]), "%d.%m.%Y %H:%M").moment.item() == microseconds("2024-03-01 10:05")
    with_zone = moments(pl.Series(["01.03.2024 10:05 +0100"]), "%d.%m.%Y %H:%M %z")
    assert (with_zone.moment.item(), with_zone.aware) == (microseconds("2024-03-01 09:05"), 1)
    for illegal in ("%d.%m.%Y", "%H:%M"):
        with pytest.raises(ConfigError, match="no day or no hour"):
            require_format(illegal)


def test_the_zone_of_a_clock() -> None:
    texts = pl.Series(
        ["2024-03-31 01:30", "2024-03-31 02:30", "2024-03-31 03:30", "2024-10-27 02:30", "2024-07-01 12:00Z"]
    )
    read = moments(texts, zone="Europe/Berlin")
    assert read.moment.to_list() == [
        microseconds("2024-03-31 00:30"),
        None,  # the clock never showed it
        microseconds("2024-03-31 01:30"),
        microseconds("2024-10-27 00:30"),  # the first of two
        microseconds("2024-07-01 12:00"),
    ]
    assert (read.aware, read.naive, read.twice) == (1, 4, 1)
    with pytest.raises(ConfigError, match="no time zone"):
        require_zone("Europe/Berlln")


@given(st.datetimes(), st.integers(-14 * 60, 14 * 60))
def test_an_offset_is_taken_off(when: dt.datetime, minutes: int) -> None:
    zoned = when.replace(tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    read = moments(pl.Series([zoned.isoformat()]))
    assert read.moment.item() == (zoned - epoch) // dt.timedelta(microseconds=1)


def test_ids_are_numbers_the_same_in_every_table() -> None:
    texts = pl.Series(["12", "12.0", "012", "A-7", None, "-3", str(2**60)])
    found = ids.numbered(texts, "stays").to_list()
    assert found[:2] == [12, 12]
    assert found[4] is None
    assert found[2:4] == [number_of("012"), number_of("A-7")]
    assert all(2**52 <= number < 2**53 for number in (*found[2:4], *found[5:]))
    # By sha256sum.
    assert number_of("A-7") == 8_088_933_699_728_759


def test_two_texts_with_one_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "number_of", lambda text: 2**52)
    with pytest.raises(SourceError, match="'A' and 'B' of stays get the same number"):
        ids.numbered(pl.Series(["A", "B"]), "stays")
