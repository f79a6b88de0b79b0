"""Engine for one LSTM or GRU layer with any read-out but ``max``, in float32 on a CPU: see ``passes.c``.

T hours, N stays or variants of B known stays, M networks, C features of which K move, H units and A columns of the
attention in whole vectors, D directions.
"""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from icudl.attacks.engine.compiled.layer import Layer
from icudl.attacks.engine.compiled.library import Course, KnownStays
from icudl.attacks.engine.directional import DirectionalEngine
from icudl.attacks.engine.known import Known, Memory
from icudl.attacks.engine.reading import without_padding
from icudl.attacks.engine.recurrence import Workspace
from icudl.compiled import address
from icudl.models.recurrent.classifier import RecurrentClassifier

_AT_ONCE = 32
"""Stays whose gates are kept for the gradient at once: they stay in the cache."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CompiledMemory(Memory):
    """B known stays, whose states and looks are in the order in which a direction reads.

    Attributes:
        origin_moving: (B', T, K) the stays that they are variants of, often themselves.
        origins: (B,) which one each of them is a variant of.
        drive: (D, B', T, M, 4 H) of these, by hour.
        states: (D, M, B, T + 1, H).
        cells: (D, M, B, T + 1, H or 0).
        looks: (D, M, B, T, A).
        directions: Those that read more than one hour.
    """

    origin_moving: Tensor
    origins: Tensor
    drive: Tensor
    states: Tensor
    cells: Tensor
    looks: Tensor
    directions: int

    @property
    def n_ways(self) -> int:
        """See ``Memory``."""
        return self.directions


@dataclasses.dataclass(frozen=True, eq=False)
class _Stays:
    """N stays to be read.

    Attributes:
        moving: (N, T, K), or the (N, T, C) features of stays of which nothing is known.
        drive: See ``CompiledMemory``.
        stays: (N,) positions in ``drive``.
        anchors: (N,) positions in ``memory``.
        lengths: (N,)
        memory: What is known, if anything.
    """

    moving: Tensor
    drive: Tensor
    stays: Tensor
    anchors: Tensor
    lengths: Tensor
    memory: CompiledMemory | None

    def part(self, begin: int, end: int) -> _Stays:
        """Return some of them."""
        stays, anchors, lengths = (each[begin:end] for each in (self.stays, self.anchors, self.lengths))
        return _Stays(self.moving[begin:end], self.drive, stays, anchors, lengths, self.memory)

    def described(self) -> KnownStays:
        """Return what C takes."""
        memory, n_stays = self.memory, self.drive.shape[1]
        if memory is None:
            return KnownStays(stays=n_stays, drive=address(self.drive), anchors=n_stays)
        return KnownStays(
            stays=n_stays,
            moving=address(memory.origin_moving),
            drive=address(self.drive),
            anchors=len(memory.moving),
            anchor_moving=address(memory.moving),
            states=address(memory.states),
            cells=address(memory.cells),
            looks=address(memory.looks),
        )


class CompiledEngine(DirectionalEngine):
    """The mean of M networks with one LSTM or GRU layer; see the module and ``engine.protocol.Engine``.

    Args:
        models: Networks of one shape. The engine copies the weights of their recurrent layers and read-outs.
        library: ``library.passes()``.
    """

    def __init__(self, models: Sequence[RecurrentClassifier], library: ctypes.CDLL) -> None:
        self.heads = [model.head.eval() for model in models]
        self.layer, self.library, self.space = Layer(models, library), library, Workspace()

    def remember(self, features: Tensor, lengths: Tensor, n_moving: int | None = None) -> CompiledMemory:
        """See ``engine.protocol.Engine``."""
        features, layer = without_padding(features, lengths), self.layer
        n_moving = features.shape[2] if n_moving is None else n_moving
        with torch.no_grad():
            stays = self._stays(features, lengths, None)
            _, course = self._read_whole(stays)
        moving = features[..., :n_moving].clone(memory_format=torch.contiguous_format)
        return CompiledMemory(
            moving=moving,
            fixed=features[..., n_moving:].clone(),
            origin_moving=moving,
            origins=stays.stays,
            drive=stays.drive,
            directions=layer.n_directions - layer.is_single,
            **course,
        )

    def anchor(self, features: Tensor, lengths: Tensor, known: Known) -> tuple[Tensor, CompiledMemory] | None:
        """See ``engine.protocol.Engine``."""
        memory = known.memory
        if not isinstance(memory, CompiledMemory):
            return None
        with torch.no_grad():
            stays = self._stays(features, lengths, known)
            read, course = self._read_whole(stays)
            difference = self._score(read)
        return difference, dataclasses.replace(
            memory,
            moving=stays.moving,
            fixed=memory.fixed[known.stays],
            origins=stays.stays,
            states=course["states"],
            cells=course["cells"],
            looks=course["looks"],
        )

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:
        """See ``engine.protocol.Engine``."""
        with torch.no_grad():
            return self._score(self._read(self._stays(features, lengths, known), None, None))

    def _pass(
        self, features: Tensor, lengths: Tensor, known: Known | None, reach: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the differences, and the (N, T, K) gradient through each direction: all of it without a reach."""
        layer = self.layer
        n_ways = layer.n_directions - layer.is_single
        if reach is None:
            reach = lengths[:, None].expand(-1, n_ways)
        stays = self._stays(features, lengths, known)
        parts = []
        for begin in range(0, len(lengths), _AT_ONCE):
            end = begin + _AT_ONCE
            parts.append(self._part(stays.part(begin, end), reach[begin:end].contiguous()))
        gradient = torch.cat([own for _, own in parts], dim=1)[..., : features.shape[2]]
        return torch.cat([difference for difference, _ in parts]), list(gradient.unbind(0))

    def _part(self, stays: _Stays, reach: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (N,) differences and the (D', N, T, K) gradients of a few stays."""
        layer = self.layer
        n_stays, n_hours, n_moving = stays.moving.shape
        arrays = {
            name: self.space.take(name, shape, stays.drive) for name, shape in self._shapes(n_stays, n_hours).items()
        }
        steps = torch.empty(2, layer.n_directions, n_stays, dtype=torch.int64)
        with torch.no_grad():
            read = self._read(stays, reach, arrays | {"begins": steps[0], "starts": steps[1]})
        with torch.enable_grad():
            leaf = read.requires_grad_()
            difference = self._score(leaf)
            (by_read,) = torch.autograd.grad(difference.sum(), leaf)
        gradient = torch.empty(layer.n_directions - layer.is_single, n_stays, n_hours, layer.whole(n_moving))
        course = arrays | {"begins": steps[0], "starts": steps[1]}
        by_read = by_read.contiguous()
        failed = self.library.back_stays(
            layer.described(n_hours, n_moving),
            stays.described(),
            n_stays,
            address(stays.anchors),
            address(stays.lengths),
            Course(**{name: address(array) for name, array in course.items()}),
            address(by_read),
            address(gradient),
        )
        _require_memory(failed)
        return difference.detach(), gradient

    def _shapes(self, n_stays: int, n_hours: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays of a course, except for its steps."""
        layer = self.layer
        every = layer.n_directions, layer.n_networks, n_stays
        return {
            "states": (*every, n_hours + 1, layer.size),
            "cells": (*every, n_hours + 1, layer.cell_size),
            "looks": (*every, n_hours, layer.look_size),
            "gates": (*every, n_hours, 5, layer.size),
            "looked": (layer.n_networks, n_stays, n_hours, layer.look_size),
            "weights": (layer.n_networks, n_stays, n_hours),
        }

    def _stays(self, features: Tensor, lengths: Tensor, known: Known | None) -> _Stays:
        lengths = lengths.long().contiguous()
        if known is None or not isinstance(known.memory, CompiledMemory):
            drive = self.layer.drive_of(features)
            every = torch.arange(len(lengths))
            return _Stays(features, drive, every, every, lengths, None)
        memory, anchors = known.memory, known.stays.contiguous()
        origins = memory.origins[anchors]
        return _Stays(features.contiguous(), memory.drive, origins, anchors, lengths, memory)

    def _read_whole(self, stays: _Stays) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the read-out, and what is remembered of the course."""
        shapes = self._shapes(*stays.moving.shape[:2])
        course = {name: stays.drive.new_empty(shapes[name]) for name in ("states", "cells", "looks")}
        return self._read(stays, None, course), course

    def _read(self, stays: _Stays, reach: Tensor | None, arrays: dict[str, Tensor] | None) -> Tensor:
        """Return the (M, N, D, H) read-out; ``arrays`` receive the course."""
        layer = self.layer
        n_stays, n_hours, n_moving = stays.moving.shape
        arrays = dict(arrays) if arrays else None
        if arrays is not None and "begins" not in arrays:
            steps = torch.empty(2, layer.n_directions, n_stays, dtype=torch.int64)
            arrays |= {"begins": steps[0], "starts": steps[1]}
        read = stays.drive.new_empty(layer.n_networks, n_stays, layer.n_directions, layer.size)
        failed = self.library.read_stays(
            layer.described(n_hours, n_moving),
            stays.described(),
            n_stays,
            address(stays.moving) if stays.memory is not None else None,
            address(stays.stays),
            address(stays.anchors),
            address(stays.lengths),
            address(reach),
            int(arrays is not None),
            int(arrays is not None and "gates" in arrays),
            None if arrays is None else Course(**{name: address(array) for name, array in arrays.items()}),
            address(read),
        )
        _require_memory(failed)
        return read

    def _score(self, read: Tensor) -> Tensor:
        """Return the (N,) differences, averaged over the networks, of (M, N, D, H) read-outs."""
        own = read[..., : self.layer.n_units].flatten(2)
        logits = torch.stack([head(each) for head, each in zip(self.heads, own.unbind(0), strict=True)]).mean(dim=0)
        return logits[:, 1] - logits[:, 0]


def _require_memory(failed: int) -> None:
    if failed:
        raise MemoryError
