"""Finished members of a training, and the folders that keep them until the stage is done."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Checkpoint, read_json, write_json
from icudl.files import write_folder_atomically
from icudl.training.data import Rows
from icudl.training.snapshot import Epoch

Float64s = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Finished:
    """A fitted member.

    Attributes:
        scored: Indices of the stays it scores.
        probabilities: Risks of these stays.
        threshold: Chosen on the validation stays of the member.
        checkpoint: None for a baseline.
        histories: Epochs of each network of the member; empty for a baseline.
    """

    scored: Rows
    probabilities: Float64s
    threshold: float
    checkpoint: Checkpoint | None = None
    histories: tuple[tuple[Epoch, ...], ...] = ()


def keep(folder: Path, finished: Finished) -> None:
    """Write a finished member; the folder appears in one step."""
    write_folder_atomically(folder, partial(_write, finished))


def _write(finished: Finished, folder: Path) -> None:
    np.save(folder / "scored.npy", finished.scored, allow_pickle=False)
    np.save(folder / "probabilities.npy", finished.probabilities, allow_pickle=False)
    if finished.checkpoint is not None:
        finished.checkpoint.write(folder)
    histories = [[_without_nan(epoch) for epoch in history] for history in finished.histories]
    member = str(finished.checkpoint.member) if finished.checkpoint is not None else None
    write_json(folder / "finished.json", {"threshold": finished.threshold, "histories": histories, "member": member})


def read(folder: Path) -> Finished:
    """Read the folder of ``keep``."""
    meta = read_json(folder / "finished.json")
    return Finished(
        scored=np.load(folder / "scored.npy", allow_pickle=False),
        probabilities=np.load(folder / "probabilities.npy", allow_pickle=False),
        threshold=meta["threshold"],
        checkpoint=Checkpoint.read_member(folder, meta["member"]) if meta["member"] is not None else None,
        histories=tuple(tuple(_with_nan(epoch) for epoch in history) for history in meta["histories"]),
    )


def _without_nan(epoch: Epoch) -> dict[str, Any]:
    values = dataclasses.asdict(epoch)
    return {key: None if math.isnan(value) else value for key, value in values.items()}


def _with_nan(values: dict[str, Any]) -> Epoch:
    known: dict[str, Any] = {key: math.nan if value is None else value for key, value in values.items()}
    return Epoch(**known)
