"""Numbers of derangements: does risk rise, does it rise all the way, where is the model blind."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.intervals import around, resamples
from icudl.analysis.numbers.attacks.single_attacks import Share
from icudl.artifacts import Probes
from icudl.probes.derangements import COURSES, Derangement, battery

RISE = 0.01
"""A stay responds if its risk rises by one percentage point or more, and contradicts if it falls by as much."""

DIP = 0.001
"""A step down by less than this does not end a rise."""

FEWEST_STAYS = 30
"""With fewer stays, a derangement is shown and says nothing about the model as a whole."""

SAMPLES = 500
"""Resamples of patients behind each interval."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Response:
    """How the risk of the stays that one derangement concerns follows it.

    Attributes:
        derangement: What is deranged.
        course: ``"held"`` or ``"worsening"``.
        stays: Stays that it concerns.
        levels: Levels from 0 (normal) to 1 (deranged).
        risks: Mean risk at each level.
        rise: Mean rise of the risk from the first level to the last.
        low: Lower bound of its 95 % interval.
        high: Upper bound.
        responds: Share of the stays whose risk rises by ``RISE`` or more.
        contradicts: Share of the stays whose risk falls by as much.
        monotone: Share of the stays whose risk never falls from one level to the next.
        unalarmed: Stays called survivors at the normal value.
        alarmed: Of these, how many are called deaths at the deranged value.
    """

    derangement: Derangement
    course: str
    stays: int
    levels: tuple[float, ...]
    risks: tuple[float, ...]
    rise: float
    low: float
    high: float
    responds: Share
    contradicts: Share
    monotone: Share
    unalarmed: int
    alarmed: int

    @property
    def counts(self) -> bool:
        """Whether there are enough stays to say something about the model."""
        return self.stays >= FEWEST_STAYS

    @property
    def blind(self) -> bool:
        """Whether fewer than half of the stays respond."""
        return self.responds.value < 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Responsiveness:
    """How a model follows the whole battery.

    Attributes:
        responses: By derangement and course; those that concern no stay are left out.
        untested: Labels of the variables that no derangement changes.
    """

    responses: tuple[Response, ...]
    untested: tuple[str, ...]

    def of(self, course: str) -> tuple[Response, ...]:
        """Return the responses to one course that enough stays stand behind."""
        return tuple(each for each in self.responses if each.course == course and each.counts)

    def responding(self, course: str = "held") -> float | None:
        """Return the share of derangements to which at least half of the stays respond; None without any."""
        counted = self.of(course)
        return None if not counted else sum(not each.blind for each in counted) / len(counted)

    def missed(self, course: str = "held") -> float | None:
        """Return the share of deranged records of stays called survivors that are still called so; None without any."""
        counted = self.of(course)
        unalarmed = sum(each.unalarmed for each in counted)
        return None if not unalarmed else 1.0 - sum(each.alarmed for each in counted) / unalarmed

    def blind_spots(self, course: str = "held") -> tuple[Response, ...]:
        """Return the derangements that the model is blind to, the blindest first."""
        return tuple(sorted((each for each in self.of(course) if each.blind), key=lambda each: each.responds.value))


def responsiveness(probes: Probes) -> Responsiveness:
    """Compute the responses of one model on one data set."""
    known = probes.responses.join(probes.stays.select("stay_id", "patient_id", "threshold"), on="stay_id")
    parts = known.partition_by("derangement", "course", as_dict=True)
    responses = [
        _response(each, course, parts[each.name, course])
        for each in battery().derangements.values()
        for course in COURSES
        if (each.name, course) in parts
    ]
    labels = {variable.name: variable.label for variable in probes.variables}
    untested = battery().untested(tuple(labels))
    return Responsiveness(responses=tuple(responses), untested=tuple(labels[name] for name in untested))


def _response(derangement: Derangement, course: str, table: pl.DataFrame) -> Response:
    wide = table.pivot("level", index=["stay_id", "patient_id", "threshold"], values="probability").sort("stay_id")
    levels = sorted(table["level"].unique().to_list())
    risks = wide.select(str(level) for level in levels).to_numpy()
    change = risks[:, -1] - risks[:, 0]
    low, high = mean_interval(change, wide["patient_id"].to_numpy(), SAMPLES, np.random.default_rng(0))
    threshold = wide["threshold"].to_numpy()
    below = risks[:, 0] < threshold
    n = len(change)
    return Response(
        derangement=derangement,
        course=course,
        stays=n,
        levels=tuple(levels),
        risks=tuple(risks.mean(axis=0).tolist()),
        rise=float(change.mean()),
        low=low,
        high=high,
        responds=Share.of(int((change >= RISE).sum()), n),
        contradicts=Share.of(int((change <= -RISE).sum()), n),
        monotone=Share.of(int((np.diff(risks, axis=1) >= -DIP).all(axis=1).sum()), n),
        unalarmed=int(below.sum()),
        alarmed=int((below & (risks[:, -1] >= threshold)).sum()),
    )


def mean_interval(
    values: npt.NDArray[np.float64], patients: npt.NDArray[np.int64], samples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of the mean over stays, by resamples that draw patients with all their stays.

    Args:
        values: (N,) of each stay.
        patients: (N,) patient of each stay.
        samples: Resamples.
        rng: Stream of the draws.
    """
    _, owner = np.unique(patients, return_inverse=True)
    total, count = np.bincount(owner, values), np.bincount(owner)
    draws = np.array(
        [(drawn * total).sum() / (drawn * count).sum() for drawn in resamples(len(total), samples, rng)], np.float64
    )
    low, high = around(np.asarray(values.mean()), draws)
    return float(low), float(high)
