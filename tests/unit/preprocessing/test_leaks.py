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
    scored_only = dataclasses.replace(grid, values=values, is_test=np.ones_like(grid.is_test))
    assert any("over 400 stays" in text for text in cautions(scored_only)), "data that are only scored have no others"


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


def _told_by(values: list[float], labels: list[int]) -> tuple[str, ...]:
    """Signs where the last value of the first variable is the only one that is charted."""
    grid = make_grid(len(labels), test_share=0)
    empty = np.full_like(grid.values, np.nan)
    empty[:, 0, 0] = values
    return cautions(dataclasses.replace(grid, values=empty, labels=np.array(labels, np.int8)))


def test_twenty_events_and_an_auroc_of_95_are_enough() -> None:
    # One of twenty events lies below all others: 380 of 400 pairs are in order.
    (text,) = _told_by([*range(1, 21), -1.0, *range(30, 49)], [0] * 20 + [1] * 20)
    assert "(AUROC 0.950 over 40 stays)" in text
    assert _told_by([*range(2, 21), *range(30, 51)], [0] * 19 + [1] * 21) == ()
    assert _told_by([*range(1, 22), *range(30, 49)], [0] * 21 + [1] * 19) == ()
    # Two such events are too many.
    assert _told_by([*range(1, 21), -1.0, -2.0, *range(30, 48)], [0] * 20 + [1] * 20) == ()


def test_the_last_value_is_the_last_that_was_charted() -> None:
    grid = _grid()
    values = np.full_like(grid.values, np.nan)
    rows, rng = np.arange(len(grid.labels)), np.random.default_rng(3)
    last = rng.integers(1, values.shape[1] - 1, len(rows))
    values[rows, 0, 0] = rng.uniform(0, 1, len(rows))
    values[rows, last, 0] = grid.labels + rng.uniform(0, 0.5, len(rows))
    (text,) = cautions(dataclasses.replace(grid, values=values))
    assert text.startswith(f"The last value of {grid.variables[0].name} tells the outcome")


def test_a_descriptor_that_tells_the_outcome_is_named() -> None:
    grid = _grid()
    statics = np.array(grid.statics)
    statics[:, 0] = grid.labels
    statics[::3, 0] = np.nan
    (text,) = cautions(dataclasses.replace(grid, statics=statics))
    known = (~np.isnan(statics[:, 0]) & ~grid.is_test).sum()
    assert text.startswith(f"The descriptor {grid.static_names[0]} tells the outcome")
    assert f"(AUROC 1.000 over {known} stays)" in text
