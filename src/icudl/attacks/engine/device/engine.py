"""An engine that reads whole stays by recorded passes; see docs/decisions/0178.

Up to ``SIZES[-1]`` stays, a batch is filled up to the next of ``SIZES``, copied to arrays of that size, and read by
the pass that was recorded on these. The numbers of a stay depend on the size of its batch, at most by rounding, and
neither on its batch mates nor on whether the pass could be recorded.

B stays, T hours, C features, of which the first K move.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

import torch
from torch import Tensor

from icudl.attacks.engine.device.networks import Score
from icudl.attacks.engine.known import Known, Memory
from icudl.attacks.engine.protocol import Engine
from icudl.attacks.precision import whole_float32
from icudl.execution.recording import Recorder, Rerun, recorded

SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
"""Stays of a recorded pass."""

MOST_PASSES = 48
"""Recorded passes that an engine keeps; beyond, the oldest goes."""

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class DeviceMemory(Memory):
    """B known stays.

    Attributes:
        whole: Every one of them has T hours. Known here, it need not be asked of the device at each pass.
    """

    whole: bool


class DeviceEngine:
    """An ``engine.protocol.Engine`` for CUDA devices; on a CPU it gives the same numbers, slowly.

    Args:
        score: Differentiable logit difference of the model.
        recorder: Records passes. If it fails once, or if what it recorded gives other numbers, passes are done without
            it from then on.
        large: Engine for batches of at least ``large_from`` stays, or None.
        large_from: See ``large``.
    """

    def __init__(self, score: Score, recorder: Recorder, large: Engine | None = None, large_from: int = 0) -> None:
        self._score, self._recorder = score, recorder
        self._large, self._large_from = large, large_from
        self._passes: dict[tuple[object, ...], RecordedPass] = {}

    def remember(self, features: Tensor, lengths: Tensor, n_moving: int | None = None) -> DeviceMemory:
        """See ``engine.protocol.Engine``."""
        n_moving = features.shape[2] if n_moving is None else n_moving
        moving, fixed = features[..., :n_moving].clone(), features[..., n_moving:].clone()
        return DeviceMemory(moving=moving, fixed=fixed, whole=_are_whole(features, lengths))

    def anchor(self, features: Tensor, lengths: Tensor, known: Known) -> None:
        """Return None; see ``engine.protocol.Engine``."""

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:
        """See ``engine.protocol.Engine``."""
        if self._large is not None and len(features) >= self._large_from:
            return self._large.difference(_completed(features, known), lengths)
        return self._pass(features, lengths, known, with_gradient=False)[0]

    def difference_and_gradient(
        self, features: Tensor, lengths: Tensor, known: Known | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``engine.protocol.Engine``."""
        if self._large is not None and len(features) >= self._large_from:
            difference, gradient = self._large.difference_and_gradient(_completed(features, known), lengths)
            return difference, gradient[..., : features.shape[2]]
        return self._pass(features, lengths, known, with_gradient=True)

    def survey(
        self,
        features: Tensor,
        lengths: Tensor,
        faint: float,  # noqa: ARG002
        known: Known | None = None,
    ) -> tuple[Tensor, Tensor, None]:
        """See ``engine.protocol.Engine``."""
        return *self.difference_and_gradient(features, lengths, known), None

    def _pass(
        self, features: Tensor, lengths: Tensor, known: Known | None, *, with_gradient: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the (B,) differences, and the (B, T, K) gradient or nothing."""
        memory = None if known is None else known.memory
        whole = memory.whole if isinstance(memory, DeviceMemory) else _are_whole(features, lengths)
        n_stays, _, n_moving = features.shape
        if n_stays > SIZES[-1]:
            complete = _completed(features, known)
            if not with_gradient:
                return difference_of(self._score, complete, lengths, whole=whole), features[..., :0]
            difference, gradient = gradient_of(self._score, complete, lengths, whole=whole)
            return difference, gradient[..., :n_moving]
        done = self._done(features, lengths, known, whole=whole, with_gradient=with_gradient)
        return done.difference[:n_stays].clone(), done.gradient[:n_stays, :, :n_moving].clone()

    def _done(
        self, features: Tensor, lengths: Tensor, known: Known | None, *, whole: bool, with_gradient: bool
    ) -> RecordedPass:
        """Return the pass of this shape, done on these stays."""
        n_stays, n_hours, n_columns = features.shape
        n_columns += 0 if known is None else known.memory.fixed.shape[2]
        size = next(size for size in SIZES if size >= n_stays)
        key = (size, n_hours, n_columns, features.dtype, whole, with_gradient)
        found = self._passes.get(key)
        if found is not None:
            found.take(features, lengths, known)
            found.again()
            return found
        like = features.new_zeros(size, n_hours, n_columns)
        made = RecordedPass(self._score, like, lengths.dtype, whole=whole, with_gradient=with_gradient)
        made.take(features, lengths, known)
        reason = made.record(self._recorder)
        if reason:
            _LOGGER.warning("Passes of attacks are not recorded on %s: %s", features.device, reason)
            self._recorder = Rerun()
        if len(self._passes) >= MOST_PASSES:
            del self._passes[next(iter(self._passes))]
        self._passes[key] = made
        return made


class RecordedPass:
    """A pass through arrays of one shape that stay where they are.

    Args:
        score: Of the model.
        features: (N, T, C) array that stays are copied to.
        hours: Type of the lengths.
        whole: See ``networks.Score``.
        with_gradient: Whether the pass gives a gradient.

    Attributes:
        difference: (N,) of the last pass.
        gradient: (N, T, C) of the last pass; no columns without one.
    """

    def __init__(self, score: Score, features: Tensor, hours: torch.dtype, *, whole: bool, with_gradient: bool) -> None:
        self._score, self._features, self._whole = score, features, whole
        self._with_gradient = with_gradient
        # Stays that fill the batch up have all hours, which are zero at first.
        self._lengths = torch.full((len(features),), features.shape[1], dtype=hours, device=features.device)
        self.difference = features.new_zeros(len(features))
        self.gradient = torch.zeros_like(features) if with_gradient else features[..., :0].clone()
        self.again: Callable[[], None] = self._work

    def take(self, features: Tensor, lengths: Tensor, known: Known | None) -> None:
        """Copy B stays to the front of the arrays."""
        n_stays, _, n_moving = features.shape
        self._features[:n_stays, :, :n_moving].copy_(features)
        if not self._whole:
            self._lengths[:n_stays].copy_(lengths)
        if known is not None and known.memory.fixed.shape[2]:
            self._features[:n_stays, :, n_moving:].copy_(known.memory.fixed[known.stays])

    def record(self, recorder: Recorder) -> str:
        """Do the pass, and record it; return why it is not recorded, if it is not."""
        self.again, reason = recorded(recorder, self._work, (self.difference, self.gradient))
        return reason

    def _work(self) -> None:
        features, lengths = self._features, self._lengths
        if not self._with_gradient:
            self.difference.copy_(difference_of(self._score, features, lengths, whole=self._whole))
            return
        difference, gradient = gradient_of(self._score, features, lengths, whole=self._whole)
        self.difference.copy_(difference)
        self.gradient.copy_(gradient)


def difference_of(score: Score, features: Tensor, lengths: Tensor, *, whole: bool) -> Tensor:
    """Return the (B,) differences."""
    with torch.no_grad(), whole_float32():
        return score(features, lengths, whole=whole)


def gradient_of(score: Score, features: Tensor, lengths: Tensor, *, whole: bool) -> tuple[Tensor, Tensor]:
    """Return the (B,) differences and their (B, T, C) gradient."""
    with torch.enable_grad(), whole_float32():
        leaf = features.detach().requires_grad_()
        difference = score(leaf, lengths, whole=whole)
        (gradient,) = torch.autograd.grad(difference.sum(), leaf)
    return difference.detach(), gradient


def _completed(features: Tensor, known: Known | None) -> Tensor:
    return features if known is None else known.completed(features)


def _are_whole(features: Tensor, lengths: Tensor) -> bool:
    return bool((lengths == features.shape[1]).all())
