"""Calibration of logits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from icudl.models.options import SummaryOptions
from icudl.training.members import _absorb_line
from icudl.training.options import TrainingOptions
from icudl.training.scores.calibration import fit_calibration


def _logits(difference) -> torch.Tensor:
    half = torch.as_tensor(np.asarray(difference, float)) / 2
    return torch.stack([-half, half], dim=1)


def _drawn(scale, shift, n=20_000):
    rng = np.random.default_rng(0)
    difference = rng.normal(0, 2, n)
    return (rng.random(n) < 1 / (1 + np.exp(-(scale * difference + shift)))).astype(np.int8), _logits(difference)


def test_the_line_that_made_the_outcomes_is_found():
    assert fit_calibration(*_drawn(0.6, -1.3), "platt") == pytest.approx((0.6, -1.3), abs=0.06)
    assert fit_calibration(*_drawn(1.8, 0.0), "temperature") == pytest.approx((1.8, 0.0), abs=0.06)


def test_it_agrees_with_an_unpenalised_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    labels, logits = _drawn(0.6, -1.3, 20_000)
    fitted = LogisticRegression(C=1e12, tol=1e-10).fit((logits[:, 1] - logits[:, 0])[:, None].numpy(), labels)
    expected = (fitted.coef_.item(), fitted.intercept_.item())
    assert fit_calibration(labels, logits, "platt") == pytest.approx(expected, abs=2e-3)


def test_few_stays_have_the_smoothed_targets_of_platt():
    """Platt 1999: (N+ + 1) / (N+ + 2) for the N+ deaths, 1 / (N- + 2) for the N- survivors, by another optimiser."""
    from scipy.optimize import minimize

    labels = np.array([0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0])
    difference = np.array([-3.0, -1.2, -0.4, 0.3, 1.1, -2.2, 0.8, -0.9, 2.4, -1.7, 0.1])
    targets = np.where(labels == 1, 4 / 5, 1 / 10)

    def loss(line):
        logits = line[0] * difference + line[1]
        return (np.logaddexp(0, logits) - targets * logits).sum()

    platt = minimize(loss, [1.0, 0.0], tol=1e-10).x
    assert fit_calibration(labels, _logits(difference), "platt") == pytest.approx(platt, abs=1e-4)
    scale = minimize(lambda scale: loss([scale[0], 0.0]), [1.0], tol=1e-10).x[0]
    assert fit_calibration(labels, _logits(difference), "temperature") == pytest.approx((scale, 0.0), abs=1e-4)


def test_without_one_of_the_classes_nothing_is_calibrated_and_with_one_stay_of_it_something_is():
    logits = _logits([-2.0, -1.0, 1.0, 3.0])
    for labels in ([0, 0, 0, 0], [1, 1, 1, 1]):
        assert fit_calibration(np.array(labels), logits, "platt") == (1.0, 0.0)
    for labels in ([0, 0, 0, 1], [0, 1, 1, 1]):
        assert fit_calibration(np.array(labels), logits, "platt") != (1.0, 0.0)


def test_perfect_separation_stays_finite():
    scale, shift = fit_calibration(np.array([0, 0, 0, 1, 1]), _logits([-2, -1, -1, 1, 3]), "platt")
    assert 0 < scale < 10
    assert abs(shift) < 10


@pytest.mark.parametrize("method", ["none", "temperature", "platt"])
def test_nothing_is_changed_where_nothing_can_be_learnt(method):
    assert fit_calibration(np.zeros(3, int), _logits([1, 2, 3]), method) == (1.0, 0.0)
    if method != "temperature":
        assert fit_calibration(np.array([1, 1, 0, 0]), _logits([-2, -1, 1, 2]), method) == (1.0, 0.0)


def test_extreme_logits_are_survived():
    scale, shift = fit_calibration(np.array([0, 1, 0, 1]), _logits([-900, 800, 700, -600]), "platt")
    assert np.isfinite([scale, shift]).all()


class _Bounded:
    """A score whose line lies inside a bound, as in a network that reads its records in parts."""

    def __init__(self, scores: torch.Tensor) -> None:
        self.scores, self.line, self.absorbed = scores, (1.0, 0.0), 0

    def logits(self) -> torch.Tensor:
        inside = self.line[0] * self.scores + self.line[1]
        return _logits(inside.clamp(-1.5, 1.5) + 0.5 * inside)

    def absorb(self, scale: float, shift: float) -> None:
        self.line = (scale * self.line[0], scale * self.line[1] + shift)
        self.absorbed += 1


@pytest.mark.parametrize("parts", [1, 3])
def test_the_line_that_is_told_is_the_one_that_was_absorbed(parts: int) -> None:
    labels, logits = _drawn(0.5, 0.4, n=500)
    model = _Bounded(logits[:, 1] - logits[:, 0])
    plan = SimpleNamespace(model=SummaryOptions(parts=parts), training=TrainingOptions(calibration="platt"))
    told = _absorb_line(model, labels, _Bounded.logits, plan)
    assert told == pytest.approx(model.line)
    # Absorbing a line moves the bound, so that a second one is needed where there is a bound.
    assert model.absorbed == (2 if parts > 1 else 1)
    assert told[0] != pytest.approx(1, abs=0.05)
