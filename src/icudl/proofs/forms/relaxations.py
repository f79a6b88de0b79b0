"""Relaxations: a function on an interval, replaced by a line and the largest distance from it.

For every x in [lower, upper] the value f(x) lies within ``error`` of ``slope`` x + ``offset``. The slope is that of the
chord between the ends; for sigmoid and tanh on a narrow interval, that of the tangent in its middle. The distance from
a line of any slope is largest at an end of the interval or where f has that slope, so the error holds for the slope as
it was rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from icudl.proofs.forms.compiled import relaxed

EVALUATION = 2.0**-21
"""Bound on the error of a function as a float32 library evaluates it, relative to the sizes that enter: eight units in
the last place, where libraries promise one to four (SLEEF, which torch uses: 1.0 for exp and tanh). What this module
itself errs by in float64 is nothing beside it."""

_NARROW = 1e-6
"""Below this width a chord's slope is mostly rounding; the slope in the middle takes its place."""

_TANGENT = 0.2
"""Below this width, sigmoid gets the tangent in the middle: one exponential in place of five functions. Half of it for
tanh, which bends more. The error exceeds that of the chord by at most what the third derivative may do, 2.1e-5 for
sigmoid and 4.2e-5 for tanh at these widths: a tenth where the function bends most, a multiple where it hardly does."""

GELU_PIECES = 64
"""Parts of an interval at whose ends GELU is looked at."""

GELU_CURVATURE = 0.8
"""Largest second derivative of GELU, rounded up: (2 - x^2) times the normal density is at most 2 / sqrt(2 pi)."""


class Line(NamedTuple):
    """A line with an error, for each of (B, n) components.

    Attributes:
        slope: (B, n).
        offset: (B, n).
        error: (B, n), at least 0.
    """

    slope: Tensor
    offset: Tensor
    error: Tensor


def sigmoid(lower: Tensor, upper: Tensor) -> Line:
    """Relax the logistic function."""
    found = relaxed(lower, upper, curbed=False)
    if found is not None:
        return Line(*found)
    value = torch.sigmoid((lower + upper) / 2)
    first = value * (1 - value)
    slope = _chord(torch.sigmoid, first, lower, upper).clamp(min=0)
    # The slope at x is y (1 - y) with y = sigmoid(x): the smaller root, without cancellation.
    root = 2 * slope / (1 + (1 - 4 * slope).clamp(min=0).sqrt())
    line = _line(torch.sigmoid, slope, lower, upper, torch.log1p(-root) - torch.log(root))
    return _tangent(line, _TANGENT, lower, upper, (value, first, first * (1 - 2 * value)), 1 / 8)


def tanh(lower: Tensor, upper: Tensor) -> Line:
    """Relax the hyperbolic tangent."""
    found = relaxed(lower, upper, curbed=True)
    if found is not None:
        return Line(*found)
    value = torch.tanh((lower + upper) / 2)
    first = 1 - value**2
    slope = _chord(torch.tanh, first, lower, upper).clamp(min=0)
    # The slope at x is 1 - y^2 with y = tanh(x), and x = log((1 + y) / (1 - y)) / 2 = log((1 + y) / sqrt(1 - y^2)).
    y = (1 - slope).clamp(min=0).sqrt()
    line = _line(torch.tanh, slope, lower, upper, torch.log((1 + y) / slope.sqrt()))
    return _tangent(line, _TANGENT / 2, lower, upper, (value, first, -2 * value * first), 2.0)


def clamp(lower: Tensor, upper: Tensor, low: Tensor, high: Tensor) -> Line:
    """Relax x kept between (n,) ``low`` and ``high``; either may be infinite."""

    def function(x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x, low), high)

    middle = (lower + upper) / 2
    inside = ((middle > low) & (middle < high)).to(lower.dtype)
    slope = _chord(function, inside, lower, upper)
    return _between(function, slope, lower, upper, [low.expand_as(lower), high.expand_as(lower)])


def relu(lower: Tensor, upper: Tensor) -> Line:
    """Relax max(x, 0)."""
    zero = lower.new_zeros(())
    return clamp(lower, upper, zero, torch.full_like(zero, torch.inf))


