"""Inputs that tell the outcome by themselves are named; honest ones are not."""

from __future__ import annotations

import dataclasses

import numpy as np

from icudl.artifacts import GridDataset
from icudl.preprocessing.leaks import cautions
from icudl.variables import Variable
from training_grids import make_grid


def _grid() -> GridDataset:
    return make_grid(400, signal=0.3)


def test_an_honest_grid_has_no_signs() -> None:
    assert cautions(_grid()) == ()


def test_a_variable_that_is_charted_for_the_dying_is_named() -> None:
    grid = _grid()
    values = np.array(grid.values)
    dying = grid.labels == 1
    values[:, :, 0] = np.nan
    values[dying, 0, 0] = 1.0
    found = cautions(dataclasses.replace(grid, values=values))
    stays = (~grid.is_test).sum()
    assert (
        f"Whether {grid.variables[0].name} was charted tells the outcome almost by itself (AUROC 1.000 over {stays} "
        "stays). No measurement should: check that it is not written down after the outcome, or because of it."
    ) in found
    scored_only = dataclasses.replace(grid, values=values, folds=np.full_like(grid.folds, -1))
    assert cautions(scored_only), "of data that are only scored, all stays are looked at"


def test_a_last_value_that_follows_the_outcome_is_named() -> None:
    grid = _grid()
    values = np.array(grid.values)
    rng = np.random.default_rng(5)
    values[:, :, 1] = rng.uniform(0, 1, values.shape[:2])
    values[:, -1, 1] += 10 * (grid.labels == 1)
    found = cautions(dataclasses.replace(grid, values=values))
    assert any(text.startswith(f"The last value of {grid.variables[1].name} tells the outcome") for text in found)


def test_test_stays_are_not_looked_at() -> None:
    grid = make_grid(900, signal=0.3, test_share=0.8)
    values = np.array(grid.values)
    values[:, :, 0] = np.nan
    values[(grid.labels == 1) & grid.is_test, 0, 0] = 1.0
    values[~grid.is_test, 0, 0] = 1.0
    assert not [text for text in cautions(dataclasses.replace(grid, values=values)) if text.startswith("Whether")]


def test_a_name_that_speaks_of_the_end_is_named() -> None:
    grid = _grid()
    suspicious = Variable(name="code_status", label="Code status", unit="", low=0, high=5, group="other")
    variables = (suspicious, *grid.variables[1:])
    (text,) = cautions(dataclasses.replace(grid, variables=variables))
    assert text.startswith("The variable code_status has a name that speaks of a death")


def test_few_events_are_chance() -> None:
    grid = make_grid(24)
    values = np.array(grid.values)
    values[:, 0, 0] = grid.labels
    assert cautions(dataclasses.replace(grid, values=values)) == ()
