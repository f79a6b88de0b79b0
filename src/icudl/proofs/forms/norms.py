"""The root of a sum of squares whose parts move along lines: convex, so its chord lies above it, its tangent below."""

from __future__ import annotations

import torch
from torch import Tensor

from icudl.proofs.forms.affine import ROUNDING, AffineForm, Freedom, largest_sums

_STILL = 1e-30
"""Below this sum of squares nothing moves."""


def chord_of_norm(rest: Tensor, moves: Tensor, least: Tensor, freedom: Freedom) -> AffineForm:
    """Return sqrt(sum_t (rest_t + sum_k moves_kt e_k)^2 + least) where one unknown e_k at most differs from 0.

    Args:
        rest: (B, T, K).
        moves: (B, V, T, K).
        least: (B, K), above 0.
        freedom: ``most`` is 1.
    """
    constant = (rest**2).sum(dim=1) + least
    linear = 2 * (rest[:, None] * moves).sum(dim=2)
    square = (moves**2).sum(dim=2)
    still = square < _STILL
    square = torch.where(still, torch.ones_like(square), square)
    linear = torch.where(still, torch.zeros_like(linear), linear)

    def norm(at: Tensor) -> Tensor:
        return (constant[:, None] + linear * at + square * at**2).clamp(min=0).sqrt()

    one = torch.ones_like(square)
    start = torch.zeros_like(one) if freedom.one_sided else -one
    slope = (norm(one) - norm(start)) / (1 - start)
    # D(e)^2 = lowest + square (e - vertex)^2, and D has the slope m where (e - vertex)^2 = m^2 lowest / (s (s - m^2)).
    vertex = -linear / (2 * square)
    lowest = (constant[:, None] - linear**2 / (4 * square)).clamp(min=0)
    away = (slope**2 * lowest / (square * (square - slope**2).clamp(min=1e-300))).sqrt()
    touch = torch.minimum(torch.maximum(vertex + slope.sign() * away, start), one)
    line = norm(start) + slope * (touch - start)
    # A unit in the last place of the sum of squares, under the root, is what the distance may err by.
    below = (line - norm(touch)).clamp(min=0) + 1e-12 * (1 + constant[:, None])
    slope, below = torch.where(still, 0.0, slope), torch.where(still, 0.0, below)
    if freedom.values == 1 and not freedom.one_sided:
        middle = torch.where(still, constant[:, None].sqrt(), (norm(one) + norm(start)) / 2)[:, 0]
    else:
        middle = constant.sqrt()
        # Two-sided and several: the chord need not pass through the value where nothing moves.
        if not freedom.one_sided:
            return tangent_of_norm(rest, moves, least, freedom)
    depth = below.amax(dim=1)
    return AffineForm(middle - depth / 2, slope, depth / 2 + ROUNDING * (1 + middle), freedom)


def tangent_of_norm(rest: Tensor, moves: Tensor, least: Tensor, freedom: Freedom) -> AffineForm:
    """Return the same, where any unknowns may differ from 0 that ``freedom`` allows.

    D lies above its tangent plane D0 + g e. By sqrt(x) <= D0 + (x - D0^2) / (2 D0) it lies below it by q / (2 D0) at
    most, with q the sum of the squares of the moves; and by the triangle inequality by 2 sqrt(q).
    """
    middle = ((rest**2).sum(dim=1) + least).sqrt()
    slope = (rest[:, None] * moves).sum(dim=2) / middle[:, None]
    sizes = (moves**2).sum(dim=2).sqrt()
    reach = torch.maximum(*largest_sums(sizes, freedom)) * (1 + ROUNDING)
    above = torch.minimum(reach**2 / (2 * middle), 2 * reach)
    return AffineForm(middle + above / 2, slope, above / 2 + ROUNDING * (1 + middle + reach), freedom)
