"""What a table for a paper is made of, as values that know neither LaTeX nor HTML."""

from __future__ import annotations

import dataclasses
import enum
import math

from icudl.analysis.numbers.attacks.groups import SMALLEST_GROUP
from icudl.analysis.numbers.attacks.single_attacks import Share
from icudl.analysis.numbers.comparison import Estimate
from icudl.report.elements import Entry
from icudl.report.wording import percent

NOTHING = Entry("–", None)
"""A cell of which nothing is told."""


class Kind(enum.StrEnum):
    """What a table is about."""

    COHORT = "cohort"  # what the stays are like, by outcome
    SCORES = "scores"  # models side by side
    SUBGROUPS = "subgroups"  # scores within groups of patients
    ATTACKS = "attacks"  # attacks side by side
    FRAGILITY = "fragility"  # flipped stays within groups of patients


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        label: What it is about.
        cells: One for each column; none where the line is a heading over the lines below it.
        indented: Whether it belongs to the heading above it.
    """

    label: str
    cells: tuple[Entry, ...] = ()
    indented: bool = False


@dataclasses.dataclass(frozen=True)
class PaperTable:
    """A table for a paper.

    Attributes:
        id: Its kind, with names where a study has several of the kind; file names and labels are made of it.
        title: A phrase that stands above the table.
        head: What the lines are about.
        columns: Heads of the columns; all hold numbers.
        lines: In order.
        notes: Sentences below the table.
    """

    id: str
    title: str
    head: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()


def estimated(of: Estimate | None, *, signed: bool = False) -> Entry:
    """Write an estimate with three decimals, its 95 % interval as the detail."""
    if of is None or of.value is None or not math.isfinite(of.value):
        return NOTHING
    sign = "+" if signed else ""
    if of.low is None or of.high is None or not (math.isfinite(of.low) and math.isfinite(of.high)):
        return Entry(f"{of.value:{sign}.3f}", of.value)
    return Entry(f"{of.value:{sign}.3f}", of.value, f"{of.low:{sign}.3f} to {of.high:{sign}.3f}")


def share(of: Share | Estimate) -> Entry:
    """Write a share as a percentage, its 95 % interval as the detail."""
    if of.value is None or not math.isfinite(of.value):
        return NOTHING
    known = of.low is not None and of.high is not None
    return Entry(percent(of.value), of.value, f"{percent(of.low)} to {percent(of.high)}" if known else "")  # type: ignore[arg-type]


def counted(number: int, *, restricted: bool) -> Entry:
    """Write a number of stays; of restricted data, one that could point at single patients is masked."""
    return Entry(f"<{SMALLEST_GROUP}", None) if restricted and is_small(number) else Entry(f"{number:,}", float(number))


def is_small(number: int) -> bool:
    """Tell whether so many stays could point at single patients; none cannot."""
    return 0 < number < SMALLEST_GROUP
