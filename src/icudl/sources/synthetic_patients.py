"""Who is in the synthetic hospital: patients, admissions, ICU stays, the course of their severity, and who dies.

The formulas are in ``icudl.sources.synthetic``; the constants are here. Everything of a block of patients is drawn
from streams of that block alone, so blocks can be made in any order and anywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from icudl.execution.base import seed_for

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Times = npt.NDArray[np.datetime64]

GENERATOR_VERSION = 1
"""Raised whenever the same (patients, seed) would give other files."""

BLOCK_PATIENTS = 128
"""Patients made together: large enough for vectorised arithmetic, small enough for constant memory."""

MAX_ICU_HOURS = 720

DRIFT_HOURS = 24.0
MEMORY_HOURS = 10.0
RESTLESSNESS = 0.35
LOG_HAZARD = -9.4
HAZARD_SLOPE = 3.1
HAZARD_ONSET_HOURS = 48.0
WARD_HAZARD = 0.25
WARD_RELIEF = 0.5
TERMINAL_RISE = 1.2
TERMINAL_HOURS = 8.0

_ADMISSIONS = np.array([0.84, 0.11, 0.03, 0.02])
_STAYS = np.array([0.945, 0.045, 0.010])
_KINDS = np.array([0.89, 0.05, 0.02, 0.04])  # adult, adult over 89, child, newborn
_EPOCH = np.datetime64("2100-01-01T00:00:00", "s")
_HOUR = 3600


def stream(seed: int, block: int, purpose: str) -> np.random.Generator:
    """Return the random stream of one block of patients for one purpose."""
    return np.random.default_rng(seed_for(seed, "synthetic hospital", GENERATOR_VERSION, block, purpose))


@dataclasses.dataclass(frozen=True, eq=False)
class Patients:
    """(P,) arrays, one entry per patient.

    Attributes:
        ids: SUBJECT_ID.
        male: Sex.
        kind: 0 adult, 1 adult over 89, 2 child, 3 newborn.
        age: Years at the first admission.
        born: Date of birth as the tables tell it: 300 years before the first admission for those over 89.
        died: Time of death in hospital, NaT for survivors.
        dead_later: Days from the last discharge to a death outside hospital; NaN where none is recorded.
        last_discharge: End of the last admission.
        first_admission: Start of the first admission.
    """

    ids: Ints
    male: Bools
    kind: Ints
    age: Reals
    born: Times
    died: Times
    dead_later: Reals
    last_discharge: Times
    first_admission: Times


@dataclasses.dataclass(frozen=True, eq=False)
class Stays:
    """(S,) arrays, one entry per ICU stay, ordered by patient and time.

    Attributes:
        patient: Index into the patients of the block.
        hadm_id: HADM_ID.
        icustay_id: ICUSTAY_ID.
        metavision: Charted in MetaVision, else in CareVue.
        silent: Nothing was ever charted.
        first: First ICU stay of its admission.
        last: Last ICU stay of its admission (a death ends the admission).
        admitted: Hospital admission.
        discharged: Hospital discharge or death.
        intime: ICU admission.
        outtime: ICU discharge.
        died: Died in hospital in this admission, and this is its last stay.
        hours: Hours from ICU admission to ICU discharge.
        before: Hours before ICU admission in which labs are drawn.
        after: Hours after ICU discharge in which labs are drawn.
        severity: (S, H) severity at each hour after ICU admission; constant after ICU discharge.
        arterial_line: An arterial line is in place.
    """

    patient: Ints
    hadm_id: Ints
    icustay_id: Ints
    metavision: Bools
    silent: Bools
    first: Bools
    last: Bools
    admitted: Times
    discharged: Times
    intime: Times
    outtime: Times
    died: Bools
    hours: Reals
    before: Ints
    after: Ints
    severity: Reals
    arterial_line: Bools

    def __len__(self) -> int:
        return len(self.patient)


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """The people of one block."""

    number: int
    patients: Patients
    stays: Stays


def make_block(seed: int, number: int, patients: int) -> Block:
    """Make the people of block ``number`` of a hospital of ``patients`` patients."""
    size = min(BLOCK_PATIENTS, patients - number * BLOCK_PATIENTS)
    rng = stream(seed, number, "people")
    kind = rng.choice(4, size, p=_KINDS)
    age = _ages(rng, kind)
    slots = _slots(rng, size)
    severity, hours, ward_hours = _courses(rng, slots, kind, age)
    death_hour = _deaths(rng, slots, severity, hours, ward_hours)
    kept = _until_death(slots.patient, death_hour)
    slots = slots.select(kept)
    severity, hours, ward_hours, death_hour = severity[kept], hours[kept], ward_hours[kept], death_hour[kept]
    severity = _terminal(severity, death_hour)
    return _calendar(rng, number, slots, kind, age, severity, hours, ward_hours, death_hour)


@dataclasses.dataclass(frozen=True, eq=False)
class _Slots:
    """Where each stay belongs: patient, admission of the patient, stay of the admission."""

    patient: Ints
    admission: Ints
    stay: Ints

    def select(self, kept: Bools) -> _Slots:
        return _Slots(self.patient[kept], self.admission[kept], self.stay[kept])

    def starts(self) -> Bools:
        """First stay of each admission."""
        return self.stay == 0

    def ends(self) -> Bools:
        """Last stay of each admission."""
        return np.append(self.stay[1:] == 0, True)


def _slots(rng: np.random.Generator, patients: int) -> _Slots:
    admissions = 1 + rng.choice(4, patients, p=_ADMISSIONS)
    stays = 1 + rng.choice(3, (patients, 4), p=_STAYS)
    there = (np.arange(4)[None, :, None] < admissions[:, None, None]) & (np.arange(3) < stays[:, :, None])
    patient, admission, stay = np.nonzero(there)
    return _Slots(patient, admission, stay)


def _ages(rng: np.random.Generator, kind: Ints) -> Reals:
    size = len(kind)
    adult = 18.0 + 71.0 * rng.beta(2.6, 1.45, size)
    return np.choose(kind, [adult, 90.0 + rng.exponential(2.5, size), rng.uniform(1.0, 17.9, size), np.zeros(size)])


def _courses(rng: np.random.Generator, slots: _Slots, kind: Ints, age: Reals) -> tuple[Reals, Reals, Reals]:
    """Return severity (S, H), hours in the ICU and hours on the ward behind it."""
    size = len(slots.patient)
    frailty = rng.normal(0.0, 0.6, len(kind)) + np.where(kind < 2, 0.3 * (np.minimum(age, 95.0) - 64.0) / 16.0, -0.6)
    level = frailty[slots.patient] + rng.normal(0.0, 0.7, size)
    drift = rng.normal(-0.15, 0.9, size)
    hours = np.clip(np.exp(rng.normal(np.log(56.0), 0.85, size) + 0.2 * level), 3.0, MAX_ICU_HOURS)
    ward_hours = np.clip(np.exp(rng.normal(np.log(90.0), 0.8, size)), 2.0, 2000.0)
    length = int(np.ceil(hours.max())) + 1
    hour = np.arange(length)
    memory = np.exp(-1.0 / MEMORY_HOURS)
    shocks = rng.standard_normal((length, size)) * (RESTLESSNESS * np.sqrt(1.0 - memory**2))
    wander = np.empty((length, size))
    wander[0] = rng.normal(0.0, RESTLESSNESS, size)
    for step in range(1, length):
        np.multiply(wander[step - 1], memory, out=wander[step])
        wander[step] += shocks[step]
    severity = level[:, None] + drift[:, None] * (1.0 - np.exp(-hour / DRIFT_HOURS)) + wander.T
    return _hold(severity, hours), hours, ward_hours


def _hold(severity: Reals, hours: Reals) -> Reals:
    """Keep the last severity of the stay from ICU discharge on."""
    last = np.minimum(np.arange(severity.shape[1]), np.floor(hours).astype(np.int64)[:, None])
    return np.take_along_axis(severity, last, axis=1)


def _deaths(rng: np.random.Generator, slots: _Slots, severity: Reals, hours: Reals, ward_hours: Reals) -> Reals:
    """Return hours from ICU admission to death in this stay or on the ward behind it; inf where none."""
    inside = np.arange(severity.shape[1]) < np.floor(hours)[:, None]
    onset = 1.0 - np.exp(-(np.arange(severity.shape[1]) + 1.0) / HAZARD_ONSET_HOURS)
    hazard = onset * np.exp(LOG_HAZARD + HAZARD_SLOPE * severity)
    cumulative = np.cumsum(np.where(inside, hazard, 0.0), axis=1)
    patience = rng.exponential(1.0, len(hours))
    step = np.sum(cumulative < patience[:, None], axis=1)
    fraction = rng.uniform(0.0, 1.0, len(hours))
    in_icu = np.where(step < severity.shape[1], np.maximum(step + fraction, 1.0), np.inf)
    in_icu = np.where(in_icu < hours, in_icu, np.inf)
    ward_rate = WARD_HAZARD * np.exp(LOG_HAZARD + HAZARD_SLOPE * (severity[:, -1] - WARD_RELIEF))
    wait = np.maximum(patience - cumulative[:, -1], 0.0) / ward_rate
    on_ward = np.where(slots.ends() & (wait < ward_hours), hours + np.maximum(wait, 0.1), np.inf)
    return np.where(np.isfinite(in_icu), in_icu, on_ward)


def _until_death(patient: Ints, death_hour: Reals) -> Bools:
    """Mark the stays up to and including the one in which the patient dies."""
    dead = np.isfinite(death_hour).astype(np.int64)
    before = np.cumsum(dead) - dead
    start = np.searchsorted(patient, patient)
    return before - before[start] == 0


def _terminal(severity: Reals, death_hour: Reals) -> Reals:
    to_death = np.maximum(death_hour[:, None] - np.arange(severity.shape[1]), 0.0)
    return severity + TERMINAL_RISE * np.exp(-to_death / TERMINAL_HOURS)


def _calendar(
    rng: np.random.Generator,
    number: int,
    slots: _Slots,
    kind: Ints,
    age: Reals,
    severity: Reals,
    hours: Reals,
    ward_hours: Reals,
    death_hour: Reals,
) -> Block:
    size, people = len(slots.patient), len(kind)
    starts, ends, dead = slots.starts(), slots.ends(), np.isfinite(death_hour)
    # A stay that follows another one is reached after 4 to 60 hours, so that some gaps are shorter than a day.
    before = np.where(starts, rng.exponential(9.0, size) + 0.05, rng.uniform(4.0, 60.0, size))
    icu_hours = np.minimum(hours, death_hour)
    tail = np.where(ends, np.where(dead, np.maximum(death_hour - icu_hours, 0.0), ward_hours), 0.0)
    home = np.where(starts & (slots.admission > 0), np.exp(rng.normal(np.log(90 * 24.0), 1.0, size)) + 48.0, 0.0)
    elapsed = np.round((home + before + icu_hours + tail) * _HOUR).astype(np.int64)
    first_slot = np.searchsorted(slots.patient, np.arange(people))
    base = _EPOCH + rng.integers(0, 90 * 365 * 86400, people).astype("timedelta64[s]")
    ending = np.cumsum(elapsed)
    ending -= (ending - elapsed)[first_slot][slots.patient]
    tail_seconds = np.round(tail * _HOUR).astype(np.int64)
    out = base[slots.patient] + (ending - tail_seconds).astype("timedelta64[s]")
    intime = out - np.round(icu_hours * _HOUR).astype("timedelta64[s]")
    # CareVue often recorded ICU admissions to the minute.
    intime = np.where(rng.random(size) < 0.2, intime.astype("datetime64[m]").astype("datetime64[s]"), intime)
    group = np.cumsum(starts) - 1
    admitted_at = intime - np.round(before * _HOUR).astype("timedelta64[s]")
    admitted = admitted_at[starts][group].astype("datetime64[m]").astype("datetime64[s]")
    discharged = (base[slots.patient] + ending.astype("timedelta64[s]"))[ends][group]
    discharged = discharged.astype("datetime64[m]").astype("datetime64[s]")
    icu_death = dead & (death_hour <= hours)
    lag = np.where(icu_death, rng.integers(0, 7200, size), 0).astype("timedelta64[s]")
    room = np.where(ends, np.minimum(tail, 24.0), 2.0)
    stays = Stays(
        patient=slots.patient,
        hadm_id=_admission_ids(number, slots),
        icustay_id=_stay_ids(number, slots),
        metavision=_charting_system(rng, slots, people),
        silent=rng.random(size) < 0.012,
        first=starts,
        last=ends,
        admitted=admitted,
        discharged=discharged,
        intime=intime,
        outtime=out + lag,
        died=dead,
        hours=icu_hours,
        before=np.floor(np.minimum(np.where(starts, before, 2.0), 24.0)).astype(np.int64),
        after=np.floor(room).astype(np.int64),
        severity=severity,
        arterial_line=rng.random(size) < 1.0 / (1.0 + np.exp(0.3 - 0.9 * severity[:, 0])),
    )
    return Block(number=number, patients=_patients(rng, number, kind, age, stays, first_slot), stays=stays)


def _admission_ids(number: int, slots: _Slots) -> Ints:
    return 100_000_000 + (number * BLOCK_PATIENTS + slots.patient) * 8 + slots.admission


def _stay_ids(number: int, slots: _Slots) -> Ints:
    return 200_000_000 + (number * BLOCK_PATIENTS + slots.patient) * 16 + slots.admission * 4 + slots.stay


def _charting_system(rng: np.random.Generator, slots: _Slots, people: int) -> Bools:
    """MetaVision replaced CareVue once, between two admissions: who was charted in it stays in it."""
    switch = np.where(rng.random(people) < 0.43, 0, np.where(rng.random(people) < 0.2, 1, 99))
    return slots.admission >= switch[slots.patient]


def _patients(
    rng: np.random.Generator, number: int, kind: Ints, age: Reals, stays: Stays, first_slot: Ints
) -> Patients:
    people = len(kind)
    final = np.append(first_slot[1:], len(stays)) - 1
    first_admission = stays.admitted[first_slot]
    told_age = np.where(kind == 1, 300.0, age)
    born = (first_admission - np.round(told_age * 365.25).astype("timedelta64[D]")).astype("datetime64[D]")
    later = np.where(rng.random(people) < 0.22, rng.exponential(500.0, people) + 1.0, np.nan)
    died = np.where(stays.died[final], stays.discharged[final], np.datetime64("NaT", "s"))
    return Patients(
        ids=10_001 + number * BLOCK_PATIENTS + np.arange(people),
        male=rng.random(people) < 0.56,
        kind=kind,
        age=age,
        born=born,
        died=died,
        dead_later=np.where(stays.died[final], np.nan, later),
        last_discharge=stays.discharged[final],
        first_admission=first_admission,
    )


def blocks(patients: int) -> Iterator[int]:
    """Yield the numbers of the blocks of a hospital."""
    yield from range(-(-patients // BLOCK_PATIENTS))


def severity_at(stays: Stays, stay: npt.NDArray[Any], hour: npt.NDArray[Any]) -> Reals:
    """Return the severity of a stay at an hour; outside the stay that of its nearest hour."""
    return stays.severity[stay, np.clip(hour, 0, stays.severity.shape[1] - 1)]
