"""Bounds of models of window summaries over boxes: every summary lies anywhere between two numbers of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from icudl.models.charted.base import Float64s
from icudl.models.charted.logistic import LogisticRegression
from icudl.models.charted.trees import BoostedTrees, Trees
from icudl.models.charted.window import SUMMARIES, MeanOfSummaryModels

Bounds = Callable[[Float64s, Float64s], tuple[Float64s, Float64s]]
"""From (n, C) lower and upper ends of the columns to the (n,) least and greatest logits."""

NEAR = 1e-11
"""Ends are moved outward by so much, relatively: two ways to add up a summary differ in their last digits."""


def bounds_of(model: object) -> Bounds | None:
    """Return how a model is bounded; None where it is not known."""
    if isinstance(model, MeanOfSummaryModels):
        parts = [bounds_of(part) for part in model.models]
        known = [part for part in parts if part is not None]
        return functools.partial(_of_mean, known) if len(known) == len(parts) else None
    if isinstance(model, BoostedTrees):
        return functools.partial(_of_trees, model, _levels(model.trees))
    return functools.partial(_of_regression, model) if isinstance(model, LogisticRegression) else None


def is_additive(model: object) -> bool:
    """Return whether a model adds up what it makes of each variable by itself."""
    parts = model.models if isinstance(model, MeanOfSummaryModels) else (model,)
    return all(isinstance(part, LogisticRegression) for part in parts)


def _of_mean(parts: list[Bounds], low: Float64s, high: Float64s) -> tuple[Float64s, Float64s]:
    found = np.mean([part(low, high) for part in parts], axis=0)
    return found[0], found[1]


def _of_regression(model: LogisticRegression, low: Float64s, high: Float64s) -> tuple[Float64s, Float64s]:
    ends = [model.scores.transform(end) * model.arrays["coefficient"] for end in (low, high)]
    least, greatest = (rule(*ends).sum(axis=1) + model.arrays["intercept"] for rule in (np.minimum, np.maximum))
    return least, greatest


def _levels(trees: Trees) -> list[npt.NDArray[np.int64]]:
    """Return the inner nodes of all trees by their depth, the deepest first."""
    found, nodes = [], trees.root.astype(np.int64)
    while len(nodes := nodes[~trees.is_leaf[nodes]]):
        found.append(nodes)
        nodes = np.concatenate([trees.left[nodes], trees.right[nodes]]).astype(np.int64)
    return found[::-1]


def _of_trees(
    model: BoostedTrees, levels: list[npt.NDArray[np.int64]], low: Float64s, high: Float64s
) -> tuple[Float64s, Float64s]:
    """Follow every branch of each tree that a box allows."""
    trees = model.trees
    least = np.repeat(trees.value[:, None], len(low), axis=1)
    greatest = least.copy()
    for nodes in levels:
        column, threshold = trees.column[nodes], trees.threshold[nodes][:, None]
        below, above = low[:, column].T, high[:, column].T
        missing, to_left = np.isnan(below), trees.missing_left[nodes][:, None]
        with np.errstate(invalid="ignore"):
            left = np.where(missing, to_left, below <= threshold)
            right = np.where(missing, ~to_left, above > threshold)
        ends = trees.left[nodes], trees.right[nodes]
        least[nodes] = np.minimum(np.where(left, least[ends[0]], np.inf), np.where(right, least[ends[1]], np.inf))
        greatest[nodes] = np.maximum(
            np.where(left, greatest[ends[0]], -np.inf), np.where(right, greatest[ends[1]], -np.inf)
        )
    scale, shift = model.line
    sums = [scale * (trees.base[0] + each[trees.root].sum(axis=0)) + shift for each in (least, greatest)]
    return np.minimum(*sums), np.maximum(*sums)


def summaries_between(hours: npt.NDArray[np.integer], low: Float64s, high: Float64s) -> tuple[Float64s, Float64s]:
    """Return between which numbers the summaries of one variable lie, but the count, while one or two values move.

    Args:
        hours: (n,) hours of its charted values, rising.
        low: (m, n) lower ends of the values; of all but two at most they are the upper ends.
        high: (m, n) upper ends.

    Returns:
        (m, 7) lower and upper ends of the summaries.
    """
    count = hours.shape[0]
    late = hours - hours.mean()
    width = float((late**2).sum())
    late = late / width if width > 0 else np.zeros(count)
    rising, falling = late.clip(min=0), late.clip(max=0)
    least_deviation, greatest_deviation = _deviations(low, high)
    ends = []
    for one, other, deviation in ((low, high, least_deviation), (high, low, greatest_deviation)):
        slope = one @ rising + other @ falling
        columns = [one[:, 0], one[:, -1], one.min(axis=1), one.max(axis=1), one.mean(axis=1), deviation, slope]
        ends.append(np.stack(columns, axis=1))
    room = NEAR * (1 + np.maximum(np.abs(low), np.abs(high)).max(axis=1, keepdims=True))
    return ends[0] - room, ends[1] + room


def summaries_of_two(
    hours: npt.NDArray[np.integer], values: Float64s, low: Float64s, high: Float64s
) -> tuple[Float64s, Float64s]:
    """Return between which numbers the summaries of one variable lie, but the count, while any two values move.

    Sums move by the two largest of their terms at most, and a deviation, which is a norm, by the norm of the change.

    Args:
        hours: (n,) hours of its charted values, rising.
        values: (n,) the values.
        low: (n,) lower ends.
        high: (n,) upper ends.

    Returns:
        (7,) lower and upper ends of the summaries.
    """
    count = len(values)
    late = hours - hours.mean()
    late = late / max(float((late**2).sum()), 1e-300)
    rise, fall = high - values, low - values
    ordered = np.sort(values)
    third = (ordered[-3], ordered[2]) if count > 2 else (low.min(), high.max())
    deviation = float(values.std(ddof=1)) if count > 1 else 0.0
    away = float(np.sqrt(_two_largest(np.maximum(rise, -fall) ** 2) / max(count - 1, 1)))
    turned = np.maximum(rise * late, fall * late), np.maximum(-rise * late, -fall * late)
    slope, mean = float(values @ late), float(values.mean())
    fewest = -_two_largest(-fall), -_two_largest(turned[1])
    most = _two_largest(rise), _two_largest(turned[0])
    extremes = ((low.min(), third[0]), (third[1], high.max()))
    ends = [
        np.array([end[0], end[-1], *extreme, mean + moved[0] / count, deviation + sign * away, slope + moved[1]])
        for end, extreme, moved, sign in zip((low, high), extremes, (fewest, most), (-1, 1), strict=True)
    ]
    room = NEAR * (1 + np.maximum(np.abs(low), np.abs(high)).max())
    return ends[0] - room, ends[1] + room


def _two_largest(terms: Float64s) -> float:
    return float(np.sort(terms.clip(min=0))[-2:].sum())


def _deviations(low: Float64s, high: Float64s) -> tuple[Float64s, Float64s]:
    """Return the (m,) least (at most) and greatest deviation of the sample.

    The deviation is a norm, so that it is greatest where each value is at an end. A value that joins a sample does not
    lessen the sum of squares about the mean: the sum is at least that of the values at rest with either of the others,
    r / (r + 1) times the square of its distance from their mean more than theirs alone (Welford 1962).
    """
    count = low.shape[1]
    if count == 1:
        return np.zeros(len(low)), np.zeros(len(low))
    moves = high > low
    greatest = np.zeros(len(low))
    order = np.argsort(~moves, axis=1, kind="stable")[:, :2]
    rows = np.arange(len(low))
    for first in (low, high):
        for second in (low, high):
            corner = low.copy()
            corner[rows, order[:, 0]] = first[rows, order[:, 0]]
            corner[rows, order[:, 1]] = second[rows, order[:, 1]]
            greatest = np.maximum(greatest, corner.std(axis=1, ddof=1))
    resting = (~moves).sum(axis=1)
    mean = np.where(moves, 0.0, low).sum(axis=1) / np.maximum(resting, 1)
    square = np.where(moves, 0.0, (low - mean[:, None]) ** 2).sum(axis=1)
    away = np.maximum(np.maximum(low - mean[:, None], mean[:, None] - high), 0.0)
    joined = np.where(moves, away, 0.0).max(axis=1) ** 2 * resting / (resting + 1)
    return np.sqrt((square + joined) / (count - 1)), greatest


N_MOVING = len(SUMMARIES) - 1
"""Summaries of a variable that follow its values: all but the count."""
