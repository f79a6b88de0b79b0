"""Memory and disk that a stage will need, estimated before it begins, and a warning where the machine has less.

An estimate follows from the number of cells (stays, hours, variables) and of processes. The bytes are those measured by
``tests/processes/memory_probe.py`` and named in ``docs/reliability.md``, rounded up. Extraction is not estimated: what
it needs depends on how much of the tables is kept, which only reading tells.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from icudl.execution.memory import free_memory

_PROCESS_BYTES = 450_000_000
"""Bytes of a process with the libraries loaded."""

_GRID_BYTES = 6
"""Bytes of a cell in memory and on disk: the mean in float32, and the number of values behind it in 16 bits."""

_FITTING_BYTES = 45
"""Bytes of a cell in every process that fits a model: the grid, and the inputs prepared from it."""

_READING_BYTES = 2 * _GRID_BYTES
"""Bytes of a cell in every process that reads the grid but prepares few stays at a time."""

_FITTED = {"train", "tune-model"}
_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Need:
    """What a stage needs.

    Attributes:
        memory: Bytes of memory, all processes together.
        disk: Bytes on the disk of the store.
    """

    memory: int
    disk: int


def foreseen(nodes: Sequence[str], cells: int, workers: int, store: Path) -> dict[str, tuple[str, ...]]:
    """Return by node a warning for each need that this machine cannot meet; extract is not estimated.

    Args:
        nodes: Nodes that are to be computed.
        cells: Stays times hours times variables.
        workers: Worker processes; 1 works in the process itself.
        store: Folder of the store.
    """
    memory, disk = free_memory(), free_disk(store)
    return {
        node: () if node == "extract" else shortages(node, need_of(node, cells, workers), memory, disk)
        for node in nodes
    }


def need_of(node: str, cells: int, workers: int) -> Need:
    """Return the estimate for one node after extract."""
    if node == "preprocess":
        return Need(memory=_PROCESS_BYTES + cells * _READING_BYTES, disk=cells * _GRID_BYTES)
    others = workers if workers > 1 else 0
    if node in {"attack", "certify", "probe"}:  # holds the data of the stays in work only, however many stays there are
        return Need(memory=(1 + others) * _PROCESS_BYTES, disk=0)
    each = _FITTING_BYTES if node in _FITTED else _READING_BYTES
    reading = 1 if node == "report" else max(1, others)  # the other workers stay alive but idle
    memory = (1 + others) * _PROCESS_BYTES + cells * (_GRID_BYTES + reading * each)
    return Need(memory=memory, disk=0)


def shortages(node: str, need: Need, memory: int | None, disk: int | None) -> tuple[str, ...]:
    """Return a warning for each need that is not met.

    Args:
        node: Node, for the text.
        need: What it needs.
        memory: Bytes of memory that are free; None where unknown.
        disk: Bytes of disk that are free; None where unknown.
    """
    found = []
    if memory is not None and need.memory > memory:
        found.append(
            f"{node} will need about {need.memory / _GIB:.1f} GB of memory, {memory / _GIB:.1f} GB are free. "
            "Use fewer workers, fewer stays or a shorter window."
        )
    if disk is not None and need.disk > disk:
        found.append(
            f"{node} will write about {need.disk / _GIB:.1f} GB, {disk / _GIB:.1f} GB are free on the disk of the "
            "store. Make room or give --store another disk."
        )
    return tuple(found)


def free_disk(folder: Path) -> int | None:
    """Return the free bytes on the disk of a folder that may not exist yet; None if unknown."""
    try:
        return shutil.disk_usage(next(place for place in (folder, *folder.absolute().parents) if place.exists())).free
    except (OSError, StopIteration):
        return None
