"""Affine forms: sets of vectors that are linear in shared unknowns, and the operations that keep them sound.

A form stands for every vector ``centre + sum_i e_i terms_i + own * d`` with unknowns e_i and d_j between -1 and 1. All
forms of one pass share the unknowns e_i, so that what depends on the same number cancels (a zonotope; Stolfi and de
Figueiredo 1997, Singh et al. 2018); the unknowns d_j belong to one component of one form alone.

Every operation holds for the real-valued function and for its evaluation in float32 or float64 in any order of
summation: a bound of the rounding is added to ``own``.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Self

import torch
from torch import Tensor

from icudl.proofs.relaxations import Line

SINGLE = 2.0**-24
"""Unit roundoff of float32. A sum of n products errs by at most n / (1 - n u) of it times the sum of their sizes
(Higham 2002, section 3.1); the operations below allow for 8 terms more."""

ROUNDING = 2.0**-38
"""Bound on the relative rounding of a sum of this module in float64, which has fewer than 2^14 terms."""


@dataclasses.dataclass(frozen=True, eq=False)
class AffineForm:
    """B sets of vectors of n components, linear in G shared unknowns.

    Attributes:
        centre: (B, n) float64.
        terms: (B, G, n) float64 coefficients of the shared unknowns; the first is that of the changed value.
        own: (B, n) float64, at least 0: how far each component may lie from the rest by itself.
        known_radius: (B, n) ``radius`` where an operation has found it on the way.
    """

    centre: Tensor
    terms: Tensor
    own: Tensor
    known_radius: Tensor | None = None

    @classmethod
    def exact(cls, centre: Tensor, n_terms: int = 1) -> Self:
        """Return the form of single vectors (B, n), with ``n_terms`` unknowns on which nothing depends."""
        batch, size = centre.shape
        return cls(centre, centre.new_zeros(batch, n_terms, size), torch.zeros_like(centre))

    @functools.cached_property
    def radius(self) -> Tensor:
        """(B, n), how far each component reaches from its centre, at most."""
        if self.known_radius is not None:
            return self.known_radius
        return (_sizes(self.terms) + self.own) * (1 + ROUNDING)

    @functools.cached_property
    def magnitude(self) -> Tensor:
        """(B, n), the largest size of each component."""
        return self.centre.abs() + self.radius

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Return the (B, n) smallest and largest value of each component."""
        reach = self.radius + ROUNDING * self.magnitude
        return self.centre - reach, self.centre + reach

    def linear(self, weight: Tensor, bias: Tensor) -> Self:
        """Return ``weight`` x + ``bias`` for (m, n) weights and (m,) biases."""
        size = weight.abs()
        own = self.own @ size.T
        rounding = SINGLE * (weight.shape[1] + 8) * (self.magnitude @ size.T + bias.abs())
        return type(self)(self.centre @ weight.T + bias, self.terms @ weight.T, own + rounding)

    def plus(self, other: AffineForm) -> Self:
        """Return the sum; the shorter list of unknowns is a beginning of the longer one."""
        longer, shorter = (self, other) if self.terms.shape[1] >= other.terms.shape[1] else (other, self)
        terms = longer.terms.clone()
        terms[:, : shorter.terms.shape[1]] += shorter.terms
        own = self.own + other.own + 2 * SINGLE * (self.magnitude + other.magnitude)
        return type(self)(self.centre + other.centre, terms, own)

    def minus(self, other: AffineForm) -> Self:
        """Return the difference."""
        return self.plus(type(self)(-other.centre, -other.terms, other.own))

    def times(self, other: AffineForm) -> Self:
        """Return the product, component by component.

        Of (c + x)(d + y) the parts c d + c y + d x stay linear. Of x y, the squares e_i^2 lie between 0 and 1, so half
        of their sum goes into the centre and half into the error; the mixed products lie within the product of the
        radii.
        """
        first, second = self.aligned(other), other.aligned(self)
        squares = first.terms * second.terms
        half = squares.sum(dim=1) / 2
        mixed = (self.radius * other.radius - _sizes(squares) / 2).clamp(min=0)
        own = self.centre.abs() * other.own + other.centre.abs() * self.own + mixed
        rounding = 2 * SINGLE * self.magnitude * other.magnitude
        terms = torch.mul(first.terms, second.centre[:, None], out=squares)
        terms.addcmul_(second.terms, first.centre[:, None])
        return type(self)(self.centre * other.centre + half, terms, own + rounding)

    def through(self, line: Line) -> Self:
        """Return a function of each component, replaced by a line with an error (``proofs.relaxations``)."""
        steepness = line.slope.abs()
        error = line.error + ROUNDING * (steepness * self.magnitude + line.offset.abs())
        return type(self)(
            line.slope * self.centre + line.offset,
            line.slope[:, None] * self.terms,
            steepness * self.own + error,
            (steepness * self.radius + error) * (1 + ROUNDING),
        )

    def aligned(self, other: AffineForm) -> Self:
        """Return the form with at least as many unknowns as ``other``; nothing depends on the new ones."""
        missing = other.terms.shape[1] - self.terms.shape[1]
        if missing <= 0:
            return self
        return type(self)(
            self.centre, torch.nn.functional.pad(self.terms, (0, 0, 0, missing)), self.own, self.known_radius
        )

    def shared(self) -> Self:
        """Return the form with an unknown of the shared list for the error that each component had by itself."""
        terms = torch.cat([self.terms, torch.diag_embed(self.own)], dim=1)
        return type(self)(self.centre, terms, torch.zeros_like(self.own), self.radius)

    def part(self, start: int, end: int) -> Self:
        """Return the components from ``start`` up to ``end``."""
        radius = self.radius[:, start:end]
        return type(self)(self.centre[:, start:end], self.terms[..., start:end], self.own[:, start:end], radius)

    def rows(self, end: int) -> Self:
        """Return the first ``end`` sets of the batch."""
        return type(self)(self.centre[:end], self.terms[:end], self.own[:end], self.radius[:end])

    def in_value_alone(self) -> Self:
        """Return a wider form with the changed value as its only unknown; all other dependence becomes ``own``."""
        rest = (_sizes(self.terms[:, 1:]) + self.own) * (1 + ROUNDING)
        return type(self)(self.centre, self.terms[:, :1], rest)

    @classmethod
    def joined(cls, parts: list[AffineForm]) -> Self:
        """Return the components of several forms, one after the other, as one form."""
        longest = max(parts, key=lambda part: part.terms.shape[1])
        aligned = [part.aligned(longest) for part in parts]
        return cls(
            torch.cat([part.centre for part in aligned], dim=1),
            torch.cat([part.terms for part in aligned], dim=2),
            torch.cat([part.own for part in aligned], dim=1),
            torch.cat([part.radius for part in parts], dim=1),
        )

    def reduced(self, most: int) -> Self:
        """Return a wider form of at most ``most`` unknowns (or 1 + n, if that is more).

        The changed value keeps its unknown, and so do those with the largest coefficients in sum. The others are
        replaced by one for each component.

        Args:
            most: Unknowns to keep.
        """
        n_terms, size = self.terms.shape[1:]
        if n_terms <= most:
            return self
        keep = max(most - size - 1, 0)
        rest = self.terms[:, 1:]
        weight = torch.linalg.vector_norm(rest, ord=1, dim=2)
        chosen = weight.topk(keep, dim=1).indices
        kept = rest.gather(1, chosen[:, :, None].expand(-1, -1, size))
        # The difference of the sums would lose the small terms beside the large ones; the sum over the others does not.
        others = rest.abs().scatter(1, chosen[:, :, None].expand(-1, -1, size), 0.0).sum(dim=1) * (1 + ROUNDING)
        terms = torch.cat([self.terms[:, :1], kept, torch.diag_embed(others)], dim=1)
        return type(self)(self.centre, terms, self.own, self.radius * (1 + ROUNDING))


def _sizes(terms: Tensor) -> Tensor:
    """Return the (B, n) sums of the sizes of (B, G, n) coefficients."""
    # A product with ones: several times as fast as a sum over an axis that is not the last.
    return torch.matmul(terms.new_ones(1, terms.shape[1]), terms.abs())[:, 0]
