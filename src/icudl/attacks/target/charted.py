"""A model of charted values, bound to stays: from hourly means to the margin of the decision, by scores alone."""

from __future__ import annotations

import dataclasses
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icudl.attacks.target.bound import BoundCells
from icudl.attacks.target.threat import Cells, Entries, straight_clinical
from icudl.errors import StageError
from icudl.models.charted.base import ClinicalStays, Float64s, RiskModel, Rounded, Sloped
from icudl.models.charted.one_value import PiecewiseModel, break_points
from icudl.models.charted.window import SUMMARIES, ReadsSummaries, summarise

Places = int | npt.NDArray[np.int64]
"""One hour or variable, or one for each changed record."""


class Scorer(Protocol):
    """Scores changed stays; how it does so is its own affair, as long as every logit is that of the model itself."""

    def logits(self, rows: npt.NDArray[np.int64], values: npt.NDArray[np.float32]) -> Float64s:
        """Return the (B,) logits of the stays at ``rows`` with ``values`` (B, T, F) in place of theirs."""


@runtime_checkable
class JumpsInCells(RiskModel, Protocol):
    """A model whose score is constant while one charted value moves between the levels of its cell."""

    def cell_levels(self, hour: int, variable: int, n_hours: int) -> Float64s:
        """Return the numbers, in clinical units, at which the score may jump."""


