"""The channels a model reads, as a differentiable function of unit coordinates."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from icudl.artifacts import FeatureScaler, Floats
from icudl.preprocessing.scaling import InputOptions

CHANNELS = ("value", "observed", "hours_since")
"""Every channel, in the order in which the chosen ones are laid side by side."""


def n_features(options: InputOptions, n_variables: int) -> int:
    """Return C, the number of features per hour: F per channel and one per static descriptor."""
    return n_variables * len(set(options.channels)) + len(options.statics)


def columns_of(options: InputOptions, n_variables: int) -> dict[str, range]:
    """Return the columns of each chosen channel (F columns each) and of "statics" (S columns)."""
    named = [name for name in CHANNELS if name in options.channels]
    columns = {name: range(k * n_variables, (k + 1) * n_variables) for k, name in enumerate(named)}
    start = len(named) * n_variables
    return columns | {"statics": range(start, start + len(options.statics))}


def assemble_features(
    unit: Tensor,
    observed: Tensor,
    hours_since: Tensor,
    statics: Tensor,
    lengths: Tensor,
    scaler: FeatureScaler,
    options: InputOptions,
) -> Tensor:
    """Lay the chosen channels side by side; differentiable in ``unit``.

    The order is value, observed, hours_since (F columns each, those that ``options.channels`` names), then the S
    statics, repeated at every hour. Hours beyond a stay's length are 0 in every column.

    Args:
        unit: (B, T, F) imputed unit coordinates.
        observed: (B, T, F) bool or 0/1, something was charted.
        hours_since: (B, T, F) hours since the variable was last charted; given to the model as a share of T.
        statics: (B, S) scaled descriptors.
        lengths: (B,) hours of each stay.
        scaler: Holds offset and scale of the value channel.
        options: Names the channels.

    Returns:
        (B, T, C) features, ``C = n_features(options, F)``.
    """
    n_hours = unit.shape[1]
    columns: list[Tensor] = []
    if "value" in options.channels:
        columns.append(_value_channel(unit, scaler, options))
    if "observed" in options.channels:
        columns.append(observed.to(unit.dtype))
    if "hours_since" in options.channels:
        columns.append(hours_since.to(unit.dtype) / n_hours)
    if statics.shape[1]:
        columns.append(statics.to(unit.dtype)[:, None, :].expand(-1, n_hours, -1))
    within = torch.arange(n_hours, device=unit.device) < lengths.to(unit.device)[:, None]
    return torch.cat(columns, dim=2) * within[:, :, None].to(unit.dtype)


def assemble_values(
    unit: Tensor, lengths: Tensor, scaler: FeatureScaler, options: InputOptions, variables: Tensor | None = None
) -> Tensor:
    """Return the first F columns of ``assemble_features``, where ``options.channels`` names the values.

    With ``variables`` (B, k), ``unit`` (B, T, k) are these variables' numbers, and so are the columns returned.
    """
    within = torch.arange(unit.shape[1], device=unit.device) < lengths.to(unit.device)[:, None]
    return _value_channel(unit, scaler, options, variables) * within[:, :, None].to(unit.dtype)


def _value_channel(
    unit: Tensor, scaler: FeatureScaler, options: InputOptions, variables: Tensor | None = None
) -> Tensor:
    if options.scaling == "minmax":
        return unit
    width = _like((scaler.upper - scaler.lower) / scaler.scale, unit)
    shift = _like((scaler.lower - scaler.offset) / scaler.scale, unit)
    if variables is not None:
        width, shift = (each[variables][:, None] for each in (width, shift))
    return unit * width + shift


def _like(array: Floats, tensor: Tensor) -> Tensor:
    # A GPU that is busy need not be waited for: the few numbers are copied away before the call returns.
    return torch.from_numpy(np.ascontiguousarray(array)).to(tensor, non_blocking=True)
