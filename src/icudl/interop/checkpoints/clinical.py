"""A checkpoint with its scaler and imputation as one torch module: clinical units in, risk of death out.

The module repeats the numpy code of ``preprocessing`` with operations that can be traced and exported; a test compares
the two.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from icudl.artifacts import Checkpoint
from icudl.interop.checkpoints.padded_recurrence import without_packing
from icudl.models.base import within_length
from icudl.models.build import load_whole
from icudl.preprocessing.features import assemble_features
from icudl.preprocessing.scaling import InputOptions, to_unit


class ClinicalModule(nn.Module):
    """(B, T, F) clinical values with NaN, (B,) lengths and (B, S) descriptors with NaN to the (B,) risk of death.

    A window of fewer hours than the model was fitted on is padded to its hours, one of more is cut to them.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.scaler, self.n_hours = checkpoint.scaler, checkpoint.n_hours
        self.options = InputOptions.from_dict(checkpoint.inputs)
        self.model = without_packing(load_whole(checkpoint, "cpu")).eval()
        names = ("lower", "upper", "static_median", "static_offset", "static_scale")
        arrays = {name: getattr(self.scaler, name) for name in names}
        arrays["fill"] = to_unit(self.scaler, self.scaler.median)
        self.constants = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        self.curve = None if checkpoint.curve is None else torch.from_numpy(checkpoint.curve.astype(np.float32))
        self.requires_grad_(requires_grad=False)

    def forward(self, values: Tensor, lengths: Tensor, statics: Tensor | None = None) -> Tensor:
        """Return the risks.

        Args:
            values: (B, T, F) float32.
            lengths: (B,) int64 hours of each stay, from 1 to T and to the model's hours; values beyond are ignored.
            statics: (B, S) float32; None if the model reads no descriptors.
        """
        padding = values.new_full((values.shape[0], self.n_hours, values.shape[2]), torch.nan)
        values = torch.cat([values, padding], dim=1)[:, : self.n_hours]
        within = within_length(lengths, self.n_hours)[:, :, None]
        observed = ~torch.isnan(values) & within
        last, following = neighbours(observed, values)
        features = assemble_features(
            self._imputed(self._unit(values, observed), last, following, within),
            observed,
            self._hours_since(last, within),
            self._scaled(values, statics),
            lengths,
            self.scaler,
            self.options,
        )
        logits = self.model(features, lengths)
        difference = logits[:, 1] - logits[:, 0]
        return torch.sigmoid(difference) if self.curve is None else self._along(self.curve, difference)

    @staticmethod
    def _along(curve: Tensor, difference: Tensor) -> Tensor:
        """Return the (B,) risks on a (2, K) isotonic curve: its first risk and the part of each rise that is passed."""
        places, risks = curve
        # Two places of the curve may coincide in single precision; the risk jumps there.
        width = (places[1:] - places[:-1]).clamp(min=torch.finfo(torch.float32).tiny)
        passed = ((difference[:, None] - places[:-1]) / width).clamp(0.0, 1.0)
        risk: Tensor = risks[0] + (passed * (risks[1:] - risks[:-1])).sum(dim=1)
        return risk

    def _unit(self, values: Tensor, observed: Tensor) -> Tensor:
        """Return unit coordinates of the charted cells, 0 elsewhere."""
        lower, upper = self.constants["lower"], self.constants["upper"]
        known = torch.where(observed, values, lower)
        clipped = torch.minimum(torch.maximum(known, lower), upper)
        return ((clipped - lower) / (upper - lower)).clamp(0.0, 1.0)

    def _imputed(self, charted: Tensor, last: Tensor, following: Tensor, within: Tensor) -> Tensor:
        hours = torch.arange(charted.shape[1], device=charted.device)[None, :, None]
        if self.scaler.imputation == "forward":
            filled = charted.gather(1, last.clamp(min=0))
            return torch.where(within, torch.where(last < 0, self.constants["fill"], filled), 0.0)
        nowhere = (last < 0) & (following < 0)
        before = torch.where(last < 0, following, last).clamp(min=0)
        after = torch.where(following < 0, last, following).clamp(min=0)
        weight = torch.where(after > before, hours - before, 0).to(charted) / (after - before).clamp(min=1).to(charted)
        first, second = charted.gather(1, before), charted.gather(1, after)
        filled = (1 - weight) * first + weight * second
        filled = torch.minimum(torch.maximum(filled, torch.minimum(first, second)), torch.maximum(first, second))
        return torch.where(within, torch.where(nowhere, self.constants["fill"], filled), 0.0)

    def _hours_since(self, last: Tensor, within: Tensor) -> Tensor:
        hours = torch.arange(self.n_hours, device=last.device)[None, :, None]
        return torch.where(within, torch.where(last < 0, self.n_hours, hours - last), 0)

    def _scaled(self, values: Tensor, statics: Tensor | None) -> Tensor:
        if statics is None:
            return values.new_zeros((values.shape[0], 0))
        filled = torch.where(torch.isnan(statics), self.constants["static_median"], statics)
        return (filled - self.constants["static_offset"]) / self.constants["static_scale"]


def neighbours(observed: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last charted hour at or before each hour, and the first at or after it; -1 where no such hour exists.

    Exporters know no running maximum, so the charted hours of a variable are numbered by a running count and looked up
    by number.

    Args:
        observed: (B, T, F) bool.
        like: A tensor of the same shape.

    Returns:
        Two (B, T, F) int64 tensors.
    """
    hours = torch.arange(observed.shape[1], device=observed.device)[None, :, None].expand_as(like)
    number = observed.long().cumsum(dim=1)
    # Place 0 takes the hours without a charted value; the last place stands for "no later hour was charted".
    room = torch.cat([hours, hours[:, :1], hours[:, :1]], dim=1)
    where = torch.full_like(room, -1).scatter(1, torch.where(observed, number, 0), hours)
    where = torch.where(torch.arange(room.shape[1], device=room.device)[None, :, None] == 0, -1, where)
    last = where.gather(1, number)
    following = where.gather(1, torch.where(observed, number, number + 1))
    return last, following
