"""The inputs of an attack on a module, checked and brought into one shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from icudl.errors import AttackError
from icudl.interop.data_set import variables_of
from icudl.variables import Variable


@dataclasses.dataclass(frozen=True, eq=False)
class ModuleInputs:
    """N stays for a module.

    Attributes:
        inputs: (N, T, F) on the module's device, in its dtype.
        low: (N, T, F) smallest value each cell may take.
        high: (N, T, F) largest value.
        free: (N, T, F) bool, cells that may change; False beyond a stay's length.
        lengths: (N,) int64.
        labels: (N,) int64 0 or 1; None if the module's own decisions take their place.
        variables: F variables.
    """

    inputs: Tensor
    low: Tensor
    high: Tensor
    free: Tensor
    lengths: Tensor
    labels: Tensor | None
    variables: tuple[Variable, ...]


def check_inputs(
    module: nn.Module,
    inputs: Any,
    labels: Any,
    lengths: Any,
    bounds: Any,
    mask: Any,
    variables: Sequence[Variable | str] | None,
) -> ModuleInputs:
    """Check the arguments, and bring them to the module's device and dtype.

    Raises:
        AttackError: An array has a wrong shape, is not finite, or lies outside the bounds.
        ConfigError: The number of names is not that of the variables.
    """
    first = next((tensor for tensor in module.parameters() if tensor.is_floating_point()), torch.zeros(()))
    cells = _tensor("inputs", inputs).to(first)
    if cells.ndim != 3 or 0 in cells.shape:
        raise AttackError(f"inputs have the shape {tuple(cells.shape)}. Expected (N, T, F): stays, hours, variables.")
    hours = _lengths(lengths, cells)
    inside = (torch.arange(cells.shape[1], device=cells.device) < hours[:, None])[:, :, None]
    _require_finite(cells, inside)
    low, high = _bounds(bounds, cells)
    allowed = torch.ones((), dtype=torch.bool) if mask is None else _mask(mask)
    free = inside & _broadcast("mask", allowed.to(cells.device), cells)
    _require_inside(cells, low, high, free)
    return ModuleInputs(
        inputs=cells,
        low=low,
        high=high,
        free=free,
        lengths=hours,
        labels=None if labels is None else _labels(labels, cells),
        variables=variables_of(variables, low.amin(dim=(0, 1)).tolist(), high.amax(dim=(0, 1)).tolist()),
    )


def _tensor(name: str, value: Any) -> Tensor:
    try:
        return value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError) as error:
        raise AttackError(f"{name} cannot be read as an array of numbers: {error}. Give a tensor or array.") from error


def _broadcast(name: str, value: Tensor, cells: Tensor) -> Tensor:
    try:
        return value.broadcast_to(cells.shape)
    except RuntimeError as error:
        raise AttackError(
            f"{name} has the shape {tuple(value.shape)}. Expected one that broadcasts to the inputs' "
            f"{tuple(cells.shape)}: a number, (F,), (T, F) or (N, T, F)."
        ) from error


def _per_stay(name: str, value: Any, cells: Tensor) -> Tensor:
    whole = _tensor(name, value).to(cells.device)
    if whole.shape != (len(cells),):
        raise AttackError(f"{name} have the shape {tuple(whole.shape)}. Expected ({len(cells)},): one a stay.")
    return whole.long()


def _lengths(lengths: Any, cells: Tensor) -> Tensor:
    n_hours = cells.shape[1]
    if lengths is None:
        return torch.full((len(cells),), n_hours, device=cells.device)
    hours = _per_stay("lengths", lengths, cells)
    wrong = (hours < 1) | (hours > n_hours)
    if bool(wrong.any()):
        stay = int(wrong.nonzero()[0])
        raise AttackError(f"lengths[{stay}] is {int(hours[stay])}. Expected 1 to {n_hours}, the hours of the inputs.")
    return hours


def _labels(labels: Any, cells: Tensor) -> Tensor:
    classes = _per_stay("labels", labels, cells)
    wrong = (classes != 0) & (classes != 1)
    if bool(wrong.any()):
        stay = int(wrong.nonzero()[0])
        raise AttackError(f"labels[{stay}] is {int(classes[stay])}. Expected 0 or 1: there are two classes.")
    return classes


def _mask(mask: Any) -> Tensor:
    allowed = _tensor("mask", mask)
    if allowed.dtype != torch.bool:
        raise AttackError(f"mask holds {allowed.dtype}. Expected booleans: True where a cell may change.")
    return allowed


def _bounds(bounds: Any, cells: Tensor) -> tuple[Tensor, Tensor]:
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise AttackError(f"bounds are {bounds!r}. Expected (low, high): two numbers, or two arrays such as (F,).")
    low, high = (_broadcast("a bound", _tensor("a bound", bound).to(cells), cells).contiguous() for bound in bounds)
    wrong = ~(torch.isfinite(low) & torch.isfinite(high) & (low <= high))
    if bool(wrong.any()):
        stay, hour, variable = wrong.nonzero()[0].tolist()
        cell = stay, hour, variable
        raise AttackError(
            f"The bounds of hour {hour}, variable {variable} are {float(low[cell])!r} and {float(high[cell])!r}. "
            "Expected finite numbers, the low one first."
        )
    return low, high


def _require_finite(cells: Tensor, inside: Tensor) -> None:
    wrong = ~torch.isfinite(cells) & inside
    if bool(wrong.any()):
        stay, hour, variable = wrong.nonzero()[0].tolist()
        raise AttackError(
            f"inputs[{stay}, {hour}, {variable}] is {float(cells[stay, hour, variable])!r}; {int(wrong.sum())} such "
            "cells lie inside the stays' lengths. Expected finite numbers: impute before the attack."
        )


def _require_inside(cells: Tensor, low: Tensor, high: Tensor, free: Tensor) -> None:
    wrong = free & ((cells < low) | (cells > high))
    if bool(wrong.any()):
        stay, hour, variable = cell = tuple(wrong.nonzero()[0].tolist())
        raise AttackError(
            f"inputs[{stay}, {hour}, {variable}] is {float(cells[cell])!r}, outside its bounds "
            f"{float(low[cell])!r} to {float(high[cell])!r}; so are {int(wrong.sum())} cells that may change. "
            "Widen the bounds, clip the inputs, or lock these cells with the mask."
        )
