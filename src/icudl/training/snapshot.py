"""The state of a training run after an epoch, in one file: what a killed run resumes from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from icudl.files import write_atomically


@dataclasses.dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        epoch: Number, from 1.
        train_loss: Mean loss over the stays visited, as it was optimised.
        valid_loss: Mean cross-entropy over the validation stays.
        valid_auroc: NaN where the validation stays are of one class.
        valid_auprc: NaN where no validation stay is a death.
        learning_rate: Of this epoch.
    """

    epoch: int
    train_loss: float
    valid_loss: float
    valid_auroc: float
    valid_auprc: float
    learning_rate: float


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """State after the last epoch of ``history``. Random streams are derived from the epoch, so none is kept.

    Attributes:
        tensors: ``model.*``, ``mean.*`` (running mean of the weights), ``best.*`` and ``optimizer.INDEX.NAME``.
        history: All epochs so far.
        best_epoch: The epoch of the ``best.*`` weights.
    """

    tensors: Mapping[str, Tensor]
    history: tuple[Epoch, ...]
    best_epoch: int

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose name starts with ``prefix.``, without it."""
        start = f"{prefix}."
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}

    def write(self, path: Path) -> None:
        """Write the snapshot; the file is either whole or the one before."""
        metadata = {
            "history": json.dumps([dataclasses.asdict(epoch) for epoch in self.history]),
            "best_epoch": str(self.best_epoch),
        }
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        # After a loss of power the epoch before will do; a name kept for certain costs as much as the bytes.
        write_atomically(path, lambda partial: safetensors.torch.save_file(tensors, partial, metadata), keep_name=False)

    @classmethod
    def read(cls, path: Path) -> Snapshot:
        """Read what ``write`` wrote."""
        with safetensors.safe_open(path, framework="pt") as handle:
            metadata: dict[str, str] = handle.metadata()
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - no mapping
        history = tuple(Epoch(**epoch) for epoch in json.loads(metadata["history"]))
        return cls(tensors, history, int(metadata["best_epoch"]))


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the moments and counters of an optimiser as ``optimizer.INDEX.NAME``."""
    state: Mapping[int, Mapping[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{name}": torch.as_tensor(value)
        for index, slots in state.items()
        for name, value in slots.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what ``optimizer_tensors`` took, given without the prefix; hyperparameters stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
