"""How many rows the tables of each release of MIMIC-III have."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

RELEASES: Mapping[str, Mapping[str, int]] = {
    "MIMIC-III v1.4": {
        "patients": 46_520,
        "admissions": 58_976,
        "icustays": 61_532,
        "d_items": 12_487,
        "d_labitems": 753,
        "labevents": 27_854_055,
        "outputevents": 4_349_218,
        "chartevents": 330_712_483,
    },
    "MIMIC-III Clinical Database Demo v1.4": {
        "patients": 100,
        "admissions": 129,
        "icustays": 136,
        "d_items": 12_487,
        "d_labitems": 753,
        "labevents": 76_074,
        "outputevents": 11_320,
        "chartevents": 758_355,
    },
}
"""Rows of the tables of each release (MIT-LCP/mimic-code, postgres_checks.sql; the demo as published)."""


@dataclasses.dataclass(frozen=True)
class Departure:
    """A table that has more or fewer rows than the release has.

    Attributes:
        table: Its name.
        rows: How many rows it has.
        expected: How many the release has.
    """

    table: str
    rows: int
    expected: int

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"{self.table.upper()} has {self.rows} rows instead of {self.expected}"


def release_of(rows: Mapping[str, int]) -> str:
    """Return the release that tables are of, judged by the number of patients; "" for none that is known.

    Args:
        rows: Rows by table.
    """
    return next((name for name, known in RELEASES.items() if known["patients"] == rows["patients"]), "")


def departures(rows: Mapping[str, int]) -> list[Departure]:
    """Return the tables that do not have the rows of their release; none where no release is known.

    Args:
        rows: Rows by table.
    """
    expected = RELEASES.get(release_of(rows), {})
    return [
        Departure(name, rows[name], expected[name]) for name in rows if rows[name] != expected.get(name, rows[name])
    ]
