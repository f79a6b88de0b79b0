"""A model from outside as a risk model: the file itself, where its variables lie, and what it offers to attacks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from icudl.errors import StageError
from icudl.models.charted.base import Arrays, ChartedModel, ClinicalStays, Float64s, RiskModel
from icudl.models.charted.window import SUMMARIES, summarise
from icudl.models.options import ModelOptions
from icudl.models.outside.checks import PROBED, output_of, require_names, require_right_way, require_sound
from icudl.models.outside.layout import Layout, chosen_names, layout_of
from icudl.models.outside.options import OutsideOptions, read_bytes, undeclared
from icudl.models.outside.predictor import Predictor, logits_of, slopes_of_logits
from icudl.models.outside.reading import read_predictor
from icudl.models.outside.units import line_of, require_ranges, require_thresholds

LAYOUT = ("places", "lines", "fill", "columns")
"""Arrays of the layout."""


class OutsideModel(ChartedModel):
    """A model that was trained elsewhere. It is read, checked and scored; nothing of it is fitted.

    Attributes:
        line: (2,) calibration: the logit is ``line[0]`` times that of the model plus ``line[1]``.
    """

    Options: ClassVar[type[ModelOptions]] = OutsideOptions
    options: OutsideOptions

    def __init__(self, options: ModelOptions, arrays: Arrays) -> None:
        super().__init__(options, arrays)
        self.line: Float64s = self.arrays["line"]

    @classmethod
    def fit(
        cls, options: ModelOptions, stays: ClinicalStays, labels: npt.NDArray[np.integer], seeds: Sequence[int]
    ) -> Self:
        """Read the model, and check on these stays that it does what it declares; see ``ChartedModel.fit``.

        Raises:
            StageError: Something is undeclared, or the model does not do what it declares.
            ConfigError: A file cannot be read.
            PluginError: The library of its format is not installed.
        """
        del seeds
        own = OutsideOptions.from_dict(options.to_dict())
        problem = undeclared("models.outside", own)
        if problem:
            raise StageError(problem)
        stays = stays.named()
        names = chosen_names(own, stays)
        lines = {name: line_of(variable, own.units.get(name, variable.unit)) for name, variable in
                 ((name, stays.variables[stays.names.index(name)]) for name in names)}  # fmt: skip
        for name in own.units:
            if name not in lines:
                raise StageError(f"units names {name!r}, which the model does not read. It reads {', '.join(names)}.")
        require_ranges(own.ranges, stays, lines)
        layout = layout_of(own, stays, list(lines.values()))
        model = cls(
            own,
            {
                "file": np.frombuffer(read_bytes(own.file) if own.file else b"", np.uint8),
                "line": np.array([1.0, 0.0]),
                **{name: getattr(layout, name) for name in LAYOUT},
            },
        )
        model.require_sound(stays, labels)
        return model

    @functools.cached_property
    def predictor(self) -> Predictor:
        """The model itself."""
        predictor = read_predictor(self.options, self.arrays["file"].tobytes())
        return dataclasses.replace(predictor, output=output_of(predictor, self.options.output))

    @property
    def output(self) -> str:
        """What it gives: ``"probability"`` or ``"logit"``."""
        return self.predictor.output

    @functools.cached_property
    def layout(self) -> Layout:
        """What it reads."""
        return Layout(self.options, **{name: self.arrays[name] for name in LAYOUT})

    @property
    def slack(self) -> float:
        """Logits by which the score of a stay may depend on the stays beside it."""
        return self.predictor.slack * abs(float(self.line[0]))

    def require_sound(self, stays: ClinicalStays, labels: npt.NDArray[np.integer]) -> None:
        """Check the model on some stays; see ``models.outside.checks``."""
        some = stays.select(slice(0, PROBED))
        features, lengths = self.layout.features(some), np.asarray(some.lengths, np.int64)
        require_names(self.predictor, self.layout.labels(stays), stays.names)
        raw = require_sound(self.predictor, features, lengths)
        require_right_way(self.predictor, raw, np.asarray(labels)[:PROBED])
        thresholds = self._thresholds(stays)
        require_thresholds(thresholds, stays)

    def logits(self, stays: ClinicalStays) -> Float64s:
        """Return the (N,) logits of the event; see ``RiskModel``."""
        if not len(stays):
            return np.zeros(0)
        return self.of_features(self.layout.features(stays), np.asarray(stays.lengths, np.int64))

    def of_features(self, features: Float64s, lengths: npt.NDArray[np.int64]) -> Float64s:
        """Return the (n,) logits of what the model reads."""
        logits: Float64s = self.line[0] * logits_of(self.predictor.raw(features, lengths), self.output) + self.line[1]
        return logits

    def absorbed(self, scale: float, shift: float) -> Self:
        """See ``ChartedModel.absorbed``."""
        line = np.array([scale * self.line[0], scale * self.line[1] + shift])
        return type(self)(self.options, {**self.arrays, "line": line})

    def offered(self) -> RiskModel:
        """Return the model with what an attack may know of it: summaries, and where its score jumps."""
        exact = self.options.piecewise and self.predictor.levels is not None
        if self.options.input == "summaries":
            return JumpsInSummaries(self) if exact else OfSummaries(self)
        if exact:
            return JumpsInCells(self)
        return WithSlopes(self) if self.options.differentiable and self.predictor.sloped is not None else self

    def _thresholds(self, stays: ClinicalStays) -> dict[str, Float64s]:
        """Return where trees split the values of each variable, in the data's unit."""
        levels, found = self.predictor.levels, {}
        if levels is None or self.options.input not in {"flat", "summaries"}:
            return {}
        offered = JumpsInSummaries(self) if self.options.input == "summaries" else JumpsInCells(self)
        for place in self.layout.places.tolist():
            if isinstance(offered, JumpsInSummaries):
                values = [SUMMARIES.index(name) for name in ("first", "last", "minimum", "maximum", "mean")]
                parts = [offered.levels(place * len(SUMMARIES) + summary) for summary in values]
            else:
                parts = [offered.cell_levels(hour, place, stays.values.shape[1]) for hour in
                         range(stays.values.shape[1])]  # fmt: skip
            found[stays.names[place]] = np.concatenate(parts)
        return found


