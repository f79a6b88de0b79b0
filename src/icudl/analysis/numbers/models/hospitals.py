"""How well a model predicts in each hospital of a data set, and what recalibrating it there would change."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.intervals import percentiles, wilson
from icudl.analysis.numbers.comparison import BOOTSTRAP_SAMPLES, FEWEST_DEATHS, Estimate
from icudl.analysis.numbers.models.quality import Judged
from icudl.execution.context import seed_for
from icudl.training.scores.evaluation import bootstrap_weights, chunks
from icudl.training.scores.metrics import Scored, auroc, brier

Doubles = npt.NDArray[np.float64]

PARTS = 5
"""Parts of a hospital's patients: the risks of each are recalibrated on the others."""

_FARTHEST = 40.0
_HALVINGS = 80


@dataclasses.dataclass(frozen=True, kw_only=True)
class HospitalLine:
    """A hospital, or some of them together.

    Attributes:
        name: ``source_set`` of its stays; "" for several hospitals.
        hospitals: How many hospitals these are.
        is_all: Whether these are all stays.
        stays: Number of stays.
        deaths: How many of them died.
        scores: None where fewer than ten died, or fewer than ten survived.
    """

    name: str
    hospitals: int
    is_all: bool
    stays: int
    deaths: int
    scores: HospitalScores | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class HospitalScores:
    """What is said of a hospital.

    Attributes:
        auroc: Area under the ROC curve.
        ratio: Deaths for each death that the model expects, with Wilson's interval of the mortality; 1 is right.
        brier: Brier score.
        shift: What recalibration in the large adds to the logit of each risk, fitted on all these stays.
        gain: Brier score with recalibrated risks minus that without, paired; each risk is recalibrated on other
            patients than its own.
    """

    auroc: Estimate
    ratio: Estimate
    brier: Estimate
    shift: float
    gain: Estimate


def hospital_lines(of: Judged, metrics: pl.DataFrame, seed: int) -> tuple[HospitalLine, ...]:
    """Return a line for each hospital with enough deaths, the largest first, then one for the others and one for all.

    Args:
        of: The model's predictions; a hospital "" is not known.
        metrics: Scores of the same stays (``METRICS_SCHEMA``), from which those of all stays are taken.
        seed: Of the resamples.

    Returns:
        Nothing where the stays are of fewer than two hospitals.
    """
    sets = pl.Series("name", list(of.hospitals), dtype=pl.String)
    if len(sets) != len(of.labels):
        return ()
    frame = pl.DataFrame({"name": sets, "label": of.labels})
    counted = frame.filter(pl.col("name") != "").group_by("name").agg(stays=pl.len(), deaths=pl.col("label").sum())
    if counted.height < 2:
        return ()
    enough = (pl.col("deaths") >= FEWEST_DEATHS) & (pl.col("stays") - pl.col("deaths") >= FEWEST_DEATHS)
    shown = counted.filter(enough).sort("stays", "name", descending=[True, False])["name"].to_list()
    lines = [_line(of, (sets == name).to_numpy(), seed, name=name) for name in shown]
    others = ~sets.is_in(shown).to_numpy()
    if shown and others.any():
        lines.append(_line(of, others, seed, hospitals=counted.height - len(shown)))
    whole = _line(of, np.ones(len(sets), bool), seed, hospitals=counted.height, is_all=True)
    return (*lines, _told_already(whole, metrics.filter(pl.col("model") == of.model, pl.col("subgroup") == "all")))


def _told_already(line: HospitalLine, metrics: pl.DataFrame) -> HospitalLine:
    """Take scores that stand elsewhere from there: other resamples would give other intervals."""
    if line.scores is None:
        return line
    rows = metrics.filter(pl.col("metric").is_in(["auroc", "brier"])).select("metric", "value", "low", "high")
    known = {str(metric): Estimate(*numbers) for metric, *numbers in rows.iter_rows()}
    auroc_known, brier_known = known.get("auroc", line.scores.auroc), known.get("brier", line.scores.brier)
    return dataclasses.replace(line, scores=dataclasses.replace(line.scores, auroc=auroc_known, brier=brier_known))


