"""Logistic regression and boosted trees on summaries of the window, which every network should beat.

The baselines see the variables, window and static descriptors of the network, as eight numbers for each variable.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from icudl.errors import PluginError, suggestion

Float64s = npt.NDArray[np.float64]

SUMMARIES = ("first", "last", "minimum", "maximum", "mean", "deviation", "slope", "count")
"""Numbers per variable, in the order of the columns; all but the count are NaN for a variable never measured."""

BASELINES = ("logistic_regression", "boosted_trees")
"""Names of the baselines."""


class Baseline(Protocol):
    """A fitted baseline."""

    def predict_proba(self, summaries: Float64s) -> Float64s:
        """Return (n, 2) probabilities of survival and death."""


def summarise(
    values: npt.NDArray[np.float32], lengths: npt.NDArray[np.integer], statics: npt.NDArray[np.float32]
) -> Float64s:
    """Summarise stays.

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
    mean = _divide(x.sum(axis=1), count)
    centred = np.where(known, x - mean[:, None, :], 0.0)
    time = hours[None, :, None] * known
    time_centred = np.where(known, hours[None, :, None] - _divide(time.sum(axis=1), count)[:, None, :], 0.0)
    deviation = np.sqrt((centred**2).sum(axis=1) / np.maximum(count - 1, 1))
    spread = (time_centred**2).sum(axis=1)
    slope = (centred * time_centred).sum(axis=1) / np.where(spread > 0, spread, 1.0)
    first = np.take_along_axis(x, known.argmax(axis=1)[:, None, :], axis=1)[:, 0]
    last = np.take_along_axis(x, (n_hours - 1 - known[:, ::-1].argmax(axis=1))[:, None, :], axis=1)[:, 0]
    minimum = np.where(known, x, np.inf).min(axis=1)
    maximum = np.where(known, x, -np.inf).max(axis=1)
    columns = np.stack([first, last, minimum, maximum, mean, deviation, slope], axis=2)
    columns[count == 0] = np.nan
    summaries = np.concatenate([columns, count[:, :, None]], axis=2).reshape(n_stays, n_variables * len(SUMMARIES))
    return np.concatenate([summaries, statics.astype(np.float64)], axis=1)


def fit_baseline(name: str, summaries: Float64s, labels: npt.NDArray[np.integer], seed: int) -> Baseline:
    """Fit a baseline; clipping, filling and standardising are fitted on these stays, too.

    Args:
        name: One of ``BASELINES``.
        summaries: (n, K) of training stays.
        labels: (n,) with both classes.
        seed: For the trees.

    Raises:
        PluginError: No baseline has this name.
    """
    if name not in BASELINES:
        raise PluginError(f"Unknown baseline {name!r}.{suggestion(name, BASELINES)} Known: {', '.join(BASELINES)}.")
    model = _logistic_regression() if name == "logistic_regression" else _boosted_trees(seed)
    fitted: Baseline = model.fit(summaries, labels)
    return fitted


def _logistic_regression() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(ClippedScores(), LogisticRegression(C=0.01, max_iter=2000))


def _boosted_trees(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline

    trees = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=150,
        max_leaf_nodes=12,
        min_samples_leaf=20,
        l2_regularization=5.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed % 2**32,
    )
    return make_pipeline(KnownColumns(), trees)


class ClippedScores:
    """Transformer: clip each column to its 1st and 99th percentile, standardise, put 0 (the mean) where it is NaN."""

    def fit(self, columns: Float64s, labels: object = None) -> ClippedScores:  # noqa: ARG002 - sklearn's signature
        """Take percentiles, means and deviations of (n, K) columns; a column without a value becomes 0."""
        known = ~np.isnan(columns).all(axis=0)
        self.low, self.high = np.zeros(columns.shape[1]), np.zeros(columns.shape[1])
        self.low[known], self.high[known] = np.nanpercentile(columns[:, known], [1, 99], axis=0)
        clipped = np.clip(columns[:, known], self.low[known], self.high[known])
        self.mean, self.deviation = np.zeros(columns.shape[1]), np.ones(columns.shape[1])
        self.mean[known] = np.nanmean(clipped, axis=0)
        deviation = np.nanstd(clipped, axis=0)
        self.deviation[known] = np.where(deviation > 0, deviation, 1.0)
        return self

    def transform(self, columns: Float64s) -> Float64s:
        """Return the (n, K) standard scores."""
        scores = (np.clip(columns, self.low, self.high) - self.mean) / self.deviation
        return np.nan_to_num(scores, nan=0.0)


class KnownColumns:
    """Transformer: leave out the columns that had no value when it was fitted; trees cannot divide them into bins."""

    def fit(self, columns: Float64s, labels: object = None) -> KnownColumns:  # noqa: ARG002 - sklearn's signature
        """Note which of the (n, K) columns have a value."""
        self.known = ~np.isnan(columns).all(axis=0)
        return self

    def transform(self, columns: Float64s) -> Float64s:
        """Return the columns that are kept."""
        return columns[:, self.known]


def _divide(total: Float64s, count: npt.NDArray[np.integer]) -> Float64s:
    quotient: Float64s = total / np.maximum(count, 1)
    return quotient
