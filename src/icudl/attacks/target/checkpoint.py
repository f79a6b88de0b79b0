"""A checkpoint frozen for attack: from the cells of a threat model to the margin of the decision."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icudl.artifacts import Checkpoint, FeatureScaler
from icudl.attacks.engine import Engine, make_engine
from icudl.attacks.engine.known import Known, Memory
from icudl.attacks.target.bound import BoundCells
from icudl.attacks.target.threat import Cells, Filling, StayTensors, grid_cells
from icudl.models.base import SequenceClassifier
from icudl.preprocessing.features import assemble_features, assemble_values
from icudl.preprocessing.scaling import InputOptions, to_clinical
from icudl.training.scores.risk_curve import difference_at

SLACK = 1e-4
"""Logits added to the margin that attacks see. The hand-written pass and the library's differ by rounding (below 1e-5):
without the slack, examples shrunk to the very boundary would fail the independent check."""


def decision_shift(threshold: float, curve: npt.NDArray[np.float64] | None = None) -> float:
    """Return logit(threshold): a stay is called a death where its logit difference is at least this.

    A threshold of exactly 0 or 1 decides every stay alike; it is moved inside by 1e-12 so that the margin is finite.

    Args:
        threshold: On the risk of death.
        curve: Isotonic calibration of the checkpoint (``training.scores.risk_curve``), or None.
    """
    if curve is not None:
        return difference_at(curve, threshold)
    inside = min(max(threshold, 1e-12), 1.0 - 1e-12)
    return math.log(inside) - math.log1p(-inside)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CheckpointTarget(BoundCells):
    """A checkpoint bound to stays under a threat model (``attacks.target.threat``); see ``attacks.base.TargetModel``.

    Masks of observation, hours since the last measurement and static descriptors stay as they are.

    ``select`` copies row numbers only, and the arrays of the selected stays are made when they are first read: attacks
    select candidates by the hundred.

    Attributes:
        engine: Scores features.
        bound: The N stays that were bound.
        scaler: Scaler of the checkpoint.
        inputs: Channels of the checkpoint.
        sign: (B,) +1 where the model now says death, -1 where it says survival.
        shift: Logit of the decision threshold.
        memory: What the engine remembers of the unchanged stays.
        known_rows: (B,) positions in ``memory``; None where it is that of the stays that were bound.
        reach: (B, D) how far back gradients are followed (``engine.known.Known``); None for all the way.
        confidence: Logits by which the other class must win for the margin to be negative.
    """

    engine: Engine
    bound: StayTensors
    scaler: FeatureScaler
    inputs: InputOptions
    sign: Tensor
    shift: float
    memory: Memory | None
    known_rows: Tensor | None = None
    reach: Tensor | None = None
    confidence: float = 0.0

    @classmethod
    def bind(
        cls,
        checkpoint: Checkpoint,
        model: SequenceClassifier,
        stays: StayTensors,
        cells: Cells | None = None,
        *,
        confidence: float = 0.0,
        engine: Engine | None = None,
    ) -> Self:
        """Bind a checkpoint to stays; attacks try to leave the class that the model now decides for.

        Args:
            checkpoint: Holds scaler, channels and threshold.
            model: ``load_model(checkpoint, device)``.
            stays: Prepared with the checkpoint's scaler, on the same device.
            cells: Cells of the same stays under a threat model; by default ``grid_cells(stays)``.
            confidence: Logits by which the other class must win.
            engine: ``make_engine(model)``, if it has been made.
        """
        cells = cells or grid_cells(stays)
        inputs = InputOptions.from_dict(checkpoint.inputs)
        if "value" not in inputs.channels:
            cells = dataclasses.replace(cells, attackable=torch.zeros_like(cells.attackable))
        target = cls(
            engine=engine or make_engine(model),
            bound=stays,
            bound_cells=cells,
            scaler=checkpoint.scaler,
            inputs=inputs,
            rows=torch.arange(len(stays.lengths), device=stays.lengths.device),
            sign=torch.ones(len(stays.lengths)).to(stays.unit),
            shift=decision_shift(checkpoint.threshold, checkpoint.curve),
            memory=None,
            confidence=confidence,
        )
        features = target.features(cells.values)
        difference = target.engine.difference(features, stays.lengths)
        return dataclasses.replace(
            target,
            sign=torch.where(difference >= target.shift, 1.0, -1.0).to(stays.unit),
            memory=target.engine.remember(features, stays.lengths, target.n_moving),
        )

    @functools.cached_property
    def stays(self) -> StayTensors:
        """These B stays."""
        return self.bound.select(self.rows)

    @functools.cached_property
    def lengths(self) -> Tensor:
        """(B,) int64 hours of each stay."""
        return self.bound.lengths[self.rows]

    @property
    def _are_features(self) -> bool:
        """Whether the model reads the cells of the threat model directly, apart from padding, which it ignores."""
        only_values = tuple(self.inputs.channels) == ("value",) and self.inputs.scaling == "minmax"
        return only_values and self.bound_cells.filling is None and self.bound.statics.shape[1] == 0

    @property
    def n_moving(self) -> int | None:
        """K, the first features, which alone depend on the cells; None where the model does not read the values."""
        return self.bound.unit.shape[2] if "value" in self.inputs.channels else None

    def features(self, values: Tensor) -> Tensor:
        """Return the (B, T, C) features of these stays with ``values`` (B, T, F) in place of their numbers."""
        if self._are_features:
            return values
        stays = self.stays
        return assemble_features(
            self._filled(values),
            stays.observed,
            stays.hours_since,
            stays.statics,
            stays.lengths,
            self.scaler,
            self.inputs,
        )

    def _filled(self, values: Tensor) -> Tensor:
        filling = self._filling
        return values if filling is None else filling.apply(values)

    @functools.cached_property
    def _filling(self) -> Filling | None:
        """The map of these stays; their other cells are not copied for it."""
        bound = self.bound_cells.filling
        return None if bound is None else bound.select(self.rows)

    def _moving(self, values: Tensor) -> Tensor:
        """Return the features that the engine reads: (B, T, K), those that move, where it remembers the others."""
        if self.memory is None or self._are_features or self.n_moving is None:
            return self.features(values)
        return assemble_values(self._filled(values), self.lengths, self.scaler, self.inputs)

    def charted(self) -> npt.NDArray[np.floating]:
        """Return the (B, T, F) clinical values; charted means are not clipped to the winsor limits."""
        return self.clinical(self.values) if self.entries is None else self.entries.means

    def clinical(self, values: Tensor) -> npt.NDArray[np.floating]:
        """Return ``values`` in clinical units."""
        return to_clinical(self.scaler, values.cpu().numpy())

    @property
    def _known(self) -> Known | None:
        if self.memory is None:
            return None
        return Known(self.memory, self.rows if self.known_rows is None else self.known_rows, self.reach)

    def margin(self, values: Tensor) -> Tensor:
        """Return the (B,) margins at ``values``."""
        return self._margin(self.engine.difference(self._moving(values), self.lengths, self._known))

    def margin_of_moves(self, rows: Tensor, cells: Tensor, change: Tensor) -> Tensor:
        """Return the (n,) margins of candidates; see ``attacks.base.MovedTarget``."""
        known = self._known
        chosen = None if known is None else Known(known.memory, known.stays[rows])
        difference = self.engine.difference(self._moved(rows, cells, change), self.lengths[rows], chosen)
        return self._margin(difference, self.sign[rows])

    @functools.cached_property
    def _unchanged(self) -> Tensor:
        """What ``_moving`` makes of the unchanged stays."""
        return self._moving(self.values)

    def _moved(self, rows: Tensor, cells: Tensor, change: Tensor) -> Tensor:
        """Return what ``_moving`` makes of candidates: only the columns with a moved cell differ."""
        n_hours, n_variables = self.values.shape[1:]
        hours, variables = cells // n_variables, cells % n_variables
        columns = self.values.transpose(1, 2)[rows[:, None], variables].transpose(1, 2)
        every = torch.arange(n_hours, device=cells.device)[:, None]
        moves = torch.zeros_like(columns)
        for hour, variable, own in zip(hours.unbind(1), variables.unbind(1), change.unbind(1), strict=True):
            where = (every == hour[:, None, None]) & (variables == variable[:, None])[:, None]
            moves = torch.where(where, own[:, None, None], moves)
        columns = columns + moves
        if not self._are_features:
            filling = self.bound_cells.filling
            if filling is not None:
                columns = filling.columns(self.rows[rows], variables).apply(columns)
            columns = assemble_values(columns, self.lengths[rows], self.scaler, self.inputs, variables)
        return self._unchanged[rows].scatter_(2, variables[:, None].expand_as(columns), columns)

    def anchored(self, values: Tensor) -> tuple[Tensor, Self] | None:
        """See ``attacks.base.AnchoredTarget``."""
        known = self._known
        found = None if known is None else self.engine.anchor(self._moving(values), self.lengths, known)
        if found is None:
            return None
        every = torch.arange(len(self.rows), device=self.rows.device)
        return self._margin(found[0]), dataclasses.replace(self, memory=found[1], known_rows=every, reach=None)

    def margin_and_gradient(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B,) margins and their (B, T, F) gradient."""
        difference, gradient = self._through_features(
            values, lambda features: self.engine.difference_and_gradient(features, self.lengths, self._known)
        )
        return self._margin(difference), gradient

    def survey(self, values: Tensor, faint: float) -> tuple[Tensor, Tensor, Self]:
        """Return margins, gradient, and this target with gradients followed back only as far as they are not faint.

        The target returned leaves out slopes below the share ``faint`` of the steepest slope here. Its margins are the
        same.
        """
        reach: list[Tensor | None] = []

        def score(features: Tensor) -> tuple[Tensor, Tensor]:
            difference, gradient, own = self.engine.survey(features, self.lengths, faint, self._known)
            reach.append(own)
            return difference, gradient

        difference, gradient = self._through_features(values, score)
        return self._margin(difference), gradient, dataclasses.replace(self, reach=reach[0])

    def on_changed_cells(self) -> Self:
        """Return this target with gradients that are followed back to the changed hours and no further."""
        if self.memory is None:
            return self
        reach = torch.zeros(len(self.rows), self.memory.n_ways, dtype=torch.int64, device=self.rows.device)
        return dataclasses.replace(self, reach=reach)

    def _margin(self, difference: Tensor, sign: Tensor | None = None) -> Tensor:
        return (self.sign if sign is None else sign) * (difference - self.shift) + (SLACK + self.confidence)

    def _through_features(
        self, values: Tensor, score: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Return (B,) logit differences and the gradient of the margins with respect to ``values``."""
        slope = self.sign[:, None, None]
        if self._are_features:
            difference, gradient = score(values)
            return difference, slope * gradient
        with torch.enable_grad():
            leaf = values.detach().clone().requires_grad_()
            features = self._moving(leaf)
        difference, gradient = score(features.detach())
        (by_cell,) = torch.autograd.grad(features, leaf, slope * gradient)
        return difference, by_cell

    def select(self, indices: Tensor) -> Self:
        """Return the target bound to the stays at ``indices``."""
        reach = None if self.reach is None else self.reach[indices]
        known_rows = None if self.known_rows is None else self.known_rows[indices]
        return dataclasses.replace(
            self, rows=self.rows[indices], sign=self.sign[indices], known_rows=known_rows, reach=reach
        )
