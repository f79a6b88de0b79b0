"""What a model from outside reads: from clinical values with their gaps to the rows that it was trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from icudl.errors import StageError, suggestion
from icudl.models.charted.base import ClinicalStays
from icudl.models.charted.window import SUMMARIES, summarise
from icudl.models.outside.options import OutsideOptions
from icudl.models.outside.predictor import Float64s
from icudl.models.outside.readers.objects import find
from icudl.models.outside.units import Line
from icudl.preprocessing.imputation import ImputationMap, imputation_map, impute

Places = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """How stays become features.

    Attributes:
        options: Input, order, gaps.
        places: (V,) place among the data's variables of each variable that the model reads, in its order.
        lines: (V, 2) factor and constant from the data's unit to the model's.
        fill: (V,) values, in the model's unit, of a variable without a charted value.
        columns: (C,) with summaries: place of each feature among the project's summaries of all variables.
    """

    options: OutsideOptions
    places: Places
    lines: Float64s
    fill: Float64s
    columns: Places

    def features(self, stays: ClinicalStays) -> Float64s:
        """Return (N, C) features, or (N, T, C) for a grid.

        Raises:
            StageError: The user's function fails, or gives something else.
        """
        if self.options.input == "summaries":
            return self.of_summaries(summarise(stays.values, stays.lengths, stays.statics))
        values = self._converted(stays)
        if ":" in self.options.input:
            return _by_function(find(self.options.input), self.options.input, values, stays)
        cells = self._cells(values, stays.lengths)
        statics = stays.statics.astype(np.float64)
        if self.options.input == "grid":
            hourly = np.repeat(statics[:, None], values.shape[1], axis=1)
            return np.concatenate([*cells, hourly], axis=2)
        if self.options.order == "variables":
            cells = [part.swapaxes(1, 2) for part in cells]
        return np.concatenate([*(part.reshape(len(stays), -1) for part in cells), statics], axis=1)

    def pulled_back(self, slopes: Float64s, stays: ClinicalStays) -> Float64s:
        """Return the (N, T, F) slopes of a score in the charted values of the data; 0 where nothing was charted.

        A filled gap moves with the values that it is filled from, in proportion to their weights.

        Args:
            slopes: In the shape of ``features``: slopes of the score in what the model reads of a row or a grid.
            stays: The stays.
        """
        n_stays, n_hours, n_variables = stays.values.shape
        charted = ~np.isnan(self._converted(stays))
        width = len(self.places)
        if self.options.input == "grid":
            cells = slopes[:, :, :width]
        elif self.options.order == "variables":
            cells = slopes[:, : n_hours * width].reshape(n_stays, width, n_hours).swapaxes(1, 2)
        else:
            cells = slopes[:, : n_hours * width].reshape(n_stays, n_hours, width)
        if self.options.missing in {"forward", "linear"}:
            cells = _through_gaps(cells, imputation_map(charted, stays.lengths, self.options.missing))
        found = np.zeros((n_stays, n_hours, n_variables))
        found[:, :, self.places] = np.where(charted, cells, 0.0) * self.lines[:, 0]
        return found

    def of_summaries(self, columns: Float64s) -> Float64s:
        """Return the (n, C) features of (n, 8 F + S) summaries of the data's variables, in the data's units."""
        factor, constant = self.summary_lines
        return columns[:, self.columns] * factor + constant

    @property
    def summary_lines(self) -> tuple[Float64s, Float64s]:
        """Factor and constant of each of the C summaries, from the data's unit to the model's."""
        n_summaries = len(SUMMARIES)
        factor, constant = np.ones(len(self.columns)), np.zeros(len(self.columns))
        line_of = dict(zip(self.places.tolist(), self.lines, strict=True))
        for number, column in enumerate(self.columns.tolist()):
            variable, summary = divmod(column, n_summaries)
            name = SUMMARIES[summary]
            if variable in line_of and name != "count":
                factor[number], shift = line_of[variable]
                constant[number] = 0.0 if name in {"deviation", "slope"} else shift
        return factor, constant

    def labels(self, stays: ClinicalStays) -> tuple[str, ...]:
        """Return what stands in each column of a row: VARIABLE of a cell, VARIABLE.SUMMARY, "" for anything else."""
        names, n_hours = [stays.names[place] for place in self.places.tolist()], stays.values.shape[1]
        if self.options.input == "summaries":
            whole = [f"{name}.{summary}" for name in stays.names for summary in SUMMARIES] + list(stays.static_names)
            return tuple(whole[column] for column in self.columns.tolist())
        if self.options.input != "flat":
            return ()
        cells = names * n_hours if self.options.order == "hours" else [name for name in names for _ in range(n_hours)]
        return (*cells, *([""] * len(cells) if self.options.masks else []), *stays.static_names)

    def cell(self, hour: int, variable: int, n_hours: int) -> int | None:
        """Return the feature of a flat row that holds a cell of the data; None if the model does not read it."""
        found = np.flatnonzero(self.places == variable)
        if not len(found):
            return None
        own, width = int(found[0]), len(self.places)
        return hour * width + own if self.options.order == "hours" else own * n_hours + hour

    def _converted(self, stays: ClinicalStays) -> Float64s:
        """Return (N, T, V) values in the model's order and units, NaN beyond the end of a stay."""
        values = stays.values[:, :, self.places].astype(np.float64)
        values = np.where(self.lines[:, 0] == 1.0, values, values * self.lines[:, 0]) + self.lines[:, 1]
        inside = np.arange(values.shape[1]) < np.asarray(stays.lengths)[:, None]
        return np.where(inside[:, :, None], values, np.nan)

    def _cells(self, values: Float64s, lengths: npt.NDArray[np.integer]) -> list[Float64s]:
        missing, charted = self.options.missing, ~np.isnan(values)
        filled = values
        if missing == "zero":
            filled = np.where(charted, values, 0.0)
        elif missing != "nan":
            # Cells that were charted keep every bit: only the gaps are filled in single precision.
            gaps = impute(values.astype(np.float32), lengths, self.fill.astype(np.float32), missing)
            filled = np.where(charted, values, gaps.astype(np.float64))
        return [filled, charted.astype(np.float64)] if self.options.masks else [filled]