class OfSummaries:
    """A model from outside that reads window summaries; see ``ReadsSummaries``."""

    def __init__(self, model: OutsideModel) -> None:
        self.model = model
        self.slack = model.slack

    def logits(self, stays: ClinicalStays) -> Float64s:
        """Return the (N,) logits of the event; see ``RiskModel``."""
        return self.score(summarise(stays.values, stays.lengths, stays.statics))

    def score(self, columns: Float64s) -> Float64s:
        """See ``ReadsSummaries.score``."""
        if not len(columns):
            return np.zeros(0)
        hours = np.zeros(len(columns), np.int64)  # no model of summaries reads lengths
        return self.model.of_features(self.model.layout.of_summaries(columns), hours)


class JumpsInSummaries(OfSummaries):
    """Trees from outside on window summaries; see ``one_value.PiecewiseModel``."""

    def levels(self, column: int) -> Float64s:
        """Return where the score jumps while a summary of the data moves."""
        levels = self.model.predictor.levels or {}
        factor, constant = self.model.layout.summary_lines
        places = np.flatnonzero(self.model.layout.columns == column).tolist()
        found = [(levels[place] - constant[place]) / factor[place] for place in places if place in levels]
        return np.unique(np.concatenate(found)) if found else np.zeros(0)

    def slopes(self, columns: Float64s) -> Float64s:
        """Return zeros: the score is constant between the levels."""
        return np.zeros_like(columns)


class WithSlopes:
    """A torch module from outside on cells; see ``models.charted.base.Sloped``."""

    def __init__(self, model: OutsideModel) -> None:
        self.model = model
        self.slack = model.slack

    def logits(self, stays: ClinicalStays) -> Float64s:
        """Return the (N,) logits of the event; see ``RiskModel``."""
        return self.model.logits(stays)

    def logits_and_slopes(self, stays: ClinicalStays) -> tuple[Float64s, Float64s]:
        """See ``Sloped``.

        Raises:
            StageError: The module offers no gradient.
        """
        model, layout = self.model, self.model.layout
        if model.predictor.sloped is None:
            raise StageError(f"{model.predictor.name} offers no gradient.")
        raw, slopes = model.predictor.sloped(layout.features(stays), np.asarray(stays.lengths, np.int64), model.output)
        outer = model.line[0] * slopes_of_logits(raw, model.output)
        weighted = slopes * outer.reshape(-1, *[1] * (slopes.ndim - 1))
        return model.line[0] * logits_of(raw, model.output) + model.line[1], layout.pulled_back(weighted, stays)


class JumpsInCells:
    """Trees from outside on a flat row of cells; see ``attacks.target.charted.JumpsInCells``."""

    def __init__(self, model: OutsideModel) -> None:
        self.model = model
        self.slack = model.slack

    def logits(self, stays: ClinicalStays) -> Float64s:
        """Return the (N,) logits of the event; see ``RiskModel``."""
        return self.model.logits(stays)

    def cell_levels(self, hour: int, variable: int, n_hours: int) -> Float64s:
        """Return where the score jumps while one charted value of the data moves."""
        layout, levels = self.model.layout, self.model.predictor.levels or {}
        place = layout.cell(hour, variable, n_hours)
        if place is None or place not in levels:
            return np.zeros(0)
        factor, constant = layout.lines[int(np.flatnonzero(layout.places == variable)[0])]
        moved: Float64s = (levels[place] - constant) / factor
        return moved
