"""What the text of a cell says: a number, a moment, or nothing."""

from __future__ import annotations

import dataclasses
import re
import zoneinfo
from collections.abc import Collection

import polars as pl

from icudl.errors import ConfigError

EMPTY: frozenset[str] = frozenset({"", "na", "n/a", "nan", "<na>", "null", "none", "nil", "-", "--", ".", "\\n"})
"""Texts that mean "no value", in lower case."""

BLANKS = " \t\u00a0\u202f\ufeff"
_NUMBER = {
    ".": r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$",
    ",": r"^[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d{1,3})?$",
}
COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+")
_ISO = (
    r"^(?P<day>\d{4}-\d{2}-\d{2})[T ](?P<clock>\d{1,2}:\d{2})(?P<second>:\d{2})?(?:[.,](?P<fraction>\d{1,9}))?"
    r"\s*(?P<zone>Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?$"
)
_MICROSECONDS = 1_000_000


def filled(texts: pl.Series, missing: Collection[str] = ()) -> pl.Series:
    """Return texts without blanks around them; null where they mean "no value".

    Args:
        texts: Cells as they are written.
        missing: Further texts that mean "no value".
    """
    stripped = pl.col(texts.name).str.strip_chars(BLANKS)
    empty = stripped.str.to_lowercase().is_in(sorted(EMPTY)) | stripped.is_in(sorted(missing))
    return texts.to_frame().select(pl.when(~empty).then(stripped)).to_series()


def stripped(texts: pl.Series) -> pl.Series:
    """Return texts without blanks around them; null where nothing is left."""
    text = pl.col(texts.name).str.strip_chars(BLANKS)
    return texts.to_frame().select(pl.when(text.str.len_bytes() > 0).then(text)).to_series()


def numbers(texts: pl.Series, decimal: str = ".") -> pl.Series:
    """Return finite numbers (Float64); null where a text is anything but one number.

    Args:
        texts: Text without blanks around it.
        decimal: Decimal sign; the other sign is no part of a number.
    """
    plain = texts.to_frame("text").select(
        pl.when(pl.col("text").str.contains(_NUMBER[decimal])).then(pl.col("text").str.replace(",", ".", literal=True))
    )
    number = pl.col("text").cast(pl.Float64, strict=False)
    return plain.select(pl.when(number.is_finite()).then(number)).to_series()


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Timestamps as whole microseconds.

    Attributes:
        moment: Since 1970, UTC where the zone is known, else by the clock; null where a text cannot be read.
        aware: How many have an offset from UTC.
        naive: How many have none.
        twice: How many fall into the hour that the clock shows twice when summer time ends; the first is taken.
    """

    moment: pl.Series
    aware: int
    naive: int
    twice: int


def require_zone(zone: str) -> None:
    """Check the name of a time zone; "" stands for none.

    Raises:
        ConfigError: There is no such zone.
    """
    try:
        if zone:
            zoneinfo.ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f'source.time_zone = {zone!r} is no time zone. Give a name as "Europe/Berlin" or "UTC".'
        ) from None


def require_format(time_format: str) -> None:
    """Check the format of timestamps; "" stands for the standard one.

    Raises:
        ConfigError: The format has no day or no hour: midnight would be made up.
    """
    has_day = any(code in time_format for code in ("%d", "%e", "%j", "%F", "%D", "%s", "%c"))
    has_hour = any(code in time_format for code in ("%H", "%I", "%T", "%R", "%s", "%c"))
    if time_format and not (has_day and has_hour):
        raise ConfigError(
            f"source.time_format = {time_format!r} has no day or no hour of the day. Expected a format as "
            '"%d.%m.%Y %H:%M": a date alone does not tell when in the day something was measured.'
        )


def moments(texts: pl.Series, time_format: str = "", zone: str = "") -> Moments:
    """Read timestamps.

    Args:
        texts: Text without blanks around it.
        time_format: How they are written; "" for YYYY-MM-DD HH:MM[:SS[.FFFFFF]], with or without T and an offset. A
            date alone is not read: it does not tell the time.
        zone: Zone of timestamps that have no offset.
    """
    if time_format:
        aware = "%z" in time_format or "%Z" in time_format or "%s" in time_format
        dtype = pl.Datetime("us", "UTC") if aware else pl.Datetime("us")
        clock = texts.str.strptime(dtype, time_format, strict=False)
        if aware:
            return Moments(clock.dt.epoch("us"), int(clock.is_not_null().sum()), 0, 0)
        return _placed(clock, pl.Series([None] * len(texts), dtype=pl.Int64), zone)
    parts = texts.to_frame("text").select(pl.col("text").str.extract_groups(_ISO)).unnest("text")
    seconds = pl.col("second").fill_null(":00")
    written = pl.concat_str("day", pl.lit(" "), "clock", seconds).str.strptime(
        pl.Datetime("us"), "%Y-%m-%d %H:%M:%S", strict=False
    )
    fraction = pl.col("fraction").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64).fill_null(0)
    sign = pl.when(pl.col("zone").str.starts_with("-")).then(-1).otherwise(1)
    digits = pl.col("zone").str.replace_all(r"\D", "").str.pad_end(4, "0").cast(pl.Int64)
    offset = pl.when(pl.col("zone").is_not_null()).then(sign * (digits // 100 * 60 + digits % 100))
    table = parts.select(clock=written + pl.duration(microseconds=fraction), offset=offset)
    return _placed(table["clock"], table["offset"], zone)


def typed_moments(times: pl.Series, zone: str) -> Moments:
    """Return times that a file keeps as timestamps (with a zone or without one) or as text.

    Args:
        times: Datetime or String.
        zone: Zone of times without one; "" leaves them as the clock showed them.
    """
    if times.dtype == pl.String:
        return moments(stripped(times), "", zone)
    none = pl.Series("offset", [None] * len(times), dtype=pl.Int64)
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None:
        moment = times.dt.epoch("us").alias("moment")
        return Moments(moment, int(moment.is_not_null().sum()), 0, 0)
    return _placed(times.cast(pl.Datetime("us")), none, zone)


def _placed(clock: pl.Series, offset: pl.Series, zone: str) -> Moments:
    """Return moments from what a clock showed and its offset from UTC in minutes, null where it was not written."""
    frame = pl.DataFrame({"clock": clock, "offset": offset})
    naive = pl.col("offset").is_null() & pl.col("clock").is_not_null()
    shown = pl.col("clock").dt.epoch("us")
    local, twice = shown, pl.lit(0)
    if zone:
        # An hour that the clock skipped is no time: null.
        first = pl.col("clock").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.epoch("us")
        last = pl.col("clock").dt.replace_time_zone(zone, ambiguous="latest", non_existent="null").dt.epoch("us")
        local, twice = first, (naive & (first != last)).sum()
    moment = pl.when(naive).then(local).otherwise(shown - pl.col("offset") * 60 * _MICROSECONDS)
    counts = frame.select(aware=(~naive & pl.col("clock").is_not_null()).sum(), naive=naive.sum(), twice=twice).row(0)
    return Moments(frame.select(moment.alias("moment")).to_series(), *map(int, counts))
