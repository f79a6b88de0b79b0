"""How good predictions are: curves, calibration and the distribution of the risks, on stays unseen by the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.intervals import percentiles, wilson
from icudl.artifacts import FINAL, GridDataset, TrainingResult
from icudl.training.scores.evaluation import bootstrap_weights
from icudl.training.scores.metrics import Scored

Doubles = npt.NDArray[np.float64]
Points = tuple[Doubles, Doubles]

SPLITS = ("out-of-fold", "test")
"""Stays of the data set that a model was fitted on, but that the judged member was not."""

CALIBRATION_GROUPS = 10
FEWEST_IN_GROUP = 5
"""A calibration curve has fewer groups where one would hold fewer stays than this."""

BAND_AT = np.linspace(0.0, 1.0, 101)
"""Horizontal places at which the band of a curve is computed."""
BAND_SAMPLES = 200
"""Bootstrap resamples of the patients behind the band of a curve."""

RISK_EDGES = np.linspace(0, 1, 21)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Judged:
    """Predictions of one model about N stays that it was not fitted on, each stay once.

    Attributes:
        model: Model plug-in or baseline.
        stays: ``"out-of-fold"``, ``"test"``, or the name of an external data set.
        labels: (N,) 1 for death.
        risks: (N,) predicted risk of death.
        patients: (N,) patient identifiers; bootstrap resamples draw patients.
        hospitals: (N,) hospital, or set of the source, of each stay (``source_set``); empty where nobody asks.
    """

    model: str
    stays: str
    labels: npt.NDArray[np.int8]
    risks: Doubles
    patients: npt.NDArray[np.int64]
    hospitals: Sequence[str] = ()

    @property
    def mortality(self) -> float:
        """Share of the stays that ended in death."""
        return float(self.labels.mean())

    @property
    def both_outcomes(self) -> bool:
        """Whether some patients died and some survived: curves need both."""
        return len(np.unique(self.labels)) == 2


@dataclasses.dataclass(frozen=True, eq=False)
class FittedModel:
    """A training and the data set that it was fitted on: what the figures of a model's quality are made from."""

    training: TrainingResult
    grid: GridDataset

    def judged(self) -> list[Judged]:
        """Return the predictions by split and model; see ``judged``."""
        return [
            each
            for split in SPLITS
            for each in judged(self.training.predictions, split, self.grid.stays, own_models(self.training))
        ]


def own_models(training: TrainingResult) -> tuple[str, ...]:
    """Return the names under which the trained model itself, as opposed to a baseline, has predictions."""
    return tuple(dict.fromkeys(str(checkpoint.model.get("name", "")) for checkpoint in training.checkpoints.values()))


def model_names(predictions: pl.DataFrame, own: tuple[str, ...]) -> list[str]:
    """Return the models that have predictions: the trained model first, then the baselines."""
    names = predictions["model"].unique(maintain_order=True).to_list()
    return sorted(names, key=lambda name: (name not in own, names.index(name)))