def gelu(lower: Tensor, upper: Tensor) -> Line:
    """Relax GELU, x times the normal distribution function.

    The distance from a line is looked at in equally spaced points. Between two points it exceeds theirs by at most an
    eighth of the largest second derivative times the square of their spacing.
    """
    function = torch.nn.functional.gelu
    middle = (lower + upper) / 2
    step = 1e-4
    slope = _chord(function, (function(middle + step) - function(middle - step)) / (2 * step), lower, upper)
    shares = torch.linspace(0, 1, GELU_PIECES + 1, dtype=lower.dtype, device=lower.device)[1:-1].tolist()
    points = [lower + share * (upper - lower) for share in shares]
    line = _between(function, slope, lower, upper, points)
    between = GELU_CURVATURE / 8 * ((upper - lower) / GELU_PIECES) ** 2
    return line._replace(error=line.error + between)


def inverse_root(lower: Tensor, upper: Tensor) -> Line:
    """Relax x to the power of -1/2 between (B, n) ends above 0."""

    def function(x: Tensor) -> Tensor:
        return x.rsqrt()

    slope = _chord(function, -(((lower + upper) / 2) ** -1.5) / 2, lower, upper).clamp(max=0)
    # The slope at x is -x^(-3/2) / 2.
    tangency = (-2 * slope).clamp(min=1e-300) ** (-2 / 3)
    return _between(function, slope, lower, upper, [tangency])


def identity(lower: Tensor, upper: Tensor) -> Line:  # noqa: ARG001 - as the others
    """Return the line that leaves every value as it is."""
    return Line(torch.ones_like(lower), torch.zeros_like(lower), torch.zeros_like(lower))


ACTIVATIONS: dict[str, Callable[[Tensor, Tensor], Line]] = {
    "tanh": tanh,
    "relu": relu,
    "gelu": gelu,
    "identity": identity,
}
"""The relaxations of the activations in ``models.options.ACTIVATIONS``."""


def _chord(function: Callable[[Tensor], Tensor], middle: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Return the slope between the ends, or ``middle`` where they nearly coincide."""
    width = upper - lower
    narrow = width < _NARROW
    slope = (function(upper) - function(lower)) / torch.where(narrow, torch.ones_like(width), width)
    return torch.where(narrow, middle, slope)


def _tangent(
    line: Line, limit: float, lower: Tensor, upper: Tensor, at: tuple[Tensor, Tensor, Tensor], third: float
) -> Line:
    """Return the tangent in the middle where an interval is narrower than ``limit``, else ``line``.

    The tangent is moved by half of what the function bends to the ends (Taylor's formula).

    Args:
        line: For wider intervals.
        limit: Width.
        lower: Ends.
        upper: Ends.
        at: Value, first and second derivative in the middle.
        third: Bound on the size of the third derivative.
    """
    value, first, second = at
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    bend = second * half**2 / 4
    size = 2 * value.abs() + first * torch.maximum(lower.abs(), upper.abs())
    error = bend.abs() + third / 6 * half**3 + EVALUATION * (1 + size)
    narrow = upper - lower < limit
    found = (first, value - first * middle + bend, error)
    return Line(*(torch.where(narrow, new, old) for new, old in zip(found, line, strict=True)))


def _line(function: Callable[[Tensor], Tensor], slope: Tensor, lower: Tensor, upper: Tensor, tangency: Tensor) -> Line:
    """Return the line of an odd S-shaped function, which has the slope at ``tangency`` and at its negative only."""
    return _between(function, slope, lower, upper, [tangency, -tangency])


def _between(
    function: Callable[[Tensor], Tensor], slope: Tensor, lower: Tensor, upper: Tensor, points: Sequence[Tensor]
) -> Line:
    """Return the line whose distance from the function is largest at an end or at one of ``points``."""
    ends = (lower, upper, *(torch.minimum(torch.maximum(point, lower), upper) for point in points))
    distances = torch.stack([function(x) - slope * x for x in ends])
    smallest, largest = distances.amin(dim=0), distances.amax(dim=0)
    size = function(lower).abs() + function(upper).abs() + slope.abs() * torch.maximum(lower.abs(), upper.abs())
    error = (largest - smallest) / 2 + EVALUATION * (1 + size)
    return Line(slope, (largest + smallest) / 2, error)
