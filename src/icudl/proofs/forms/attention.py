"""The read-out ``attention`` as a sum over the hours of hidden units times matrices, with an error.

The read-out is R = sum_t p_t h_t with p = softmax(s) and s_t = w2 tanh(W1 h_t + b1). About the middle h̄ of every hour

    R = R̄ + sum_t p̄_t (h_t - h̄_t) + sum_t p̄_t (h̄_t - R̄) (s_t - s̄_t) + remainder,

and s_t is replaced by a line in h_t with an error. A softmax does not change when all scores move alike, so d_t = s_t -
s̄_t is counted from its mean under p̄. Then Z = sum_t p̄_t exp(d_t) is at least 1 (Jensen) and at most 1 + sum_t p̄_t k_t,
where k_t = exp(D_t) - 1 - D_t bounds |exp(d_t) - 1 - d_t| for |d_t| <= D_t, and the remainder is

    sum_t (p_t - p̄_t) (h_t - h̄_t) + (1/Z) sum_t p̄_t (h̄_t - R̄) [exp(d_t) - 1 - d_t + d_t (1 - Z)].
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple, Self

import torch
from torch import Tensor

from icudl.models.base import within_length
from icudl.models.recurrent.readout import AttentionReadout
from icudl.proofs.forms.affine import ROUNDING, SINGLE, AffineForm, largest_sums
from icudl.proofs.forms.relaxations import EVALUATION, tanh

if TYPE_CHECKING:
    from icudl.proofs.forms.passes import Track


class WeightedSum(NamedTuple):
    """A read-out of m numbers, within ``error`` of ``offset + sum_t weights_t h_t``.

    Attributes:
        weights: (B, T, m, N), 0 beyond a stay's length.
        offset: (B, m).
        error: (B, m), at least 0.
    """

    weights: Tensor
    offset: Tensor
    error: Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Attention:
    """Weights of the read-out, in float64.

    Attributes:
        project: (N, N) W1.
        bias: (N,) b1.
        score: (N,) w2.
    """

    project: Tensor
    bias: Tensor
    score: Tensor

    @classmethod
    def of(cls, module: AttentionReadout) -> Self:
        """Take the weights of a read-out."""
        project = module.project
        return cls(*(array.detach().double() for array in (project.weight, project.bias, module.score.weight[0])))

    def line(self, hidden: Track, lengths: Tensor) -> WeightedSum:
        """Replace the read-out by a sum over the hours.

        Args:
            hidden: (B, T, N) hidden units of every hour.
            lengths: (B,).
        """
        batch, n_hours, size = hidden.centre.shape
        freedom = hidden.freedom
        inside = within_length(lengths, n_hours)
        slope = hidden.slope.transpose(1, 2)
        units = AffineForm(hidden.centre.flatten(0, 1), slope.flatten(0, 1), hidden.own.flatten(0, 1), freedom)
        # s_t = gradient_t h_t + constant_t, up to ``unsure``
        before = units.linear(self.project, self.bias)
        line = tanh(*before.bounds())
        gradient = (line.slope * self.score) @ self.project
        rounding = SINGLE * (size + 8) * (units.magnitude @ self.project.abs().T + self.bias.abs())
        error = line.slope.abs() * rounding + line.error + SINGLE * (size + 8)
        unsure = (error @ self.score.abs()).view(batch, n_hours)
        scores = (gradient * units.centre).sum(dim=1) + (line.slope * self.bias + line.offset) @ self.score
        scores = scores.view(batch, n_hours).masked_fill(~inside, -torch.inf)
        share = torch.softmax(scores, dim=1)
        gradient = gradient.view(batch, n_hours, size)

        moves = torch.einsum("btn,btvn->btv", gradient, slope)
        alone = torch.einsum("btn,btn->bt", gradient.abs(), hidden.own) + unsure
        moves = moves - torch.einsum("bt,btv->bv", share, moves)[:, None]
        alone = alone + (share * alone).sum(dim=1, keepdim=True)
        below, above = largest_sums(moves.transpose(1, 2), freedom)
        most = (torch.maximum(below, above) + alone) * (1 + ROUNDING)
        # What float32 makes of a weight: the score from which the largest is taken, exp, the sum, the quotient.
        spread = _spread(scores, most, inside)
        most = torch.where(inside, most, torch.zeros_like(most))
        curved = (torch.expm1(most) - most) * (1 + ROUNDING) + ROUNDING * most
        swell = (share * curved).sum(dim=1, keepdim=True) * (1 + ROUNDING)
        moved = share * torch.maximum(torch.expm1(most), 1 - torch.exp(-most) / (1 + swell)) * (1 + ROUNDING)

        centre = (share[:, :, None] * hidden.centre).sum(dim=1)
        away = torch.where(inside[:, :, None], hidden.centre - centre[:, None], torch.zeros_like(hidden.centre))
        reach = units.radius.view(batch, n_hours, size)
        second = (moved[:, :, None] * reach).sum(dim=1)
        third = (share * (curved + most * swell))[:, :, None] * away.abs()
        unsure = (share * unsure)[:, :, None] * away.abs()
        largest = torch.where(inside[:, :, None], units.magnitude.view(batch, n_hours, size), 0.0).amax(dim=1)
        evaluation = 2 * (EVALUATION + SINGLE * (2 * n_hours + 16 + 2 * spread))[:, None] * largest
        error = (second + third.sum(dim=1) + unsure.sum(dim=1)) * (1 + ROUNDING) + evaluation

        weights = torch.einsum("bt,btm,btn->btmn", share, away, gradient)
        weights.diagonal(dim1=2, dim2=3).add_(share[:, :, None])
        offset = centre - torch.einsum("btmn,btn->bm", weights, hidden.centre)
        return WeightedSum(weights, offset, error + ROUNDING * (1 + offset.abs()))


def _spread(scores: Tensor, most: Tensor, inside: Tensor) -> Tensor:
    """Return the (B,) largest distance of two scores."""
    highest = (scores + most).amax(dim=1)
    lowest = (scores - most).masked_fill(~inside, torch.inf).amin(dim=1)
    return highest - lowest
