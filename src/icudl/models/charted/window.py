"""Summaries of a window: eight numbers for each variable, from charted values with their gaps."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from icudl.models.charted.base import ChartedModel, ClinicalStays, Float64s, RiskModel

SUMMARIES = ("first", "last", "minimum", "maximum", "mean", "deviation", "slope", "count")
"""Numbers per variable, in the order of the columns; all but the count are NaN for a variable never measured."""


FEW_CELLS = 100_000
"""Cells up to which calls cost more than memory."""


def summarise(
    values: npt.NDArray[np.floating], lengths: npt.NDArray[np.integer], statics: npt.NDArray[np.float32]
) -> Float64s:
    """Summarise stays.

    The numbers of a variable depend on the values of that variable alone, to the last bit.

    Args:
        values: (N, T, F) clinical units, NaN where not measured.
        lengths: (N,) hours; cells beyond are ignored.
        statics: (N, S) descriptors, NaN where unknown.

    Returns:
        (N, 8 F + S): the ``SUMMARIES`` of variable 0, of variable 1, ..., then the descriptors. The deviation is that
        of the sample (n - 1), 0 for a single value; the slope is that of least squares, per hour, 0 for a single value.
    """
    n_stays, n_hours, n_variables = values.shape
    hours = np.arange(n_hours, dtype=np.float64)
    known = ~np.isnan(values) & (hours < np.asarray(lengths)[:, None])[:, :, None]
    x = np.where(known, values, 0.0).astype(np.float64)
    count = known.sum(axis=1)
    mean = _divide(_sum_over_hours(x), count)
    centred = np.where(known, x - mean[:, None, :], 0.0)
    time = hours[None, :, None] * known
    time_centred = np.where(known, hours[None, :, None] - _divide(_sum_over_hours(time), count)[:, None, :], 0.0)
    deviation = np.sqrt(_sum_over_hours(centred**2) / np.maximum(count - 1, 1))
    spread = _sum_over_hours(time_centred**2)
    slope = _sum_over_hours(centred * time_centred) / np.where(spread > 0, spread, 1.0)
    first = np.take_along_axis(x, known.argmax(axis=1)[:, None, :], axis=1)[:, 0]
    last = np.take_along_axis(x, (n_hours - 1 - known[:, ::-1].argmax(axis=1))[:, None, :], axis=1)[:, 0]
    minimum = np.where(known, x, np.inf).min(axis=1)
    maximum = np.where(known, x, -np.inf).max(axis=1)
    columns = np.stack([first, last, minimum, maximum, mean, deviation, slope], axis=2)
    columns[count == 0] = np.nan
    summaries = np.concatenate([columns, count[:, :, None]], axis=2).reshape(n_stays, n_variables * len(SUMMARIES))
    return np.concatenate([summaries, statics.astype(np.float64)], axis=1)


def _sum_over_hours(cells: Float64s) -> Float64s:
    """Sum (N, T, F) over the hours, one hour after the other.

    NumPy's own sum adds in an order that depends on the shape, so that a variable's numbers would depend on how many
    variables are summarised beside it. Running sums add in order; they take T times the memory, and a call each where
    the loop takes T of them.
    """
    if cells.size <= FEW_CELLS:
        running: Float64s = np.add.accumulate(cells, axis=1)[:, -1]
        return running + 0.0  # the loop starts with 0, which leaves no -0
    total = np.zeros((cells.shape[0], cells.shape[2]))
    for hour in range(cells.shape[1]):
        total += cells[:, hour]
    return total


def _divide(total: Float64s, count: npt.NDArray[np.integer]) -> Float64s:
    quotient: Float64s = total / np.maximum(count, 1)
    return quotient


@runtime_checkable
class ReadsSummaries(RiskModel, Protocol):
    """A risk model that reads window summaries: who changes one variable need not summarise the others again."""

    def score(self, columns: Float64s) -> Float64s:
        """Return the (n,) logits of (n, 8 F + S) summaries, each row by itself."""


class SummaryModel(ChartedModel):
    """A model of window summaries (``summarise``)."""

    def logits(self, stays: ClinicalStays) -> Float64s:
        """Return the (N,) logits of the event; see ``RiskModel``."""
        return self.score(summarise(stays.values, stays.lengths, stays.statics))

    @abc.abstractmethod
    def score(self, columns: Float64s) -> Float64s:
        """Return the (n,) logits of (n, 8 F + S) summaries, each row by itself."""


class MeanOfSummaryModels:
    """The mean of the logits of several models of window summaries, such as those of all folds.

    Attributes:
        models: The models.
    """

    def __init__(self, models: Sequence[SummaryModel]) -> None:
        self.models = tuple(models)

    def logits(self, stays: ClinicalStays) -> Float64s:
        """Return the (N,) logits of the event; see ``RiskModel``."""
        return self.score(summarise(stays.values, stays.lengths, stays.statics))

    def score(self, columns: Float64s) -> Float64s:
        """See ``ReadsSummaries.score``."""
        total = np.zeros(len(columns))
        for model in self.models:
            total += model.score(columns)
        return total / len(self.models)
