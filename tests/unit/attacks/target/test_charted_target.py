"""A model of charted values as a target: the cells that may change, and margins that are those of the model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charted_cases import INPUTS, MODELS, TREES, bound, make_case
from icudl.attacks.base import DifferentiableTarget, allowed_change
from icudl.attacks.target.charted import SummaryScorer, WholeScorer, make_scorer
from icudl.attacks.target.verification import score
from icudl.errors import AttackError
from icudl.models.build import load_charted
from icudl.models.charted.base import MeanModel
from icudl.models.charted.window import MeanOfSummaryModels
from icudl.training.data import clinical_stays

CASES = {model.name: make_case(model) for model in MODELS}
ROWS = np.arange(40)


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest):
    grid, training = CASES[request.param]
    return grid, training.checkpoints["final"]


def test_what_may_change(case) -> None:
    """Charted hours only, each as far as one wrong entry of -6 to 6 can move its mean; nothing is clipped."""
    grid, checkpoint = case
    target = bound(grid, checkpoint, ROWS)
    charted = ~np.isnan(grid.values[ROWS])
    assert np.array_equal(target.attackable.numpy(), charted)
    assert (target.values.numpy()[~charted] == 0).all()
    mean, count = grid.values[ROWS][charted].astype(float), grid.counts[ROWS][charted]
    for ends, limit in ((target.lower, -6.0), (target.upper, 6.0)):
        found = target.clinical(ends)[charted]
        assert found == pytest.approx(mean + (limit - mean) / count, abs=1e-5)
    assert float(target.upper.max()) > 1.5, "the plausible range ends far beyond the winsor limits"
    assert not isinstance(target, DifferentiableTarget)


def test_an_unchanged_cell_keeps_its_bits(case) -> None:
    grid, checkpoint = case
    target = bound(grid, checkpoint, ROWS)
    assert np.array_equal(target.changed(target.values).values, grid.values[ROWS], equal_nan=True)
    assert np.array_equal(target.charted(), grid.values[ROWS], equal_nan=True)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(CASES)), kappa=st.sampled_from([0.0, 0.7]))
def test_margins_are_those_of_the_model_to_the_last_bit(seed: int, name: str, kappa: float) -> None:
    """Whatever changes, and however few variables are summarised again."""
    grid, training = CASES[name]
    checkpoint = training.checkpoints["final"]
    rng = np.random.default_rng(seed)
    target = bound(grid, checkpoint, ROWS, confidence=kappa).select(torch.from_numpy(rng.integers(0, 40, 12)))
    down, up = allowed_change(target)
    some = torch.from_numpy((rng.random(down.shape) < rng.choice([0.02, 0.3])).astype(float))
    share = torch.from_numpy(rng.random(down.shape))
    values = target.values + some * (down * share + up * (1 - share))
    logits = load_charted(checkpoint).logits(target.changed(values))
    shift = target.shift
    now = np.where(load_charted(checkpoint).logits(target.changed(target.values)) >= shift, 1.0, -1.0)
    assert np.array_equal(target.margin(values).numpy(), now * (logits - shift) + kappa)
    assert np.array_equal(score(load_charted(checkpoint), target, values).difference.numpy(), logits)


def test_the_unchanged_stays_have_margins_that_are_not_negative(case) -> None:
    target = bound(*case, ROWS)
    assert (target.margin(target.values) >= 0).all()
    assert set(target.sign.tolist()) == {-1.0, 1.0}


def test_a_scorer_that_summarises_less_is_taken_where_the_model_reads_summaries(case) -> None:
    grid, checkpoint = case
    model, stays = load_charted(checkpoint), clinical_stays(grid, ROWS, INPUTS)
    assert isinstance(make_scorer(model, stays), SummaryScorer)
    assert isinstance(make_scorer(MeanModel([model]), stays), WholeScorer)
    values = stays.values.copy()
    values[:, 0, 1] += 0.5
    whole, parts = (make_scorer(each, stays).logits(ROWS, values) for each in (MeanModel([model, model]), model))
    assert np.array_equal(whole, parts)
    both = MeanOfSummaryModels([model, model])
    assert isinstance(make_scorer(both, stays), SummaryScorer)
    assert np.array_equal(make_scorer(both, stays).logits(ROWS, values), parts)


def test_a_model_cannot_judge_the_cells_of_another_kind() -> None:
    grid, training = CASES[TREES.name]
    target = bound(grid, training.checkpoints["final"], ROWS)
    with pytest.raises(AttackError, match="Identity cannot score the cells of ChartedTarget"):
        score(torch.nn.Identity(), target, target.values)


def test_select_repeats_and_reorders(case) -> None:
    target = bound(*case, ROWS)
    some = target.select(torch.tensor([5, 2, 5])).select(torch.tensor([2, 1]))
    assert np.array_equal(some.charted(), target.charted()[[5, 2]], equal_nan=True)
    assert torch.equal(some.margin(some.values), target.margin(target.values)[[5, 2]])
    entries = some.entries
    assert entries is not None
    assert dataclasses.astuple(entries)[4] is False
    assert np.array_equal(entries.means, target.charted()[[5, 2]], equal_nan=True)
