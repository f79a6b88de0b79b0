"""Which charted values are hidden: single ones, a variable for a run of hours, a variable in all hours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Floats
from icudl.preprocessing.imputation import inside
from icudl.training.pretraining.options import PretrainOptions

Bools = npt.NDArray[np.bool_]


def hidden_values(
    values: Floats, lengths: npt.NDArray[np.integer], options: PretrainOptions, rng: np.random.Generator
) -> Bools:
    """Return (B, T, F) bool: charted values to hide, none where nothing was charted.

    Args:
        values: (B, T, F) clinical hourly means, NaN where nothing was charted.
        lengths: (B,) hours of each stay.
        options: Chances.
        rng: Stream; every chance that is not 0 draws from it.
    """
    n_stays, n_hours, n_variables = values.shape
    hidden = np.zeros(values.shape, bool)
    if options.value_share > 0:
        hidden |= rng.random(values.shape, np.float32) < options.value_share
    if options.run_share > 0:
        hours = np.arange(n_hours)[None, :, None]
        # A run may begin before the stay and end behind it, so that its first and last hours are hidden as often.
        places = lengths[:, None] + options.run_hours - 1
        begin = np.floor(rng.random((n_stays, n_variables)) * places).astype(np.int64) - (options.run_hours - 1)
        runs = rng.random((n_stays, 1, n_variables)) < options.run_share
        hidden |= runs & (hours >= begin[:, None]) & (hours < begin[:, None] + options.run_hours)
    if options.variable_share > 0:
        hidden |= rng.random((n_stays, 1, n_variables)) < options.variable_share
    return hidden & ~np.isnan(values) & inside(lengths, n_hours)
