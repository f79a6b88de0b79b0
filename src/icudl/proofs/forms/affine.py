"""Affine forms: sets of vectors that are linear in shared unknowns, and the operations that keep them sound.

A form stands for every vector ``centre + sum_i e_i terms_i + own * d`` with unknowns e_i and d_j between -1 and 1. All
forms of one pass share the unknowns e_i, so that what depends on the same number cancels (a zonotope; Stolfi and de
Figueiredo 1997, Singh et al. 2018); the unknowns d_j belong to one component of one form alone.

The first unknowns are those of the changed values. ``Freedom`` says how many may differ from 0 at once: a linear bound
over that set is a sum of the largest terms.

Every operation holds for the real-valued function and for its evaluation in float32 or float64 in any order of
summation: a bound of the rounding is added to ``own``.

The coefficients of the unknowns are most of the numbers of a form. A form may hold them in float32 (``single``), which
halves what a pass has to move; all else stays in float64. What an operation then rounds away of the coefficients of a
component is at most as much, in sum, as the evaluation of that operation in float32 may err by, and is added likewise.
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

TINY = 2.0**-100
"""More than all that may vanish below the smallest numbers of float32 in one operation."""

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
        terms: (B, G, n) float64 or float32 coefficients of the shared unknowns; the first ones are those of the
            changed values.
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

    @property
    def unit(self) -> float:
        """Unit roundoff of the coefficients where they are held in float32; else 0, as ``ROUNDING`` covers it."""
        return SINGLE if self.terms.dtype == torch.float32 else 0.0

    @property
    def tiny(self) -> float:
        """What may vanish below the smallest numbers of float32, where that is what holds the coefficients."""
        return TINY if self.unit else 0.0

    def single(self) -> Self:
        """Return the form with coefficients in float32; what this rounds away is added to the errors.

        Products of float32 in reduced precision, which torch makes where it is told to, err by more than a bound here
        allows for; the coefficients then stay as they are.
        """
        if self.unit or torch.get_float32_matmul_precision() != "highest":
            return self
        own = self.own + 2 * SINGLE * _sizes(self.terms) + TINY
        return type(self)(self.centre, self.terms.float(), own, self.freedom)

    @functools.cached_property
    def reach(self) -> tuple[Tensor, Tensor]:
        """(B, n) twice: how far each component reaches below its centre and above it, at most."""
        if self.known_reach is not None:
            return self.known_reach
        if self.freedom.symmetric:
            radius = (_sizes(self.terms) + self.own) * (1 + ROUNDING)
            return radius, radius
        rest = _sizes(self.terms[:, self.freedom.values :]) + self.own
        below, above = largest_sums(self.terms[:, : self.freedom.values].double(), self.freedom)
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
        rounding = (SINGLE + self.unit) * (weight.shape[1] + 8) * (self.magnitude @ size.T + bias.abs()) + self.tiny
        terms = self.terms @ weight.T.to(self.terms)
        return type(self)(self.centre @ weight.T + bias, terms, own + rounding, self.freedom)

    def linear_with(
        self, weight: Tensor, bias: Tensor, other: AffineForm, their_weight: Tensor, their_bias: Tensor
    ) -> Self:
        """Return ``weight`` x + ``bias`` + ``their_weight`` y + ``their_bias`` at once, for y of fewer unknowns."""
        size, their_size = weight.abs(), their_weight.abs()
        own = self.own @ size.T + other.own @ their_size.T
        sizes = self.magnitude @ size.T + other.magnitude @ their_size.T + bias.abs() + their_bias.abs()
        count = weight.shape[1] + their_weight.shape[1] + 16
        rounding = (SINGLE + max(self.unit, other.unit)) * count * sizes + max(self.tiny, other.tiny)
        terms = self.terms @ weight.T.to(self.terms)
        terms[:, : other.terms.shape[1]] += other.terms @ their_weight.T.to(other.terms)
        centre = self.centre @ weight.T + other.centre @ their_weight.T + (bias + their_bias)
        return type(self)(centre, terms, own + rounding, self.freedom)

    def transformed(self, matrices: Tensor) -> Self:
        """Return each set's own (B, m, n) matrix times x."""
        sizes, across = matrices.abs(), matrices.transpose(1, 2)
        own = torch.matmul(sizes, self.own[:, :, None])[..., 0]
        unit = (SINGLE + self.unit) * (matrices.shape[2] + 8)
        rounding = unit * torch.matmul(sizes, self.magnitude[:, :, None])[..., 0] + self.tiny
        centre = torch.matmul(matrices, self.centre[:, :, None])[..., 0]
        terms = torch.matmul(self.terms, across.to(self.terms))
        return type(self)(centre, terms, own + rounding, self.freedom)

    def plus(self, other: AffineForm) -> Self:
        """Return the sum; the shorter list of unknowns is a beginning of the longer one."""
        longer, shorter = (self, other) if self.terms.shape[1] >= other.terms.shape[1] else (other, self)
        terms = longer.terms.clone()
        terms[:, : shorter.terms.shape[1]] += shorter.terms
        unit = 2 * SINGLE + 2 * max(self.unit, other.unit)
        own = self.own + other.own + unit * (self.magnitude + other.magnitude) + max(self.tiny, other.tiny)
        return type(self)(self.centre + other.centre, terms, own, self.freedom)

    def minus(self, other: AffineForm) -> Self:
        """Return the difference."""
        return self.plus(type(self)(-other.centre, -other.terms, other.own, other.freedom))

    def times(self, other: AffineForm) -> Self:
        """Return the product, component by component.

        Of (c + x)(d + y) the parts c d + c y + d x stay linear, and x y lies within the product of the radii. Where the
        values have unknowns like any others, their squares e_i^2 lie between 0 and 1, so half of them goes into the
        centre and half into the error. Where few of the values may differ from 0 at once, x y is bounded by the
        products of the ends of x and y.
        """
        unit = max(self.unit, other.unit)
        if self.freedom.symmetric:
            n_values = self.freedom.values
            squares = self.terms[:, :n_values].double() * other.terms[:, :n_values].double()
            half = squares.sum(dim=1) / 2
            mixed = (self.radius * other.radius - squares.abs().sum(dim=1) / 2).clamp(min=0) * (1 + ROUNDING)
        else:
            (down, up), (their_down, their_up) = self.reach, other.reach
            highest = torch.maximum(up * their_up, down * their_down)
            lowest = -torch.maximum(up * their_down, down * their_up)
            half, mixed = (highest + lowest) / 2, (highest - lowest) / 2 * (1 + ROUNDING)
        own = self.centre.abs() * other.own + other.centre.abs() * self.own + mixed
        rounding = (2 * SINGLE + 8 * unit) * self.magnitude * other.magnitude + max(self.tiny, other.tiny)
        longer, shorter = (self, other) if self.terms.shape[1] >= other.terms.shape[1] else (other, self)
        terms = longer.terms * shorter.centre[:, None].to(longer.terms)
        terms[:, : shorter.terms.shape[1]].addcmul_(shorter.terms, longer.centre[:, None].to(shorter.terms))
        return type(self)(self.centre * other.centre + half, terms, own + rounding, self.freedom)

    def through(self, line: Line) -> Self:
        """Return a function of each component, replaced by a line with an error (``proofs.relaxations``)."""
        steepness = line.slope.abs()
        error = line.error + ROUNDING * (steepness * self.magnitude + line.offset.abs())
        below, above = self.reach
        # Once for the coefficients that are lost, and once for those that are held and may be larger.
        lost = 4 * self.unit * steepness * self.radius + self.tiny
        error = error + lost
        if below is above:
            radius = (steepness * below + lost + error) * (1 + ROUNDING)
            reach = radius, radius
        else:
            rising = line.slope >= 0
            ends = torch.where(rising, below, above), torch.where(rising, above, below)
            low, high = ((steepness * end + lost + error) * (1 + ROUNDING) for end in ends)
            reach = low, high
        return type(self)(
            line.slope * self.centre + line.offset,
            line.slope[:, None].to(self.terms) * self.terms,
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
        own = _upward(self.own, self.terms)
        terms = torch.cat([self.terms, torch.diag_embed(own)], dim=1)
        below, above = self.reach
        low = below + (own - self.own)
        reach = (low, low if below is above else above + (own - self.own))
        return type(self)(self.centre, terms, torch.zeros_like(self.own), self.freedom, reach)

    @classmethod
    def settled(cls, first: AffineForm, second: AffineForm) -> Self:
        """Return the components of two forms as one, without errors of their own.

        The unknowns of ``first`` are those of ``second`` and then one for each error of ``second``. Behind them stands
        one for each error of ``first``.
        """
        batch, n_terms, size = first.terms.shape
        their_terms, both = second.terms.shape[1], size + second.terms.shape[2]
        terms = first.terms.new_zeros(batch, n_terms + size, both)
        terms[:, :n_terms, :size] = first.terms
        terms[:, :their_terms, size:] = second.terms
        own = _upward(torch.cat([first.own, second.own], dim=1), terms)
        terms[:, n_terms:, :size].diagonal(dim1=1, dim2=2).copy_(own[:, :size])
        terms[:, their_terms:n_terms, size:].diagonal(dim1=1, dim2=2).copy_(own[:, size:])
        centre = torch.cat([first.centre, second.centre], dim=1)
        more = own - torch.cat([first.own, second.own], dim=1)
        below = torch.cat([first.reach[0], second.reach[0]], dim=1) + more
        if first.reach[0] is first.reach[1] and second.reach[0] is second.reach[1]:
            reach = below, below
        else:
            reach = below, torch.cat([first.reach[1], second.reach[1]], dim=1) + more
        return cls(centre, terms, torch.zeros_like(centre), first.freedom, reach)

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
        above_sum = 1 + ROUNDING + 2 * self.unit * (n_terms + 8)
        weight = torch.linalg.vector_norm(rest, ord=1, dim=2)
        chosen = weight.topk(keep, dim=1).indices
        kept = rest.gather(1, chosen[:, :, None].expand(-1, -1, size))
        # The difference of the sums would lose the small terms beside the large ones; the sum over the others does not.
        others = rest.abs().scatter(1, chosen[:, :, None].expand(-1, -1, size), 0.0).sum(dim=1)
        others = _upward(others.double() * above_sum, self.terms)
        terms = torch.cat([self.terms[:, :n_values], kept, torch.diag_embed(others)], dim=1)
        below, above = self.reach
        # The sum over the others is larger by its rounding than the coefficients that it replaces.
        more = others * (2 * (above_sum - 1)) + self.tiny
        low = (below + more) * (1 + ROUNDING)
        reach = (low, low if below is above else (above + more) * (1 + ROUNDING))
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
    """Return the (B, n) float64 sums of the sizes of (B, G, n) coefficients; of float32, rounded up."""
    # A product with ones: several times as fast as a sum over an axis that is not the last.
    count = terms.shape[1]
    total = torch.matmul(terms.new_ones(1, count), terms.abs())[:, 0]
    return total if total.dtype == torch.float64 else total.double() * (1 + 2 * SINGLE * (count + 8))


def _upward(numbers: Tensor, like: Tensor) -> Tensor:
    """Return numbers of at least 0 in the precision of other ones, none of them smaller."""
    if like.dtype == numbers.dtype:
        return numbers
    rounded = numbers.to(like)
    return torch.where(rounded < numbers, torch.nextafter(rounded, torch.full_like(rounded, torch.inf)), rounded)
