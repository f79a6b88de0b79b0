"""Several networks as one model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from icudl.models.base import SequenceClassifier
from icudl.models.options import ModelOptions


class EnsembleClassifier(SequenceClassifier):
    """The mean of the logits of networks that differ in their initial weights and the order of their training stays.

    Everything that scores, attacks or stores an ensemble treats it as a model like any other.

    Attributes:
        networks: ``options.ensemble_size`` of them.
    """

    def __init__(self, options: ModelOptions, networks: Sequence[SequenceClassifier]) -> None:
        super().__init__(options, networks[0].n_features)
        self.networks = nn.ModuleList(networks)

    @classmethod
    def untrained(cls, plugin: type[SequenceClassifier], options: ModelOptions, n_features: int) -> Self:
        """Make ``options.ensemble_size`` networks of one architecture."""
        single = dataclasses.replace(options, ensemble_size=1)
        return cls(options, [plugin(single, n_features) for _ in range(options.ensemble_size)])

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Score stays; see ``SequenceClassifier.forward``."""
        return torch.stack([network(features, lengths) for network in self.networks]).mean(dim=0)

    def absorb(self, scale: float, shift: float) -> None:
        """Change the last layer of each; see ``SequenceClassifier.absorb``."""
        for network in self.networks:
            if isinstance(network, SequenceClassifier):
                network.absorb(scale, shift)
