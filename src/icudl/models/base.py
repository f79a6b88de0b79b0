"""The seam of models: differentiable sequence classifiers that give two logits."""

from __future__ import annotations

import abc
import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from icudl.models.options import ModelOptions


class SequenceClassifier(nn.Module, abc.ABC):
    """A differentiable classifier of stays; plug-ins of the entry-point group ``icudl.models`` derive from it.

    A plug-in names the class of its options as ``Options``, is made as ``Plugin(options, n_features)``, and draws its
    initial weights from torch's global generator, which the caller seeds. Every model promises the following
    (``icudl.testing.MODEL_CHECKS`` check it):

    * it gives logits, never probabilities; column 1 is death in hospital;
    * cells at or beyond a stay's length change nothing and get zero gradient, even where they are NaN;
    * a stay's logits do not depend on the stays that share its batch, and a batch of one works;
    * in eval mode the same input gives the same output.

    Attributes:
        Options: Class of the model's options: ``ModelOptions``, or a subclass with the options that it adds.
        citations: Keys of the works to cite (``icudl.report.citations``), or the works themselves.
        options: The architecture.
        n_features: C, columns of the input at each hour.
    """

    Options: ClassVar[type[ModelOptions]] = ModelOptions
    citations: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: ModelOptions, n_features: int) -> None:
        super().__init__()
        self.options = options
        self.n_features = n_features

    def prepare(self, features: Tensor, lengths: Tensor, columns: Mapping[str, range]) -> None:
        """Take constants, such as quantiles, from the training stays, once before the first epoch.

        The constants belong in buffers, which are stored with the weights. The default takes none.

        Args:
            features: (n, T, C) float32 scaled inputs of the training stays.
            lengths: (n,) int64 hours of each stay.
            columns: The columns of each channel and of the statics (``preprocessing.features.columns_of``); empty if
                they are unknown.
        """

    @abc.abstractmethod
    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Score stays.

        Args:
            features: (B, T, C) float32 scaled inputs.
            lengths: (B,) int64 hours of each stay, from 1 to T.

        Returns:
            (B, 2) logits: survival, death.
        """

    def training_logits(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the (B, 2) logits that are trained, each against the labels; those of ``forward`` by default.

        A model whose forward pass averages several paths trains each of them, so that none leans on another.
        """
        return (self(features, lengths),)

    @abc.abstractmethod
    def absorb(self, scale: float, shift: float) -> None:
        """Change the weights so that the logit difference z (death minus survival) becomes ``scale`` z + ``shift``.

        A calibrated model is then a model like any other, and its risks need no further step.
        """


_WHOLE = contextvars.ContextVar("whole", default=False)


@contextlib.contextmanager
def whole_stays() -> Iterator[None]:
    """Promise the models called inside that every stay has all hours, so that they need not ask a device.

    A model that does not know of the promise asks as before.
    """
    token = _WHOLE.set(True)
    try:
        yield
    finally:
        _WHOLE.reset(token)


def are_whole(lengths: Tensor, n_hours: int) -> bool:
    """Tell whether every stay has ``n_hours``; the device of ``lengths`` is asked unless this was promised."""
    return _WHOLE.get() or bool((lengths == n_hours).all())


def within_length(lengths: Tensor, n_hours: int) -> Tensor:
    """Return a (B, T) mask, true for the hours that a stay has."""
    return torch.arange(n_hours, device=lengths.device) < lengths[:, None]


def blank_padding(features: Tensor, lengths: Tensor) -> Tensor:
    """Return (B, T, C) features with zeros beyond each length; gradients of what was blanked are exactly zero."""
    return features.masked_fill(~within_length(lengths, features.shape[1])[:, :, None], 0.0)


def activation(name: str) -> nn.Module:
    """Return the activation of this name (one of ``models.options.ACTIVATIONS``)."""
    layers: dict[str, type[nn.Module]] = {
        "tanh": nn.Tanh,
        "relu": nn.ReLU,
        "gelu": nn.GELU,
        "identity": nn.Identity,
    }
    return layers[name]()
