"""The contract of models of charted values as checks."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from icudl.errors import ConfigError
from icudl.models.charted.base import ChartedModel, ClinicalStays, RiskModel, Sloped
from icudl.models.options import ModelOptions
from icudl.search.space import parse_space
from icudl.testing.requirement import require
from icudl.training.options import TrainingOptions

_STAYS, _HOURS, _VARIABLES = 160, 9, 4
_NEVER = 2
"""The variable that is never charted."""


class ChartedModelCheck(Protocol):
    """One promise of models of charted values."""

    __name__: str

    def __call__(self, plugin: type[ChartedModel], options: ModelOptions | None = None) -> None:
        """Hold a model to the promise.

        Args:
            plugin: Its class.
            options: How to fit it; the defaults of ``plugin.Options`` where None.

        Raises:
            AssertionError: The model breaks the promise.
        """


def _stays() -> tuple[ClinicalStays, npt.NDArray[np.int8]]:
    """Draw stays with gaps, of different length, whose first variable lies higher where the label is 1."""
    rng = np.random.default_rng(5)
    labels = (rng.random(_STAYS) < 0.4).astype(np.int8)
    values = rng.normal(50, 10, (_STAYS, _HOURS, _VARIABLES)).astype(np.float32)
    values[:, :, 0] += 12 * labels[:, None]
    values[rng.random(values.shape) < 0.4] = np.nan
    values[:, :, _NEVER] = np.nan
    lengths = rng.integers(1, _HOURS + 1, _STAYS)
    values[np.arange(_HOURS) >= lengths[:, None]] = np.nan
    statics = rng.normal(60, 10, (_STAYS, 1)).astype(np.float32)
    statics[::7] = np.nan
    return ClinicalStays(values, lengths, statics), labels


def _fitted(plugin: type[ChartedModel], options: ModelOptions | None) -> tuple[ChartedModel, ClinicalStays]:
    stays, labels = _stays()
    own = plugin.Options() if options is None else options
    return plugin.fit(own, stays, labels, range(own.ensemble_size)), stays


def _global_random_state() -> bytes:
    state: Any = np.random.get_state()  # noqa: NPY002 - the point is that it is not used
    return bytes(state[1].tobytes())


def check_names_its_options(plugin: type[ChartedModel], options: ModelOptions | None = None) -> None:
    """``Options`` says that the model reads charted values and whether it offers a gradient; its ``SPACE`` can vary."""
    kind = plugin.Options
    require(issubclass(kind, ModelOptions), f"Options is {kind!r}, not a subclass of ModelOptions")
    own = kind() if options is None else options
    require(isinstance(own, kind), f"the model is made with {type(own).__name__}, not {kind.__name__}")
    require(not own.imputed, "Options.imputed must be False")
    sloped = isinstance(_fitted(plugin, own)[0].offered(), Sloped)
    require(own.differentiable or not sloped, "the model offers a gradient, and Options.differentiable is False")
    require(
        kind.from_dict(own.to_dict()) == own, "the options that a checkpoint keeps are not those it was fitted with"
    )
    works: object = plugin.citations
    cited = isinstance(works, tuple) and all(isinstance(work, str) for work in works)
    require(cited, f"citations is {works!r}, not a tuple of strings")
    try:
        parse_space("Options.SPACE", kind.SPACE, {"model": kind(), "training": TrainingOptions()})
    except ConfigError as error:
        raise AssertionError(str(error)) from error


def check_gives_logits(plugin: type[ChartedModel], options: ModelOptions | None = None) -> None:
    """The output is (N,) finite float64 logits, not probabilities, even where nothing was ever charted."""
    model, stays = _fitted(plugin, options)
    require(isinstance(model, RiskModel), "the model has no logits")
    logits: object = model.logits(stays)
    require(
        isinstance(logits, np.ndarray) and logits.dtype == np.float64, f"the logits are {type(logits)}, not float64"
    )
    found = model.logits(stays)
    require(found.shape == (len(stays),), f"the logits have shape {found.shape}, not (N,)")
    require(bool(((found < 0) | (found > 1)).any()), "all outputs lie between 0 and 1: probabilities")
    empty = ClinicalStays(np.full_like(stays.values, np.nan), stays.lengths, np.full_like(stays.statics, np.nan))
    require(bool(np.isfinite(np.concatenate([found, model.logits(empty)])).all()), "a logit is not finite")
    require(len(model.logits(stays.select(slice(0, 0)))) == 0, "no stays do not give no logits")


def check_independent_of_company(plugin: type[ChartedModel], options: ModelOptions | None = None) -> None:
    """A stay's logit has the same bits alone, in a batch, and in any order; hours beyond its length change nothing."""
    model, stays = _fitted(plugin, options)
    together = model.logits(stays)
    order = np.random.default_rng(0).permutation(len(stays))
    require(np.array_equal(model.logits(stays.select(order)), together[order]), "a logit depends on the order")
    for row in range(8):
        alone = model.logits(stays.select(slice(row, row + 1)))
        require(np.array_equal(alone, together[row : row + 1]), "a stay's logit depends on its batch")
    beyond = np.arange(_HOURS) >= stays.lengths[:, None]
    padded = np.where(beyond[:, :, None], np.float32(9e9), stays.values)
    require(
        np.array_equal(model.logits(ClinicalStays(padded, stays.lengths, stays.statics)), together),
        "hours beyond a stay's length change its logit",
    )


