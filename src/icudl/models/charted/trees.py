"""Boosted trees: fitted by scikit-learn, kept as arrays and evaluated here, to the same bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from icudl.errors import StageError
from icudl.models.charted.base import Arrays, ClinicalStays, Float64s, require_both_classes
from icudl.models.charted.window import SummaryModel, summarise
from icudl.models.options import BoostedTreesOptions, ModelOptions

CHUNK = 4096
"""Rows that go through all trees at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trees:
    """Binary trees whose values are added up; the nodes of all K trees lie one after the other.

    A row goes to the left where its number is at most the threshold, or where it is NaN and ``missing_left`` says so.
    A leaf is its own child on both sides.

    Attributes:
        root: (K,) int32 node at which each tree begins.
        column: (M,) int32 number that a node looks at; 0 in leaves.
        threshold: (M,) float64; infinite in leaves.
        missing_left: (M,) bool.
        left: (M,) int32 node.
        right: (M,) int32 node.
        value: (M,) float64; of leaves.
        base: (1,) float64, to which the values of the leaves are added, tree after tree.
    """

    root: npt.NDArray[np.int32]
    column: npt.NDArray[np.int32]
    threshold: Float64s
    missing_left: npt.NDArray[np.bool_]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: Float64s
    base: Float64s

    @property
    def is_leaf(self) -> npt.NDArray[np.bool_]:
        """(M,) nodes that end a tree."""
        ends: npt.NDArray[np.bool_] = self.left == np.arange(len(self.left))
        return ends

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def sums(self, columns: Float64s) -> Float64s:
        """Return the (n,) base plus the values of the leaves that (n, C) columns end in.

        Values are added tree after tree, as scikit-learn does, so that the sum has the same bits.
        """
        total = np.full(len(columns), self.base[0])
        for start in range(0, len(columns), CHUNK):
            rows = slice(start, start + CHUNK)
            for leaf_values in self.value[self._leaves(columns[rows])]:
                total[rows] += leaf_values
        return total

    def _leaves(self, columns: Float64s) -> npt.NDArray[np.int32]:
        """Return the (K, n) leaves that (n, C) columns end in."""
        n_rows, n_columns = columns.shape
        flat, own = np.ascontiguousarray(columns).ravel(), np.arange(n_rows) * n_columns
        node = np.repeat(self.root, n_rows)
        moving = np.flatnonzero(~self.is_leaf[node])
        while len(moving):
            at = node[moving]
            number = flat[own[moving % n_rows] + self.column[at]]
            # A comparison with NaN is False, so that a missing number goes to the right unless the node says otherwise.
            goes_left = (number <= self.threshold[at]) | (np.isnan(number) & self.missing_left[at])
            at = np.where(goes_left, self.left[at], self.right[at])
            node[moving] = at
            moving = moving[~self.is_leaf[at]]
        return node.reshape(len(self.root), n_rows)


def joined(parts: Sequence[Trees]) -> Trees:
    """Return the trees of several ensembles as one whose sum is the mean of theirs."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(part.column) for part in parts[:-1])])

    def whole(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    def moved(name: str) -> npt.NDArray[np.int32]:
        shifted = [getattr(part, name) + start for part, start in zip(parts, starts, strict=True)]
        return np.concatenate(shifted).astype(np.int32)

    return Trees(
        root=moved("root"),
        column=whole("column"),
        threshold=whole("threshold"),
        missing_left=whole("missing_left"),
        left=moved("left"),
        right=moved("right"),
        value=whole("value") / len(parts),
        base=np.mean([part.base for part in parts], axis=0),
    )


def boosting(options: BoostedTreesOptions, seed: int) -> Any:
    """Return scikit-learn's unfitted classifier."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=options.learning_rate,
        max_iter=options.trees,
        max_leaf_nodes=options.leaves,
        min_samples_leaf=options.stays_per_leaf,
        l2_regularization=options.l2,
        max_features=options.feature_share,
        early_stopping=False,
        random_state=seed % 2**32,
    )


def known_columns(columns: Float64s) -> npt.NDArray[np.int64]:
    """Return the columns that have a value; trees cannot divide the others into bins."""
    return np.flatnonzero(~np.isnan(columns).all(axis=0))


