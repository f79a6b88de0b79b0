"""Calibration of risks, fitted on validation stays: a straight line on the logits.

An isotonic calibration is a curve beside the model instead: ``training.scores.risk_curve``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from icudl.training.loop import probabilities_of
from icudl.training.scores.risk_curve import risks_at

Float64s = npt.NDArray[np.float64]

_STEPS = 100
_CONVERGED = 1e-12


def fit_calibration(labels: npt.NDArray[np.integer], logits: Tensor, method: str) -> tuple[float, float]:
    """Return (scale, shift) of the logit difference that maximise the likelihood of validation stays.

    ``platt`` fits both (Platt 1999, with his smoothed targets, so that classes that are told apart perfectly do not
    drive the scale to infinity), ``temperature`` the scale alone (Guo et al. 2017). Where the stays are of one class,
    or the scale would not be positive (which would reverse the ranking), the result is (1, 0) and changes nothing.

    Args:
        labels: (n,) 1 for death.
        logits: (n, 2).
        method: ``"none"``, ``"temperature"`` or ``"platt"``.
    """
    deaths = int(labels.sum())
    if method == "none" or deaths in (0, len(labels)):
        return 1.0, 0.0
    difference = differences_of(logits)
    targets = np.where(labels == 1, (deaths + 1) / (deaths + 2), 1 / (len(labels) - deaths + 2))
    shift = np.ones((len(labels), 1)) if method == "platt" else np.zeros((len(labels), 0))
    line = _newton(np.concatenate([difference[:, None], shift], axis=1), targets)
    if not (np.isfinite(line).all() and line[0] > 0):
        return 1.0, 0.0
    return float(line[0]), float(line[1]) if method == "platt" else 0.0


def differences_of(logits: Tensor) -> Float64s:
    """Return the (n,) logit differences, death minus survival, of (n, 2) logits."""
    difference: Float64s = logits.double().numpy() @ np.array([-1.0, 1.0])
    return difference


def calibrated_risks(logits: Tensor, curve: Float64s | None) -> Float64s:
    """Return the (n,) risks of (n, 2) logits: by the curve of an isotonic calibration, or else their softmax."""
    return probabilities_of(logits) if curve is None else risks_at(curve, differences_of(logits))


def _newton(columns: Float64s, targets: Float64s) -> Float64s:
    """Return the coefficients of a logistic regression without penalty, by Newton's method with halved steps."""
    line = np.zeros(columns.shape[1])
    line[0] = 1.0
    loss = _loss(columns @ line, targets)
    for _ in range(_STEPS):
        risk = 1 / (1 + np.exp(-np.clip(columns @ line, -500, 500)))
        gradient = columns.T @ (risk - targets)
        curvature = (columns * (risk * (1 - risk))[:, None]).T @ columns + 1e-9 * np.eye(len(line))
        step = np.linalg.solve(curvature, gradient)
        length = 1.0
        while length > 1e-6 and not _loss(columns @ (line - length * step), targets) < loss:
            length /= 2
        line = line - length * step
        improved = loss - _loss(columns @ line, targets)
        loss -= improved
        if improved < _CONVERGED:
            break
    return line


def _loss(difference: Float64s, targets: Float64s) -> float:
    return float((np.logaddexp(0, difference) - targets * difference).sum())
