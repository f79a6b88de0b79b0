"""The people of the synthetic hospital: patients, admissions and ICU stays, on a calendar."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from icudl.sources.synthetic.course import (
    BLOCK_PATIENTS,
    Bools,
    Courses,
    Ints,
    Reals,
    Slots,
    Times,
    draw_courses,
    stream,
)

_EPOCH = np.datetime64("2100-01-01T00:00:00", "s")
_HOUR = 3600


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
    rng = stream(seed, number, "people")
    courses = draw_courses(rng, min(BLOCK_PATIENTS, patients - number * BLOCK_PATIENTS))
    stays = _stays(rng, number, courses)
    return Block(number=number, patients=_patients(rng, number, courses, stays), stays=stays)


def _stays(rng: np.random.Generator, number: int, courses: Courses) -> Stays:
    slots, size = courses.slots, len(courses.slots.patient)
    dates = _dates(rng, courses)
    person = number * BLOCK_PATIENTS + slots.patient
    return Stays(
        patient=slots.patient,
        hadm_id=100_000_000 + person * 8 + slots.admission,
        icustay_id=200_000_000 + person * 16 + slots.admission * 4 + slots.stay,
        metavision=_charting_system(rng, slots, len(courses.kind)),
        silent=rng.random(size) < 0.012,
        first=slots.starts(),
        last=slots.ends(),
        admitted=dates.admitted,
        discharged=dates.discharged,
        intime=dates.intime,
        outtime=dates.outtime,
        died=np.isfinite(courses.death_hour),
        hours=np.minimum(courses.hours, courses.death_hour),
        before=np.floor(np.minimum(np.where(slots.starts(), dates.before, 2.0), 24.0)).astype(np.int64),
        after=np.floor(np.where(slots.ends(), np.minimum(dates.tail, 24.0), 2.0)).astype(np.int64),
        severity=courses.severity,
        arterial_line=rng.random(size) < 1.0 / (1.0 + np.exp(0.3 - 0.9 * courses.severity[:, 0])),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Dates:
    """(S,) times of the stays; ``before`` and ``tail`` are the hours in hospital around the ICU."""

    admitted: Times
    discharged: Times
    intime: Times
    outtime: Times
    before: Reals
    tail: Reals


def _dates(rng: np.random.Generator, courses: Courses) -> _Dates:
    """Arrange the stays of each patient one after the other, from a random date on."""
    slots, size = courses.slots, len(courses.slots.patient)
    starts, ends, dead = slots.starts(), slots.ends(), np.isfinite(courses.death_hour)
    # A stay that follows another one is reached after 4 to 60 hours, so that some gaps are shorter than a day.
    before = np.where(starts, rng.exponential(9.0, size) + 0.05, rng.uniform(4.0, 60.0, size))
    icu_hours = np.minimum(courses.hours, courses.death_hour)
    behind = np.where(dead, courses.death_hour - icu_hours, courses.ward_hours)
    tail = np.where(ends, behind, 0.0)
    home = np.where(starts & (slots.admission > 0), np.exp(rng.normal(np.log(90 * 24.0), 1.0, size)) + 48.0, 0.0)
    ending = _running_end(slots.patient, _seconds(home + before + icu_hours + tail))
    base = _EPOCH + rng.integers(0, 90 * 365 * 86400, len(courses.kind)).astype("timedelta64[s]")
    left = base[slots.patient] + ending
    out = left - _seconds(tail)
    intime = out - _seconds(icu_hours)
    # CareVue often recorded ICU admissions to the minute.
    intime = np.where(rng.random(size) < 0.2, _to_minute(intime), intime)
    admission = np.cumsum(starts) - 1
    # The bed of a patient who died is given free up to two hours later.
    lag = rng.integers(0, 7200, size) * (dead & (courses.death_hour <= courses.hours))
    return _Dates(
        admitted=_to_minute((intime - _seconds(before))[starts][admission]),
        discharged=_to_minute(left[ends][admission]),
        intime=intime,
        outtime=out + lag.astype("timedelta64[s]"),
        before=before,
        tail=tail,
    )


def _seconds(hours: Reals) -> npt.NDArray[np.timedelta64]:
    return np.round(hours * _HOUR).astype("timedelta64[s]")


def _to_minute(times: Times) -> Times:
    return times.astype("datetime64[m]").astype("datetime64[s]")


def _running_end(patient: Ints, durations: npt.NDArray[np.timedelta64]) -> npt.NDArray[np.timedelta64]:
    """Return the end of each duration, counted from the start of the patient's first."""
    ending = np.cumsum(durations)
    return ending - (ending - durations)[np.searchsorted(patient, patient)]


def _charting_system(rng: np.random.Generator, slots: Slots, people: int) -> Bools:
    """Choose the charting system: a patient's later admissions stay in MetaVision once it has replaced CareVue."""
    switch = np.where(rng.random(people) < 0.43, 0, np.where(rng.random(people) < 0.2, 1, 99))
    return np.asarray(slots.admission >= switch[slots.patient])


def _patients(rng: np.random.Generator, number: int, courses: Courses, stays: Stays) -> Patients:
    people = len(courses.kind)
    first = np.searchsorted(stays.patient, np.arange(people))
    final = np.append(first[1:], len(stays)) - 1
    first_admission = stays.admitted[first]
    told_age = np.where(courses.kind == 1, 300.0, courses.age)
    born = (first_admission - np.round(told_age * 365.25).astype("timedelta64[D]")).astype("datetime64[D]")
    later = np.where(rng.random(people) < 0.22, rng.exponential(500.0, people) + 1.0, np.nan)
    return Patients(
        ids=10_001 + number * BLOCK_PATIENTS + np.arange(people),
        male=rng.random(people) < 0.56,
        kind=courses.kind,
        age=courses.age,
        born=born,
        died=np.where(stays.died[final], stays.discharged[final], np.datetime64("NaT", "s")),
        dead_later=np.where(stays.died[final], np.nan, later),
        last_discharge=stays.discharged[final],
        first_admission=first_admission,
    )


def severity_at(stays: Stays, stay: npt.NDArray[Any], hour: npt.NDArray[Any]) -> Reals:
    """Return the severity of a stay at an hour; outside the stay that of its nearest hour."""
    return np.asarray(stays.severity[stay, np.clip(hour, 0, stays.severity.shape[1] - 1)])
