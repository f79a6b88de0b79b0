"""Scores of predicted risks.

Every score is computed for many weightings of the stays at once: the sample itself is the weighting of all ones, and
a bootstrap resample is a weighting by how often each stay was drawn. Weights have shape (R, n), results (R,); NaN
means that a score does not exist (precision without a positive prediction, AUROC without a death, a risk that is NaN).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from icudl.errors import StageError

Float64s = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]

CALIBRATION_BINS = 10
_SMALLEST_PROBABILITY = 1e-15


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """Predictions of one model about stays it was not fitted on.

    Attributes:
        labels: (n,) 1 for death.
        probabilities: (n,) predicted risk of death.
        thresholds: (n,) decision threshold of the member that scored each stay.
        patients: (n,) patient identifiers: stays of one patient are drawn together.

    Raises:
        StageError: A predicted risk is NaN.
    """

    labels: Labels
    probabilities: Float64s
    thresholds: Float64s
    patients: npt.NDArray[np.integer]

    def __post_init__(self) -> None:
        _require_risks(self.probabilities)

    def select(self, rows: npt.NDArray[np.bool_]) -> Scored:
        """Return the stays where ``rows`` is true."""
        return Scored(self.labels[rows], self.probabilities[rows], self.thresholds[rows], self.patients[rows])


@dataclasses.dataclass(frozen=True, eq=False)
class _Ranking:
    """Stays sorted by falling probability, with the weights of both classes summed over ties.

    Attributes:
        deaths: (R, G) weight of deaths in each of the G groups of equal probability.
        survivors: (R, G).
    """

    deaths: Float64s
    survivors: Float64s

    @classmethod
    def of(cls, labels: Labels, probabilities: Float64s, weights: Float64s) -> _Ranking:
        """Sort and sum; where a risk is NaN there is no order, and every weight is NaN."""
        if np.isnan(probabilities).any():
            weights = np.full_like(weights, np.nan)
        order = np.argsort(-probabilities, kind="stable")
        ordered = probabilities[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        weights = weights[:, order]
        deaths = weights * (labels[order] == 1)
        survivors = weights - deaths
        return cls(np.add.reduceat(deaths, starts, axis=1), np.add.reduceat(survivors, starts, axis=1))


def auroc(labels: Labels, probabilities: Float64s, weights: Float64s | None = None) -> Float64s:
    """Return the (R,) areas under the ROC curve: the share of (death, survivor) pairs in the right order, ties half."""
    ranking = _Ranking.of(labels, probabilities, _weights(labels, weights))
    survivors_below = ranking.survivors.sum(axis=1, keepdims=True) - ranking.survivors.cumsum(axis=1)
    right = (ranking.deaths * (survivors_below + 0.5 * ranking.survivors)).sum(axis=1)
    return _ratio(right, ranking.deaths.sum(axis=1) * ranking.survivors.sum(axis=1))


def auprc(labels: Labels, probabilities: Float64s, weights: Float64s | None = None) -> Float64s:
    """Return the (R,) average precisions: precision at each threshold, weighted by the recall gained there."""
    ranking = _Ranking.of(labels, probabilities, _weights(labels, weights))
    found = ranking.deaths.cumsum(axis=1)
    precision = _ratio(found, found + ranking.survivors.cumsum(axis=1), where_empty=0.0)
    return _ratio((ranking.deaths * precision).sum(axis=1), found[:, -1])


def min_se_ppv(labels: Labels, probabilities: Float64s, weights: Float64s | None = None) -> Float64s:
    """Return the (R,) largest min(sensitivity, precision) over all thresholds (PhysioNet Challenge 2012, event 1)."""
    ranking = _Ranking.of(labels, probabilities, _weights(labels, weights))
    found = ranking.deaths.cumsum(axis=1)
    precision = _ratio(found, found + ranking.survivors.cumsum(axis=1), where_empty=0.0)
    sensitivity = _ratio(found, found[:, -1:])
    best: Float64s = np.minimum(precision, sensitivity).max(axis=1)
    return best


def brier(labels: Labels, probabilities: Float64s, weights: Float64s | None = None) -> Float64s:
    """Return the (R,) mean squared differences between risk and outcome."""
    return _mean((probabilities - labels) ** 2, _weights(labels, weights))


def log_loss(labels: Labels, probabilities: Float64s, weights: Float64s | None = None) -> Float64s:
    """Return the (R,) mean negative log-likelihoods; risks are kept 1e-15 away from 0 and 1."""
    risk = np.clip(probabilities, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return _mean(-np.where(labels == 1, np.log(risk), np.log1p(-risk)), _weights(labels, weights))


def calibration_error(labels: Labels, probabilities: Float64s, weights: Float64s | None = None) -> Float64s:
    """Return the (R,) expected calibration errors over ten risk bins of equal width (Guo et al. 2017)."""
    weights = _weights(labels, weights)
    if np.isnan(probabilities).any():
        return np.full(len(weights), np.nan)
    bins = np.minimum((probabilities * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    member = (bins[:, None] == np.arange(CALIBRATION_BINS)).astype(np.float64)
    gaps = np.abs(weights @ (member * (probabilities - labels)[:, None]))
    return _ratio(gaps.sum(axis=1), weights.sum(axis=1))


def decisions(scored: Scored, weights: Float64s) -> dict[str, Float64s]:
    """Return F1, precision, recall, specificity and accuracy of "risk at or above the threshold", each (R,)."""
    positive = scored.probabilities >= scored.thresholds
    died = scored.labels == 1
    true_positive, false_positive = weights @ (positive & died), weights @ (positive & ~died)
    false_negative, true_negative = weights @ (~positive & died), weights @ (~positive & ~died)
    return {
        "f1": _ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative),
        "precision": _ratio(true_positive, true_positive + false_positive),
        "recall": _ratio(true_positive, true_positive + false_negative),
        "specificity": _ratio(true_negative, true_negative + false_positive),
        "accuracy": _ratio(true_positive + true_negative, weights.sum(axis=1)),
    }


_OF_RISK: Mapping[str, Callable[[Labels, Float64s, Float64s], Float64s]] = {
    "auroc": auroc,
    "auprc": auprc,
    "min_se_ppv": min_se_ppv,
    "brier": brier,
    "log_loss": log_loss,
    "ece": calibration_error,
}
METRICS = (
    "auroc",
    "auprc",
    "f1",
    "precision",
    "recall",
    "specificity",
    "accuracy",
    "min_se_ppv",
    "brier",
    "log_loss",
    "ece",
)
"""Names of the scores, in the order of the tables."""

LOWER_IS_BETTER = ("brier", "log_loss", "ece")
"""The scores that are losses."""


def all_scores(scored: Scored, weights: Float64s | None = None) -> dict[str, Float64s]:
    """Return every score by name, each (R,)."""
    weights = _weights(scored.labels, weights)
    scores = {name: score(scored.labels, scored.probabilities, weights) for name, score in _OF_RISK.items()}
    scores |= decisions(scored, weights)
    return {name: scores[name] for name in METRICS}


def score(name: str, labels: Labels, probabilities: Float64s) -> float:
    """Return one threshold-free score of the sample as it is; NaN where it does not exist."""
    if len(labels) == 0:
        return float("nan")
    return float(_OF_RISK[name](labels, probabilities, _weights(labels, None))[0])


def choose_threshold(labels: Labels, probabilities: Float64s, criterion: str) -> float:
    """Return the decision threshold that maximises F1 or Youden's J on validation stays.

    The threshold lies halfway between two neighbouring risks, so that it does not depend on a last bit; 0.5 where there
    is only one class.

    Raises:
        StageError: A risk is NaN.
    """
    _require_risks(probabilities)
    if len(np.unique(labels)) < 2:
        return 0.5
    ranking = _Ranking.of(labels, probabilities, _weights(labels, None))
    found, false = ranking.deaths[0].cumsum(), ranking.survivors[0].cumsum()
    f1 = 2 * found / (found + false + found[-1])
    # Youden's J times deaths times survivors: whole numbers, so that ties are ties.
    youden = found * false[-1] - false * found[-1]
    merit = f1 if criterion == "f1" else youden
    best = int(np.argmax(merit))
    levels = np.unique(probabilities)[::-1]
    below = levels[best + 1] if best + 1 < len(levels) else 0.0
    return float((levels[best] + below) / 2)


def _require_risks(probabilities: Float64s) -> None:
    unknown = int(np.isnan(probabilities).sum())
    if unknown:
        raise StageError(
            f"{unknown} of {len(probabilities)} predicted risks are NaN, so they cannot be scored. Expected a number "
            "from 0 to 1 for each stay; look for weights or inputs that are not finite."
        )


def _weights(labels: Sequence[int] | Labels, weights: Float64s | None) -> Float64s:
    return np.ones((1, len(labels))) if weights is None else weights


def _ratio(top: Float64s, bottom: Float64s, where_empty: float = np.nan) -> Float64s:
    top, bottom = np.broadcast_arrays(top, bottom)
    quotient: Float64s = np.divide(top, bottom, out=np.full(top.shape, where_empty), where=bottom > 0)
    return quotient


def _mean(values: Float64s, weights: Float64s) -> Float64s:
    return _ratio(weights @ values, weights.sum(axis=1))
