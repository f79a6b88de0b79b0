"""From a grid in clinical units to model inputs; fitted on training stays only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from icudl.artifacts import FeatureScaler, Floats, GridDataset
from icudl.errors import ConfigError, StageError, suggestion
from icudl.options import Options, option
from icudl.preprocessing.imputation import BLOCK, impute, inside, last_charted

Integers = npt.NDArray[np.integer]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputOptions(Options):
    """How a model sees a stay."""

    table: ClassVar[str] = "inputs"

    imputation: str = option("linear", "Filling of unmeasured hours inside the window.", choices=("linear", "forward"))
    winsor_low: float = option(5.0, "Lower winsor limit, percentile of the training stays.", low=0, high=49)
    winsor_high: float = option(95.0, "Upper winsor limit, percentile of the training stays.", low=51, high=100)
    scaling: str = option(
        "minmax",
        "minmax maps the winsor limits to 0 and 1; standard has mean 0 and deviation 1.",
        choices=("minmax", "standard"),
    )
    channels: tuple[str, ...] = option(
        ("value",),
        "Channels per variable: value, observed, hours_since.",
        choices=("value", "observed", "hours_since"),
    )
    statics: tuple[str, ...] = option(
        (), "Static descriptors given to the model at every hour: age_years, sex_male, ..."
    )


@dataclasses.dataclass(frozen=True, eq=False)
class ModelInputs:
    """Stays as arrays, imputed and in unit coordinates; ``preprocessing.features`` turns them into channels.

    Attributes:
        unit: (N, T, F) float32 in [0, 1], imputed: 0 and 1 are the winsor limits. 0 beyond a stay's length.
        observed: (N, T, F) bool, something was charted. False beyond a stay's length.
        hours_since: (N, T, F) float32 hours since the variable was last charted: 0 in charted cells, T before the
            first. 0 beyond a stay's length.
        statics: (N, S) float32 scaled descriptors, the unknown ones filled with the training median.
        lengths: (N,) int16 hours of each stay.
    """

    unit: Floats
    observed: npt.NDArray[np.bool_]
    hours_since: Floats
    statics: Floats
    lengths: npt.NDArray[np.int16]


def select_statics(grid: GridDataset, options: InputOptions) -> Floats:
    """Return (N, S) float32: the static descriptors named by ``options.statics``, in that order.

    Raises:
        ConfigError: The data set has no descriptor of that name.
    """
    return np.ascontiguousarray(grid.statics[:, static_columns(grid, options)])


def static_columns(grid: GridDataset, options: InputOptions) -> list[int]:
    """Return which columns of ``grid.statics`` hold the descriptors named by ``options.statics``, in that order.

    Raises:
        ConfigError: The data set has no descriptor of that name.
    """
    for name in options.statics:
        if name not in grid.static_names:
            raise ConfigError(
                f"inputs.statics names {name!r}, which the data do not have."
                + suggestion(name, grid.static_names)
                + f" Known: {', '.join(grid.static_names) or 'none'}."
            )
    return [grid.static_names.index(name) for name in options.statics]


def fit_scaler_on(grid: GridDataset, rows: Integers | npt.NDArray[np.bool_], options: InputOptions) -> FeatureScaler:
    """Fit a scaler on some stays of a data set.

    Args:
        grid: The data set.
        rows: Indices (or a mask) of the training stays.
        options: Percentiles, scaling, statics.

    Raises:
        StageError: ``rows`` holds a test stay, or is empty.
    """
    n_test = int(grid.is_test[rows].sum())
    if n_test:
        raise StageError(
            f"{n_test} of the stays given to fit the scaler are test stays. Fit on stays with is_test = False only."
        )
    return fit_scaler(grid.values[rows], grid.lengths[rows], select_statics(grid, options)[rows], options)


def fit_scaler(values: Floats, lengths: Integers, statics: Floats, options: InputOptions) -> FeatureScaler:
    """Take winsor limits, medians and scales from the measured hourly values of training stays.

    The order of the stays changes nothing, not even the last bit. A variable that is never measured gets the limits
    0 and 1; where both limits fall together they are set 0.5 apart to either side.

    Args:
        values: (n, T, F) clinical units, NaN where not measured: training stays only.
        lengths: (n,) hours of each stay; cells beyond are ignored.
        statics: (n, S) descriptors, NaN where unknown.
        options: Percentiles and scaling.

    Raises:
        StageError: ``values`` holds no stay.
    """
    n_stays, n_hours, n_variables = values.shape
    if n_stays == 0:
        raise StageError("The scaler has no training stay to be fitted on. Use fewer folds or a smaller test_fraction.")
    measured = ~np.isnan(values) & inside(lengths, n_hours)
    fitted = [_fit_variable(values[..., j][measured[..., j]], options) for j in range(n_variables)]
    lower, upper, median, offset, scale = _columns(fitted, 5)
    known = ~np.isnan(statics)
    fitted_statics = [_fit_static(statics[known[:, k], k], options) for k in range(statics.shape[1])]
    static_median, static_offset, static_scale = _columns(fitted_statics, 3)
    return FeatureScaler(
        lower=lower,
        upper=upper,
        median=median,
        offset=offset,
        scale=scale,
        static_median=static_median,
        static_offset=static_offset,
        static_scale=static_scale,
        imputation=options.imputation,
        fitted_on=n_stays,
    )


def _columns(rows: Sequence[tuple[float, ...]], n_columns: int) -> tuple[Floats, ...]:
    return tuple(np.array([row[k] for row in rows], np.float32) for k in range(n_columns))


def _fit_variable(values: Floats, options: InputOptions) -> tuple[float, float, float, float, float]:
    """Return lower, upper, median, offset, scale."""
    if values.size == 0:
        return 0.0, 1.0, 0.0, 0.0, 1.0
    # Sorted first, so that the sums below run in the same order whatever the order of the stays.
    ordered = np.sort(values.astype(np.float64))
    lower, median, upper = (float(x) for x in np.percentile(ordered, [options.winsor_low, 50, options.winsor_high]))
    if upper - lower <= 1e-6 * max(1.0, abs(lower)):
        lower, upper = lower - 0.5, upper + 0.5
    if options.scaling == "minmax":
        # Differences of the limits in float32, as stored: the value channel then equals the unit coordinate.
        return lower, upper, median, lower, float(np.float32(upper) - np.float32(lower))
    clipped = np.clip(ordered, lower, upper)
    deviation = float(clipped.std())
    return lower, upper, median, float(clipped.mean()), deviation if deviation > 0 else 1.0


def _fit_static(values: Floats, options: InputOptions) -> tuple[float, float, float]:
    """Return median, offset, scale."""
    if values.size == 0:
        return 0.0, 0.0, 1.0
    ordered = np.sort(values.astype(np.float64))
    if options.scaling == "minmax":
        offset, scale = float(ordered[0]), float(ordered[-1] - ordered[0])
    else:
        offset, scale = float(ordered.mean()), float(ordered.std())
    return float(np.median(ordered)), offset, scale if scale > 0 else 1.0


def to_unit(scaler: FeatureScaler, values: Floats) -> Floats:
    """Clip (..., F) clinical values to the winsor limits and return their unit coordinates; NaN stays NaN."""
    clipped = np.clip(values, scaler.lower, scaler.upper)
    return np.clip((clipped - scaler.lower) / (scaler.upper - scaler.lower), np.float32(0), np.float32(1))


def to_clinical(scaler: FeatureScaler, unit: Floats) -> Floats:
    """Return (..., F) unit coordinates in clinical units."""
    return scaler.lower + unit * (scaler.upper - scaler.lower)


def prepare_inputs(
    scaler: FeatureScaler, options: InputOptions, values: Floats, lengths: Integers, statics: Floats
) -> ModelInputs:
    """Clip to the winsor limits, go to unit coordinates, impute.

    In that order the imputed cells are linear in the clipped charted values.

    Args:
        scaler: Fitted on training stays.
        options: Must name the imputation the scaler was made with.
        values: (N, T, F) clinical units, NaN where not measured.
        lengths: (N,) hours of each stay.
        statics: (N, S) descriptors in clinical units (``select_statics``), NaN where unknown.

    Raises:
        StageError: Scaler, options and arrays do not fit together.
    """
    n_variables, n_statics = scaler.lower.size, scaler.static_median.size
    if values.shape[2] != n_variables or statics.shape[1] != n_statics:
        raise StageError(
            f"The arrays have {values.shape[2]} variables and {statics.shape[1]} static descriptors; the scaler was "
            f"fitted on {n_variables} and {n_statics}. Use the data set the model was trained for."
        )
    if options.imputation != scaler.imputation:
        raise StageError(
            f"inputs.imputation = {options.imputation!r}, but the scaler was fitted for {scaler.imputation!r}. "
            "Use the options kept beside the scaler."
        )
    filled_statics = np.where(np.isnan(statics), scaler.static_median, statics)
    fill = to_unit(scaler, scaler.median)
    unit, since = np.empty(values.shape, np.float32), np.empty(values.shape, np.float32)
    observed = np.empty(values.shape, bool)
    for start in range(0, values.shape[0], BLOCK):
        rows = slice(start, start + BLOCK)
        unit[rows] = impute(to_unit(scaler, values[rows]), lengths[rows], fill, scaler.imputation)
        observed[rows], since[rows] = _observation(values[rows], lengths[rows])
    return ModelInputs(
        unit=unit,
        observed=observed,
        hours_since=since,
        statics=((filled_statics - scaler.static_offset) / scaler.static_scale).astype(np.float32),
        lengths=np.asarray(lengths, np.int16),
    )


def _observation(values: Floats, lengths: Integers) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int16]]:
    """Return which cells were charted, and the hours since each variable was last charted."""
    n_hours = values.shape[1]
    within = inside(lengths, n_hours)
    observed = ~np.isnan(values) & within
    last = last_charted(observed)
    elapsed = np.arange(n_hours, dtype=np.int16)[None, :, None] - last
    return observed, np.where(within, np.where(last < 0, np.int16(n_hours), elapsed), np.int16(0))
