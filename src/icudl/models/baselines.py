"""Logistic regression and boosted trees on summaries of the window, which every network should beat.

The baselines see the variables, window and static descriptors of the network, as eight numbers for each variable. They
are the models of ``models.charted`` with default options, without calibration.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from icudl.errors import PluginError, suggestion
from icudl.models.charted.logistic import ClippedScores, regression
from icudl.models.charted.trees import boosting, known_columns
from icudl.models.options import BoostedTreesOptions, LogisticOptions

Float64s = npt.NDArray[np.float64]

BASELINES = ("logistic_regression", "boosted_trees")
"""Names of the baselines."""


class Baseline(Protocol):
    """A fitted baseline."""

    def predict_proba(self, summaries: Float64s) -> Float64s:
        """Return (n, 2) probabilities of survival and death."""


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
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_Scores(), regression(LogisticOptions()))


def _boosted_trees(seed: int) -> Any:
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_KnownColumns(), boosting(BoostedTreesOptions(), seed))


class _Scores:
    """Transformer: ``ClippedScores`` of the columns it is fitted on."""

    def fit(self, columns: Float64s, labels: object = None) -> _Scores:  # noqa: ARG002 - sklearn's signature
        """Take percentiles, means and deviations of (n, K) columns."""
        self.scores = ClippedScores.of(columns)
        return self

    def transform(self, columns: Float64s) -> Float64s:
        """Return the (n, K) standard scores."""
        return self.scores.transform(columns)


class _KnownColumns:
    """Transformer: leave out the columns that had no value when it was fitted."""

    def fit(self, columns: Float64s, labels: object = None) -> _KnownColumns:  # noqa: ARG002 - sklearn's signature
        """Note which of the (n, K) columns have a value."""
        self.known = known_columns(columns)
        return self

    def transform(self, columns: Float64s) -> Float64s:
        """Return the columns that are kept."""
        return columns[:, self.known]
