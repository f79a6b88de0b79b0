"""Any torch module, frozen for attack and bound to a batch of its inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from icudl.attacks.engine import AutogradEngine, Engine, make_engine
from icudl.attacks.target.checkpoint import SLACK
from icudl.errors import AttackError
from icudl.models.base import SequenceClassifier


class TwoLogits(nn.Module):
    """A module with the interface that attacks expect: (inputs, lengths) to (B, 2) logits.

    A single logit z for each stay stands for the logits 0 and z.

    Attributes:
        name: Name of the module in error messages: that of its class.

    Args:
        module: (B, T, F) inputs, and (B,) lengths where they are given, to (B, 2), (B, 1) or (B,) logits.
        takes_lengths: Call the module with the lengths, too.
    """

    def __init__(self, module: nn.Module, *, takes_lengths: bool) -> None:
        super().__init__()
        self.module, self.takes_lengths = module, takes_lengths
        self.name = type(module).__name__

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits.

        Raises:
            AttackError: The call fails, or the module gives something other than logits.
        """
        try:
            logits = self.module(inputs, lengths) if self.takes_lengths else self.module(inputs)
        except Exception as error:
            with_lengths = f" and lengths ({len(lengths)},)" if self.takes_lengths else ""
            raise AttackError(
                f"{self.name} failed on inputs of shape {tuple(inputs.shape)}, {inputs.dtype}{with_lengths}: "
                f"{type(error).__name__}: {error}. Expected a module of (B, T, F) inputs; give lengths only to one "
                "that takes them as its second argument."
            ) from error
        n_stays = len(inputs)
        if not isinstance(logits, Tensor) or logits.shape not in {(n_stays, 2), (n_stays, 1), (n_stays,)}:
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise AttackError(
                f"{self.name} gives {given} for {n_stays} stays. Expected a tensor of two logits a stay, "
                f"{(n_stays, 2)}, or of one, {(n_stays, 1)}: wrap the module in one that returns nothing else."
            )
        if logits.shape == (n_stays, 2):
            return logits
        death = logits.reshape(n_stays, 1)
        return torch.cat([torch.zeros_like(death), death], dim=1)


def two_logits(module: nn.Module, *, takes_lengths: bool) -> SequenceClassifier | TwoLogits:
    """Return the module itself where it is a model of this package, else the module as ``TwoLogits``."""
    return module if isinstance(module, SequenceClassifier) else TwoLogits(module, takes_lengths=takes_lengths)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode, its parameters without gradients, for the time of a ``with`` block.

    Afterwards the modes of its parts, the gradient flags of its parameters and torch's random state are restored.
    """
    modes = {part: part.training for part in module.modules()}
    asked = {parameter: parameter.requires_grad for parameter in module.parameters()}
    devices = {parameter.device.index or 0 for parameter in asked if parameter.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=sorted(devices)):
            module.eval().requires_grad_(requires_grad=False)
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        for parameter, wanted in asked.items():
            parameter.requires_grad_(wanted)


@dataclasses.dataclass(frozen=True, eq=False)
class ModuleTarget:
    """A module bound to B stays; see ``attacks.base.TargetModel`` and ``attacks.target.verification.CheckedTarget``.

    Attacks see unit coordinates: 0 and 1 are the bounds of a cell. The module sees its own inputs, and an unchanged
    cell to the last bit.

    Attributes:
        engine: Scores inputs.
        inputs: (B, T, F) unchanged, in the module's units and dtype.
        low: (B, T, F) smallest value each cell may take.
        high: (B, T, F) largest value.
        attackable: (B, T, F) bool.
        lengths: (B,) int64.
        values: (B, T, F) float32 unit coordinates of the inputs; 0 where nothing may change.
        sign: (B,) float32 +1 where the module now decides for class 1, -1 where for class 0.
        shift: Logit of the decision threshold.
        confidence: Logits by which the other class must win for the margin to be negative.
    """

    engine: Engine
    inputs: Tensor
    low: Tensor
    high: Tensor
    attackable: Tensor
    lengths: Tensor
    values: Tensor
    sign: Tensor
    shift: float
    confidence: float = 0.0

    @classmethod
    def bind(
        cls,
        model: SequenceClassifier | TwoLogits,
        inputs: Tensor,
        low: Tensor,
        high: Tensor,
        free: Tensor,
        lengths: Tensor,
        shift: float,
        *,
        confidence: float = 0.0,
    ) -> Self:
        """Bind a module to stays.

        Args:
            model: Result of ``two_logits``, in eval mode.
            inputs: (B, T, F).
            low: (B, T, F).
            high: (B, T, F).
            free: (B, T, F) bool, cells that may change; those whose bounds fall together are locked as well.
            lengths: (B,) int64.
            shift: Logit of the decision threshold.
            confidence: Logits by which the other class must win.
        """
        free = free & (low < high)
        width = torch.where(free, high - low, torch.ones_like(low))
        unit = torch.where(free, (inputs - low) / width, torch.zeros_like(inputs)).clamp(0.0, 1.0).float()
        target = cls(
            engine=make_engine(model) if isinstance(model, SequenceClassifier) else AutogradEngine(model, model.name),
            inputs=inputs,
            low=low,
            high=high,
            attackable=free,
            lengths=lengths,
            values=unit,
            sign=torch.ones(len(inputs), device=inputs.device),
            shift=shift,
            confidence=confidence,
        )
        difference = target.engine.difference(inputs, lengths)
        return dataclasses.replace(target, sign=torch.where(difference >= shift, 1.0, -1.0).float())

    @property
    def entries(self) -> None:
        """None, because it is unknown which charted values a module's inputs come from."""
        return None

    @property
    def lower(self) -> Tensor:
        """(B, T, F) zeros."""
        return torch.zeros_like(self.values)

    @property
    def upper(self) -> Tensor:
        """(B, T, F) ones where a cell may change, else zeros."""
        return self.attackable.to(self.values.dtype)

    def features(self, values: Tensor) -> Tensor:
        """Return the (B, T, F) inputs of the module at unit coordinates ``values``; differentiable."""
        moved = self.inputs + (values - self.values).to(self.inputs.dtype) * (self.high - self.low)
        return torch.where(self.attackable, torch.clamp(moved, self.low, self.high), self.inputs)

    def charted(self) -> npt.NDArray[np.floating]:
        """Return the unchanged inputs."""
        return self.inputs.cpu().numpy()

    def clinical(self, values: Tensor) -> npt.NDArray[np.floating]:
        """Return the inputs of the module at unit coordinates ``values``."""
        return self.features(values).cpu().numpy()

    def margin(self, values: Tensor) -> Tensor:
        """Return the (B,) margins at ``values``."""
        return self._margin(self.engine.difference(self.features(values), self.lengths))

    def margin_and_gradient(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B,) margins and their (B, T, F) gradient."""
        with torch.enable_grad():
            leaf = values.detach().clone().requires_grad_()
            features = self.features(leaf)
        difference, gradient = self.engine.difference_and_gradient(features.detach(), self.lengths)
        signed = self.sign[:, None, None].to(gradient) * gradient
        (by_cell,) = torch.autograd.grad(features, leaf, signed.to(features))
        return self._margin(difference), by_cell

    def _margin(self, difference: Tensor) -> Tensor:
        return self.sign * (difference - self.shift).to(self.sign.dtype) + (SLACK + self.confidence)

    def select(self, indices: Tensor) -> Self:
        """Return the target bound to the stays at ``indices``."""
        tensors = ("inputs", "low", "high", "attackable", "lengths", "values", "sign")
        return dataclasses.replace(self, **{name: getattr(self, name)[indices] for name in tensors})
