"""The window summaries of a variable as functions of one charted value: where they meet a level, how steep they are.

A variable has n charted hours, one of which takes the value x. The other r = n - 1 have the sum S, the mean m and the
sum of squares Q about it. Then first and last are x or do not move; minimum and maximum are those of x and of the
others; the mean is (S + x) / n; the slope of least squares is linear in x; and, by the rule for adding one value to a
sample (Welford 1962), the squared deviation is Q / r + (x - m)^2 / n.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from icudl.models.charted.base import Float64s
from icudl.models.charted.window import SUMMARIES, MeanOfSummaryModels, ReadsSummaries, SummaryModel

DEVIATION = SUMMARIES.index("deviation")


@runtime_checkable
class PiecewiseModel(ReadsSummaries, Protocol):
    """A model whose score is linear in the summaries between the levels of each: what an exact search needs to know."""

    def levels(self, column: int) -> Float64s:
        """Return the numbers of a summary at which the score jumps or changes its slope."""

    def slopes(self, columns: Float64s) -> Float64s:
        """Return the (n, C) slopes of the score in the summaries at (n, C) columns that lie between levels."""


@dataclasses.dataclass(frozen=True, eq=False)
class Course:
    """How the summaries of one variable of one stay follow one of its charted values.

    Attributes:
        lines: (7, 2) constant and slope of first, last, minimum, maximum, mean, deviation and slope in x; minimum and
            maximum as if no other value were there, the deviation as a constant.
        least: Smallest of the other values; infinite without any.
        most: Largest of the other values.
        centre: Mean of the other values; NaN without any.
        spread: Q / r, the squared deviation at the centre; NaN without others.
        count: n.
    """

    lines: Float64s
    least: float
    most: float
    centre: float
    spread: float
    count: int

    @classmethod
    def of(cls, series: npt.NDArray[np.floating], hour: int) -> Self:
        """Take the course of the value at ``hour`` of a (T,) series, NaN where nothing was charted."""
        known = np.flatnonzero(~np.isnan(series))
        values = series[known].astype(np.float64)
        own, count = known == hour, len(known)
        others = values[~own]
        times = known - known.mean()
        width = float((times**2).sum())
        lines = np.zeros((len(SUMMARIES) - 1, 2))
        lines[0] = (0.0, 1.0) if own[0] else (values[0], 0.0)
        lines[1] = (0.0, 1.0) if own[-1] else (values[-1], 0.0)
        lines[2] = lines[3] = (0.0, 1.0)
        lines[4] = others.sum() / count, 1.0 / count
        if width > 0:
            lines[6] = float((times[~own] * others).sum()) / width, float(times[own][0]) / width
        alone = count == 1
        return cls(
            lines=lines,
            least=np.inf if alone else float(others.min()),
            most=-np.inf if alone else float(others.max()),
            centre=np.nan if alone else float(others.mean()),
            spread=np.nan if alone else float(((others - others.mean()) ** 2).sum() / len(others)),
            count=count,
        )

    def crossings(self, summary: int, levels: Float64s) -> Float64s:
        """Return the values x at which a summary (place in ``SUMMARIES``, but the count) reaches one of ``levels``."""
        if summary == DEVIATION:
            return self._deviation_crossings(levels)
        constant, slope = self.lines[summary]
        if slope == 0.0:
            return np.zeros(0)
        found = (levels - constant) / slope
        if summary == SUMMARIES.index("minimum"):
            found = found[found <= self.least]
        elif summary == SUMMARIES.index("maximum"):
            found = found[found >= self.most]
        return np.asarray(found)

    def _deviation_crossings(self, levels: Float64s) -> Float64s:
        if self.count == 1:
            return np.zeros(0)
        squared = self.count * (levels**2 - self.spread)
        away = np.sqrt(squared[(squared >= 0) & (levels >= 0)])
        return np.concatenate([self.centre - away, self.centre + away])

    def at(self, x: Float64s) -> Float64s:
        """Return the (n, 7) summaries, but the count, where the value is each of x (n,)."""
        found = self.lines[:, 0] + x[:, None] * self.lines[:, 1]
        found[:, 2], found[:, 3] = np.minimum(x, self.least), np.maximum(x, self.most)
        if self.count > 1:
            found[:, DEVIATION] = np.sqrt(self.spread + (x - self.centre) ** 2 / self.count)
        return found

    def bends(self) -> Float64s:
        """Return the values x at which a summary itself changes its slope."""
        return np.array([self.least, self.most]) if self.count > 1 else np.zeros(0)

    def turning(self, x: Float64s, slopes: Float64s) -> Float64s:
        """Return, for places x (n,) inside pieces, where the score of each piece turns; NaN where it does not.

        In a piece the score is a + b x + c D with the deviation D = sqrt(Q / r + (x - m)^2 / n). It turns where
        b + c (x - m) / (n D) = 0.

        Args:
            x: (n,) one place in each piece.
            slopes: (n, 7) slopes of the score in the summaries there.
        """
        moves = np.where(slopes != 0.0, self.lines[:, 1], 0.0)
        moves[:, 2] *= x < self.least
        moves[:, 3] *= x > self.most
        moves[:, DEVIATION] = 0.0
        steep, curved = (slopes * moves).sum(axis=1), slopes[:, DEVIATION]
        nowhere = np.full(len(x), np.nan)
        if self.count == 1:
            return nowhere
        ratio = np.divide(-steep * self.count, curved, out=nowhere.copy(), where=curved != 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            square = ratio**2 * self.spread / (1.0 - ratio**2 / self.count)
            return np.where(ratio**2 < self.count, self.centre + np.sign(ratio) * np.sqrt(square), np.nan)


def break_points(
    model: PiecewiseModel, columns: Float64s, series: npt.NDArray[np.floating], variable: int, hour: int
) -> tuple[Float64s, bool]:
    """Return the values of one charted value between which the score of a stay is monotone, and whether it is constant.

    Args:
        model: The model.
        columns: (C,) summaries of the unchanged stay.
        series: (T,) charted values of the variable.
        variable: The variable.
        hour: The hour of the value.

    Returns:
        Sorted values, and True where the score does not move between any two of them.
    """
    course, first = Course.of(series, hour), variable * len(SUMMARIES)
    levels = [model.levels(first + summary) for summary in range(len(SUMMARIES) - 1)]
    found = [course.crossings(summary, own) for summary, own in enumerate(levels)]
    places = np.unique(np.concatenate([*found, course.bends()]))
    places = places[np.isfinite(places)]
    edges = np.concatenate([places[:1] - 1.0, places, places[-1:] + 1.0]) if len(places) else np.zeros(2)
    inside = (edges[:-1] + edges[1:]) / 2
    slopes = model.slopes(_moved(columns, course, first, inside))[:, first : first + len(SUMMARIES) - 1]
    if not slopes.any():
        return places, True
    turns = course.turning(inside, slopes)
    # A piece at either end of the line has no further end: its turn counts wherever it lies beyond.
    low = np.concatenate([[-np.inf], places]) if len(places) else np.array([-np.inf])
    high = np.concatenate([places, [np.inf]]) if len(places) else np.array([np.inf])
    with np.errstate(invalid="ignore"):
        within = (turns > low) & (turns < high)
    return np.unique(np.concatenate([places, turns[within]])), False


def _moved(columns: Float64s, course: Course, first: int, x: Float64s) -> Float64s:
    """Return the (n, C) summaries of a stay with each x (n,) in place of its value."""
    moved = np.repeat(columns[None], len(x), axis=0)
    moved[:, first : first + len(SUMMARIES) - 1] = course.at(x)
    return moved


class MeanOfPiecewiseModels(MeanOfSummaryModels):
    """The mean of the logits of several models that are linear between levels."""

    def __init__(self, models: Sequence[SummaryModel], pieces: Sequence[PiecewiseModel]) -> None:
        super().__init__(models)
        self.pieces = tuple(pieces)

    def levels(self, column: int) -> Float64s:
        """Return the levels of all models; see ``PiecewiseModel``."""
        return np.unique(np.concatenate([model.levels(column) for model in self.pieces]))

    def slopes(self, columns: Float64s) -> Float64s:
        """Return the mean of the slopes of all models; see ``PiecewiseModel``."""
        slopes: Float64s = np.mean([model.slopes(columns) for model in self.pieces], axis=0)
        return slopes


def mean_of(models: Sequence[SummaryModel]) -> MeanOfSummaryModels:
    """Return the mean of models of summaries, which offers what all of them offer."""
    pieces = [model for model in models if isinstance(model, PiecewiseModel)]
    return MeanOfPiecewiseModels(models, pieces) if len(pieces) == len(models) else MeanOfSummaryModels(models)