def judged(
    predictions: pl.DataFrame, split: str | None, stays: pl.DataFrame, own: tuple[str, ...], name: str = ""
) -> list[Judged]:
    """Return the predictions of every model about one group of stays; groups without both outcomes are left out.

    Args:
        predictions: ``PREDICTIONS_SCHEMA``. Where several members scored the test stays, the final one is taken.
        split: Which of them; None takes all.
        stays: The stays of the data set (``STAYS_SCHEMA``); they tell the patients.
        own: Names of the trained model.
        name: What the group is called; the split's name where it is not given.
    """
    patients = stays.select("stay_id", "patient_id", "source_set")
    found = []
    for model in model_names(predictions, own):
        chosen = predictions.filter(pl.col("model") == model)
        if split is not None:
            chosen = chosen.filter(pl.col("split") == split)
        if split != "out-of-fold" and (chosen["member"] == str(FINAL)).any():
            chosen = chosen.filter(pl.col("member") == str(FINAL))
        chosen = chosen.join(patients, on="stay_id", how="inner").sort("stay_id", "member")
        one = Judged(
            model=model,
            stays=name or split or "",
            labels=chosen["label"].to_numpy(),
            risks=chosen["probability"].to_numpy(),
            patients=chosen["patient_id"].to_numpy(),
            hospitals=tuple(chosen["source_set"].to_list()),
        )
        if one.both_outcomes:
            found.append(one)
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A curve over all decision thresholds, with one point for each distinct risk.

    Attributes:
        x: (K,) shares that rise: false alarms among survivors, or recall.
        y: (K,) recall, or precision.
    """

    x: Doubles
    y: Doubles


@dataclasses.dataclass(frozen=True, eq=False)
class Band:
    """Bounds of a curve's 95 % interval from resampling the patients.

    Attributes:
        x: (101,) horizontal places.
        low: (101,) lower bounds.
        high: (101,) upper bounds.
    """

    x: Doubles
    low: Doubles
    high: Doubles


def roc_points(labels: npt.NDArray[np.int8], risks: Doubles, weight: Doubles) -> Points:
    """Return false and true positive rate at every distinct risk, from (0, 0) to (1, 1)."""
    deaths, survivors = _cumulative(labels, risks, weight)
    return _divided(survivors), _divided(deaths)


def precision_recall_points(labels: npt.NDArray[np.int8], risks: Doubles, weight: Doubles) -> Points:
    """Return recall and precision at every distinct risk, by falling risk."""
    deaths, survivors = _cumulative(labels, risks, weight)
    flagged = (deaths + survivors)[1:]
    precision = np.divide(deaths[1:], flagged, out=np.ones_like(flagged), where=flagged > 0)
    return np.concatenate([[0.0], _divided(deaths)[1:]]), np.concatenate([precision[:1], precision])


def roc_curve(of: Judged) -> Curve:
    """Return the receiver operating characteristic: false alarms among survivors (x), deaths recognised (y)."""
    return Curve(*roc_points(of.labels, of.risks, np.ones(len(of.labels))))


def precision_recall_curve(of: Judged) -> Curve:
    """Return recall (x) and precision (y), up to the threshold that finds every death."""
    recall, precision = precision_recall_points(of.labels, of.risks, np.ones(len(of.labels)))
    needed = int(np.argmax(recall == 1)) + 1
    return Curve(recall[:needed], precision[:needed])


def roc_band(of: Judged) -> Band:
    """Return the 95 % band of the ROC curve."""
    return _band(of, roc_points, backwards=False)


def precision_recall_band(of: Judged) -> Band:
    """Return the 95 % band of the precision-recall curve."""
    return _band(of, precision_recall_points, backwards=True)


def _band(of: Judged, points: Callable[[npt.NDArray[np.int8], Doubles, Doubles], Points], *, backwards: bool) -> Band:
    draws: list[Doubles] = []
    for weight in _drawn(of):
        across, up = points(of.labels, of.risks, weight)
        where = np.searchsorted(across, BAND_AT, side="left" if backwards else "right") - (0 if backwards else 1)
        draws.append(up[np.clip(where, 0, len(up) - 1)])
    return Band(BAND_AT, *percentiles(np.stack(draws)))


def _drawn(of: Judged) -> Iterator[Doubles]:
    """Yield, resample after resample of the patients, how often each stay is drawn."""
    scored = Scored(of.labels, of.risks, np.full(len(of.labels), 0.5), of.patients)
    rng = np.random.default_rng(0)
    for _ in range(BAND_SAMPLES):
        yield bootstrap_weights(scored, 1, rng)[0]


def _cumulative(labels: npt.NDArray[np.int8], risks: Doubles, weight: Doubles) -> Points:
    order = np.argsort(-risks, kind="stable")
    last = np.append(np.flatnonzero(np.diff(risks[order])), len(order) - 1)
    deaths = np.cumsum(weight[order] * (labels[order] == 1))[last]
    survivors = np.cumsum(weight[order] * (labels[order] == 0))[last]
    return np.concatenate([[0.0], deaths]), np.concatenate([[0.0], survivors])


def _divided(counts: Doubles) -> Doubles:
    return counts / counts[-1] if counts[-1] > 0 else np.zeros_like(counts)


@dataclasses.dataclass(frozen=True)
class RiskGroup:
    """Stays of like predicted risk.

    Attributes:
        stays: How many.
        deaths: How many of them died.
        predicted: Mean predicted risk.
        observed: Mortality.
        low: Lower bound of its 95 % interval (Wilson).
        high: Upper bound.
    """

    stays: int
    deaths: int
    predicted: float
    observed: float
    low: float
    high: float


def calibration_groups(of: Judged) -> tuple[RiskGroup, ...]:
    """Return predicted and observed mortality of groups of equal size, sorted by predicted risk."""
    order = np.argsort(of.risks, kind="stable")
    groups = min(CALIBRATION_GROUPS, max(1, len(order) // FEWEST_IN_GROUP))
    found = []
    for part in np.array_split(order, groups):
        deaths = int(of.labels[part].sum())
        found.append(RiskGroup(len(part), deaths, float(of.risks[part].mean()), *wilson(deaths, len(part))))
    return tuple(found)


@dataclasses.dataclass(frozen=True, eq=False)
class RiskDistribution:
    """How risks are distributed among patients who survived and who died.

    Attributes:
        edges: (21,) limits of the bins.
        survived: (20,) share of the survivors in each bin.
        died: (20,) share of those who died.
    """

    edges: Doubles
    survived: Doubles
    died: Doubles


def risk_distribution(of: Judged) -> RiskDistribution:
    """Return the distribution of the predicted risks by outcome."""
    counts = [np.histogram(of.risks[of.labels == label], RISK_EDGES)[0] for label in (0, 1)]
    survived, died = (count / max(1, count.sum()) for count in counts)
    return RiskDistribution(RISK_EDGES, survived, died)
