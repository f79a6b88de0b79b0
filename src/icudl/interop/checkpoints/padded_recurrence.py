"""Recurrent classifiers without packing: the same outputs from operations that any exporter can trace.

torch's packed sequences are read in an order that depends on the data. Here each direction is a plain recurrent layer
over all T hours. Padding comes last, so that the forward direction never sees it before a stay's end; the backward
direction reads the hours of each stay in reverse, by an index, padding again last.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from icudl.models.base import blank_padding
from icudl.models.recurrent.classifier import GruClassifier, LstmClassifier, RecurrentClassifier
from icudl.models.recurrent.summary import GruSummaryClassifier, LstmSummaryClassifier


class PaddedRecurrence(nn.Module):
    """Computes the outputs of a packed ``nn.LSTM`` or ``nn.GRU`` without packing.

    Attributes:
        layers: One for each layer and direction, in the order of the layers, the forward direction first.
    """

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        suffixes = ["", "_reverse"] if rnn.bidirectional else [""]
        self.n_directions = len(suffixes)
        self.layers = nn.ModuleList(
            _direction(rnn, f"_l{layer}{suffix}") for layer in range(rnn.num_layers) for suffix in suffixes
        )

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, T, D H) outputs of the last layer, 0 on padding, and its (B, D H) final states."""
        hours = torch.arange(features.shape[1], device=features.device)
        order = torch.where(hours < lengths[:, None], lengths[:, None] - 1 - hours, hours)
        current = features
        ends: list[Tensor] = []
        for start in range(0, len(self.layers), self.n_directions):
            outputs, ends = [], []
            for number in range(self.n_directions):
                read = self.layers[start + number](_take(current, order) if number else current)[0]
                ends.append(_take(read, (lengths - 1)[:, None])[:, 0])
                outputs.append(_take(read, order) if number else read)
            current = blank_padding(torch.cat(outputs, dim=2), lengths)
        return current, torch.cat(ends, dim=1)


def _direction(rnn: nn.RNNBase, suffix: str) -> nn.RNNBase:
    weights = {name: getattr(rnn, f"{name}{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    layer = nn.LSTM if isinstance(rnn, nn.LSTM) else nn.GRU
    single = layer(weights["weight_ih"].shape[1], rnn.hidden_size, batch_first=True)
    single.load_state_dict({f"{name}_l0": tensor for name, tensor in weights.items()})
    return single


def _take(states: Tensor, hours: Tensor) -> Tensor:
    """Return (B, K, H): the rows of ``states`` (B, T, H) at ``hours`` (B, K)."""
    return states.gather(1, hours[:, :, None].expand(-1, -1, states.shape[2]))


class PaddedClassifier(RecurrentClassifier):
    """A recurrent classifier through ``PaddedRecurrence``; the classes below say which."""

    padded: PaddedRecurrence

    def _summary(self, features: Tensor, lengths: Tensor) -> Tensor:
        outputs, final = self.padded(blank_padding(features, lengths), lengths)
        return self._read_out(outputs, final, lengths)


class PaddedLstm(PaddedClassifier, LstmClassifier):
    """``LstmClassifier`` through ``PaddedRecurrence``."""


class PaddedGru(PaddedClassifier, GruClassifier):
    """``GruClassifier`` through ``PaddedRecurrence``."""


class PaddedLstmSummary(PaddedClassifier, LstmSummaryClassifier):
    """``LstmSummaryClassifier`` through ``PaddedRecurrence``."""


class PaddedGruSummary(PaddedClassifier, GruSummaryClassifier):
    """``GruSummaryClassifier`` through ``PaddedRecurrence``."""


WITHOUT_PACKING: Mapping[type[nn.Module], type[PaddedClassifier]] = {
    LstmClassifier: PaddedLstm,
    GruClassifier: PaddedGru,
    LstmSummaryClassifier: PaddedLstmSummary,
    GruSummaryClassifier: PaddedGruSummary,
}


def without_packing(module: nn.Module) -> nn.Module:
    """Return a copy of a module in which no recurrent classifier, itself or inside it, packs its sequences."""
    if type(module) in WITHOUT_PACKING and isinstance(module, RecurrentClassifier):
        with torch.random.fork_rng(devices=[]):
            made = WITHOUT_PACKING[type(module)](module.options, module.n_features)
            made.load_state_dict(module.state_dict())
            made.padded = PaddedRecurrence(made.rnn)
        del made.rnn
        return made.train(module.training)
    copied = copy.copy(module)
    copied._modules = {  # noqa: SLF001 - a shallow copy shares the dictionary of its parts
        name: None if part is None else without_packing(part)
        for name, part in module._modules.items()  # noqa: SLF001
    }
    return copied
