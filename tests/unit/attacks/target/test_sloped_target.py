"""A torch module from outside as a target with a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import outside_cases as cases
from icudl.attacks.base import DifferentiableTarget, make_attack
from icudl.attacks.options import GreedyOptions, ProjectedGradientOptions, ProximalOptions
from icudl.attacks.target.charted import ChartedTarget, bind_charted
from icudl.attacks.target.threat import Entries, charted_cells
from icudl.attacks.target.verification import score
from icudl.models.charted.base import RiskModel
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on

GRID = cases.clinical_grid(24)
STAYS = cases.stays_of(GRID)
NETWORK = {"input": "grid", "missing": "forward", "output": "logit"}


def bound(name: str) -> tuple[RiskModel, ChartedTarget]:
    model = cases.fitted(STAYS, object=f"{name}", **NETWORK).offered()
    scaler = fit_scaler_on(GRID, ~GRID.is_test, InputOptions())
    counts = np.ones(GRID.values.shape, np.int64)
    entries = Entries(GRID.values.astype(np.float64), counts, scaler, GRID.variables, clipped=False)
    shift = float(np.median(model.logits(STAYS)))
    return model, bind_charted(model, STAYS, charted_cells(entries), entries, shift)


class Rounding(torch.nn.Module):
    """A module that gives numbers and no gradient."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return inputs.mean(dim=(1, 2)) / 10.0


ROUNDING = Rounding()


def test_margins_are_those_of_the_scores_and_slopes_are_in_unit_coordinates() -> None:
    _, target = bound("outside_cases:MODULE")
    assert isinstance(target, DifferentiableTarget)
    margin, gradient = target.margin_and_gradient(target.values)
    assert margin.numpy() == pytest.approx(target.margin(target.values).numpy(), abs=1e-5)
    assert (gradient[~target.attackable] == 0).all()
    steepest = (gradient.abs() * target.attackable).flatten(1).argmax(dim=1)
    step = torch.zeros_like(target.values)
    step.flatten(1)[torch.arange(len(step)), steepest] = 1e-2
    ends = [target.margin(target.values + sign * step) for sign in (-1.0, 1.0)]
    found = (ends[1] - ends[0]) / 2e-2
    slope = gradient.flatten(1).gather(1, steepest[:, None]).squeeze(1)
    assert found.numpy() == pytest.approx(slope.numpy(), rel=0.05, abs=1e-2)


@pytest.mark.parametrize(
    "options",
    [
        GreedyOptions(threat_model="measured"),
        ProximalOptions(threat_model="measured"),
        ProjectedGradientOptions(threat_model="measured"),
    ],
    ids=lambda options: options.name,
)
def test_attacks_by_gradient_find_examples_that_the_module_itself_confirms(options) -> None:
    model, target = bound("outside_cases:MODULE")
    found = make_attack(options)(target, range(len(target.values)))
    assert found.found.float().mean() > 0.5
    before, after = (score(model, target, values).says_death for values in (target.values, target.values + found.best))
    assert (before != after)[found.found].all()


def test_a_module_without_a_gradient_is_attacked_by_its_scores() -> None:
    model, target = bound(f"{__name__}:ROUNDING")
    assert not isinstance(target, DifferentiableTarget)
    found = make_attack(GreedyOptions(threat_model="measured"))(target, range(len(target.values)))
    before, after = (score(model, target, values).says_death for values in (target.values, target.values + found.best))
    assert found.found.any()
    assert (before != after)[found.found].all()
