"""The search space: which options vary, and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from icudl.errors import ConfigError, suggestion
from icudl.options import Options, types_of

KEYS = ("choices", "low", "high", "log", "step")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dimension:
    """One option that varies.

    Attributes:
        path: Dotted path of the option.
        whole: Whether its values are whole numbers.
        low: Smallest value; None where the values are listed.
        high: Largest value.
        log: Drawn on a logarithmic scale.
        step: Distance of neighbouring values, or None.
        choices: The possible values, where they are listed.
    """

    path: str
    whole: bool = False
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    def distribution(self) -> Any:
        """Return Optuna's distribution."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        if self.whole:
            return IntDistribution(int(self.low or 0), int(self.high or 0), log=self.log, step=int(self.step or 1))
        return FloatDistribution(float(self.low or 0), float(self.high or 0), log=self.log, step=self.step)


def parse_space(table: str, space: Mapping[str, Any], options: Mapping[str, Options]) -> tuple[Dimension, ...]:
    """Check a search space against the options it varies.

    Args:
        table: Table of the search (``"tune_model"``), for messages.
        space: By dotted path ``{low, high, log, step}`` or ``{choices}``.
        options: Option tables that may vary, by name.

    Raises:
        ConfigError: A path, key or value is unknown or illegal, or nothing varies.
    """
    if not space:
        raise ConfigError(
            f"{table}.space is empty, so no option varies. Name at least one option, or set {table}.trials = 0."
        )
    return tuple(_dimension(f"{table}.space", path, spec, options) for path, spec in sorted(space.items()))


def apply_parameters(parameters: Mapping[str, Any], options: Mapping[str, Options]) -> dict[str, Options]:
    """Return the option tables with the values of these dotted paths in place."""
    changed = dict(options)
    for path, value in parameters.items():
        name, _, key = path.partition(".")
        changed[name] = dataclasses.replace(changed[name], **{key: value})
    return changed


def _dimension(where: str, path: str, spec: Any, options: Mapping[str, Options]) -> Dimension:
    name = path.partition(".")[0]
    paths = [f"{name}.{field.name}" for name, table in options.items() for field in dataclasses.fields(table)]
    if path not in paths:
        raise ConfigError(
            f"{where} names {path!r}, which is no option that can vary.{suggestion(path, paths)} "
            f"Expected a key of {', '.join(options)}."
        )
    if not isinstance(spec, Mapping) or not set(spec) <= set(KEYS):
        raise ConfigError(
            f"{where}.{path!r} = {spec!r} cannot be read. Expected a table with keys among {', '.join(KEYS)}."
        )
    kind = types_of(type(options[name]))[path.partition(".")[2]]
    dimension = _of_choices(where, path, spec, kind) if "choices" in spec else _of_range(where, path, spec, kind)
    for value in dimension.choices or (dimension.low, dimension.high):
        apply_parameters({path: value}, {name: options[name]})
    return dimension


def _of_choices(where: str, path: str, spec: Mapping[str, Any], kind: Any) -> Dimension:
    choices = spec["choices"]
    fitting = isinstance(choices, list | tuple) and all(_fits(choice, kind) for choice in choices)
    if len(spec) > 1 or not fitting or not choices:
        raise ConfigError(
            f"{where}.{path!r} = {dict(spec)!r}: expected a list of strings or numbers that {path} may be, "
            "and nothing beside it."
        )
    return Dimension(path=path, choices=tuple(choices))


def _of_range(where: str, path: str, spec: Mapping[str, Any], kind: Any) -> Dimension:
    low, high, log, step = spec.get("low"), spec.get("high"), spec.get("log", False), spec.get("step")
    if kind not in (int, float) or low is None or high is None or not (_fits(low, kind) and _fits(high, kind)):
        numbers = "whole numbers" if kind is int else "numbers"
        raise ConfigError(f"{where}.{path!r} = {dict(spec)!r}: expected {numbers} low and high, or choices.")
    if not isinstance(log, bool) or low > high or (log and (low <= 0 or step is not None)):
        raise ConfigError(
            f"{where}.{path!r} = {dict(spec)!r}: expected low <= high, and with log = true low above 0 and no step."
        )
    if step is not None and (not _fits(step, kind) or step <= 0):
        raise ConfigError(f"{where}.{path!r} = {dict(spec)!r}: expected a step above 0 of the type of {path}.")
    return Dimension(path=path, whole=kind is int, low=low, high=high, log=log, step=step)


def _fits(value: object, kind: Any) -> bool:
    """Tell whether a value can be that of an option; lists and tables cannot vary."""
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, int | float) if kind is float else kind in (int, str) and isinstance(value, kind)
