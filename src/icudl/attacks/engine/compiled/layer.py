"""Weights of one LSTM or GRU layer of M networks, laid out as ``passes.c`` reads them.

M networks, D directions, C features of which K move, H units in whole vectors (the others are zero), G gates that the
state adds to, A columns of the attention in whole vectors. Gates lie side by side for each vector of units.
"""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from icudl.attacks.engine.compiled.library import Networks
from icudl.compiled import address
from icudl.models.recurrent.classifier import RecurrentClassifier

_READOUTS = {"mean": 0, "attention": 1, "final": 2, "last_hour": 2}


@dataclasses.dataclass(frozen=True, eq=False)
class _Cells:
    """Weights of one direction of one network, units in whole vectors.

    Attributes:
        by_state: (H, G H) from the units in use to blocks of gates.
        by_input: (C, 4 H).
        bias: (4 H,)
        back_state: (G H, H) from the gradient of the gates, in the order in which ``passes.c`` writes it.
        back_input: (G H, C).
    """

    by_state: Tensor
    by_input: Tensor
    bias: Tensor
    back_state: Tensor
    back_input: Tensor


class Layer:
    """See the module.

    Args:
        models: Networks of one shape with one LSTM or GRU layer.
        library: ``library.passes()``.

    Attributes:
        is_gru: Whether the cells are those of a GRU.
        size: H.
        cell_size: H; 0 of a GRU.
        look_size: A; 0 without attention.
        n_directions: D.
        is_single: Whether the backward direction reads a stay's last hour only.
    """

    def __init__(self, models: Sequence[RecurrentClassifier], library: ctypes.CDLL) -> None:
        options = models[0].options
        self.library, self.lanes = library, int(library.lanes())
        self.n_networks, self.n_units = len(models), options.hidden_size
        self.size = self.whole(self.n_units)
        self.is_gru = isinstance(models[0].rnn, nn.GRU)
        self.cell_size = 0 if self.is_gru else self.size
        self.readout = _READOUTS[options.readout]
        self.is_single = options.readout == "last_hour" and options.bidirectional
        suffixes = ("", "_reverse") if options.bidirectional else ("",)
        self.n_directions = len(suffixes)
        cells_of = self._gru_cells if self.is_gru else self._lstm_cells
        cells = [[cells_of(model.rnn, suffix) for model in models] for suffix in suffixes]
        by_state, by_input, self.bias, back_state, self._back_input = (
            torch.stack([torch.stack([getattr(each, field.name) for each in way]) for way in cells])
            for field in dataclasses.fields(_Cells)
        )
        # (D, M, H, G H) to (D, M, vectors of units, H, G, lanes)
        n_gates = by_state.shape[3] // self.size
        shape = (self.n_directions, self.n_networks, self.size, -1, n_gates * self.lanes)
        self.by_state = by_state.view(shape).transpose(2, 3).contiguous()
        self.by_input = by_input.transpose(1, 2).contiguous()
        self.back_state = self._panels(back_state)
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
            matrix = self._back_input[..., :n_moving]
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
            cell=int(self.is_gru),
            by_state=address(self.by_state),
            by_input=address(self._back_inputs[-n_moving - 1]),
            look=address(self.look),
            look_bias=address(self.look_bias),
            look_out=address(self.look_out),
            back_state=address(self.back_state),
            back_input=address(self._back_inputs[n_moving]),
            look_back=address(self.look_back),
        )

    def _lstm_cells(self, rnn: nn.RNNBase, suffix: str) -> _Cells:
        by_state, by_input, state_bias, input_bias = _parameters(rnn, suffix)

        def blocks(parameter: Tensor) -> Tensor:
            entry, keep, candidate, leave = parameter.chunk(4)
            return self._side_by_side([candidate, entry, keep, leave])

        state, inputs = self._padded(blocks(by_state), 0), blocks(by_input)
        return _Cells(state, inputs, blocks(state_bias + input_bias), state.t(), inputs.t())

    def _gru_cells(self, rnn: nn.RNNBase, suffix: str) -> _Cells:
        by_state, by_input, state_bias, input_bias = (each.chunk(3) for each in _parameters(rnn, suffix))
        reset, update, candidate = by_state
        back_state = torch.cat([self._padded(each, 0) for each in (candidate, reset, update)])
        return _Cells(
            by_state=self._padded(self._side_by_side(by_state), 0),
            by_input=self._side_by_side([*by_input[:2], torch.zeros_like(by_input[2]), by_input[2]]),
            bias=self._side_by_side(
                [state_bias[0] + input_bias[0], state_bias[1] + input_bias[1], state_bias[2], input_bias[2]]
            ),
            back_state=self._padded(back_state, 1),
            back_input=torch.cat([self._padded(each, 0) for each in by_input]),
        )

    def _side_by_side(self, gates: Sequence[Tensor]) -> Tensor:
        """Return (..., G H) blocks of the gates' (units, ...) parameters."""
        blocks = self._padded(torch.stack(tuple(gates)).movedim(1, -1), -1)
        return blocks.view(*blocks.shape[:-1], -1, self.lanes).movedim(0, -2).flatten(-3)

    def _padded(self, array: Tensor, dim: int) -> Tensor:
        """Return an array with zeros for units up to whole vectors."""
        further = self.size - self.n_units
        return nn.functional.pad(array.movedim(dim, -1), (0, further)).movedim(-1, dim)

    def _panels(self, matrices: Tensor) -> Tensor:
        """Return (D, M, k, width) matrices in the layout that products take."""
        matrices = matrices.contiguous()
        panels = torch.empty_like(matrices)
        rows, width = matrices.shape[2:]
        for own, to in zip(matrices.flatten(0, 1), panels.flatten(0, 1), strict=True):
            self.library.to_panels(rows, width, address(own), address(to))
        return panels


def _parameters(rnn: nn.RNNBase, suffix: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return weights by state and by input, and their biases, of one direction of a layer."""
    names = ("weight_hh", "weight_ih", "bias_hh", "bias_ih")
    by_state, by_input, state_bias, input_bias = (getattr(rnn, f"{name}_l0{suffix}").detach() for name in names)
    return by_state, by_input, state_bias, input_bias
