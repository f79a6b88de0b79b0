"""What is predicted: the label of each stay, and the stays of which it cannot be told."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import polars as pl

from icudl.artifacts import SourceTables
from icudl.artifacts.data.outcome import EVENTS, HOSPITAL_DEATH, HOSPITAL_DEATH_EVENT, Outcome
from icudl.errors import ConfigError, SourceError
from icudl.options import Options, option

_HOURS_PER_DAY = 24.0
COLUMNS: dict[str, tuple[str, ...]] = {
    "hospital_death": (),
    "long_stay": (),
    "icu_death": ("icu_death",),
    "death_within_days": ("any_death_hours", "followed_hours"),
    "readmission": ("icu_death", "readmission_hours"),
    "column": ("column",),
}
"""The columns of ``SourceTables.outcomes`` that tell an event; none where the table of stays does."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutcomeOptions(Options):
    """What is predicted, and from when on it counts."""

    table: ClassVar[str] = "outcome"

    event: str = option(
        HOSPITAL_DEATH_EVENT,
        "hospital_death; icu_death: before the patient leaves the ICU; death_within_days: wherever the patient is by "
        "then; long_stay: in the ICU for longer than outcome.days; readmission: back in the ICU within outcome.days of "
        "leaving it alive; column: the column of 0 and 1 that source.stay_columns.outcome names. Each source says "
        "which of them it can tell.",
        choices=EVENTS,
    )
    days: float = option(
        30.0, "Days of death_within_days, long_stay and readmission; the other events have none.", low=0.1, high=3650
    )
    since: str = option(
        "admission",
        "When the days of death_within_days and long_stay begin: at ICU admission, or at the end of the window. Those "
        "of readmission begin as the patient leaves the ICU.",
        choices=("admission", "window_end"),
    )
    gap_hours: float = option(
        0.0,
        "Hours between the end of the window and the moment from which the outcome counts. Stays that end in the gap "
        "(unless cohort.min_stay_hours says otherwise) and patients who die in it are left out, as for the window.",
        low=0,
        high=8760,
    )
    name: str = option("", 'What the outcome of event = "column" is called in a report\'s sentences.')


def described(options: OutcomeOptions) -> Outcome:
    """Return the outcome with the words for it."""
    since = "the end of the window" if options.since == "window_end" else "ICU admission"
    days = f"{options.days:g} {'day' if options.days == 1 else 'days'}"
    phrases = {
        "hospital_death": HOSPITAL_DEATH.phrase,
        "icu_death": "death in the ICU",
        "death_within_days": f"death within {days} of {since}",
        "long_stay": f"an ICU stay longer than {days} from {since}",
        "readmission": f"readmission to the ICU within {days}",
        "column": options.name or "the outcome of the hospital's own column",
    }
    return Outcome(event=options.event, phrase=phrases[options.event])


def require_told(told: frozenset[str], options: OutcomeOptions, source: str) -> None:
    """Check that a source tells an outcome.

    Args:
        told: What the source tells (``sources.base.TellsOutcomes``).
        options: What is asked for.
        source: Name of the plug-in, for the message.

    Raises:
        ConfigError: It does not tell it.
    """
    if options.event not in told:
        ordered = [event for event in EVENTS if event in told]
        named = {
            "column": ' Name its column: source.stay_columns = { outcome = "..." }.',
            "readmission": ' Name its columns: source.stay_columns = { patient_id = "...", in_time = "..." }.',
        }
        more = named.get(options.event, "") if source == "table" else ""
        raise ConfigError(
            f"outcome.event = {options.event!r} is not told by the source {source!r}, as it is set up here.{more} It "
            f"tells {', '.join(ordered) or 'none'}: choose from these."
        )


def start_of_outcome(window_hours: int, options: OutcomeOptions) -> float:
    """Return the hour since ICU admission from which the outcome counts."""
    return window_hours + options.gap_hours


def with_labels(tables: SourceTables, options: OutcomeOptions) -> pl.DataFrame:
    """Return the stays with their labels and what else criteria need.

    Args:
        tables: Stays and outcomes of a source.
        options: What is asked for.

    Returns:
        ``STAYS_SCHEMA``, label (null where it is not known), dead_hours (the first hour at which the patient is known
        to be dead, null where none is known) and known_hours (the hour at which an outcome other than death came about,
        null where there is none).

    Raises:
        SourceError: The tables do not tell the outcome, or every stay would have it.
    """
    columns = COLUMNS[options.event]
    missing = [column for column in columns if column not in tables.outcomes.columns]
    if missing:
        raise SourceError(
            f"These data do not tell {described(options).phrase}: their outcomes lack {', '.join(missing)}. Choose "
            "another outcome.event."
        )
    stays = tables.stays.join(tables.outcomes, on="stay_id", how="left", maintain_order="left")
    later = [column for column in ("any_death_hours",) if column in stays.columns]
    horizon = _horizon(tables.window_hours, options)
    begin = start_of_outcome(tables.window_hours, options)
    if options.event in {"death_within_days", "long_stay"} and horizon <= begin:
        raise SourceError(
            f"outcome.days = {options.days:g} from {options.since} ends at hour {horizon:g}, before the outcome begins "
            f"to count at hour {begin:g}. Give more days, or a shorter window."
        )
    label = {
        "hospital_death": pl.col("died"),
        "icu_death": pl.col("icu_death"),
        "long_stay": pl.col("stay_hours") > horizon,
        "death_within_days": _death_by(horizon),
        "readmission": _readmitted(options.days),
        "column": pl.col("column"),
    }[options.event]
    own = options.event == "column" and "column_hours" in stays.columns
    return stays.select(
        *tables.stays.columns,
        known_hours=pl.col("column_hours") if own else pl.lit(None, pl.Float64),
        label=label.cast(pl.Boolean),
        dead_hours=pl.min_horizontal("death_hours", *later),
    )


def _horizon(window_hours: int, options: OutcomeOptions) -> float:
    return options.days * _HOURS_PER_DAY + (window_hours if options.since == "window_end" else 0)


def _death_by(horizon: float) -> pl.Expr:
    """Return whether the patient was dead by an hour: null for those who were not followed so long."""
    death = pl.col("any_death_hours")
    return (
        pl.when(death <= horizon).then(True).when((death > horizon) | (pl.col("followed_hours") >= horizon)).then(False)
    )


def _readmitted(days: float) -> pl.Expr:
    """Return whether the patient came back in time: null for those who died in the ICU."""
    back = (pl.col("readmission_hours") <= days * _HOURS_PER_DAY).fill_null(value=False)
    return pl.when(~pl.col("icu_death")).then(back)


def unknown_criterion(options: OutcomeOptions) -> str:
    """Return the criterion under which stays without a label are left out; "" where there can be none."""
    return {
        "icu_death": "known whether the patient died in the ICU",
        "death_within_days": f"followed until {described(options).phrase} is known",
        "readmission": "left the ICU alive",
        "column": "the outcome is known",
    }.get(options.event, "")
