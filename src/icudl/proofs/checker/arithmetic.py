"""The arithmetic of the second program: affine forms without any reduction, one piece at a time, in NumPy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]

_LEAST = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """Numbers ``middle + sum_i e_i noise_i``, each up to an error, with unknowns e_i between -1 and 1.

    All forms of a piece share the unknowns, of which the first is the value.

    Attributes:
        middle: (n,).
        noise: (k, n).
        error: (n,) or 0.
    """

    middle: Floats
    noise: Floats
    error: Floats | float = 0.0

    @property
    def reach(self) -> Floats:
        """(n,), the largest distance from the middle."""
        return np.asarray(np.abs(self.noise).sum(axis=0) + self.error)

    def cut(self, start: int, end: int) -> Form:
        """Return the components from ``start`` up to ``end``."""
        error = self.error if isinstance(self.error, float) else self.error[start:end]
        return Form(self.middle[start:end], self.noise[:, start:end], error)

    def times(self, factor: Floats | float) -> Form:
        """Return a multiple."""
        return Form(factor * self.middle, factor * self.noise, np.abs(factor) * self.error)

    def minus(self) -> Form:
        """Return the negative."""
        return Form(-self.middle, -self.noise, self.error)

    def rows(self, count: int) -> Floats:
        """Return the noise with rows of zeros up to ``count``."""
        return np.pad(self.noise, ((0, count - len(self.noise)), (0, 0)))


class Pass:
    """The arithmetic of one piece; counts the unknowns that it has given out."""

    def __init__(self) -> None:
        self.unknowns = 1

    def settled(self, form: Form) -> Form:
        """Return the form with a new unknown for the error of each component."""
        if not np.any(form.error):
            return form
        size = len(form.middle)
        fresh = np.zeros((self.unknowns - len(form.noise) + size, size))
        fresh[-size:] = np.diag(np.broadcast_to(form.error, size))
        self.unknowns += size
        return Form(form.middle, np.concatenate([form.noise, fresh]))

    def linear(self, form: Form, weight: Floats, bias: Floats) -> Form:
        """Return ``weight`` x + ``bias``."""
        form = self.settled(form)
        return Form(weight @ form.middle + bias, form.noise @ weight.T)

    def add(self, first: Form, second: Form) -> Form:
        """Return the sum."""
        count = max(len(first.noise), len(second.noise))
        return Form(first.middle + second.middle, first.rows(count) + second.rows(count), first.error + second.error)

    def multiply(self, first: Form, second: Form) -> Form:
        """Return the product: linear but for the product of the two noises, which is an error."""
        count = max(len(first.noise), len(second.noise))
        noise = first.middle * second.rows(count) + second.middle * first.rows(count)
        error = np.abs(first.middle) * second.error + np.abs(second.middle) * first.error
        return Form(first.middle * second.middle, noise, error + first.reach * second.reach)

    def apply(
        self, form: Form, function: Callable[[Floats], Floats], least: Callable[[Floats, Floats], Floats]
    ) -> Form:
        """Return a function whose slope is at least ``least`` on an interval: less that line, it never falls."""
        low, high = form.middle - form.reach, form.middle + form.reach
        slope = least(low, high)
        bottom, top = function(low) - slope * low, function(high) - slope * high
        error = np.abs(slope) * form.error + (top - bottom) / 2
        return Form(slope * form.middle + (bottom + top) / 2, slope * form.noise, error)

    def sigmoid(self, form: Form) -> Form:
        """Return the logistic function."""
        return self.apply(form, _sigmoid, lambda low, high: np.minimum(_bell(low), _bell(high)))

    def tanh(self, form: Form) -> Form:
        """Return the hyperbolic tangent."""
        return self.apply(form, np.tanh, lambda low, high: 1 - np.maximum(np.tanh(low) ** 2, np.tanh(high) ** 2))

    def activation(self, form: Form, name: str) -> Form:
        """Return an activation by its name."""
        if name == "tanh":
            return self.tanh(form)
        if name == "relu":
            return self.apply(form, lambda x: np.maximum(x, 0), lambda low, _: (low >= 0).astype(float))
        if name == "gelu":
            return self.apply(form, _gelu, _least_slope_of_gelu)
        return form

    def exp(self, form: Form) -> Form:
        """Return the exponential."""
        return self.apply(form, np.exp, lambda low, _: np.exp(low))

    def inverse(self, form: Form, power: float = 1.0) -> Form:
        """Return x to the power of minus ``power``, for x above 0; what lies below a trillionth counts as that."""

        def function(x: Floats) -> Floats:
            return np.asarray(np.maximum(x, _LEAST) ** -power)

        return self.apply(form, function, lambda low, _: -power * np.maximum(low, _LEAST) ** (-power - 1))

    def root(self, form: Form, least: float) -> Form:
        """Return the square root of the larger of x and ``least``."""

        def slope(low: Floats, high: Floats) -> Floats:
            return np.where(low >= least, 0.5 / np.sqrt(np.maximum(high, max(least, _LEAST))), 0.0)

        return self.apply(form, lambda x: np.sqrt(np.maximum(x, least)), slope)

    def between(self, form: Form, low: Floats | float, high: Floats | float) -> Form:
        """Return x kept between two limits."""
        return self.apply(
            form, lambda x: np.clip(x, low, high), lambda a, b: np.asarray((a >= low) & (b <= high), float)
        )

    def total(self, parts: Sequence[Form]) -> Form:
        """Return the sum of one or more."""
        found = parts[0]
        for part in parts[1:]:
            found = self.add(found, part)
        return found

    def largest(self, first: Form, second: Form) -> Form:
        """Return the larger of two, component by component."""
        return self.add(first, self.activation(self.add(second, first.minus()), "relu"))


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def _bell(x: Floats) -> Floats:
    return np.asarray(_sigmoid(x) * (1 - _sigmoid(x)))


def _least_slope_of_gelu(low: Floats, high: Floats) -> Floats:
    # The slope falls to its least, -0.129, at minus the root of 2, rises up to the root of 2, and then falls to 1.
    bottom = (low < -math.sqrt(2)) & (high > -math.sqrt(2))
    return np.where(bottom, -0.13, np.minimum(_slope_of_gelu(low), _slope_of_gelu(high)) - 1e-9)


def _slope_of_gelu(x: Floats) -> Floats:
    return np.asarray(
        0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    )


def _gelu(x: Floats) -> Floats:
    return np.asarray(x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))))
