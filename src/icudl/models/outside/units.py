"""Is the model fed what it expects? Declared units are converted, and declared or learnt ranges compared with the data.

A model that was trained on creatinine in umol/L and reads mg/dL gives a number all the same. What tells is where the
values lie: those of the data, beside those that the model declares or splits its trees at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from icudl.errors import StageError
from icudl.models.charted.base import ClinicalStays
from icudl.models.outside.predictor import Float64s
from icudl.sources.table.units import UNITS, Conversion, conversion, known_units
from icudl.variables import Variable

ENOUGH = 4
"""Thresholds of trees for one variable from which on it tells something that all of them lie outside the data."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """From the data's unit to the model's: ``factor`` times the value, plus ``constant``."""

    factor: float = 1.0
    constant: float = 0.0


def line_of(variable: Variable, unit: str) -> Line:
    """Return the conversion from the data's unit of a variable to the unit that a model expects.

    Raises:
        StageError: The unit is unknown for this variable.
    """
    if unit == variable.unit:
        return Line()
    found = conversion(variable.name, unit) if variable.name in UNITS else None
    if found is None:
        known = known_units(variable.name) if variable.name in UNITS else variable.unit
        raise StageError(f"units.{variable.name} = {unit!r} is unknown. Expected one of {known}.")
    return Line(factor=found.divisor, constant=found.offset)


def require_ranges(ranges: Mapping[str, tuple[float, float]], stays: ClinicalStays, lines: Mapping[str, Line]) -> None:
    """Compare the ranges that a model declares with the data, in the model's units.

    Raises:
        StageError: A range is none, names no variable of the model, or the median of the data lies outside it.
    """
    for name, given in ranges.items():
        if name not in lines:
            raise StageError(f"ranges names {name!r}, which the model does not read. It reads {', '.join(lines)}.")
        ends = list(given)
        if len(ends) != 2 or not ends[0] < ends[1]:
            raise StageError(f"ranges.{name} = {ends} is no range. Expected [low, high].")
        low, high = ends
        values = charted(stays, name)
        if not len(values):
            continue
        line = lines[name]
        median = float(np.median(values)) * line.factor + line.constant
        if not low <= median <= high:
            raise StageError(
                f"The model was trained on {name} between {low:g} and {high:g}; the median of the data is "
                f"{median:.4g}{_in_unit(stays, name, line)}."
                + _guess(name, partial(_median_fits, median=float(np.median(values)), low=low, high=high))
            )


def require_thresholds(thresholds: Mapping[str, Float64s], stays: ClinicalStays) -> None:
    """Compare the numbers at which trees split each variable, in the data's unit, with the data.

    Raises:
        StageError: A variable is split at ``ENOUGH`` places or more, and all lie beyond its values.
    """
    for name, found in thresholds.items():
        values, places = charted(stays, name), np.unique(found)
        if len(places) < ENOUGH or not len(values):
            continue
        low, high = float(values.min()), float(values.max())
        if ((places < low) | (places > high)).all():
            raise StageError(
                f"The model's trees split {name} between {places.min():.4g} and {places.max():.4g}; the data lie "
                f"between {low:.4g} and {high:.4g}{_in_unit(stays, name, Line())}, so none of the splits does anything."
                + _guess(name, partial(_half_fits, places=places, low=low, high=high))
            )


def charted(stays: ClinicalStays, name: str) -> Float64s:
    """Return all charted values of a variable."""
    inside = np.arange(stays.values.shape[1]) < np.asarray(stays.lengths)[:, None]
    values = stays.values[:, :, stays.names.index(name)][inside]
    return values[~np.isnan(values)].astype(np.float64)


def _median_fits(each: Conversion, median: float, low: float, high: float) -> bool:
    return low <= each.filed(median) <= high


def _half_fits(each: Conversion, places: Float64s, low: float, high: float) -> bool:
    return float(np.mean([low <= each.canonical(float(place)) <= high for place in places])) >= 0.5


def _in_unit(stays: ClinicalStays, name: str, line: Line) -> str:
    unit = stays.variables[stays.names.index(name)].unit
    return f" {unit}" if unit and line == Line() else ""


def _guess(name: str, fits: Callable[[Conversion], bool]) -> str:
    units = [each.unit for each in UNITS.get(name, ()) if each.is_change and fits(each)]
    if units:
        return f" Does your model expect {name} in {' or '.join(units)}? Say so: units.{name} = {units[0]!r}."
    return f" Check the order of variables, and the unit of {name} (units.{name})."
