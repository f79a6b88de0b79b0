"""Weights of one LSTM layer of M networks, laid out as ``passes.c`` reads them.

M networks, D directions, C features of which K move, H units in whole vectors (the others are zero), A columns of the
attention likewise. Gates lie side by side for each vector of units.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from icudl.attacks.engine.compiled.library import Networks, address
from icudl.models.recurrent.classifier import RecurrentClassifier

_READOUTS = {"mean": 0, "attention": 1, "final": 2, "last_hour": 2}


class Layer:
    """See the module.

    Args:
        models: Networks of one shape with one LSTM layer.
        library: ``library.passes()``.

    Attributes:
        size: H.
        look_size: A; 0 without attention.
        n_directions: D.
        is_single: Whether the backward direction reads a stay's last hour only.
    """

    def __init__(self, models: Sequence[RecurrentClassifier], library: ctypes.CDLL) -> None:
        options = models[0].options
        self.library, self.lanes = library, int(library.lanes())
        self.n_networks, self.n_units = len(models), options.hidden_size
        self.size = self.whole(self.n_units)
        self.readout = _READOUTS[options.readout]
        self.is_single = options.readout == "last_hour" and options.bidirectional
        suffixes = ("", "_reverse") if options.bidirectional else ("",)
        self.n_directions = len(suffixes)
        by_state = torch.stack([self._of_each(models, "weight_hh_l0" + suffix) for suffix in suffixes])
        by_input = torch.stack([self._of_each(models, "weight_ih_l0" + suffix) for suffix in suffixes])
        by_state = nn.functional.pad(by_state, (0, 0, 0, self.size - self.n_units))
        # (D, M, H, 4 H) to (D, M, vectors of units, H, 4, lanes)
        shape = (self.n_directions, self.n_networks, self.size, -1, 4 * self.lanes)
        self.by_state = by_state.view(shape).transpose(2, 3).contiguous()
        self.by_input = by_input.transpose(1, 2).contiguous()
        self.bias = torch.stack(
            [
                self._of_each(models, "bias_ih_l0" + suffix) + self._of_each(models, "bias_hh_l0" + suffix)
                for suffix in suffixes
            ]
        )
        self.back_state = self._panels(by_state.transpose(2, 3))
        self.look = self.look_back = self.look_bias = self.look_out = None
        self.look_size = 0
        attentions = [model.attention for model in models if model.attention is not None]
        if attentions:
            n_looks = attentions[0].project.weight.shape[0]
            self.look_size = self.whole(n_looks)
            further = self.look_size - n_looks
            # tanh(x) is 2 sigmoid(2 x) - 1, and constants cancel in the softmax.
            weights = torch.stack([2.0 * each.project.weight.detach().t() for each in attentions])
            look = torch.stack(weights.chunk(self.n_directions, dim=1))
            look = nn.functional.pad(look, (0, further, 0, self.size - self.n_units))
            self.look, self.look_back = self._panels(look), self._panels(look.transpose(2, 3))
            biases = torch.stack([2.0 * each.project.bias.detach() for each in attentions])
            outs = torch.stack([2.0 * each.score.weight.detach().squeeze(0) for each in attentions])
            self.look_bias, self.look_out = (nn.functional.pad(each, (0, further)) for each in (biases, outs))
        self._back_inputs: dict[int, Tensor] = {}

    def whole(self, n: int) -> int:
        """Return ``n`` rounded up to whole vectors."""
        return -(-n // self.lanes) * self.lanes

    def drive_of(self, features: Tensor) -> Tensor:
        """Return the (D, N, T, M, 4 H) inputs of the gates, without the part of the state, of (N, T, C) features."""
        n_stays, n_hours, n_features = features.shape
        rows = features.reshape(-1, n_features)
        drive = features.new_empty(self.n_directions, n_stays * n_hours, self.bias[0].numel())
        for own, bias, weights in zip(drive, self.bias, self.by_input, strict=True):
            torch.addmm(bias.flatten(), rows, weights.flatten(1), out=own)
        return drive.view(self.n_directions, n_stays, n_hours, self.n_networks, -1)

    def described(self, n_hours: int, n_moving: int) -> Networks:
        """Return the weights for stays of T hours of which the first K features move."""
        if n_moving not in self._back_inputs:
            matrix = self.by_input[:, :n_moving].permute(0, 2, 3, 1)
            matrix = nn.functional.pad(matrix, (0, self.whole(n_moving) - n_moving))
            self._back_inputs[n_moving] = self._panels(matrix)
            # The rows of the features that move, for each direction one after the other.
            self._back_inputs[-n_moving - 1] = self.by_input[:, :n_moving].contiguous()
        return Networks(
            networks=self.n_networks,
            directions=self.n_directions,
            hours=n_hours,
            size=self.size,
            look_size=self.look_size,
            moving=n_moving,
            moving_size=self.whole(n_moving),
            readout=self.readout,
            single=int(self.is_single),
            by_state=address(self.by_state),
            by_input=address(self._back_inputs[-n_moving - 1]),
            look=address(self.look),
            look_bias=address(self.look_bias),
            look_out=address(self.look_out),
            back_state=address(self.back_state),
            back_input=address(self._back_inputs[n_moving]),
            look_back=address(self.look_back),
        )

    def _of_each(self, models: Sequence[RecurrentClassifier], name: str) -> Tensor:
        """Return a parameter of all networks: (M, 4 H) of a bias, else (M, columns, 4 H)."""
        return torch.stack([self._in_blocks(getattr(model.rnn, name).detach()) for model in models])

    def _in_blocks(self, parameter: Tensor) -> Tensor:
        """Return (..., 4 H) blocks of a parameter whose rows are gates of the library, one after the other."""
        entry, keep, candidate, leave = parameter.chunk(4)
        gates = torch.stack([candidate, entry, keep, leave])
        gates = nn.functional.pad(gates.movedim(1, -1), (0, self.size - self.n_units))
        return gates.view(*gates.shape[:-1], -1, self.lanes).movedim(0, -2).flatten(-3)

    def _panels(self, matrices: Tensor) -> Tensor:
        """Return (D, M, k, width) matrices in the layout that products take."""
        matrices = matrices.contiguous()
        panels = torch.empty_like(matrices)
        rows, width = matrices.shape[2:]
        for own, to in zip(matrices.flatten(0, 1), panels.flatten(0, 1), strict=True):
            self.library.to_panels(rows, width, address(own), address(to))
        return panels