def trees_of(fitted: Any, columns: npt.NDArray[np.integer]) -> Trees:
    """Read the trees of a fitted ``HistGradientBoostingClassifier`` of two classes.

    Args:
        fitted: The classifier. Its trees have no public name; ``BoostedTrees.fit`` compares what is read here with the
            classifier's own scores.
        columns: (C,) for each column that the classifier was fitted on, its place among all columns.
    """
    tables = [iteration[0].nodes for iteration in fitted._predictors]  # noqa: SLF001
    starts = np.cumsum([0, *(len(table) for table in tables[:-1])])
    nodes, start = np.concatenate(tables), np.repeat(starts, [len(table) for table in tables])
    leaf, own = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
    return Trees(
        root=starts.astype(np.int32),
        column=np.where(leaf, 0, np.asarray(columns)[np.where(leaf, 0, nodes["feature_idx"])]).astype(np.int32),
        threshold=np.where(leaf, np.inf, nodes["num_threshold"]),
        missing_left=nodes["missing_go_to_left"].astype(bool) & ~leaf,
        left=np.where(leaf, own, nodes["left"] + start).astype(np.int32),
        right=np.where(leaf, own, nodes["right"] + start).astype(np.int32),
        value=np.where(leaf, nodes["value"], 0.0),
        base=np.asarray(fitted._baseline_prediction, np.float64).reshape(-1)[:1].copy(),  # noqa: SLF001
    )


class BoostedTrees(SummaryModel):
    """Gradient boosted trees on window summaries.

    Attributes:
        trees: The trees before calibration.
        line: (2,) calibration: the logit is ``line[0]`` times their sum plus ``line[1]``.
    """

    Options: ClassVar[type[ModelOptions]] = BoostedTreesOptions
    options: BoostedTreesOptions

    def __init__(self, options: BoostedTreesOptions, arrays: Arrays) -> None:
        super().__init__(options, arrays)
        self.trees = Trees(**{field.name: self.arrays[field.name] for field in dataclasses.fields(Trees)})
        self.line: Float64s = self.arrays["line"]

    @classmethod
    def fit(
        cls, options: ModelOptions, stays: ClinicalStays, labels: npt.NDArray[np.integer], seeds: Sequence[int]
    ) -> Self:
        """Fit one ensemble of trees for each seed; see ``ChartedModel.fit``.

        Raises:
            StageError: There is one class only, or this version of scikit-learn keeps its trees in another way.
        """
        own = BoostedTreesOptions.from_dict(options.to_dict())
        require_both_classes(labels, own.name)
        columns = summarise(stays.values, stays.lengths, stays.statics)
        known = known_columns(columns)
        parts = []
        for seed in seeds:
            fitted = boosting(own, seed).fit(columns[:, known], labels)
            trees = trees_of(fitted, known)
            if not np.array_equal(trees.sums(columns), fitted.decision_function(columns[:, known])):
                raise StageError(
                    "The trees read from scikit-learn do not give its scores: this version keeps them in another way. "
                    "Install a version of scikit-learn that was released before this one."
                )
            parts.append(trees)
        return cls(own, joined(parts).arrays() | {"line": np.array([1.0, 0.0])})

    def levels(self, column: int) -> Float64s:
        """Return the thresholds of a summary; see ``one_value.PiecewiseModel``."""
        thresholds: Float64s = self.trees.threshold[(self.trees.column == column) & ~self.trees.is_leaf]
        return np.unique(thresholds)

    def slopes(self, columns: Float64s) -> Float64s:
        """Return zeros: the score is constant between thresholds."""
        return np.zeros_like(columns)

    def score(self, columns: Float64s) -> Float64s:
        """See ``SummaryModel.score``."""
        logits: Float64s = self.line[0] * self.trees.sums(columns) + self.line[1]
        return logits

    def absorbed(self, scale: float, shift: float) -> Self:
        """See ``ChartedModel.absorbed``."""
        line = np.array([scale * self.line[0], scale * self.line[1] + shift])
        return type(self)(self.options, {**self.arrays, "line": line})