def _line(
    of: Judged, rows: npt.NDArray[np.bool_], seed: int, name: str = "", hospitals: int = 1, *, is_all: bool = False
) -> HospitalLine:
    labels, risks, patients = of.labels[rows], of.risks[rows], of.patients[rows]
    deaths = int(labels.sum())
    told = min(deaths, len(labels) - deaths) >= FEWEST_DEATHS
    key = "all" if is_all else f"hospital {name}"
    rng = np.random.default_rng(seed_for(seed, "bootstrap", of.stays, key))
    return HospitalLine(
        name=name,
        hospitals=hospitals,
        is_all=is_all,
        stays=len(labels),
        deaths=deaths,
        scores=_scores(labels, risks, patients, rng) if told else None,
    )


def _scores(
    labels: npt.NDArray[np.int8], risks: Doubles, patients: npt.NDArray[np.int64], rng: np.random.Generator
) -> HospitalScores:
    recalibrated = recalibrated_elsewhere(labels, risks, patients)
    before, ranks, after = [], [], []
    scored = Scored(labels, risks, np.full(len(labels), 0.5), patients)
    for size in chunks(BOOTSTRAP_SAMPLES, len(labels)):
        weights = bootstrap_weights(scored, size, rng)
        ranks.append(auroc(labels, risks, weights))
        before.append(brier(labels, risks, weights))
        after.append(brier(labels, recalibrated, weights))
    draws = np.concatenate(before)
    mortality = wilson(int(labels.sum()), len(labels))
    expected = float(risks.mean())
    value = float(brier(labels, risks)[0])
    return HospitalScores(
        auroc=_estimate(float(auroc(labels, risks)[0]), np.concatenate(ranks)),
        ratio=Estimate(*(share / expected for share in mortality)) if expected > 0 else Estimate(None, None, None),
        brier=_estimate(value, draws),
        shift=shift_of(labels, risks),
        gain=_estimate(float(brier(labels, recalibrated)[0]) - value, np.concatenate(after) - draws),
    )


def shift_of(labels: npt.NDArray[np.int8], risks: Doubles) -> float:
    """Return what has to be added to the logit of each risk so that as many die as are expected to.

    It is the intercept of a logistic regression with the logit as offset: recalibration in the large (Steyerberg 2004),
    which moves risks without changing their order.

    Args:
        labels: (n,) 1 for death; some of them, and not all.
        risks: (n,) predicted risks.
    """
    logits, deaths = _logits(risks), float(labels.sum())
    low, high = -_FARTHEST, _FARTHEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _risks(logits + middle).sum() < deaths else (low, middle)
    return (low + high) / 2


def recalibrated_elsewhere(labels: npt.NDArray[np.int8], risks: Doubles, patients: npt.NDArray[np.int64]) -> Doubles:
    """Return (n,) risks, those of each part of the patients shifted as the other parts ask for (``shift_of``).

    Patients are dealt to ``PARTS`` parts in the order of their ids, those with a death and those without apart, so that
    every part has some of both.
    """
    ids, patient = np.unique(patients, return_inverse=True)
    died = np.bincount(patient, weights=labels, minlength=len(ids)) > 0
    part = np.empty(len(ids), np.int64)
    for stratum in (np.flatnonzero(died), np.flatnonzero(~died)):
        part[stratum] = np.arange(len(stratum)) % PARTS
    found = risks.copy()
    for number in range(PARTS):
        inside = part[patient] == number
        shift = shift_of(labels[~inside], risks[~inside])
        found[inside] = _risks(_logits(risks[inside]) + shift)
    return found


def _logits(risks: Doubles) -> Doubles:
    kept = np.clip(risks, 1e-12, 1 - 1e-12)
    logits: Doubles = np.log(kept) - np.log1p(-kept)
    return logits


def _risks(logits: Doubles) -> Doubles:
    risks: Doubles = 1 / (1 + np.exp(-logits))
    return risks


def _estimate(value: float, draws: Doubles) -> Estimate:
    low, high = (float(bound) for bound in percentiles(draws))
    known = math.isfinite(low) and math.isfinite(high)
    return Estimate(value, low if known else None, high if known else None)
