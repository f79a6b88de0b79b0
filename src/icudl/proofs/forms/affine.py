"""Affine forms: sets of vectors that are linear in shared unknowns, and the operations that keep them sound.

A form stands for every vector ``centre + sum_i e_i terms_i + own * d`` with unknowns e_i and d_j between -1 and 1. All
forms of one pass share the unknowns e_i, so that what depends on the same number cancels (a zonotope; Stolfi and de
Figueiredo 1997, Singh et al. 2018); the unknowns d_j belong to one component of one form alone.

The first unknowns are those of the changed values. ``Freedom`` says how many may differ from 0 at once: a linear bound
over that set is a sum of the largest terms.

Every operation holds for the real-valued function and for its evaluation in float32 or float64 in any order of
summation: a bound of the rounding is added to ``own``.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple, Self

import torch
from torch import Tensor

from icudl.proofs.forms.relaxations import Line

SINGLE = 2.0**-24
"""Unit roundoff of float32. A sum of n products errs by at most n / (1 - n u) of it times the sum of their sizes
(Higham 2002, section 3.1); the operations below allow for 8 terms more."""

ROUNDING = 2.0**-38
"""Bound on the relative rounding of a sum of this module in float64, which has fewer than 2^14 terms."""


class Freedom(NamedTuple):
    """What the unknowns of changed values may be.

    Attributes:
        values: How many there are; they are the first ones of every form.
        most: How many of them may differ from 0 at once.
        one_sided: Whether they lie between 0 and 1, not between -1 and 1.
    """

    values: int = 1
    most: int = 1
    one_sided: bool = False

    @property
    def symmetric(self) -> bool:
        """Whether they are like any other unknown."""
        return not self.one_sided and self.most >= self.values


ONE_VALUE = Freedom()
"""One value that moves over an interval."""


@dataclasses.dataclass(frozen=True, eq=False)
class AffineForm:
    """B sets of vectors of n components, linear in G shared unknowns.

    Attributes:
        centre: (B, n) float64.
        terms: (B, G, n) float64 coefficients of the shared unknowns; the first ones are those of the changed values.
        own: (B, n) float64, at least 0: how far each component may lie from the rest by itself.
        freedom: What the first unknowns may be.
        known_reach: ``reach`` where an operation has found it on the way.
    """

    centre: Tensor
    terms: Tensor
    own: Tensor
    freedom: Freedom = ONE_VALUE
    known_reach: tuple[Tensor, Tensor] | None = None

    @classmethod
    def exact(cls, centre: Tensor, n_terms: int = 1, freedom: Freedom = ONE_VALUE) -> Self:
        """Return the form of single vectors (B, n), with ``n_terms`` unknowns on which nothing depends."""
        batch, size = centre.shape
        n_terms = max(n_terms, freedom.values)
        return cls(centre, centre.new_zeros(batch, n_terms, size), torch.zeros_like(centre), freedom)

    @functools.cached_property
    def reach(self) -> tuple[Tensor, Tensor]:
        """(B, n) twice: how far each component reaches below its centre and above it, at most."""
        if self.known_reach is not None:
            return self.known_reach
        if self.freedom.symmetric:
            radius = (_sizes(self.terms) + self.own) * (1 + ROUNDING)
            return radius, radius
        rest = _sizes(self.terms[:, self.freedom.values :]) + self.own
        below, above = largest_sums(self.terms[:, : self.freedom.values], self.freedom)
        return (below + rest) * (1 + ROUNDING), (above + rest) * (1 + ROUNDING)

    @functools.cached_property
    def radius(self) -> Tensor:
        """(B, n), how far each component reaches from its centre, at most."""
        below, above = self.reach
        return below if below is above else torch.maximum(below, above)

    @functools.cached_property
    def magnitude(self) -> Tensor:
        """(B, n), the largest size of each component."""
        return self.centre.abs() + self.radius

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Return the (B, n) smallest and largest value of each component."""
        below, above = self.reach
        room = ROUNDING * self.magnitude
        return self.centre - below - room, self.centre + above + room

    def linear(self, weight: Tensor, bias: Tensor) -> Self:
        """Return ``weight`` x + ``bias`` for (m, n) weights and (m,) biases."""
        size = weight.abs()
        own = self.own @ size.T
        rounding = SINGLE * (weight.shape[1] + 8) * (self.magnitude @ size.T + bias.abs())
        return type(self)(self.centre @ weight.T + bias, self.terms @ weight.T, own + rounding, self.freedom)

    def transformed(self, matrices: Tensor) -> Self:
        """Return each set's own (B, m, n) matrix times x."""
        sizes, across = matrices.abs(), matrices.transpose(1, 2)
        own = torch.matmul(sizes, self.own[:, :, None])[..., 0]
        rounding = SINGLE * (matrices.shape[2] + 8) * torch.matmul(sizes, self.magnitude[:, :, None])[..., 0]
        centre = torch.matmul(matrices, self.centre[:, :, None])[..., 0]
        return type(self)(centre, torch.matmul(self.terms, across), own + rounding, self.freedom)

    def plus(self, other: AffineForm) -> Self:
        """Return the sum; the shorter list of unknowns is a beginning of the longer one."""
        longer, shorter = (self, other) if self.terms.shape[1] >= other.terms.shape[1] else (other, self)
        terms = longer.terms.clone()
        terms[:, : shorter.terms.shape[1]] += shorter.terms
        own = self.own + other.own + 2 * SINGLE * (self.magnitude + other.magnitude)
        return type(self)(self.centre + other.centre, terms, own, self.freedom)

    def minus(self, other: AffineForm) -> Self:
        """Return the difference."""
        return self.plus(type(self)(-other.centre, -other.terms, other.own, other.freedom))

    def times(self, other: AffineForm) -> Self:
        """Return the product, component by component.

        Of (c + x)(d + y) the parts c d + c y + d x stay linear. Of x y, the squares e_i^2 lie between 0 and 1, so half
        of their sum goes into the centre and half into the error; the mixed products lie within the product of the
        radii. Where few of the values may differ from 0 at once, x y is bounded by the products of the ends of x and y.
        """
        first, second = self.aligned(other), other.aligned(self)
        squares = first.terms * second.terms
        if self.freedom.symmetric:
            half = squares.sum(dim=1) / 2
            mixed = (self.radius * other.radius - _sizes(squares) / 2).clamp(min=0)
        else:
            (down, up), (their_down, their_up) = self.reach, other.reach
            highest = torch.maximum(up * their_up, down * their_down)
            lowest = -torch.maximum(up * their_down, down * their_up)
            half, mixed = (highest + lowest) / 2, (highest - lowest) / 2 * (1 + ROUNDING)
        own = self.centre.abs() * other.own + other.centre.abs() * self.own + mixed
        rounding = 2 * SINGLE * self.magnitude * other.magnitude
        terms = torch.mul(first.terms, second.centre[:, None], out=squares)
        terms.addcmul_(second.terms, first.centre[:, None])
        return type(self)(self.centre * other.centre + half, terms, own + rounding, self.freedom)

    def through(self, line: Line) -> Self:
        """Return a function of each component, replaced by a line with an error (``proofs.relaxations``)."""
        steepness = line.slope.abs()
        error = line.error + ROUNDING * (steepness * self.magnitude + line.offset.abs())
        below, above = self.reach
        if below is above:
            radius = (steepness * below + error) * (1 + ROUNDING)
            reach = radius, radius
        else:
            rising = line.slope >= 0
            ends = torch.where(rising, below, above), torch.where(rising, above, below)
            reach = (steepness * ends[0] + error) * (1 + ROUNDING), (steepness * ends[1] + error) * (1 + ROUNDING)
        return type(self)(
            line.slope * self.centre + line.offset,
            line.slope[:, None] * self.terms,
            steepness * self.own + error,
            self.freedom,
            reach,
        )

    def aligned(self, other: AffineForm) -> Self:
        """Return the form with at least as many unknowns as ``other``; nothing depends on the new ones."""
        missing = other.terms.shape[1] - self.terms.shape[1]
        if missing <= 0:
            return self
        terms = torch.nn.functional.pad(self.terms, (0, 0, 0, missing))
        return type(self)(self.centre, terms, self.own, self.freedom, self.known_reach)

    def shared(self) -> Self:
        """Return the form with an unknown of the shared list for the error that each component had by itself."""
        terms = torch.cat([self.terms, torch.diag_embed(self.own)], dim=1)
        return type(self)(self.centre, terms, torch.zeros_like(self.own), self.freedom, self.reach)

    def part(self, start: int, end: int) -> Self:
        """Return the components from ``start`` up to ``end``."""
        below, above = self.reach
        low = below[:, start:end]
        return type(self)(
            self.centre[:, start:end],
            self.terms[..., start:end],
            self.own[:, start:end],
            self.freedom,
            (low, low if below is above else above[:, start:end]),
        )

    def rows(self, end: int) -> Self:
        """Return the first ``end`` sets of the batch."""
        below, above = self.reach
        low = below[:end]
        reach = (low, low if below is above else above[:end])
        return type(self)(self.centre[:end], self.terms[:end], self.own[:end], self.freedom, reach)

    def in_values_alone(self) -> Self:
        """Return a wider form with the changed values as its only unknowns; all other dependence becomes ``own``."""
        n_values = self.freedom.values
        rest = (_sizes(self.terms[:, n_values:]) + self.own) * (1 + ROUNDING)
        return type(self)(self.centre, self.terms[:, :n_values], rest, self.freedom)

    @classmethod
    def joined(cls, parts: list[AffineForm]) -> Self:
        """Return the components of several forms, one after the other, as one form."""
        longest = max(parts, key=lambda part: part.terms.shape[1])
        aligned = [part.aligned(longest) for part in parts]
        below = torch.cat([part.reach[0] for part in parts], dim=1)
        both = all(part.reach[0] is part.reach[1] for part in parts)
        return cls(
            torch.cat([part.centre for part in aligned], dim=1),
            torch.cat([part.terms for part in aligned], dim=2),
            torch.cat([part.own for part in aligned], dim=1),
            parts[0].freedom,
            (below, below if both else torch.cat([part.reach[1] for part in parts], dim=1)),
        )

    def reduced(self, most: int) -> Self:
        """Return a wider form of at most ``most`` unknowns beside those of the values (or n, if that is more).

        The changed values keep their unknowns, and so do those with the largest coefficients in sum. The others are
        replaced by one for each component.

        Args:
            most: Unknowns to keep.
        """
        n_terms, size = self.terms.shape[1:]
        n_values = self.freedom.values
        if n_terms - n_values <= most:
            return self
        keep = max(most - size, 0)
        rest = self.terms[:, n_values:]
        weight = torch.linalg.vector_norm(rest, ord=1, dim=2)
        chosen = weight.topk(keep, dim=1).indices
        kept = rest.gather(1, chosen[:, :, None].expand(-1, -1, size))
        # The difference of the sums would lose the small terms beside the large ones; the sum over the others does not.
        others = rest.abs().scatter(1, chosen[:, :, None].expand(-1, -1, size), 0.0).sum(dim=1) * (1 + ROUNDING)
        terms = torch.cat([self.terms[:, :n_values], kept, torch.diag_embed(others)], dim=1)
        below, above = self.reach
        low = below * (1 + ROUNDING)
        reach = (low, low if below is above else above * (1 + ROUNDING))
        return type(self)(self.centre, terms, self.own, self.freedom, reach)


def largest_sums(terms: Tensor, freedom: Freedom) -> tuple[Tensor, Tensor]:
    """Return how far below and above 0 the sum of (B, V, n) terms of the values may lie, (B, n) each."""
    if not freedom.one_sided:
        total = _largest(terms.abs(), freedom.most)
        return total, total
    return _largest((-terms).clamp(min=0), freedom.most), _largest(terms.clamp(min=0), freedom.most)


def _largest(sizes: Tensor, most: int) -> Tensor:
    """Return the (B, n) sums of the ``most`` largest of (B, V, n) sizes, rounded up."""
    if most >= sizes.shape[1]:
        return sizes.sum(dim=1) * (1 + ROUNDING)
    if most == 1:
        return sizes.amax(dim=1)
    return sizes.topk(most, dim=1).values.sum(dim=1) * (1 + ROUNDING)


def _sizes(terms: Tensor) -> Tensor:
    """Return the (B, n) sums of the sizes of (B, G, n) coefficients."""
    # A product with ones: several times as fast as a sum over an axis that is not the last.
    return torch.matmul(terms.new_ones(1, terms.shape[1]), terms.abs())[:, 0]