def check_learns(plugin: type[ChartedModel], options: ModelOptions | None = None) -> None:
    """Stays with the event get higher logits."""
    model, stays = _fitted(plugin, options)
    logits, labels = model.logits(stays), _stays()[1]
    require(logits[labels == 1].mean() > logits[labels == 0].mean(), "the event does not raise the logits")


def check_fits_itself_again(plugin: type[ChartedModel], options: ModelOptions | None = None) -> None:
    """The same stays and seeds give the same arrays, and the global random state is left alone."""
    state = _global_random_state()
    first, second = (_fitted(plugin, options)[0].arrays for _ in range(2))
    require(state == _global_random_state(), "fitting draws from the global random state")
    same = list(first) == list(second) and all(np.array_equal(first[name], second[name]) for name in first)
    require(same, "a second fit on the same stays gives other arrays")


def check_arrays_hold_all_of_it(plugin: type[ChartedModel], options: ModelOptions | None = None) -> None:
    """``Model(options, arrays)`` is the same model; the arrays hold numbers and no objects."""
    model, stays = _fitted(plugin, options)
    for name, array in model.arrays.items():
        require(array.dtype.kind in "biuf", f"{name} holds {array.dtype}: only numbers are kept")
    again = plugin(model.options, {name: array.copy() for name, array in model.arrays.items()})
    require(np.array_equal(again.logits(stays), model.logits(stays)), "the arrays do not hold all of the model")


def check_absorbs_calibration(plugin: type[ChartedModel], options: ModelOptions | None = None) -> None:
    """``absorbed`` gives a model whose logit is scale z + shift, and leaves the model itself as it was."""
    model, stays = _fitted(plugin, options)
    before = model.logits(stays)
    after = model.absorbed(1.7, -0.4).absorbed(0.5, 1.0).logits(stays)
    require(np.allclose(after, 0.5 * (1.7 * before - 0.4) + 1.0, atol=1e-9), "absorbed gives other logits")
    require(np.array_equal(model.logits(stays), before), "absorbed changes the model itself")


CHARTED_MODEL_CHECKS: tuple[ChartedModelCheck, ...] = (
    check_names_its_options,
    check_gives_logits,
    check_independent_of_company,
    check_learns,
    check_fits_itself_again,
    check_arrays_hold_all_of_it,
    check_absorbs_calibration,
)
"""The contract of models of charted values, one function a promise; each takes the class of the model."""