@runtime_checkable
class PieceScorer(Scorer, Protocol):
    """Knows where the score of a model breaks while one charted value moves, and scores such moves by themselves."""

    def break_points(self, stay: int, hour: int, variable: int) -> tuple[Float64s, bool]:
        """Return the break points of a value in clinical units, and whether the score is constant between them."""

    def single_logits(self, stay: int, hour: Places, variable: Places, x: npt.NDArray[np.float32]) -> Float64s:
        """Return the (n,) logits of a stay in which one value is each of ``x`` (n,).

        Args:
            stay: The stay.
            hour: The hour of the value, or (n,) that of each.
            variable: Likewise.
            x: The values.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class WholeScorer:
    """Gives the model whole stays.

    Attributes:
        model: The model.
        stays: The N unchanged stays.
    """

    model: RiskModel
    stays: ClinicalStays

    def logits(self, rows: npt.NDArray[np.int64], values: npt.NDArray[np.float32]) -> Float64s:
        """See ``Scorer``."""
        own = self.stays.select(rows)
        return self.model.logits(dataclasses.replace(own, values=values))


class SlopedScorer(WholeScorer):
    """The scorer of models that offer a gradient."""

    model: Sloped


class SummaryScorer:
    """Summarises again only the variables that were changed; the logits are the same to the last bit.

    Args:
        model: The model.
        stays: The N unchanged stays.
    """

    def __init__(self, model: ReadsSummaries, stays: ClinicalStays) -> None:
        self.model, self.stays = model, stays
        self.columns = summarise(stays.values, stays.lengths, stays.statics)

    def logits(self, rows: npt.NDArray[np.int64], values: npt.NDArray[np.float32]) -> Float64s:
        """See ``Scorer``."""
        columns, before = self.columns[rows], self.stays.values[rows]
        changed = (values != before) & ~(np.isnan(values) & np.isnan(before))
        stay, variable = changed.any(axis=1).nonzero()
        if len(stay):
            series = values[stay, :, variable][:, :, None]
            own = summarise(series, self.stays.lengths[rows][stay], np.zeros((len(stay), 0), np.float32))
            places = variable[:, None] * len(SUMMARIES) + np.arange(len(SUMMARIES))
            columns[stay[:, None], places] = own
        return self.model.score(columns)


class PiecewiseScorer(SummaryScorer):
    """The ``PieceScorer`` of models of window summaries.

    Args:
        model: The model.
        stays: The N unchanged stays.
    """

    model: PiecewiseModel

    def break_points(self, stay: int, hour: int, variable: int) -> tuple[Float64s, bool]:
        """Return the break points of a value in clinical units (``models.charted.one_value``)."""
        series = self.stays.values[stay, : int(self.stays.lengths[stay]), variable]
        return break_points(self.model, self.columns[stay], series, variable, hour)

    def single_logits(self, stay: int, hour: Places, variable: Places, x: npt.NDArray[np.float32]) -> Float64s:
        """See ``PieceScorer``."""
        each, of = np.arange(len(x)), np.broadcast_to(variable, len(x))
        series = self.stays.values[stay][:, of].T.copy()
        series[each, hour] = x
        columns = np.repeat(self.columns[stay][None], len(x), axis=0)
        places = of[:, None] * len(SUMMARIES) + np.arange(len(SUMMARIES))
        columns[each[:, None], places] = summarise(
            series[:, :, None], np.full(len(x), self.stays.lengths[stay]), np.zeros((len(x), 0), np.float32)
        )
        return self.model.score(columns)


class CellScorer(WholeScorer):
    """The ``PieceScorer`` of models that jump at levels of single cells."""

    model: JumpsInCells

    def break_points(self, stay: int, hour: int, variable: int) -> tuple[Float64s, bool]:
        """See ``PieceScorer``; the score is constant between the levels."""
        del stay  # a cell has the same levels in all of them
        return self.model.cell_levels(hour, variable, self.stays.values.shape[1]), True

    def single_logits(self, stay: int, hour: Places, variable: Places, x: npt.NDArray[np.float32]) -> Float64s:
        """See ``PieceScorer``."""
        values = np.repeat(self.stays.values[[stay]], len(x), axis=0)
        values[np.arange(len(x)), hour, variable] = x
        return self.logits(np.full(len(x), stay), values)


def make_scorer(model: RiskModel, stays: ClinicalStays) -> Scorer:
    """Return the quickest scorer that a model allows."""
    if isinstance(model, JumpsInCells):
        return CellScorer(model, stays)
    if isinstance(model, PiecewiseModel):
        return PiecewiseScorer(model, stays)
    if isinstance(model, Sloped):
        return SlopedScorer(model, stays)
    return SummaryScorer(model, stays) if isinstance(model, ReadsSummaries) else WholeScorer(model, stays)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ChartedTarget(BoundCells):
    """A model of charted values bound to stays; see ``attacks.base.TargetModel``. It offers no gradient by itself.

    Cells are hourly means in unit coordinates (``threat.charted_cells``). The model sees them in clinical units and in
    single precision, as a data set holds them; hours without a charted value stay empty.

    Attributes:
        scorer: Scores changed stays.
        bound: The N stays that were bound.
        known: What the cells were made from.
        sign: (B,) +1 where the model now says death, -1 where it says survival.
        shift: Logit of the decision threshold.
        confidence: Logits by which the other class must win for the margin to be negative.
    """

    scorer: Scorer
    bound: ClinicalStays
    known: Entries
    sign: Tensor
    shift: float
    confidence: float = 0.0

    @classmethod
    def bind(
        cls, model: RiskModel, stays: ClinicalStays, cells: Cells, entries: Entries, shift: float, *,
        confidence: float = 0.0,
    ) -> Self:  # fmt: skip
        """Bind a model to stays; attacks try to leave the class that the model now decides for.

        Args:
            model: The model.
            stays: What was charted; nothing beyond the length of a stay.
            cells: Cells of the same stays (``threat.charted_cells``).
            entries: What the cells were made from.
            shift: Logit of the decision threshold.
            confidence: Logits by which the other class must win.
        """
        says_death = torch.from_numpy(model.logits(stays) >= shift)
        return cls(
            scorer=make_scorer(model, stays),
            bound=stays,
            bound_cells=cells,
            known=entries,
            rows=torch.arange(len(stays)),
            sign=torch.where(says_death, 1.0, -1.0).double(),
            shift=shift,
            confidence=confidence,
        )

    def charted(self) -> npt.NDArray[np.floating]:
        """Return the (B, T, F) clinical values, NaN where nothing was charted."""
        before: npt.NDArray[np.float32] = self.bound.values[self.rows.numpy()]
        return before

    def clinical(self, values: Tensor) -> npt.NDArray[np.floating]:
        """Return ``values`` in clinical units and single precision; an unchanged cell to the last bit."""
        clinical: npt.NDArray[np.float32] = straight_clinical(self.known.scaler, values.numpy()).astype(np.float32)
        return clinical

    def changed(self, values: Tensor) -> ClinicalStays:
        """Return these stays with ``values`` (B, T, F) in place of what was charted."""
        own = self.bound.select(self.rows.numpy())
        return dataclasses.replace(own, values=self._charted_at(values))

    def _charted_at(self, values: Tensor) -> npt.NDArray[np.float32]:
        before = self.charted()
        filled: npt.NDArray[np.float32] = np.where(np.isnan(before), before, self.clinical(values))
        return filled

    def margin(self, values: Tensor) -> Tensor:
        """Return the (B,) margins at ``values``; NaN where the model gives no number."""
        logits = torch.from_numpy(self.scorer.logits(self.rows.numpy(), self._charted_at(values)))
        return self.sign * (logits - self.shift) + self.confidence

    def select(self, indices: Tensor) -> Self:
        """Return the target bound to the stays at ``indices``."""
        return dataclasses.replace(self, rows=self.rows[indices], sign=self.sign[indices])


class SlopedChartedTarget(ChartedTarget):
    """A target whose model offers a gradient; see ``attacks.base.DifferentiableTarget``."""

    scorer: SlopedScorer

    def margin_and_gradient(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B,) margins and their (B, T, F) gradient."""
        logits, slopes = self.scorer.model.logits_and_slopes(self.changed(values))
        scaler = self.known.scaler
        width = scaler.upper.astype(np.float64) - scaler.lower.astype(np.float64)
        gradient = self.sign[:, None, None] * torch.from_numpy(slopes * width)
        return self.sign * (torch.from_numpy(logits) - self.shift) + self.confidence, gradient


