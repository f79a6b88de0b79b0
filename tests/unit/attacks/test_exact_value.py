"""The exact search of one value against brute force: 10,000 places for each value, and the record itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from charted_cases import INPUTS, MODELS, TREES, bound, make_case
from icudl.artifacts import AttackStatus
from icudl.attacks.base import PiecewiseTarget
from icudl.attacks.methods.exact_value import ExactValueAttack, candidates
from icudl.attacks.options import ExactValueOptions, SweepOptions
from icudl.attacks.target.charted import ChartedTarget, bind_charted
from icudl.config.load import load_config
from icudl.errors import AttackError, ConfigError
from icudl.models.build import load_charted
from icudl.models.charted.base import MeanModel
from icudl.stages.attack import attack
from icudl.training.data import clinical_stays

CASES = {model.name: make_case(model, 56) for model in MODELS}
PLACES = 10_000
OPTIONS = ExactValueOptions(threat_model="measured")


def walkable(name: str, rows: np.ndarray) -> ChartedTarget:
    grid, training = CASES[name]
    plain = bound(grid, training.checkpoints["final"], rows)
    model = load_charted(training.checkpoints["final"])
    target = bind_charted(model, plain.bound, plain.bound_cells, plain.known, plain.shift)
    assert isinstance(target, PiecewiseTarget)
    return target


@pytest.mark.parametrize("name", sorted(CASES))
def test_brute_force_finds_no_value_that_the_exact_search_misses(name: str) -> None:
    """Where they differ, brute force is what missed: the exact search has a value to show."""
    rows = np.arange(9)
    target = walkable(name, rows)
    missed = found = 0
    for row in rows.tolist():
        for cell in target.attackable[row].flatten().nonzero().squeeze(1).tolist():
            low, high = (float(end.flatten(1)[row, cell]) for end in (target.lower, target.upper))
            brute = target.single_margins(row, cell, torch.linspace(low, high, PLACES, dtype=torch.float64))
            tried = candidates(target, row, cell).clamp(low, high)
            exact = target.single_margins(row, cell, tried)
            assert len(tried) < PLACES / 20
            # The lowest margin of all values is met, up to the rounding of the places themselves.
            assert float(exact.min()) <= float(brute.min()) + 1e-6
            found += bool((exact < 0).any())
            missed += bool((exact < 0).any()) and not bool((brute < 0).any())
    assert found > 4
    assert missed <= found / 4


@pytest.mark.parametrize("name", sorted(CASES))
def test_single_margins_are_those_of_the_whole_stay(name: str) -> None:
    target = walkable(name, np.arange(6))
    rng = np.random.default_rng(0)
    for row in range(6):
        cells = target.attackable[row].flatten().nonzero().squeeze(1)
        both = cells[torch.from_numpy(rng.permutation(len(cells))[:2])]
        tried = [candidates(target, row, cell) for cell in both.tolist()]
        apart = [target.single_margins(row, cell, places) for cell, places in zip(both.tolist(), tried, strict=True)]
        each = both.repeat_interleave(torch.tensor([len(places) for places in tried]))
        assert torch.equal(target.single_margins(row, each, torch.cat(tried)), torch.cat(apart))
        for cell, places in zip(both.tolist(), tried, strict=True):
            whole = target.values[row].flatten().repeat(len(places), 1)
            whole[:, cell] = places
            expected = target.select(torch.full((len(places),), row)).margin(whole.view(-1, *target.values.shape[1:]))
            assert torch.equal(target.single_margins(row, cell, places), expected)


@pytest.mark.parametrize("name", sorted(CASES))
def test_it_finds_what_the_sweep_finds_and_its_examples_hold(name: str, context, tmp_path: Path) -> None:
    grid, training = CASES[name]
    exact = attack(grid, training, OPTIONS, context)
    (tmp_path / "sweep").mkdir()
    other = dataclasses.replace(context, scratch=tmp_path / "sweep")
    sweep = attack(grid, training, SweepOptions(threat_model="measured", sweep_points=15), other)
    cells = [
        set(each.curves["sweep_flips"].select("stay_id", "hour", "variable").iter_rows()) for each in (exact, sweep)
    ]
    assert cells[1] <= cells[0]
    assert exact.curves["sweep"]["entries"].to_list() == sweep.curves["sweep"]["entries"].to_list()
    broken = exact.stays.filter(pl.col("status") == AttackStatus.SUCCESS)
    assert len(broken) > 8
    both = broken.join(sweep.stays.filter(status="success"), on="stay_id", suffix="_sweep")
    assert (both["best_linf"] <= both["best_linf_sweep"] + 1e-3).all()
    assert broken["best_l0"].to_list() == [1] * len(broken)
    for row in exact.perturbations.filter(example="best").iter_rows(named=True):
        position = int(np.flatnonzero(grid.stay_ids == row["stay_id"])[0])
        member = "final" if grid.is_test[position] else f"fold-{grid.folds[position]}"
        stays = clinical_stays(grid, np.array([position]), INPUTS)
        values = stays.values.copy()
        values[0, row["hour"], row["variable"]] = row["after_clinical"]
        logit = load_charted(training.checkpoints[member]).logits(dataclasses.replace(stays, values=values))[0]
        threshold = training.checkpoints[member].threshold
        assert (logit >= np.log(threshold / (1 - threshold))) != bool(grid.labels[position])


def test_models_that_cannot_be_walked_are_refused(tmp_path: Path) -> None:
    grid, training = CASES[TREES.name]
    plain = bound(grid, training.checkpoints["final"], np.arange(2))
    model = MeanModel([load_charted(training.checkpoints["final"])])
    target = bind_charted(model, plain.bound, plain.bound_cells, plain.known, plain.shift)
    assert not isinstance(target, PiecewiseTarget)
    with pytest.raises(AttackError, match="exact_value needs a model that says where its score jumps or bends"):
        ExactValueAttack(OPTIONS)(target, [0, 1])
    path = tmp_path / "table.toml"
    path.write_text(
        '[models.trees]\nmodel = "boosted_trees"\n[models.gru]\n'
        '[attacks.decided]\nattack = "exact_value"\nthreat_model = "measured"\n',
        "utf-8",
    )
    with pytest.raises(ConfigError, match=r'models\.gru \(gru\) does not.*sweep.*attacks\.decided\.on = \["trees"\]'):
        load_config(path)
    assert load_config(path, ['attacks.decided.on=["trees"]']).attacks["decided"].attack.name == "exact_value"
