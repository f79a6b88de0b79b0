"""Numbers as a reader would write them, and cells and series made of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import polars as pl

from icudl.report.elements import Cell, Column, Entry


def entry(value: Cell, digits: int = 3) -> Entry:
    """Turn a plain value into a cell; None and NaN become a dash that sorts last."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return Entry("–", None)
    if isinstance(value, str):
        return Entry(value, None)
    return Entry(number(value, digits), float(value))


def row(*values: Cell | Entry) -> tuple[Entry, ...]:
    """Make a row of cells from plain values."""
    return tuple(value if isinstance(value, Entry) else entry(value) for value in values)


def columns(*labels: str | Column) -> tuple[Column, ...]:
    """Make columns; a plain label is a column of text."""
    return tuple(label if isinstance(label, Column) else Column(label) for label in labels)


def numeric(label: str) -> Column:
    """Make a column of numbers."""
    return Column(label, numeric=True)


def number(value: float, digits: int = 3) -> str:
    """Format a number with ``digits`` significant digits and thousands separated, as a reader would write it."""
    if not math.isfinite(value):
        return "–"
    if float(value).is_integer():
        return f"{int(value):,}"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude >= digits - 1:
        return f"{value:,.0f}"
    if magnitude < -4:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{digits - 1 - magnitude}f}"


def middle(median: float) -> str:
    """Format a median of counts: a whole number, or one half-way between two."""
    return f"{median:,.0f}" if float(median).is_integer() else f"{median:,.1f}"


def middle_entry(median: float | None) -> Entry:
    """Turn a median of counts into a cell; None and NaN become a dash that sorts last."""
    return entry(None) if median is None or not math.isfinite(median) else Entry(middle(median), float(median))


def percent(share: float) -> str:
    """Format a share between 0 and 1 as a percentage."""
    if not math.isfinite(share):
        return "–"
    value = 100 * share
    return f"{value:.0f} %" if value >= 99.95 or value == 0 else f"{value:.1f} %"


def interval(value: float | None, low: float | None, high: float | None, digits: int = 3) -> Entry:
    """Format an estimate with its 95 % interval; sorted by the estimate."""
    if value is None or not math.isfinite(value):
        return Entry("–", None)
    text = f"{value:.{digits}f}"
    if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
        text += f" ({low:.{digits}f} to {high:.{digits}f})"
    return Entry(text, float(value))


def interval_below(value: float | None, low: float | None, high: float | None, digits: int = 3) -> Entry:
    """Format an estimate with its 95 % interval in a line below, so that many fit beside one another."""
    estimate = interval(value, None, None, digits)
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return estimate
    return dataclasses.replace(estimate, detail=f"{low:.{digits}f} to {high:.{digits}f}")


def decimals(low: float, high: float) -> int:
    """Return how many decimals an estimate deserves: two significant digits of its interval's width, three at most."""
    width = high - low
    return min(max(1 - math.floor(math.log10(width)), 0), 3) if math.isfinite(width) and width > 0 else 3


def count(value: int, noun: str, plural: str | None = None) -> str:
    """Return ``"1 stay"``, ``"2 stays"``."""
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def listed(words: Sequence[str]) -> str:
    """Return ``"a"``, ``"a and b"``, ``"a, b and c"``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def rounded(values: Sequence[float] | pl.Series, digits: int = 4) -> list[float | None]:
    """Round to ``digits`` significant digits for embedding; what is not finite becomes null."""
    return [None if item is None or not math.isfinite(item) else _significant(float(item), digits) for item in values]


def _significant(value: float, digits: int) -> float | int:
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def risks(before: float, after: float) -> tuple[str, str]:
    """Format two risks with as many decimals as it takes to tell them apart."""
    for digits in range(1, 5):
        texts = f"{100 * before:.{digits}f} %", f"{100 * after:.{digits}f} %"
        if before == after or texts[0] != texts[1]:
            return texts
    return f"{100 * before:.5f} %", f"{100 * after:.5f} %"
