"""Boosted trees and logistic regression as arrays: the scores of scikit-learn, stored and read back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icudl.artifacts import Checkpoint
from icudl.errors import PluginError, StageError
from icudl.models.build import load_charted, load_model
from icudl.models.charted.base import ClinicalStays
from icudl.models.charted.logistic import ClippedScores, LogisticRegression, regression
from icudl.models.charted.trees import BoostedTrees, Trees, boosting, joined, known_columns, trees_of
from icudl.models.charted.window import SUMMARIES, summarise
from icudl.models.options import BoostedTreesOptions, LogisticOptions
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on
from icudl.training.data import clinical_stays
from training_grids import make_grid

NAN = np.nan
GRID = make_grid(160, n_hours=8, seed=4)
INPUTS = InputOptions(statics=("age_years",))
ROWS = np.flatnonzero(~GRID.is_test)
STAYS = clinical_stays(GRID, np.arange(len(GRID.labels)), INPUTS)
SMALL = BoostedTreesOptions(trees=30, leaves=6, stays_per_leaf=5)


def columns_with_gaps(seed: int, n_rows: int = 150, n_columns: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with few different values, so that splits fall on ties, with gaps that tell something."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(-4, 5, (n_rows, n_columns)) / 2
    labels = (columns[:, 0] + rng.normal(size=n_rows) > 0).astype(np.int8)
    columns[rng.random(columns.shape) < 0.15] = NAN
    columns[labels == 1, 1] = np.where(rng.random(int(labels.sum())) < 0.6, NAN, columns[labels == 1, 1])
    columns[:, 3] = NAN
    return columns, labels


@pytest.mark.parametrize("seed", range(4))
def test_trees_read_from_scikit_learn_give_its_scores_to_the_bit(seed: int) -> None:
    columns, labels = columns_with_gaps(seed)
    known = known_columns(columns)
    assert known.tolist() == [0, 1, 2, 4, 5]
    fitted = boosting(SMALL, seed).fit(columns[:, known], labels)
    trees = trees_of(fitted, known)
    unseen = np.concatenate([columns, columns_with_gaps(seed + 50)[0], np.full((1, 6), NAN), np.full((1, 6), np.inf)])
    # Numbers that are thresholds themselves: a row goes to the left there.
    edges = trees.threshold[np.isfinite(trees.threshold)]
    unseen = np.concatenate([unseen, np.resize(edges, (40, 6)), np.nextafter(np.resize(edges, (40, 6)), np.inf)])
    assert np.array_equal(trees.sums(unseen), fitted.decision_function(unseen[:, known]))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_trees_are_followed_as_by_hand(data: st.DataObject) -> None:
    """Random trees, one row at a time, by recursion."""
    number = st.sampled_from([-1.0, 0.0, 0.5, 2.0])

    def draw(depth: int) -> tuple:
        if depth == 0 or data.draw(st.booleans()):
            return (data.draw(st.floats(-3, 3)),)
        split = (data.draw(st.integers(0, 2)), data.draw(number), data.draw(st.booleans()))
        return (*split, draw(depth - 1), draw(depth - 1))

    grown = [draw(3) for _ in range(data.draw(st.integers(1, 3)))]
    rows = np.array(data.draw(st.lists(st.tuples(*[number | st.just(NAN)] * 3), min_size=1, max_size=5)))

    def value(tree: tuple, row: np.ndarray) -> float:
        if len(tree) == 1:
            return tree[0]
        column, threshold, missing_left, left, right = tree
        goes_left = missing_left if np.isnan(row[column]) else row[column] <= threshold
        return value(left if goes_left else right, row)

    expected = []
    for row in rows:
        total = 0.25
        for tree in grown:
            total += value(tree, row)
        expected.append(total)
    assert laid_out(grown, base=0.25).sums(rows).tolist() == expected


def laid_out(grown: list[tuple], base: float) -> Trees:
    nodes: list[list] = []

    def place(tree: tuple) -> int:
        own = len(nodes)
        nodes.append([0, np.inf, False, own, own, tree[0]])
        if len(tree) > 1:
            column, threshold, missing_left, left, right = tree
            nodes[own] = [column, threshold, missing_left, 0, 0, 0.0]
            nodes[own][3:5] = [place(left), place(right)]
        return own

    roots = [place(tree) for tree in grown]
    column, threshold, missing, left, right, value = (np.array(part) for part in zip(*nodes, strict=True))
    return Trees(np.array(roots), column, threshold, missing.astype(bool), left, right, value, np.array([base]))


def test_several_ensembles_as_one_give_the_mean() -> None:
    columns, labels = columns_with_gaps(1)
    known = known_columns(columns)
    parts = [trees_of(boosting(SMALL, seed).fit(columns[:, known], labels), known) for seed in range(3)]
    mean = np.mean([part.sums(columns) for part in parts], axis=0)
    assert joined(parts).sums(columns) == pytest.approx(mean, abs=1e-12)


def test_logistic_regression_gives_the_scores_of_scikit_learn() -> None:
    columns = summarise(STAYS.values, STAYS.lengths, STAYS.statics)
    scores = ClippedScores.of(columns)
    fitted = regression(LogisticOptions()).fit(scores.transform(columns), GRID.labels)
    model = LogisticRegression.fit(LogisticOptions(), STAYS, GRID.labels, [0])
    assert model.logits(STAYS) == pytest.approx(fitted.decision_function(scores.transform(columns)), abs=1e-12)


def test_the_numbers_of_a_variable_depend_on_that_variable_alone() -> None:
    """To the last bit, however many variables and stays are summarised together."""
    rng = np.random.default_rng(0)
    values = rng.normal(1e3, 7, (5, 48, 9)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = NAN
    lengths, none = np.array([48, 40, 48, 9, 1]), np.zeros((5, 0), np.float32)
    whole = summarise(values, lengths, none).reshape(5, 9, len(SUMMARIES))
    for stay in range(5):
        for variable in range(9):
            alone = summarise(values[[stay]][:, :, [variable]], lengths[[stay]], none[[stay]])
            assert np.array_equal(alone[0], whole[stay, variable], equal_nan=True)


def checkpoint_of(model: BoostedTrees | LogisticRegression, **more: object) -> Checkpoint:
    fields = {
        "member": None, "model": model.options.to_dict(), "inputs": INPUTS.to_dict(), "variables": GRID.variables,
        "static_names": INPUTS.statics, "n_hours": 8, "scaler": fit_scaler_on(GRID, ROWS, INPUTS), "threshold": 0.4,
        "weights": model.arrays,
    }  # fmt: skip
    return Checkpoint(**(fields | more))


@pytest.mark.parametrize(("plugin", "options"), [(BoostedTrees, SMALL), (LogisticRegression, LogisticOptions())])
def test_a_stored_model_gives_the_same_logits(plugin, options, tmp_path: Path) -> None:
    from icudl.artifacts import FINAL

    model = plugin.fit(options, STAYS, GRID.labels, [3]).absorbed(1.3, 0.2)
    checkpoint_of(model, member=FINAL).write(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    again = load_charted(Checkpoint.read_member(tmp_path, "final"))
    assert np.array_equal(again.logits(STAYS), model.logits(STAYS))


def test_arrays_of_another_model_are_refused() -> None:
    trees = BoostedTrees.fit(SMALL, STAYS, GRID.labels, [3])
    with pytest.raises(StageError, match=r"do not fit the model 'logistic_regression'.*Train the model again"):
        load_charted(dataclasses.replace(checkpoint_of(trees), model=LogisticOptions().to_dict()))


def test_a_model_of_charted_values_is_no_network() -> None:
    trees = checkpoint_of(BoostedTrees.fit(SMALL, STAYS, GRID.labels, [3]))
    with pytest.raises(PluginError, match="'boosted_trees' is no torch network"):
        load_model(trees, "cpu")


@pytest.mark.parametrize(("plugin", "options"), [(BoostedTrees, SMALL), (LogisticRegression, LogisticOptions())])
def test_one_outcome_alone_teaches_nothing(plugin, options) -> None:
    with pytest.raises(StageError, match=r"one outcome only.*Use more stays"):
        plugin.fit(options, STAYS, np.zeros(len(STAYS), np.int8), [0])


def test_trees_kept_in_another_way_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version of scikit-learn whose private arrays mean something else must not pass unseen."""
    monkeypatch.setattr(
        "icudl.models.charted.trees.trees_of",
        lambda fitted, columns: dataclasses.replace(trees_of(fitted, columns), base=np.array([9.0])),
    )
    with pytest.raises(StageError, match="do not give its scores"):
        BoostedTrees.fit(SMALL, STAYS, GRID.labels, [0])


def test_stays_are_chosen_by_row() -> None:
    some = STAYS.select(np.array([3, 1]))
    assert isinstance(some, ClinicalStays)
    assert len(some) == 2
    assert np.array_equal(some.values, STAYS.values[[3, 1]], equal_nan=True)


def test_few_and_many_stays_are_summarised_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(0, 1e3, (40, 48, 3)).astype(np.float32)
    values[rng.random(values.shape) < 0.5] = np.nan
    values[0, 3] = -0.0
    lengths, statics = rng.integers(1, 49, 40), np.zeros((40, 0), np.float32)
    few = summarise(values, lengths, statics)
    monkeypatch.setattr("icudl.models.charted.window.FEW_CELLS", 0)
    assert few.tobytes() == summarise(values, lengths, statics).tobytes()