class PiecewiseChartedTarget(ChartedTarget):
    """A target whose model says where its score breaks; see ``attacks.base.PiecewiseTarget``."""

    scorer: PieceScorer

    def pieces(self, row: int, cell: int) -> tuple[Tensor, bool]:
        """See ``PiecewiseTarget.pieces``."""
        stay, hour, variable = self._place(row, cell)
        found, constant = self.scorer.break_points(stay, hour, variable)
        low, high = (float(bound[row, hour, variable]) for bound in (self.lower, self.upper))
        unit = self._unit_of(found, variable)
        inside = unit[(unit > low) & (unit < high)]
        return torch.from_numpy(np.concatenate([[low], inside, [high]])), constant

    def single_margins(self, row: int, cell: int | Tensor, values: Tensor) -> Tensor:
        """See ``PiecewiseTarget.single_margins``."""
        hour, variable = np.divmod(np.asarray(cell), self.values.shape[2])
        x = self._clinical_of(values, variable)
        logits = torch.from_numpy(self.scorer.single_logits(int(self.rows[row]), hour, variable, x))
        return self.sign[row] * (logits - self.shift) + self.confidence

    def representable(self, cell: int, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See ``PiecewiseTarget.representable``: numbers in single precision."""
        variable = cell % self.values.shape[2]
        nearest = self._clinical_of(values, variable)
        ends = np.nextafter(nearest, np.float32(-np.inf)), nearest, np.nextafter(nearest, np.float32(np.inf))
        below, at, above = (torch.from_numpy(self._unit_of(end.astype(np.float64), variable)) for end in ends)
        return below, at, above

    def _place(self, row: int, cell: int) -> tuple[int, int, int]:
        hour, variable = divmod(cell, self.values.shape[2])
        return int(self.rows[row]), hour, variable

    def _unit_of(self, x: Float64s, variable: int) -> Float64s:
        lower, width = self._scale(variable)
        unit: Float64s = (x - lower) / width
        return unit

    def _clinical_of(self, unit: Tensor, variable: Places) -> npt.NDArray[np.float32]:
        lower, width = self._scale(variable)
        clinical: npt.NDArray[np.float32] = (lower + unit.numpy() * width).astype(np.float32)
        return clinical

    def _scale(self, variable: Places) -> tuple[Float64s, Float64s]:
        """Return lower limit and width of the unit, in the arithmetic of ``threat.straight_unit``."""
        scaler = self.known.scaler
        lower = np.asarray(scaler.lower[variable], np.float64)
        return lower, np.asarray(scaler.upper[variable], np.float64) - lower


def bind_charted(
    model: RiskModel, stays: ClinicalStays, cells: Cells, entries: Entries, shift: float, *, confidence: float = 0.0
) -> ChartedTarget:
    """Bind a model of charted values to stays (``ChartedTarget.bind``); the target offers what the model allows.

    Where the score of a stay depends a little on the stays beside it, the margin is larger by that much: an example
    that an attack finds then holds when the model scores it by itself.
    """
    kind: type[ChartedTarget] = ChartedTarget
    if isinstance(model, PiecewiseModel | JumpsInCells):
        kind = PiecewiseChartedTarget
    elif isinstance(model, Sloped) and _has_slopes(model, stays):
        kind = SlopedChartedTarget
    slack = model.slack if isinstance(model, Rounded) else 0.0
    return kind.bind(model, stays, cells, entries, shift, confidence=confidence + slack)


def _has_slopes(model: Sloped, stays: ClinicalStays) -> bool:
    """Tell whether a model has a gradient after all: a module may be made of operations without one."""
    try:
        model.logits_and_slopes(stays.select(slice(0, 1)))
    except StageError:
        return False
    return True
