"""How many rows the tables of each release of eICU have."""

from __future__ import annotations

from collections.abc import Mapping

DEMO = "eICU-CRD Demo v2.0"

RELEASES: Mapping[str, Mapping[str, int]] = {
    "eICU-CRD v2.0": {
        "patient": 200_859,
        "lab": 39_132_531,
        "nursecharting": 151_604_232,
        "vitalperiodic": 146_671_642,
        "vitalaperiodic": 25_075_074,
        "respiratorycharting": 20_168_176,
        "intakeoutput": 12_030_289,
    },
    DEMO: {
        "patient": 2_520,
        "vitalaperiodic": 274_088,
        "respiratorycharting": 176_089,
        "intakeoutput": 100_466,
    },
}
"""Rows of the tables of each release (MIT-LCP/eicu-code, row counts of the PostgreSQL
build; the demo as measured, whose lab is not known)."""


def release_of(rows: Mapping[str, int]) -> str:
    """Return the release that has as many patients; "" where none has."""
    return next((name for name, known in RELEASES.items() if known["patient"] == rows["patient"]), "")


def departures(rows: Mapping[str, int]) -> list[str]:
    """Return the tables that do not have the rows of their release, in words; none where no release is known.

    Args:
        rows: Rows by table, PATIENT among them, by which the release is known.
    """
    release = release_of(rows)
    expected = RELEASES.get(release, {})
    return [
        f"{name.upper()} has {count:,} rows instead of {expected[name]:,}, which {release} has"
        for name, count in rows.items()
        if count != expected.get(name, count)
    ]
