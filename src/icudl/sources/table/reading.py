"""What was noticed while a hospital's tables were read: counts for the cleaning table, sentences for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA

_FEWEST_TO_SHOW = 5
_LONGEST = 20


@dataclasses.dataclass
class Notes:
    """Collects what a reader of the results has to know.

    Attributes:
        warnings: Sentences, in the order in which they were noticed.
        rows: Variable or table, rule, rows touched.
    """

    warnings: list[str] = dataclasses.field(default_factory=list)
    rows: list[tuple[str, str, int]] = dataclasses.field(default_factory=list)

    def say(self, text: str) -> None:
        """Add a sentence."""
        self.warnings.append(text)

    def count(self, subject: str, rule: str, rows: int, say: str = "") -> None:
        """Count rows that a rule touched, if there are any, and say so."""
        if rows:
            self.rows.append((subject, rule, rows))
            if say:
                self.say(say)

    def cleaning(self) -> pl.DataFrame:
        """Return the counts (``CLEANING_SCHEMA``)."""
        return pl.DataFrame(self.rows, schema=dict(CLEANING_SCHEMA), orient="row")


def several(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 row", "2,300 rows"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def shown(texts: Iterable[str], most: int = 8) -> str:
    """Return the first of some texts, and how many there are beyond."""
    found = list(texts)
    rest = len(found) - most
    return ", ".join(found[:most]) + (f" and {rest} more" if rest > 0 else "")


def frequent(texts: pl.Series, most: int = 5) -> str:
    """Return the most frequent texts with their counts, for an error."""
    return shown((f"{text[:40]!r} ({count:,})" for text, count in _counted(texts)), most)


def often(texts: pl.Series, most: int = 5) -> str:
    """Return the most frequent texts with their counts, for a warning.

    A warning is kept with the results, so a text that few rows have is left out: it may be a remark about a patient.
    """
    counts = _counted(texts)
    common = [f"{text!r} ({count:,})" for text, count in counts if count >= _FEWEST_TO_SHOW and len(text) <= _LONGEST]
    rare = len(counts) - len(common[:most])
    return ", ".join(common[:most] + ([several(rare, "other text")] if rare else []))


def _counted(texts: pl.Series) -> list[tuple[str, int]]:
    counts = texts.alias("text").to_frame().group_by("text").len().sort("len", "text", descending=[True, False])
    return counts.rows()
