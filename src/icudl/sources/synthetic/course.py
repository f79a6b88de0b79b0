"""The latent course of the synthetic hospital: the severity of each ICU stay at each hour, and the deaths.

The formulas are in ``icudl.sources.synthetic.source``; the constants are here. All draws of a block of patients come
from streams of that block alone, so any process can make any block in any order.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from icudl.execution.context import seed_for

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
RESTLESSNESS = 0.3
LOG_HAZARD = -9.6
HAZARD_SLOPE = 3.1
HAZARD_ONSET_HOURS = 96.0
WARD_HAZARD = 0.25
WARD_RELIEF = 0.5
TERMINAL_RISE = 1.2
TERMINAL_HOURS = 8.0

_ADMISSIONS = np.array([0.84, 0.11, 0.03, 0.02])
_STAYS = np.array([0.945, 0.045, 0.010])
_KINDS = np.array([0.89, 0.05, 0.02, 0.04])  # adult, adult over 89, child, newborn


def stream(seed: int, block: int, purpose: str) -> np.random.Generator:
    """Return the random stream of one block of patients for one purpose."""
    return np.random.default_rng(seed_for(seed, "synthetic hospital", GENERATOR_VERSION, block, purpose))


@dataclasses.dataclass(frozen=True, eq=False)
class Slots:
    """Where each stay belongs: patient, admission of the patient, stay of the admission."""

    patient: Ints
    admission: Ints
    stay: Ints

    def select(self, kept: Bools) -> Slots:
        """Keep some of the stays."""
        return Slots(self.patient[kept], self.admission[kept], self.stay[kept])

    def starts(self) -> Bools:
        """First stay of each admission."""
        return np.equal(self.stay, 0)

    def ends(self) -> Bools:
        """Last stay of each admission."""
        return np.append(self.starts()[1:], True)


@dataclasses.dataclass(frozen=True, eq=False)
class Courses:
    """Patients (P,) and their ICU stays (S,), up to the stay in which a patient dies.

    Attributes:
        kind: (P,) 0 adult, 1 adult over 89, 2 child, 3 newborn.
        age: (P,) years at the first admission.
        slots: Whose stay it is.
        severity: (S, H) severity at each hour after ICU admission; constant after ICU discharge.
        hours: (S,) hours in the ICU that were planned.
        ward_hours: (S,) hours on the ward that were planned behind the last stay of an admission.
        death_hour: (S,) hours from ICU admission to death in hospital, inf where the patient leaves alive.
    """

    kind: Ints
    age: Reals
    slots: Slots
    severity: Reals
    hours: Reals
    ward_hours: Reals
    death_hour: Reals


def draw_courses(rng: np.random.Generator, patients: int) -> Courses:
    """Draw the patients, their stays, the course of each and who dies."""
    kind = rng.choice(4, patients, p=_KINDS)
    age = _ages(rng, kind)
    slots = _slots(rng, patients)
    severity, hours, ward_hours = _severities(rng, slots, kind, age)
    death_hour = _deaths(rng, slots, severity, hours, ward_hours)
    kept = _until_death(slots.patient, death_hour)
    return Courses(
        kind=kind,
        age=age,
        slots=slots.select(kept),
        severity=_terminal(severity[kept], death_hour[kept]),
        hours=hours[kept],
        ward_hours=ward_hours[kept],
        death_hour=death_hour[kept],
    )


def _slots(rng: np.random.Generator, patients: int) -> Slots:
    admissions = 1 + rng.choice(4, patients, p=_ADMISSIONS)
    stays = 1 + rng.choice(3, (patients, 4), p=_STAYS)
    there = (np.arange(4)[None, :, None] < admissions[:, None, None]) & (np.arange(3) < stays[:, :, None])
    patient, admission, stay = np.nonzero(there)
    return Slots(patient, admission, stay)


def _ages(rng: np.random.Generator, kind: Ints) -> Reals:
    size = len(kind)
    adult = 18.0 + 71.0 * rng.beta(2.6, 1.45, size)
    return np.choose(kind, [adult, 90.0 + rng.exponential(2.5, size), rng.uniform(1.0, 17.9, size), np.zeros(size)])


def _severities(rng: np.random.Generator, slots: Slots, kind: Ints, age: Reals) -> tuple[Reals, Reals, Reals]:
    """Return severity (S, H), hours in the ICU and hours on the ward behind it."""
    size = len(slots.patient)
    frailty = rng.normal(0.0, 0.7, len(kind)) + np.where(kind < 2, 0.3 * (np.minimum(age, 95.0) - 64.0) / 16.0, -0.6)
    level = frailty[slots.patient] + rng.normal(0.0, 0.8, size)
    drift = rng.normal(-0.15, 0.9, size)
    hours = np.clip(np.exp(rng.normal(np.log(56.0), 0.85, size) + 0.2 * level), 3.0, MAX_ICU_HOURS)
    ward_hours = np.clip(np.exp(rng.normal(np.log(90.0), 0.8, size)), 2.0, 2000.0)
    hour = np.arange(int(np.ceil(hours.max())) + 1)
    trend = drift[:, None] * (1.0 - np.exp(-hour / DRIFT_HOURS))
    return _hold(level[:, None] + trend + _wander(rng, len(hour), size).T, hours), hours, ward_hours


def _wander(rng: np.random.Generator, length: int, size: int) -> Reals:
    """Return (length, size) stationary first-order autoregressive series."""
    memory = np.exp(-1.0 / MEMORY_HOURS)
    series = rng.standard_normal((length, size)) * (RESTLESSNESS * np.sqrt(1.0 - memory**2))
    series[0] = rng.normal(0.0, RESTLESSNESS, size)
    for step in range(1, length):
        series[step] += memory * series[step - 1]
    return np.asarray(series)


def _hold(severity: Reals, hours: Reals) -> Reals:
    """Keep the last severity of the stay from ICU discharge on."""
    last = np.minimum(np.arange(severity.shape[1]), np.floor(hours).astype(np.int64)[:, None])
    return np.asarray(np.take_along_axis(severity, last, axis=1))


def _deaths(rng: np.random.Generator, slots: Slots, severity: Reals, hours: Reals, ward_hours: Reals) -> Reals:
    """Return hours from ICU admission to death in this stay or on the ward behind it; inf without a death."""
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
    return np.asarray(before == before[start])


def _terminal(severity: Reals, death_hour: Reals) -> Reals:
    to_death = np.maximum(death_hour[:, None] - np.arange(severity.shape[1]), 0.0)
    return np.asarray(severity + TERMINAL_RISE * np.exp(-to_death / TERMINAL_HOURS))