def _through_gaps(cells: Float64s, where: ImputationMap) -> Float64s:
    """Return slopes in the charted values from (N, T, V) slopes in the filled cells: the transposed map."""
    filled = np.where(where.missing, 0.0, cells)
    stay, variable = np.arange(len(cells))[:, None, None], np.arange(cells.shape[2])
    found = np.zeros_like(filled)
    np.add.at(found, (stay, where.previous_index, variable), (1.0 - where.weight_next) * filled)
    np.add.at(found, (stay, where.next_index, variable), where.weight_next * filled)
    return found


def layout_of(options: OutsideOptions, stays: ClinicalStays, lines: Sequence[Line]) -> Layout:
    """Make the layout of a model for a data set.

    Args:
        options: What the model declares.
        stays: Stays of the data set, with the names of their variables; medians are taken from them.
        lines: From the data's units to the model's, for each of ``chosen_names``.

    Raises:
        StageError: The model names a variable, a summary or a descriptor that the data do not have.
    """
    names = chosen_names(options, stays)
    places = np.array([stays.names.index(name) for name in names], np.int64)
    own = np.array([(line.factor, line.constant) for line in lines]).reshape(-1, 2)
    inside = np.arange(stays.values.shape[1]) < np.asarray(stays.lengths)[:, None]
    medians = np.zeros(len(names))
    for number, place in enumerate(places):
        charted = stays.values[:, :, place][inside]
        charted = charted[~np.isnan(charted)]
        medians[number] = np.median(charted) * own[number, 0] + own[number, 1] if len(charted) else 0.0
    known = set(names)
    for name in options.fill:
        if name not in known:
            raise StageError(f"fill names {name!r}, which the model does not read.{suggestion(name, known)}")
    fill = np.array([float(options.fill.get(name, medians[number])) for number, name in enumerate(names)])
    return Layout(options, places, own, fill, _columns(options, stays, names))


def chosen_names(options: OutsideOptions, stays: ClinicalStays) -> tuple[str, ...]:
    """Return the variables that a model reads, in its order.

    Raises:
        StageError: The data lack one, or it is named twice.
    """
    for name in options.variables:
        if name not in stays.names:
            raise StageError(
                f"The model reads the variable {name!r}, which the data do not have."
                f"{suggestion(name, stays.names)} They hold {', '.join(stays.names)}. Extract it (variables.use)."
            )
    if len(set(options.variables)) < len(options.variables):
        raise StageError("variables names a variable twice. Name each once, in the model's order.")
    return options.variables or stays.names


def _columns(options: OutsideOptions, stays: ClinicalStays, names: Sequence[str]) -> Places:
    if options.input != "summaries":
        return np.zeros(0, np.int64)
    width, n_variables = len(SUMMARIES), len(stays.names)
    wanted = options.features or (
        *(f"{name}.{summary}" for name in names for summary in SUMMARIES),
        *stays.static_names,
    )
    found = []
    for feature in wanted:
        variable, dot, summary = feature.rpartition(".")
        if not dot and feature in stays.static_names:
            found.append(n_variables * width + stays.static_names.index(feature))
        elif variable in stays.names and summary in SUMMARIES:
            found.append(stays.names.index(variable) * width + SUMMARIES.index(summary))
        else:
            raise StageError(
                f"features names {feature!r}. Expected VARIABLE.SUMMARY, the summary one of {', '.join(SUMMARIES)}, "
                f"the variable one of {', '.join(stays.names)}; or a descriptor that inputs.statics names "
                f"({', '.join(stays.static_names) or 'none'})."
            )
    return np.array(found, np.int64)


def _by_function(function: Callable[..., Any], name: str, values: Float64s, stays: ClinicalStays) -> Float64s:
    try:
        found = np.asarray(function(values, np.asarray(stays.lengths), stays.statics.astype(np.float64)), np.float64)
    except Exception as error:
        raise StageError(
            f"The function {name} failed on values of shape {values.shape}: {type(error).__name__}: {error} Expected a "
            "function of (values, lengths, statics): (N, T, F) clinical values with NaN for gaps, (N,) hours, (N, S)."
        ) from error
    if found.ndim not in {2, 3} or len(found) != len(stays):
        raise StageError(
            f"The function {name} gives an array of shape {found.shape} for {len(stays)} stays. Expected one row a "
            "stay: (N, C), or (N, T, C)."
        )
    return found
