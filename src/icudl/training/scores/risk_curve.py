"""Isotonic calibration: a curve from the logit difference to the risk that never falls.

The curve stands beside the model, not in it: where it is level a gradient would vanish. A decision at a risk is a
decision at a logit difference (``difference_at``), so whatever decides or attacks goes on in logits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]

BEYOND = 1e4
"""Stands for a logit difference that no stay has: a threshold there decides all stays alike."""


def fit_curve(labels: npt.NDArray[np.integer], differences: Float64s) -> Float64s | None:
    """Return the curve that fits validation stays best among those that never fall (Zadrozny & Elkan 2002).

    Fitted to Platt's smoothed targets, so that no risk is 0 or 1; level within the blocks that the fit pools, a
    straight line from one to the next.

    Args:
        labels: (n,) 1 for death.
        differences: (n,) logit of death minus logit of survival.

    Returns:
        (2, K) logit differences, which rise, and the risks there; None where the stays are of one class.
    """
    from sklearn.isotonic import isotonic_regression

    deaths = int(labels.sum())
    if deaths in (0, len(labels)):
        return None
    targets = np.where(labels == 1, (deaths + 1) / (deaths + 2), 1 / (len(labels) - deaths + 2))
    places, where, counts = np.unique(differences, return_inverse=True, return_counts=True)
    means = np.bincount(where, weights=targets) / counts
    risks = np.asarray(isotonic_regression(means, sample_weight=counts.astype(np.float64)), np.float64)
    # Of each level piece its two ends are enough.
    inner = (risks[1:-1] == risks[:-2]) & (risks[1:-1] == risks[2:])
    ends = np.r_[True, ~inner, True] if len(risks) > 2 else np.ones(len(risks), bool)
    return np.stack([places[ends], risks[ends]])


def risks_at(curve: Float64s, differences: Float64s) -> Float64s:
    """Return the risks at logit differences; level beyond both ends of the curve. NaN stays NaN."""
    risks: Float64s = np.interp(differences, curve[0], curve[1])
    return risks


def difference_at(curve: Float64s, risk: float) -> float:
    """Return the smallest logit difference whose risk is at least ``risk``; ±``BEYOND`` where all or none are."""
    places, risks = curve
    if risk <= risks[0]:
        return -BEYOND
    if risk > risks[-1]:
        return BEYOND
    after = int(np.searchsorted(risks, risk, side="left"))
    share = (risk - risks[after - 1]) / (risks[after] - risks[after - 1])
    return float(places[after - 1] + share * (places[after] - places[after - 1]))
