"""Logistic regression on clipped standard scores: fitted by scikit-learn, kept as arrays and evaluated here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from icudl.models.charted.base import Arrays, ClinicalStays, Float64s, require_both_classes
from icudl.models.charted.window import SummaryModel, summarise
from icudl.models.options import LogisticOptions, ModelOptions


@dataclasses.dataclass(frozen=True, eq=False)
class ClippedScores:
    """From columns to standard scores: clip to the 1st and 99th percentile, standardise, put 0 (the mean) for NaN.

    Attributes:
        low: (C,) 1st percentiles.
        high: (C,) 99th percentiles.
        mean: (C,) means of the clipped columns.
        deviation: (C,) their deviations; 1 where these are 0.
    """

    low: Float64s
    high: Float64s
    mean: Float64s
    deviation: Float64s

    @classmethod
    def of(cls, columns: Float64s) -> Self:
        """Take percentiles, means and deviations of (n, C) columns; a column without a value becomes 0."""
        known = ~np.isnan(columns).all(axis=0)
        low, high = np.zeros(columns.shape[1]), np.zeros(columns.shape[1])
        low[known], high[known] = np.nanpercentile(columns[:, known], [1, 99], axis=0)
        clipped = np.clip(columns[:, known], low[known], high[known])
        mean, deviation = np.zeros(columns.shape[1]), np.ones(columns.shape[1])
        mean[known] = np.nanmean(clipped, axis=0)
        spread = np.nanstd(clipped, axis=0)
        deviation[known] = np.where(spread > 0, spread, 1.0)
        return cls(low, high, mean, deviation)

    def transform(self, columns: Float64s) -> Float64s:
        """Return the (n, C) standard scores."""
        scores = (np.clip(columns, self.low, self.high) - self.mean) / self.deviation
        return np.nan_to_num(scores, nan=0.0)


def regression(options: LogisticOptions) -> Any:
    """Return scikit-learn's unfitted classifier."""
    from sklearn.linear_model import LogisticRegression as Classifier

    return Classifier(C=options.inverse_penalty, max_iter=2000)


class LogisticRegression(SummaryModel):
    """Logistic regression on window summaries.

    Attributes:
        scores: From summaries to standard scores.
    """

    Options: ClassVar[type[ModelOptions]] = LogisticOptions
    options: LogisticOptions

    def __init__(self, options: LogisticOptions, arrays: Arrays) -> None:
        super().__init__(options, arrays)
        self.scores = ClippedScores(**{each.name: self.arrays[each.name] for each in dataclasses.fields(ClippedScores)})

    @classmethod
    def fit(
        cls,
        options: ModelOptions,
        stays: ClinicalStays,
        labels: npt.NDArray[np.integer],
        seeds: Sequence[int],
    ) -> Self:
        """Fit percentiles and scores, then coefficients: one fit, or the mean of several on resampled stays.

        Raises:
            StageError: There is one class only.
        """
        own = LogisticOptions.from_dict(options.to_dict())
        require_both_classes(labels, own.name)
        columns = summarise(stays.values, stays.lengths, stays.statics)
        scores = ClippedScores.of(columns)
        standard = scores.transform(columns)
        drawn = [_resample(labels, seed) for seed in seeds] if len(seeds) > 1 else [np.arange(len(labels))]
        fits = [regression(own).fit(standard[rows], labels[rows]) for rows in drawn]
        arrays = {each.name: getattr(scores, each.name) for each in dataclasses.fields(scores)}
        coefficients = {
            "coefficient": np.mean([fitted.coef_[0] for fitted in fits], axis=0),
            "intercept": np.mean([fitted.intercept_ for fitted in fits], axis=0),
        }
        return cls(own, arrays | coefficients)

    def levels(self, column: int) -> Float64s:
        """Return the limits at which a summary is clipped; see ``one_value.PiecewiseModel``."""
        return np.array([self.scores.low[column], self.scores.high[column]])

    def slopes(self, columns: Float64s) -> Float64s:
        """Return the slopes of the score in (n, C) summaries; 0 where they are clipped or missing."""
        moves = (columns > self.scores.low) & (columns < self.scores.high)
        slopes: Float64s = np.where(moves, self.arrays["coefficient"] / self.scores.deviation, 0.0)
        return slopes

    def score(self, columns: Float64s) -> Float64s:
        """See ``SummaryModel.score``."""
        # Not a product of matrices, whose order of adding depends on the number of rows.
        weighted = self.scores.transform(columns) * self.arrays["coefficient"]
        logits: Float64s = weighted.sum(axis=1) + self.arrays["intercept"]
        return logits

    def absorbed(self, scale: float, shift: float) -> Self:
        """See ``ChartedModel.absorbed``."""
        changed = {
            "coefficient": scale * self.arrays["coefficient"],
            "intercept": scale * self.arrays["intercept"] + shift,
        }
        return type(self)(self.options, {**self.arrays, **changed})


def _resample(labels: npt.NDArray[np.integer], seed: int) -> npt.NDArray[np.int64]:
    """Draw as many stays as there are, with replacement, each outcome as often as it occurs."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [rng.choice(np.flatnonzero(labels == value), int((labels == value).sum())) for value in (0, 1)]
    )
