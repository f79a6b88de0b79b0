"""Torch modules from outside offer a gradient: through their units and gaps, and to the attacks that ask for one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import outside_cases as cases
from icudl.models.charted.base import ClinicalStays, Sloped

GRID = cases.clinical_grid(12)
STAYS = cases.stays_of(GRID)
N_CELLS = cases.HOURS * len(cases.NAMES)
NETWORK = {"input": "grid", "missing": "zero", "output": "logit"}


class Row(torch.nn.Module):
    """A bent function of a flat row, in double precision, so that its differences can be measured."""

    def __init__(self, n_features: int, *, probability: bool = False, columns: int = 1) -> None:
        super().__init__()
        weight = np.random.default_rng(n_features).normal(size=n_features)
        self.weight = torch.nn.Parameter(torch.tensor(weight))
        self.probability = probability
        self.columns = columns

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logit = torch.sin(inputs / 40.0) @ self.weight
        if self.columns == 2:
            both = torch.stack([0.3 - logit / 2, 0.3 + logit / 2], dim=1)
            return torch.softmax(both, dim=1) if self.probability else both
        return torch.sigmoid(logit) if self.probability else logit


ROW, WITH_MASKS, RISK = Row(N_CELLS), Row(2 * N_CELLS), Row(N_CELLS, probability=True)
BOTH_LOGITS, BOTH_RISKS = Row(N_CELLS, columns=2), Row(N_CELLS, probability=True, columns=2)


@settings(max_examples=25, deadline=None)
@given(
    missing=st.sampled_from(["zero", "forward", "linear"]),
    order=st.sampled_from(["hours", "variables"]),
    kind=st.sampled_from(["ROW", "WITH_MASKS", "RISK", "BOTH_LOGITS", "BOTH_RISKS"]),
    units=st.sampled_from([{}, {"creatinine": "umol/L"}]),
    cell=st.integers(0, 10_000),
)
def test_slopes_are_differences_of_the_logit(missing: str, order: str, kind: str, units: dict, cell: int) -> None:
    """Through the unit, the order and the gaps that a value fills; cells without a value have none."""
    output = "probability" if "RISK" in kind else "logit"
    model = cases.fitted(
        STAYS, object=f"{__name__}:{kind}", missing=missing, order=order, units=units, output=output,
        masks=kind == "WITH_MASKS", variables=cases.NAMES[::-1],
    ).absorbed(0.7, 0.2)  # fmt: skip
    offered = model.offered()
    assert isinstance(offered, Sloped)
    logits, slopes = offered.logits_and_slopes(STAYS)
    assert logits == pytest.approx(model.logits(STAYS), abs=1e-9)
    assert (slopes[np.isnan(STAYS.values)] == 0).all()
    charted = np.argwhere(~np.isnan(STAYS.values))
    place = tuple(charted[cell % len(charted)])
    step = 2.0**-4  # exact in single precision beside these values
    moved = [_moved(STAYS, place, sign * step) for sign in (-1.0, 1.0)]
    low, high = (model.logits(each)[place[0]] for each in moved)
    width = float(moved[1].values[place]) - float(moved[0].values[place])
    # Filled gaps are rounded to single precision.
    assert (high - low) / width == pytest.approx(slopes[place], rel=2e-2, abs=2e-3)


def _moved(stays: ClinicalStays, place: tuple[int, ...], by: float) -> ClinicalStays:
    values = stays.values.copy()
    values[place] += by
    return dataclasses.replace(stays, values=values)


@pytest.mark.parametrize("make", [cases.script_file, cases.export_file], ids=["torchscript", "torch-export"])
def test_files_of_torch_offer_the_gradient_of_their_module(make, tmp_path: Path) -> None:
    file, _ = make(tmp_path, STAYS, GRID.labels)
    ours = cases.fitted(STAYS, file=str(file), **NETWORK).offered()
    theirs = cases.fitted(STAYS, object="outside_cases:MODULE", **NETWORK).offered()
    assert isinstance(ours, Sloped)
    assert isinstance(theirs, Sloped)
    for own, other in zip(ours.logits_and_slopes(STAYS), theirs.logits_and_slopes(STAYS), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-6)
        assert np.ptp(own) > 0


def test_a_model_that_is_no_module_offers_none() -> None:
    function = cases.fitted(STAYS, object="outside_cases:heart", missing="linear", output="logit")
    assert not isinstance(function.offered(), Sloped)
