"""The table of stays: ids, age, sex, outcome and length, each by a stated rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import polars as pl

from icudl.artifacts import STAYS_SCHEMA
from icudl.errors import SourceError
from icudl.sources.table import ids, texts
from icudl.sources.table.columns import Columns
from icudl.sources.table.files import Table
from icudl.sources.table.options import TableOptions
from icudl.sources.table.reading import Notes, frequent, often, several
from icudl.sources.table.texts import Moments

HIDDEN_AGE_YEARS = 91.4
"""Age of those whose age is hidden ("> 89", "90+"), as in all sources."""

_HIDDEN_AGE = r"^(>\s*(=\s*)?|≥\s*)(89|90)$|^(89|90)\s*\+$"
DEATHS: frozenset[str] = frozenset(
    {"1", "1.0", "true", "t", "yes", "y", "died", "dead", "death", "deceased", "expired", "non-survivor"}
)
SURVIVALS: frozenset[str] = frozenset(
    {"0", "0.0", "false", "f", "no", "n", "alive", "survived", "survivor", "discharged alive"}
)
FEMALE: frozenset[str] = frozenset({"f", "female", "w", "weiblich", "woman"})
MALE: frozenset[str] = frozenset({"m", "male", "männlich", "man"})
AGES, HEIGHTS, WEIGHTS = (0.0, 120.0), (50.0, 250.0), (20.0, 500.0)
"""Plausible ages in years, heights in cm and weights in kg, both ends included."""

_LARGEST_HOURS = 24.0 * 366 * 5
_MICROSECONDS_PER_HOUR = 3.6e9
NO_OUTCOME = "no outcome: the stay is left out"


@dataclasses.dataclass(frozen=True, eq=False)
class Stays:
    """The stays.

    Attributes:
        table: ``STAYS_SCHEMA``, sorted by stay_id.
        starts: stay_id, start (time of admission in microseconds, null where unknown) and end (length of the stay in
            microseconds, null where unknown), sorted by stay_id.
        times: The timestamps read, to find a mixture of zones.
        outcomes: stay_id, icu_death and, where the table has them, readmission_hours and column (``OUTCOMES_SCHEMA``).
    """

    table: pl.DataFrame
    starts: pl.DataFrame
    times: tuple[Moments, ...]
    outcomes: pl.DataFrame


def stays_of(frame: pl.DataFrame, columns: Columns, options: TableOptions, source: Table, notes: Notes) -> Stays:
    """Read the stays.

    A patient died in the ICU if the time of death is not after the end of the stay; without that time it is not known.
    A stay without an outcome is left out and counted; an outcome that cannot be read is an error. A death after
    discharge, which is a time of death beside an outcome of survival, is left out and counted. What else cannot be
    read is unknown and counted.

    Args:
        frame: The table as text.
        columns: Its columns.
        options: Options of the source.
        source: The file.
        notes: Takes counts and warnings.

    Raises:
        SourceError: A stay has no id, two rows of a stay differ, an outcome or a time of admission cannot be read, or
            the table tells no length of stay.
    """
    name, decimal = source.name, source.decimal(options.decimal)
    table = _distinct(_cells(frame, columns, options), name, notes)
    own = "outcome" in table.columns
    # Where the hospital has an outcome of its own, nothing need be known of deaths.
    told = "died" in table.columns
    outcome = _outcome(table, "died", options, name) if told else pl.Series("died", [None] * len(table), pl.Boolean)
    unknown = int(outcome.null_count()) if told else 0
    notes.count(
        "died",
        NO_OUTCOME,
        unknown,
        f"{several(unknown, 'stay has', 'stays have')} no outcome in {name} and {'is' if unknown == 1 else 'are'} left "
        f"out of {len(table):,}. If that is not at random, results are of other patients than yours.",
    )
    every = table
    table = table.with_columns(died=outcome).filter(pl.col("died").is_not_null() | (not told))
    if table.is_empty():
        raise SourceError(f"No stay of {name} has an outcome. Fill the column {columns.headers['died']!r}.")
    clock = _Clock(options, decimal, name)
    start = clock.read(table, "in_time")
    length = _length(table, start, clock, name, notes)
    death = _death(table, start, clock, notes)
    known = table.select(
        pl.col("stay_id"),
        patient_id=table["patient_id"],
        admission_id=table["admission_id"],
        age_years=_age(table, notes),
        sex=_sex(table, options, notes),
        icu_type=_text(table, "icu_type"),
        height_cm=_measure(table, "height_cm", HEIGHTS, decimal, notes),
        weight_kg=_measure(table, "weight_kg", WEIGHTS, decimal, notes),
        source_set=_text(table, "source_set").fill_null(""),
        stay_hours=length,
        death_hours=death,
        died="died",
        start=start,
        column=_outcome(table, "outcome", options, name) if own else pl.lit(None),
    )
    ordered = known.sort("patient_id", "start", "stay_id", nulls_last=True).with_columns(
        stay_number=pl.int_range(1, pl.len() + 1).over("patient_id")
    )
    ordered = ordered.sort("stay_id")
    back = _next_starts(every, clock, notes) if tells_readmission(options.stay_columns) else None
    if back is not None:
        left = pl.col("start") + pl.col("stay_hours") * _MICROSECONDS_PER_HOUR
        # Stays that overlap are one move after the other.
        hours = ((pl.col("next_start") - left) / _MICROSECONDS_PER_HOUR).clip(0)
        ordered = ordered.join(back, on="stay_id", how="left", maintain_order="left").with_columns(
            readmission_hours=hours
        )
    end = (pl.col("stay_hours") * _MICROSECONDS_PER_HOUR).round().cast(pl.Int64)
    return Stays(
        ordered.select(pl.col(column).cast(dtype) for column, dtype in STAYS_SCHEMA.items()),
        ordered.select("stay_id", "start", end=end),
        tuple(clock.times),
        ordered.select(
            "stay_id",
            pl.when(~pl.col("died"))
            .then(False)
            .otherwise(pl.col("death_hours") <= pl.col("stay_hours"))
            .alias("icu_death"),
            *(["readmission_hours"] if back is not None else []),
            *(["column"] if own else []),
        ),
    )


def tells_readmission(stay_columns: Mapping[str, object]) -> bool:
    """Tell whether ``source.stay_columns`` names what tells when a patient came back: patient and time of admission."""
    return {"patient_id", "in_time"} <= set(stay_columns)


def _next_starts(table: pl.DataFrame, clock: _Clock, notes: Notes) -> pl.DataFrame | None:
    """Return stay_id and next_start, when the patient's next stay begins; None where that cannot be known of everybody.

    Stays that are left out for want of an outcome are among those that a patient may come back for.
    """
    times = table.select("stay_id", "patient_id").with_columns(start=clock.read(table, "in_time"))
    again = times.filter(pl.col("patient_id").is_duplicated())
    if unknown := int(again["start"].null_count()):
        notes.say(
            f"{several(unknown, 'stay')} of patients with several stays {'has' if unknown == 1 else 'have'} no time of "
            "admission, so readmission is not told: fill the column to predict it."
        )
        return None
    later = times.sort("patient_id", "start", "stay_id").with_columns(
        next_start=pl.col("start").shift(-1).over("patient_id")
    )
    return later.select("stay_id", "next_start")


def _cells(frame: pl.DataFrame, columns: Columns, options: TableOptions) -> pl.DataFrame:
    """Return a text column for each role that the table has, empty cells null."""
    return pl.DataFrame(
        {role: texts.filled(frame[header], options.missing) for role, header in columns.headers.items()}
    )


def _distinct(table: pl.DataFrame, name: str, notes: Notes) -> pl.DataFrame:
    """Return one row a stay, with ids as numbers."""
    nameless = int(table["stay_id"].null_count())
    if nameless:
        raise SourceError(f"{several(nameless, 'row')} of {name} without an id of the stay. Every row needs one.")
    whole = table.unique(maintain_order=True)
    notes.count("(stays)", "repeated row", len(table) - len(whole))
    whole = whole.with_columns(stay_id=ids.numbered(whole["stay_id"], "stays"))
    twice = whole.filter(pl.col("stay_id").is_duplicated())["stay_id"]
    if len(twice):
        raise SourceError(
            f"{name} has {several(twice.n_unique(), 'stay')} in rows that differ, the first {twice[0]}. Expected one "
            "row a stay: keep one row of each, or name the column of the stay in source.stay_columns.stay_id."
        )
    if "patient_id" in whole.columns:
        lost = int(whole["patient_id"].null_count())
        if lost:
            raise SourceError(
                f"{several(lost, 'stay')} of {name} without an id of the patient. Fill the column: patients "
                "must not be on both sides of a split."
            )
        whole = whole.with_columns(patient_id=ids.numbered(whole["patient_id"], "patients"))
    else:
        whole = whole.with_columns(patient_id="stay_id")
        notes.say(
            f"{name} has no column for the patient, so each stay counts as a patient of its own. If patients come "
            "back, the same patient is trained on and tested with: name the column in source.stay_columns.patient_id."
        )
    if "admission_id" not in whole.columns:
        return whole.with_columns(admission_id="stay_id")
    admission = ids.numbered(whole["admission_id"], "admissions")
    return whole.with_columns(admission_id=admission).with_columns(pl.col("admission_id").fill_null(pl.col("stay_id")))


def _outcome(table: pl.DataFrame, role: str, options: TableOptions, name: str) -> pl.Series:
    own = _folded(options.deaths), _folded(options.survivals)
    deaths, survivals = (DEATHS - own[1]) | own[0], (SURVIVALS - own[0]) | own[1]
    text = pl.col(role).str.to_lowercase()
    died = pl.when(text.is_in(sorted(deaths))).then(True).when(text.is_in(sorted(survivals))).then(False)
    outcome = table.select(died.alias(role)).to_series()
    if "" in own[1]:
        outcome = pl.select(pl.when(table[role].is_null()).then(pl.lit(value=False)).otherwise(outcome)).to_series()
    strange = table.filter(outcome.is_null() & table[role].is_not_null())[role]
    if len(strange):
        if role != "died":
            raise SourceError(
                f"{several(len(strange), 'cell')} of {name} in the column source.stay_columns.{role} names cannot be "
                f"read: {frequent(strange)}. Expected 1 and 0, or yes and no."
            )
        raise SourceError(
            f"{several(len(strange), 'outcome')} of {name} cannot be read: {frequent(strange)}. Expected death or "
            "survival, as 1 and 0, yes and no, died and alive. Name each of the others in source.deaths or in "
            "source.survivals, by what it means."
        )
    return outcome


@dataclasses.dataclass
class _Clock:
    """Reads the timestamps of the table of stays."""

    options: TableOptions
    decimal: str
    name: str
    times: list[Moments] = dataclasses.field(default_factory=list)

    def read(self, table: pl.DataFrame, role: str) -> pl.Series:
        """Return moments in microseconds, null where there is none.

        Raises:
            SourceError: A text is no timestamp.
        """
        if role not in table.columns:
            return pl.Series(role, [None] * len(table), dtype=pl.Int64)
        read = texts.moments(table[role], self.options.time_format, self.options.time_zone)
        bad = table.filter(read.moment.is_null() & table[role].is_not_null())[role]
        if len(bad):
            raise SourceError(
                f"{several(len(bad), 'timestamp')} in column {role} of {self.name} cannot be read: "
                f"{frequent(bad, 3)}. Expected {self.options.time_format or 'YYYY-MM-DD HH:MM[:SS]'}, a time that the "
                "clock showed; other ways of writing are source.time_format."
            )
        self.times.append(read)
        return read.moment.alias(role)


def _length(table: pl.DataFrame, start: pl.Series, clock: _Clock, name: str, notes: Notes) -> pl.Series:
    """Return the length of each stay in hours; null where it is unknown."""
    role = next((role for role in ("stay_hours", "stay_days") if role in table.columns), "")
    if role:
        hours = texts.numbers(table[role], clock.decimal) * (24.0 if role == "stay_days" else 1.0)
        unread = int((hours.is_null() & table[role].is_not_null()).sum())
        notes.count("stay_hours", "no number: unknown", unread)
    elif "in_time" in table.columns and "out_time" in table.columns:
        hours = (clock.read(table, "out_time") - start) / _MICROSECONDS_PER_HOUR
    else:
        raise SourceError(
            f"{name} does not tell how long a stay lasted. Expected a column stay_hours or stay_days, or in_time and "
            "out_time; name yours in source.stay_columns."
        )
    legal = hours.is_between(0.0, _LARGEST_HOURS)
    wrong = int((~legal).sum())
    notes.count(
        "stay_hours",
        "below zero or above five years: unknown",
        wrong,
        f"{several(wrong, 'stay')} of {name} end before they begin or last longer than five years. Their length counts "
        "as unknown, and the cohort leaves them out.",
    )
    return pl.select(pl.when(legal).then(hours)).to_series().alias("stay_hours")


def _death(table: pl.DataFrame, start: pl.Series, clock: _Clock, notes: Notes) -> pl.Series:
    """Return hours from admission to death in hospital; null for survivors and where it is unknown."""
    hours = pl.Series("death_hours", [None] * len(table), dtype=pl.Float64)
    if "death_hours" in table.columns:
        hours = texts.numbers(table["death_hours"], clock.decimal)
        notes.count(
            "death_hours", "no number: unknown", int((hours.is_null() & table["death_hours"].is_not_null()).sum())
        )
    elif "death_time" in table.columns and "in_time" in table.columns:
        hours = (clock.read(table, "death_time") - start) / _MICROSECONDS_PER_HOUR
    survived = int((hours.is_not_null() & ~table["died"]).sum())
    notes.count("death_hours", "survivor with a time of death: the time is left out", survived)
    hours = pl.select(pl.when(table["died"]).then(hours)).to_series()
    without = int((hours.is_null() & table["died"]).sum())
    if without:
        notes.say(
            f"{without:,} of {several(int(table['died'].sum()), 'death')} have no time. Whether these patients were "
            "alive at the end of the window is not known, and the cohort keeps them if their stay is long enough."
        )
    return hours.alias("death_hours")


def _age(table: pl.DataFrame, notes: Notes) -> pl.Series:
    if "age" not in table.columns:
        notes.say(
            "The stays have no column for age. With cohort.min_age_years above 0 all are left out: set it to 0, or "
            "name the column in source.stay_columns.age."
        )
        return pl.Series("age_years", [None] * len(table), dtype=pl.Float64)
    hidden = table["age"].str.contains(_HIDDEN_AGE).fill_null(value=False)
    notes.count("age_years", f"hidden: {HIDDEN_AGE_YEARS}", int(hidden.sum()))
    age = texts.numbers(table["age"].str.replace(",", ".", literal=True))
    age = pl.select(pl.when(hidden).then(HIDDEN_AGE_YEARS).otherwise(age)).to_series()
    return _within(age.alias("age_years"), table["age"], AGES, notes)


def _folded(texts: Sequence[str]) -> frozenset[str]:
    return frozenset(text.strip().casefold() for text in texts)


def _sex(table: pl.DataFrame, options: TableOptions, notes: Notes) -> pl.Series:
    if "sex" not in table.columns:
        return pl.Series("sex", [None] * len(table), dtype=pl.String)
    text = pl.col("sex").str.to_lowercase()
    own = _folded(options.females), _folded(options.males)
    females, males = (FEMALE - own[1]) | own[0], (MALE - own[0]) | own[1]
    coded = pl.when(text.is_in(sorted(females))).then(pl.lit("F")).when(text.is_in(sorted(males))).then(pl.lit("M"))
    sex = table.select(coded.alias("sex")).to_series()
    strange = table.filter(sex.is_null() & table["sex"].is_not_null())["sex"]
    notes.count(
        "sex",
        "unreadable code",
        len(strange),
        f"Codes of sex that are read as unknown: {often(strange)}. Name them in source.females or source.males.",
    )
    return sex


def _text(table: pl.DataFrame, role: str) -> pl.Series:
    return table[role] if role in table.columns else pl.Series(role, [None] * len(table), dtype=pl.String)


def _measure(table: pl.DataFrame, role: str, span: tuple[float, float], decimal: str, notes: Notes) -> pl.Series:
    if role not in table.columns:
        return pl.Series(role, [None] * len(table), dtype=pl.Float64)
    return _within(texts.numbers(table[role], decimal).alias(role), table[role], span, notes)


def _within(values: pl.Series, written: pl.Series, span: tuple[float, float], notes: Notes) -> pl.Series:
    """Return plausible values; others, and texts that are no numbers, are counted and unknown."""
    role = values.name
    notes.count(role, "no number: unknown", int((values.is_null() & written.is_not_null()).sum()))
    plausible = values.is_between(*span)
    lost = int((~plausible).sum())
    notes.count(
        role,
        "implausible: unknown",
        lost,
        f"{several(lost, 'value')} of {role} outside {span[0]:g} to {span[1]:g}, read as unknown."
        if lost > len(values) / 10
        else "",
    )
    return pl.select(pl.when(plausible).then(values)).to_series().alias(role)
