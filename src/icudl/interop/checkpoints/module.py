"""A checkpoint as a plain torch module, for libraries that expect one."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from icudl.artifacts import Checkpoint, GridDataset
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.threat import StayTensors
from icudl.errors import StageError
from icudl.models.build import load_whole
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, select_statics


class CheckpointModule(nn.Module):
    """(B, T, F) unit coordinates (0 and 1 are the winsor limits, nothing is missing) to (B, 2) logits.

    The logit of the decision threshold is subtracted from the second logit, so that the larger logit is the decision.
    Masks of observation, hours since the last measurement, descriptors and lengths are those of the stays that the
    module is bound to. A call scores all of them in order or, if the module is bound to one stay, any number of changes
    of that stay.

    Attributes:
        inputs: (B, T, F) the stays it is bound to.
        labels: (B,) int64 outcomes of these stays.
    """

    def __init__(self, checkpoint: Checkpoint, stays: StayTensors, labels: Tensor, *, alike: bool) -> None:
        super().__init__()
        device = str(stays.unit.device)
        self.model = load_whole(checkpoint, device)
        self.target = CheckpointTarget.bind(checkpoint, self.model, stays)
        self.alike = alike
        self.inputs: Tensor
        self.labels: Tensor
        self.register_buffer("inputs", stays.unit, persistent=False)
        self.register_buffer("labels", labels, persistent=False)

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, grid: GridDataset, rows: npt.NDArray[np.integer] | None = None, device: str = "cpu"
    ) -> Self:
        """Bind a checkpoint to the stays at ``rows`` of a data set (all of them where None).

        If the model reads values only and all stays are as long as the window, the module accepts any rows.

        Raises:
            StageError: The data set has other variables or another window than the checkpoint.
        """
        if grid.variables != checkpoint.variables or grid.values.shape[1] != checkpoint.n_hours:
            raise StageError(
                f"The data have {grid.values.shape[1]} hours of {', '.join(each.name for each in grid.variables)}; the "
                f"checkpoint expects {checkpoint.n_hours} of {', '.join(each.name for each in checkpoint.variables)}. "
                "Give data prepared like those that the checkpoint was fitted on."
            )
        rows = np.arange(len(grid.labels)) if rows is None else rows
        inputs = InputOptions.from_dict(checkpoint.inputs)
        statics = select_statics(grid, inputs)[rows]
        prepared = prepare_inputs(checkpoint.scaler, inputs, grid.values[rows], grid.lengths[rows], statics)
        stays = StayTensors.of(prepared, np.arange(len(rows)), device)
        labels = torch.from_numpy(grid.labels[rows].astype(np.int64)).to(device)
        alike = set(inputs.channels) == {"value"} and not inputs.statics
        return cls(checkpoint, stays, labels, alike=alike and bool((grid.lengths[rows] == checkpoint.n_hours).all()))

    @property
    def device(self) -> torch.device:
        """The device of the module."""
        return self.inputs.device

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 - torch's signature
        """Stay in eval mode: some libraries switch to training mode, and so dropout on, to differentiate a model."""
        return super().train(mode=False)

    def forward(self, cells: Tensor) -> Tensor:
        """Return (B, 2) logits; differentiable.

        Raises:
            StageError: The rows are not those of the stays that the module is bound to.
        """
        target = self.target.select(self._rows(len(cells)))
        with torch.backends.cudnn.flags(enabled=False):
            logits: Tensor = self.model(target.features(cells), target.lengths)
        return logits - logits.new_tensor([0.0, target.shift])

    def _rows(self, n_rows: int) -> Tensor:
        n_stays = len(self.inputs)
        if n_rows != n_stays and not self.alike and n_stays > 1:
            raise StageError(
                f"{n_rows} rows were given to a module that is bound to {n_stays} stays, whose masks, descriptors or "
                "lengths differ. Give all of them in order, or bind the module to one stay."
            )
        rows = torch.arange(n_stays) if n_rows == n_stays else torch.zeros(n_rows, dtype=torch.int64)
        return rows.to(self.device)
