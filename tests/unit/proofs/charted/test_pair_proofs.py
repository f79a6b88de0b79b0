"""Any two values of a stay anywhere: bounds hold at random pairs, rules that are changed are noticed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charted_cases import bound, make_case
from icudl.attacks.target.charted import PiecewiseChartedTarget
from icudl.models.charted.window import SUMMARIES, summarise
from icudl.models.options import BoostedTreesOptions, LogisticOptions, ModelOptions
from icudl.proofs.charted.boxes import bounds_of, summaries_between, summaries_of_two
from icudl.proofs.charted.pairs import Pairs
from icudl.proofs.charted.walk import Walk
from icudl.proofs.values import Values, changeable

MODELS: dict[str, ModelOptions] = {
    "trees": BoostedTreesOptions(trees=12, leaves=4),
    "regression": LogisticOptions(),
}
N_STAYS = 8


def paired(name: str, lead: float) -> tuple[Values[PiecewiseChartedTarget], Pairs]:
    """The pairs of some stays whose margins are all raised by ``lead``."""
    grid, training = make_case(MODELS[name])
    plain = bound(grid, training.checkpoints["final"], np.flatnonzero(grid.is_test)[:N_STAYS])
    target = PiecewiseChartedTarget(**{each.name: getattr(plain, each.name) for each in dataclasses.fields(plain)})
    target = dataclasses.replace(target, confidence=lead)
    values = Values(target, *changeable(target))
    pairs = Pairs.of(values, Walk(values, 0.01).run())
    assert pairs is not None
    return values, pairs


def least_drawn(values: Values[PiecewiseChartedTarget], stay: int, rng: np.random.Generator, count: int) -> float:
    """The least margin of a stay with two random values at random places, ends among them."""
    target = values.target
    which = (values.stay == stay).nonzero()[:, 0].numpy()
    changed = target.values[[stay] * count].clone()
    for row in range(count):
        for value in rng.choice(which, 2, replace=False).tolist():
            _, hour, variable = values.cell[:, value].tolist()
            low, high = (float(end[stay, hour, variable]) for end in (target.lower, target.upper))
            changed[row, hour, variable] = rng.choice([low, high, rng.uniform(low, high)])
    return float(target.select(torch.full((count,), stay)).margin(changed).min())


@pytest.mark.parametrize("name", MODELS)
def test_no_two_values_lead_below_the_bound(name: str) -> None:
    known = 0
    for lead in (0.3, 3.0):
        values, pairs = paired(name, lead)
        rng = np.random.default_rng(0)
        for stay in range(N_STAYS):
            if int((values.stay == stay).sum()) < 2:
                continue
            least = pairs.least(stay)
            drawn = least_drawn(values, stay, rng, 300)
            assert drawn >= least
            if least > 0:
                known += 1
    assert known >= 3


@given(data=st.data(), count=st.integers(1, 7), moving=st.integers(1, 2))
@settings(deadline=None, max_examples=60)
def test_summaries_lie_between_their_ends(data: st.DataObject, count: int, moving: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    hours = np.sort(rng.choice(12, count, replace=False))
    low = np.round(rng.normal(0, 5, count), 1)
    high = low.copy()
    places = rng.choice(count, min(moving, count), replace=False)
    high[places] += rng.uniform(0, 10, len(places))
    ends = summaries_between(hours, low[None], high[None])
    # Every value may move, two at once: those that do here are two of them.
    start = low + rng.choice([0.0, 1.0, rng.random()]) * (high - low)
    wide = summaries_of_two(hours, start, low - 1, high + 1)
    for _ in range(20):
        series = np.full((1, 12, 1), np.nan)
        share = rng.choice([0.0, 1.0, rng.random()], count)
        series[0, hours, 0] = low + share * (high - low)
        found = summarise(series, np.array([12]), np.zeros((1, 0), np.float32))[0, : len(SUMMARIES) - 1]
        assert (found >= ends[0][0]).all()
        assert (found <= ends[1][0]).all()
        assert (found >= wide[0]).all()
        assert (found <= wide[1]).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_bound_that_loses_a_branch_is_noticed(name: str) -> None:
    _, pairs = paired(name, 0.0)
    scorer, rng = pairs.scorer, np.random.default_rng(1)
    bounds = bounds_of(scorer.model)
    assert bounds is not None
    columns = scorer.columns[:N_STAYS]
    away = np.abs(np.nan_to_num(columns)) * 0.2
    points = [columns + rng.uniform(-1, 1, columns.shape) * away for _ in range(200)]
    logits = np.array([scorer.model.score(point) for point in points])

    def wrong(share: float) -> int:
        """How many points lie outside the bounds of a box that is narrower than that which they were drawn from."""
        least, greatest = bounds(columns - share * away, columns + share * away)
        return int(((logits < least - 1e-9) | (logits > greatest + 1e-9)).sum())

    assert wrong(1.0) == 0
    assert wrong(0.0) > 0
