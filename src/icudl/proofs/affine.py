"""Affine forms: sets of vectors that are linear in shared unknowns, and the operations that keep them sound.

A form stands for every vector ``centre + sum_i e_i terms_i + own * d`` with unknowns e_i and d_j between -1 and 1. All
forms of one pass share the unknowns e_i, so that what depends on the same number cancels (a zonotope; Stolfi and de
Figueiredo 1997, Singh et al. 2018); the unknowns d_j belong to one component of one form alone.

Every operation holds for the real-valued function and for its evaluation in float32 or float64 in any order of
summation: a bound of the rounding is added to ``own``.
"""

from __future__ import annotations

import dataclasses
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
    """

    centre: Tensor
    terms: Tensor
    own: Tensor

    @classmethod
    def exact(cls, centre: Tensor, n_terms: int = 1) -> Self:
        """Return the form of single vectors (B, n), with ``n_terms`` unknowns on which nothing depends."""
        batch, size = centre.shape
        return cls(centre, centre.new_zeros(batch, n_terms, size), torch.zeros_like(centre))

    def radius(self) -> Tensor:
        """Return (B, n): how far each component reaches from its centre, at most."""
        return (self.terms.abs().sum(dim=1) + self.own) * (1 + ROUNDING)

    def magnitude(self) -> Tensor:
        """Return (B, n): the largest size of each component."""
        return self.centre.abs() + self.radius()

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Return the (B, n) smallest and largest value of each component."""
        radius = self.radius()
        slack = ROUNDING * (self.centre.abs() + radius)
        return self.centre - radius - slack, self.centre + radius + slack

    def linear(self, weight: Tensor, bias: Tensor) -> Self:
        """Return ``weight`` x + ``bias`` for (m, n) weights and (m,) biases."""
        size = weight.abs()
        own = self.own @ size.T
        rounding = SINGLE * (weight.shape[1] + 8) * (self.magnitude() @ size.T + bias.abs())
        return type(self)(self.centre @ weight.T + bias, self.terms @ weight.T, own + rounding)

    def plus(self, other: AffineForm) -> Self:
        """Return the sum; the shorter list of unknowns is a beginning of the longer one."""
        first, second = self.aligned(other), other.aligned(self)
        own = first.own + second.own + 2 * SINGLE * (first.magnitude() + second.magnitude())
        return type(self)(first.centre + second.centre, first.terms + second.terms, own)

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
        half_size = squares.abs().sum(dim=1) / 2
        radius, other_radius = first.radius(), second.radius()
        own = (
            first.centre.abs() * second.own
            + second.centre.abs() * first.own
            + (radius * other_radius - half_size).clamp(min=0)
        )
        rounding = 2 * SINGLE * (first.centre.abs() + radius) * (second.centre.abs() + other_radius)
        return type(self)(
            first.centre * second.centre + half,
            first.centre[:, None] * second.terms + second.centre[:, None] * first.terms,
            own + rounding,
        )

    def through(self, line: Line) -> Self:
        """Return a function of each component, replaced by a line with an error (``proofs.relaxations``)."""
        own = line.slope.abs() * self.own + line.error
        rounding = ROUNDING * (line.slope.abs() * self.magnitude() + line.offset.abs())
        return type(self)(line.slope * self.centre + line.offset, line.slope[:, None] * self.terms, own + rounding)

    def aligned(self, other: AffineForm) -> Self:
        """Return the form with at least as many unknowns as ``other``; nothing depends on the new ones."""
        missing = other.terms.shape[1] - self.terms.shape[1]
        if missing <= 0:
            return self
        return type(self)(self.centre, torch.nn.functional.pad(self.terms, (0, 0, 0, missing)), self.own)

    def shared(self) -> Self:
        """Return the form with an unknown of the shared list for the error that each component had by itself."""
        return type(self)(
            self.centre, torch.cat([self.terms, torch.diag_embed(self.own)], dim=1), torch.zeros_like(self.own)
        )

    def part(self, start: int, end: int) -> Self:
        """Return the components from ``start`` up to ``end``."""
        return type(self)(self.centre[:, start:end], self.terms[..., start:end], self.own[:, start:end])

    def rows(self, end: int) -> Self:
        """Return the first ``end`` sets of the batch."""
        return type(self)(self.centre[:end], self.terms[:end], self.own[:end])

    def in_value_alone(self) -> Self:
        """Return a wider form with the changed value as its only unknown; all other dependence becomes ``own``."""
        rest = (self.terms[:, 1:].abs().sum(dim=1) + self.own) * (1 + ROUNDING)
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
        weight = rest.abs().sum(dim=2)
        chosen = weight.topk(keep, dim=1).indices
        kept = rest.gather(1, chosen[:, :, None].expand(-1, -1, size))
        # The difference of the sums would lose the small terms beside the large ones; the sum over the others does not.
        others = rest.abs().scatter(1, chosen[:, :, None].expand(-1, -1, size), 0.0).sum(dim=1) * (1 + ROUNDING)
        terms = torch.cat([self.terms[:, :1], kept, torch.diag_embed(others)], dim=1)
        return type(self)(self.centre, terms, self.own)
