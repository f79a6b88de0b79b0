"""Steps of an optimiser, for the fit and for what precedes it: optimisers by name, their rates, clipped gradients."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from icudl.errors import StageError
from icudl.training.options import TrainingOptions


class DivergenceError(StageError):
    """The loss of a training run is no longer finite."""


def optimizer_of(
    options: TrainingOptions, model: nn.Module, apart: nn.Module | None = None, share: float = 1.0
) -> torch.optim.Optimizer:
    """Return the optimiser of a model's parameters; ``set_rate`` gives it a learning rate, epoch by epoch.

    Args:
        options: Names the optimiser.
        model: What it changes.
        apart: A part of the model that learns at ``share`` of the learning rate.
        share: Of the learning rate of all other parts.
    """
    parameters, decay = _groups(model, apart, share), options.weight_decay
    makers: Mapping[str, Callable[[], torch.optim.Optimizer]] = {
        "adam": lambda: _eager(torch.optim.Adam)(parameters, weight_decay=decay, fused=True),
        "adamw": lambda: _eager(torch.optim.AdamW)(parameters, weight_decay=decay, fused=True),
        "rmsprop": lambda: _eager(torch.optim.RMSprop)(parameters, weight_decay=decay),
        "sgd": lambda: _eager(torch.optim.SGD)(parameters, momentum=0.9, weight_decay=decay),
    }
    return makers[options.optimizer]()


def _eager(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return the optimiser without torch's guards against its own compiler.

    A guard loads the compiler at its first call, which takes a process seconds and serves nobody here. The functions
    below the guards are the same, and so are the bits; a torch whose functions have no guard is used as it is.
    """
    bare = {
        name: inspect.unwrap(getattr(kind, name))
        for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    }
    # The guard of ``step`` also switches gradients off.
    return type(kind.__name__, (kind,), bare | {"step": torch.no_grad()(inspect.unwrap(kind.step))})


def _groups(model: nn.Module, apart: nn.Module | None, share: float) -> list[dict[str, Any]]:
    if apart is None or share == 1:
        return [{"params": list(model.parameters()), "share": 1.0}]
    own = list(apart.parameters())
    known = set(map(id, own))
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [{"params": own, "share": share}, {"params": others, "share": 1.0}]


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of an optimiser of ``optimizer_of``."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


def leave_gradients(optimizer: torch.optim.Optimizer, loss: Tensor, model: nn.Module, clip: float) -> Tensor:
    """Leave the gradients of a loss in a model's parameters, and return the loss without its graph.

    Args:
        optimizer: Of the model's parameters.
        loss: A number.
        model: Whose gradient is kept short.
        clip: Largest norm of the gradient; 0 for any.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if clip > 0:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    return loss.detach()


def take_step(optimizer: torch.optim.Optimizer, loss: Tensor, model: nn.Module, clip: float) -> Tensor:
    """Take one step down the gradient of a loss, and return the loss; see ``leave_gradients``."""
    found = leave_gradients(optimizer, loss, model, clip)
    optimizer.step()
    return found
