"""From the hidden units of all hours to the logit difference, alongside the unchanged stay.

A read-out sums up the hidden units of the hours: the last ones, their mean, or a mean weighted by attention. What
carries noise into that sum are the weights of the unchanged stay; what the weights of a pass differ by, times the noise
of the hour, is an error. Where nothing bends between read-out and the first layer behind it, that layer's few outputs
are bounded in place of the hidden units.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from icudl.models.recurrent.readout import Head
from icudl.proofs.forms.affine import ROUNDING, SINGLE
from icudl.proofs.forms.alongside.noisy import Noisy
from icudl.proofs.forms.alongside.travel import Arrived, Asked
from icudl.proofs.forms.attention import Attention
from icudl.proofs.forms.relaxations import ACTIVATIONS, EVALUATION, tanh

_AT_ONCE = 128
"""Passes whose attention is bounded at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Ending:
    """A head, and what carries noise through it: its slopes in the unchanged stay.

    The head is read from n numbers on that are linear in the m hidden units of the read-out: these units themselves, or
    the first layer behind them where the activation in between is none.

    Attributes:
        head: The head.
        names: Names of the activations of the read-out and of the fully connected layer.
        first: (n, m) from the read-out to the numbers.
        rows: (r, n) what is read of the noise of the numbers: they themselves, the fully connected layer where it
            stands behind them, and the logit difference.
        read: (m,) slopes of the activation of the read-out.
        squashed: (k,) slopes of that of the fully connected layer; empty where there is none.
    """

    head: Head
    names: tuple[str, str]
    first: Tensor
    rows: Tensor
    read: Tensor
    squashed: Tensor

    @classmethod
    def of(cls, head: Head, names: tuple[str, str], units: Tensor) -> Ending:
        """Return the slopes of a head.

        Args:
            head: The head.
            names: Of the activations.
            units: (m,) read-out of the unchanged stay.
        """
        line = ACTIVATIONS[names[0]](units[None], units[None])
        read, squashed = line.slope[0], units[:0]
        layer, tail = _difference(head), units.new_ones(1, 1)
        if head.fc is not None:
            inner, bias = _weights(head.fc)
            raw = inner @ (read * units + line.offset[0]) + bias
            squashed = ACTIVATIONS[names[1]](raw[None], raw[None]).slope[0]
            layer, tail = inner, layer * squashed
        if names[0] == "identity":
            rows = torch.cat([torch.eye(len(layer)).double(), tail]) if head.fc is not None else tail
            return cls(head, names, layer, rows, read, squashed)
        onward = layer * read
        last = tail @ onward
        eye = torch.eye(len(units)).double()
        rows = torch.cat([eye, *([onward] if head.fc is not None else []), last])
        return cls(head, names, eye, rows, read, squashed)

    @property
    def rough(self) -> int:
        """How many rows are hidden units, whose noise chooses the lines of their activation and is not carried on."""
        return 0 if self.names[0] == "identity" else len(self.first)

    def difference(self, numbers: Noisy, noise: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return middle, movement and noise of the (B,) logit differences, death minus survival.

        Args:
            numbers: (B, n) numbers.
            noise: (B, r) noise of ``rows`` times them.
            sizes: (B, m) sizes of the read-outs.
        """
        inner = self.head.fc
        layer = _difference(self.head) if inner is None else _weights(inner)[0]
        if self.names[0] == "identity":
            middle, moves, spread = numbers.middle, numbers.moves, numbers.fresh
        else:
            form = numbers.through(ACTIVATIONS[self.names[0]](*numbers.bounds()), self.read)
            middle, moves, sizes = form.middle @ layer.T, form.moves @ layer.T, form.size
            spread = form.fresh
        weight, bias = _weights(self.head.out)
        apart = bias[1] - bias[0]
        rest = noise[:, -1]
        if inner is None:
            rest = rest + (spread if self.names[0] == "identity" else spread @ layer.abs().T)[:, 0]
            middle, moves = middle[:, 0] + apart, moves[:, 0]
        else:
            last, inner_bias = _difference(self.head)[0], _weights(inner)[1]
            tail = (last * self.squashed)[:, None]
            if self.names[0] == "identity":
                carried, rest = noise[:, :-1] + spread, rest + (spread @ tail.abs())[:, 0]
            else:
                # What the activation of the read-out errs by is carried on like all other noise.
                carried = noise[:, -1 - len(layer) : -1] + spread @ layer.abs().T
                rest = rest + (spread @ (layer.T @ tail).abs())[:, 0]
            lost = SINGLE * (layer.shape[1] + 8) * (sizes @ layer.abs().T + inner_bias.abs())
            raw = Noisy(middle + inner_bias, moves, carried, lost)
            form = raw.through(ACTIVATIONS[self.names[1]](*raw.bounds()), self.squashed)
            rest, sizes = rest + form.fresh @ last.abs(), form.size
            middle, moves = form.middle @ last + apart, form.moves @ last
        rounding = SINGLE * (weight.shape[1] + 16) * (sizes @ weight.abs().sum(dim=0) + bias.abs().sum())
        rest = (rest + rounding) * (1 + ROUNDING)
        # Noise that grew beyond all numbers says nothing.
        known = middle.isfinite() & moves.isfinite() & rest.isfinite()
        return middle.where(known, 0.0), moves.where(known, 0.0), rest.where(known, torch.inf)


def _weights(layer: torch.nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight.detach().double(), layer.bias.detach().double()


def _difference(head: Head) -> Tensor:
    """Return the (1, k) weights of the logit difference."""
    weight, _ = _weights(head.out)
    return (weight[1] - weight[0])[None]


@dataclasses.dataclass(frozen=True, eq=False)
class Ends:
    """The read-outs ``final`` and ``last_hour``: the last place of each direction.

    Attributes:
        ending: What is read of it.
    """

    ending: Ending

    rough = 0

    def asked(self, sizes: Sequence[int]) -> list[Asked]:
        """Return what is asked of directions with so many hidden units; with one place, only the last row is a sum."""
        rows = torch.split(self.ending.rows[self.ending.rough :] @ self.ending.first, list(sizes), dim=1)
        return [Asked(each[None, :-1], each[None, -1:]) for each in rows]

    def difference(self, arrived: Sequence[Arrived]) -> tuple[Tensor, Tensor, Tensor]:
        """Return middle, movement and noise of the (B,) logit differences."""
        middle, moves, noise = (
            torch.cat([getattr(each, name)[:, -1] for each in arrived], dim=1) for name in ("middle", "moves", "noise")
        )
        sizes = middle.abs() + moves.abs() + noise
        inner = torch.stack([each.each[:, -1] for each in arrived]).sum(dim=0)
        rows = torch.cat([noise[:, : self.ending.rough], inner, _summed(arrived)], dim=1)
        return _finished(self.ending, middle, moves, sizes, torch.zeros_like(sizes), rows)


def _summed(arrived: Sequence[Arrived]) -> Tensor:
    """Return the (B, r) noise of the sums of all directions."""
    return torch.stack([each.summed for each in arrived]).sum(dim=0)


def _finished(
    ending: Ending, middle: Tensor, moves: Tensor, sizes: Tensor, fresh: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Read the head: (B, m) read-outs, their sizes, their errors, and the (B, r) noise of the rows."""
    first = ending.first
    fresh = (fresh + ROUNDING * sizes) @ first.abs().T
    numbers = Noisy(middle @ first.T, moves @ first.T, noise[:, : len(first)], fresh)
    return ending.difference(numbers, noise, sizes)


@dataclasses.dataclass(frozen=True, eq=False)
class Average:
    """The read-out ``mean``.

    Attributes:
        ending: What is read of it.
        hours: T.
    """

    ending: Ending
    hours: int

    @property
    def rough(self) -> int:
        """See ``Ends``."""
        return self.ending.rough

    def asked(self, sizes: Sequence[int]) -> list[Asked]:
        """See ``Ends.asked``."""
        rows = torch.split(self.ending.rows @ self.ending.first / self.hours, list(sizes), dim=1)
        return [Asked(each.new_zeros(self.hours, 0, each.shape[1]), each.repeat(self.hours, 1, 1)) for each in rows]

    def difference(self, arrived: Sequence[Arrived]) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Ends.difference``."""
        middle, moves = (
            torch.cat([getattr(each, name).mean(dim=1) for each in arrived], dim=1) for name in ("middle", "moves")
        )
        sizes = torch.cat([(each.middle.abs() + each.moves.abs() + each.noise).mean(dim=1) for each in arrived], dim=1)
        lost = SINGLE * (self.hours + 16) * sizes
        return _finished(self.ending, middle, moves, sizes, lost, _summed(arrived))


@dataclasses.dataclass(frozen=True, eq=False)
class Attended:
    """The read-out ``attention`` of one unchanged stay of T hours, as ``proofs.forms.attention`` bounds it.

    Attributes:
        attention: Weights.
        ending: What is read of the read-out.
        gradient: (T, N) slopes of the scores.
        share: (T,) weights of the hours.
        away: (T, n) numbers of the ending of each hour, less their weighted mean.
    """

    attention: Attention
    ending: Ending
    gradient: Tensor
    share: Tensor
    away: Tensor

    @property
    def rough(self) -> int:
        """See ``Ends``."""
        return self.ending.rough

    @classmethod
    def of(cls, attention: Attention, head: Head, names: tuple[str, str], units: Tensor) -> Attended:
        """Read the (T, N) hidden units of the unchanged stay."""
        squashed = torch.tanh(units @ attention.project.T + attention.bias)
        gradient = ((1 - squashed**2) * attention.score) @ attention.project
        share = torch.softmax(squashed @ attention.score, dim=0)
        ending = Ending.of(head, names, share @ units)
        numbers = units @ ending.first.T
        return cls(attention, ending, gradient, share, numbers - share @ numbers)

    def asked(self, sizes: Sequence[int]) -> list[Asked]:
        """See ``Ends.asked``: of each hour its numbers and its score."""
        first = self.ending.first
        each = torch.cat([first.expand(len(self.share), -1, -1), self.gradient[:, None]], dim=1)
        weights = self.share[:, None, None] * (first + self.away[:, :, None] * self.gradient[:, None])
        summed = self.ending.rows @ weights
        split = (torch.split(array, list(sizes), dim=2) for array in (each, summed))
        return [Asked(*parts) for parts in zip(*split, strict=True)]

    def difference(self, arrived: Sequence[Arrived]) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Ends.difference``; the directions are in the order of time."""
        parts = [
            self._part([Arrived(*(array[start : start + _AT_ONCE] for array in each)) for each in arrived])
            for start in range(0, len(arrived[0].middle), _AT_ONCE)
        ]
        middle, moves, rest = (torch.cat(arrays) for arrays in zip(*parts, strict=True))
        return middle, moves, rest

    def _part(self, arrived: Sequence[Arrived]) -> tuple[Tensor, Tensor, Tensor]:
        middle, moves, noise = (torch.cat(arrays, dim=2) for arrays in list(zip(*arrived, strict=True))[:3])
        each = torch.stack([one.each for one in arrived]).sum(dim=0)
        of_numbers, of_score = each[..., :-1], each[..., -1]
        attention, first = self.attention, self.ending.first
        n_hours, size = middle.shape[1:]
        sizes = middle.abs() + moves.abs() + noise
        # s_t = gradient_t h_t + constant_t, up to ``unsure``
        before = middle @ attention.project.T + attention.bias
        radius = (moves @ attention.project.T).abs() + noise @ attention.project.abs().T
        radius = radius * (1 + ROUNDING) + ROUNDING * (sizes @ attention.project.abs().T)
        line = tanh(before - radius, before + radius)
        steep = line.slope * attention.score
        gradient = steep @ attention.project
        rounding = SINGLE * (size + 8) * (sizes @ attention.project.abs().T + attention.bias.abs())
        unsure = (line.slope.abs() * rounding + line.error + SINGLE * (size + 8)) @ attention.score.abs()
        scores = (line.slope * before + line.offset) @ attention.score
        share = torch.softmax(scores, dim=1)
        turned = ((gradient - self.gradient).abs() * noise).sum(dim=2)

        score_moves = (gradient * moves).sum(dim=2)
        score_moves = score_moves - (share * score_moves).sum(dim=1, keepdim=True)
        alone = of_score + turned + unsure
        most = score_moves.abs() + alone + (share * alone).sum(dim=1, keepdim=True)
        most = most * (1 + ROUNDING)
        spread = (scores + most).amax(dim=1) - (scores - most).amin(dim=1)
        curved = (torch.expm1(most) - most) * (1 + ROUNDING) + ROUNDING * most
        swell = (share * curved).sum(dim=1, keepdim=True) * (1 + ROUNDING)
        moved = share * torch.maximum(torch.expm1(most), 1 - torch.exp(-most) / (1 + swell)) * (1 + ROUNDING)

        numbers, number_moves = middle @ first.T, moves @ first.T
        centre = (share[:, :, None] * numbers).sum(dim=1)
        away = numbers - centre[:, None]
        weighted = share[:, :, None] * away
        second = moved[:, :, None] * (number_moves.abs() + of_numbers)
        third = (share * (curved + most * swell) + share * unsure)[:, :, None] * away.abs()
        # Weights of the pass are not those that carry the noise.
        other = (share - self.share).abs()[:, :, None] * of_numbers
        other = other + (weighted - self.share[:, None] * self.away).abs() * of_score[:, :, None]
        other = other + weighted.abs() * turned[:, :, None]
        largest = sizes.amax(dim=1)
        evaluation = 2 * (EVALUATION + SINGLE * (2 * n_hours + 16 + 2 * spread))[:, None] * largest
        evaluation = (evaluation + ROUNDING * (1 + largest)) @ first.abs().T
        fresh = (second + third + other).sum(dim=1) * (1 + ROUNDING) + evaluation
        summed_moves = (share[:, :, None] * number_moves + weighted * score_moves[:, :, None]).sum(dim=1)
        summed = _summed(arrived)
        result = Noisy(centre, summed_moves, summed[:, : len(first)], fresh)
        return self.ending.difference(result, summed, largest)
