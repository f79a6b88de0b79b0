"""The network on window summaries (``models.summaries``): bounds of its logit difference.

Of the summaries of a column, first, last, mean and slope are linear in its hours, and minimum and maximum are piecewise
linear. The deviation is a norm: convex, and replaced by its chord where one value moves, by its tangent plane where
several may. What the summaries say of columns that do not move is computed once for each stay.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import torch
from torch import Tensor, nn

from icudl.errors import StageError
from icudl.models.base import within_length
from icudl.models.encoding import LEAST_VARIANCE, NARROWEST, RIDGE, SCALE, SCORE_LIMIT, SCORE_SCALE, SUMMARIES
from icudl.models.summaries import WidePath
from icudl.proofs.forms.affine import SINGLE, AffineForm, Freedom, largest_sums
from icudl.proofs.forms.norms import chord_of_norm, tangent_of_norm
from icudl.proofs.forms.passes import Track
from icudl.proofs.forms.relaxations import EVALUATION, Line, clamp, gelu, inverse_root, relu

WIDEST_DAY = 32.0
"""Days, more than any window has: bounds the rounding of times."""


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """Constants of the encoding of K input columns, in float64.

    Attributes:
        place: (K,) column of the input.
        charted_by: (K,) column that tells whether an hour counts; one beyond the last for "always".
        used: (8, K) 1 where a summary is used.
        knots: (N_BINS + 1, 8, K).
        centre: (8, K).
        spread: (8, K).
    """

    place: Tensor
    charted_by: Tensor
    used: Tensor
    knots: Tensor
    centre: Tensor
    spread: Tensor

    def only(self, which: Tensor) -> Columns:
        """Return the columns at ``which``."""
        return Columns(*(getattr(self, field.name)[..., which] for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """A network on window summaries.

    Attributes:
        wide: The network.
        columns: The K columns of which a summary is used.
    """

    wide: WidePath
    columns: Columns

    @classmethod
    def of(cls, wide: WidePath) -> Self:
        """Take the constants of a network."""
        encoding = wide.encoding
        n_features = len(encoding.charted_by)
        shaped = {
            name: getattr(encoding, name).detach().double().view(-1, len(SUMMARIES), n_features)
            for name in ("used", "knots", "centre", "spread")
        }
        used = shaped["used"][0]
        active = used.any(dim=0).nonzero()[:, 0]
        return cls(
            wide,
            Columns(
                place=active,
                charted_by=encoding.charted_by[active],
                used=used[:, active],
                knots=shaped["knots"][..., active],
                centre=shaped["centre"][0][:, active],
                spread=shaped["spread"][0][:, active],
            ),
        )

    @property
    def at_once(self) -> int:
        """See ``networks.Network``."""
        return 64

    def prepare(self, stays: Track, lengths: Tensor) -> PreparedWindows:
        """See ``networks.Network``."""
        counted = self._counted(stays, lengths)
        return PreparedWindows(self, counted, encode(self.columns, stays, counted))

    def _counted(self, stays: Track, lengths: Tensor) -> Tensor:
        """Return (N, T, K) bool: the hours that count. No change of a value makes an hour count."""
        inside = within_length(lengths, stays.centre.shape[1])[:, :, None]
        always = inside.to(stays.centre.dtype)
        return (torch.cat([stays.centre, always], dim=2)[:, :, self.columns.charted_by] > 0.5) & inside

    def rows_of(self, which: Tensor) -> Tensor:
        """Return the inputs of the first layers that belong to the columns at ``which`` (M,), in encoded order."""
        n_features = len(self.wide.encoding.charted_by)
        blocks = torch.arange(self.wide.encoding.n_outputs // n_features)
        return (blocks[:, None] * n_features + self.columns.place[which]).flatten()


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedWindows:
    """A network that has summarised the unchanged stays.

    Attributes:
        network: The network.
        counted: (N, T, K) hours that count.
        encoded: Their encoded summaries.
    """

    network: Windows
    counted: Tensor
    encoded: AffineForm

    def difference(self, rows: Tensor, track: Track) -> AffineForm:
        """Return the (B, 1) logit difference of passes.

        Args:
            rows: (B,) stay of each pass.
            track: Their inputs.
        """
        network, wide = self.network, self.network.wide
        place = network.columns.place
        moving = ((track.slope != 0).flatten(0, 2).any(dim=0) | (track.own > 0).flatten(0, 1).any(dim=0))[place]
        still, moves = (~moving).nonzero()[:, 0], moving.nonzero()[:, 0]
        encoded = encode(network.columns.only(moves), track, self.counted[rows][:, :, moves])
        base = self.encoded
        n_columns, n_blocks = len(place), base.centre.shape[1] // max(len(place), 1)
        fixed = (torch.arange(n_blocks)[:, None] * n_columns + still).flatten()
        inner, normal = wide.hidden[1], wide.hidden[2]
        if not isinstance(inner, nn.Linear) or not isinstance(normal, nn.LayerNorm):
            raise StageError(f"Nothing can be proved about a wide path of {type(inner).__name__} and others.")
        weight = torch.cat([inner.weight, wide.around.weight]).detach().double()
        bias = torch.cat([inner.bias, wide.around.bias]).detach().double()
        resting = AffineForm(
            base.centre[rows][:, fixed],
            base.terms[rows][:, :0, fixed],
            base.own[rows][:, fixed],
        )
        at_rest = resting.linear(weight[:, network.rows_of(still)], bias)
        own_rounding = SINGLE * encoded.centre.shape[1]
        at_rest = AffineForm(
            at_rest.centre,
            at_rest.centre.new_zeros(len(rows), track.freedom.values, len(bias)),
            at_rest.own + own_rounding * at_rest.magnitude,
            track.freedom,
        )
        moved = encoded.shared().linear(weight[:, network.rows_of(moves)], torch.zeros_like(bias))
        # Of the sum over all inputs, each part errs by the number of terms in the other as well.
        spare = SINGLE * len(fixed) * moved.magnitude
        first = AffineForm(moved.centre, moved.terms, moved.own + spare, moved.freedom).plus(at_rest)
        around = first.part(len(bias) - 2, len(bias))
        hidden = _normalised(first.part(0, len(bias) - 2).shared(), normal)
        hidden = hidden.shared()
        hidden = hidden.through(gelu(*hidden.bounds())).shared()
        logits = hidden.linear(wide.out.weight.detach().double(), wide.out.bias.detach().double()).plus(around)
        return logits.part(1, 2).minus(logits.part(0, 1))


def _normalised(form: AffineForm, layer: nn.LayerNorm) -> AffineForm:
    """Return a layer normalisation of (B, n)."""
    size = form.centre.shape[1]
    share = torch.full((size, size), 1 / size, dtype=torch.float64)
    away = form.linear(torch.eye(size, dtype=torch.float64) - share, torch.zeros(size, dtype=torch.float64))
    away = away.shared()
    mean = share[:1]
    variance = away.times(away).linear(mean, torch.full((1,), layer.eps, dtype=torch.float64))
    # Libraries find the variance in one pass, whose rounding is that of the squares of the numbers themselves.
    rounding = 4 * SINGLE * (size + 8) * (form.magnitude**2) @ mean.T
    variance = AffineForm(variance.centre, variance.terms, variance.own + rounding, variance.freedom)
    low, high = variance.bounds()
    floor = torch.full_like(low, layer.eps / 2)
    low = torch.maximum(low, floor)
    scale = variance.through(inverse_root(low, torch.maximum(high, low))).shared()
    wide = AffineForm(
        scale.centre.expand(-1, size), scale.terms.expand(-1, -1, size), scale.own.expand(-1, size), scale.freedom
    )
    product = away.times(wide)
    gain, bias = layer.weight.detach().double(), layer.bias.detach().double()
    rounding = 8 * SINGLE * (form.magnitude + form.magnitude.amax(dim=1, keepdim=True)) * wide.magnitude
    product = AffineForm(product.centre, product.terms, product.own + rounding, product.freedom)
    zero = torch.zeros_like(product.centre)
    return product.through(Line(gain.expand_as(zero), bias.expand_as(zero), SINGLE * 4 * bias.abs().expand_as(zero)))


def encode(columns: Columns, track: Track, counted: Tensor) -> AffineForm:
    """Return the encoded summaries of K columns, ((N_BINS + 2) 8 K) components in the order of the network.

    Args:
        columns: Constants of the columns.
        track: (B, T, C) inputs.
        counted: (B, T, K) hours that count.
    """
    series = _Series(
        track.centre[:, :, columns.place],
        track.slope[..., columns.place],
        track.own[:, :, columns.place],
        counted,
        track.freedom,
    )
    summaries = series.summaries()
    count = counted.sum(dim=1)
    known = (count > 0).double()[:, None].expand(-1, len(SUMMARIES), -1).clone()
    known[:, -1] = 1.0
    exists = (known * columns.used).flatten(1)
    parts = []
    width = torch.maximum(columns.knots[1:] - columns.knots[:-1], NARROWEST * columns.spread)
    for low, wide in zip(columns.knots[:-1], width, strict=True):
        parts.append(_clamped(summaries, low.flatten(), wide.flatten(), (0.0, 1.0), SCALE, -SCALE / 2, exists))
    parts.append(
        _clamped(
            summaries,
            columns.centre.flatten(),
            columns.spread.flatten(),
            (-SCORE_LIMIT, SCORE_LIMIT),
            SCORE_SCALE * SCALE,
            0.0,
            exists,
        )
    )
    presence = SCALE * (exists - 0.5 * columns.used.flatten())
    parts.append(AffineForm.exact(presence.flatten(1), freedom=track.freedom))
    return AffineForm.joined(parts)


def _clamped(
    form: AffineForm,
    base: Tensor,
    width: Tensor,
    limits: tuple[float, float],
    scale: float,
    shift: float,
    exists: Tensor,
) -> AffineForm:
    """Return ((x - base) / width, kept within limits) scale + shift, or 0 for what does not exist."""
    size = torch.zeros_like(form.centre)
    rounding = 8 * SINGLE * (form.magnitude + base.abs()) / width
    place = form.through(Line(size + 1 / width, size - base / width, rounding))
    low, high = (form.centre.new_full((form.centre.shape[1],), limit) for limit in limits)
    kept = place.through(clamp(*place.bounds(), low, high))
    return kept.through(Line(scale * exists, shift * exists, 8 * SINGLE * exists))


@dataclasses.dataclass(frozen=True, eq=False)
class _Series:
    """K columns over the hours, linear in V changed values.

    Attributes:
        centre: (B, T, K).
        slope: (B, V, T, K).
        own: (B, T, K).
        counted: (B, T, K) bool.
        freedom: What the unknowns of the values may be.
    """

    centre: Tensor
    slope: Tensor
    own: Tensor
    counted: Tensor
    freedom: Freedom

    def summaries(self) -> AffineForm:
        """Return the (B, 8 K) summaries."""
        n_hours = self.centre.shape[1]
        weights = self.counted.double()
        count = weights.sum(dim=1)
        steps = torch.arange(n_hours)[None, :, None]
        first = torch.where(self.counted, steps, n_hours - 1).amin(dim=1, keepdim=True)
        last = torch.where(self.counted, steps, 0).amax(dim=1, keepdim=True)
        mean = weights / count.clamp(min=1)[:, None]
        days = steps.double() / 24
        late = (days - (days * mean).sum(dim=1, keepdim=True)) * weights
        square = (late**2).sum(dim=1) + RIDGE
        parts = [
            self._sum((steps == first).double() * weights, rounded=False),
            self._sum((steps == last).double() * weights, rounded=False),
            self._extreme(smallest=True),
            self._extreme(smallest=False),
            self._sum(mean),
            self._deviation(mean, count),
            self._trend(late, square, count),
            AffineForm.exact(count.log1p(), freedom=self.freedom),
        ]
        known = (count > 0).double()
        zero = torch.zeros_like(known)
        return AffineForm.joined([part.through(Line(known, zero, EVALUATION * known)) for part in parts])

    def _sum(self, weights: Tensor, *, rounded: bool = True) -> AffineForm:
        """Return the sum over the hours of the columns times (B, T, K) weights."""
        own = (weights.abs() * self.own).sum(dim=1)
        if rounded:
            own = own + SINGLE * (self.centre.shape[1] + 8) * (weights.abs() * self.sizes).sum(dim=1)
        terms = (weights[:, None] * self.slope).sum(dim=2)
        return AffineForm((weights * self.centre).sum(dim=1), terms, own, self.freedom)

    @property
    def sizes(self) -> Tensor:
        """(B, T, K), the largest size of each number."""
        below, above = self._reach()
        return self.centre.abs() + torch.maximum(below, above)

    def _reach(self) -> tuple[Tensor, Tensor]:
        below, above = largest_sums(self.slope.flatten(2), self.freedom)
        shape = self.centre.shape
        return below.view(shape) + self.own, above.view(shape) + self.own

    def _hour(self, hour: int) -> AffineForm:
        return AffineForm(self.centre[:, hour], self.slope[:, :, hour], self.own[:, hour], self.freedom)

    def _extreme(self, *, smallest: bool) -> AffineForm:
        """Return the smallest or largest value, hour after hour; hours that do not move come first."""
        sign = 1.0 if smallest else -1.0
        moving = self.counted & ((self.slope != 0).any(dim=1) | (self.own > 0))
        still = torch.where(self.counted & ~moving, sign * self.centre, torch.inf).amin(dim=1)
        # Where all hours move, a number above each of them is as good as none.
        highest = torch.where(moving, self.sizes + 1, 0.0).amax(dim=1)
        found = AffineForm.exact(torch.where(still.isfinite(), still, highest), freedom=self.freedom)
        for hour in moving.flatten(2).any(dim=2).any(dim=0).nonzero()[:, 0].tolist():
            hourly = self._hour(hour)
            here = moving[:, hour].double()
            other = AffineForm(sign * hourly.centre, sign * hourly.terms, hourly.own, self.freedom)
            below = found.minus(other)
            below = below.through(relu(*below.bounds()))
            zero = torch.zeros_like(here)
            found = found.minus(below.through(Line(here, zero, zero)))
        return AffineForm(sign * found.centre, sign * found.terms, found.own, self.freedom)

    def _deviation(self, mean: Tensor, count: Tensor) -> AffineForm:
        """Return the standard deviation."""
        n_hours = self.centre.shape[1]
        weights = self.counted.double()
        rest = (self.centre - (mean * self.centre).sum(dim=1, keepdim=True)) * weights
        moves = (self.slope - (mean[:, None] * self.slope).sum(dim=2, keepdim=True)) * weights[:, None]
        degrees = (count - 1).clamp(min=1)
        least = torch.full_like(count, LEAST_VARIANCE)
        rule = chord_of_norm if self.freedom.most == 1 else tangent_of_norm
        norm = rule(rest / degrees.sqrt()[:, None], moves / degrees.sqrt()[:, None, None], least, self.freedom)
        # Of a norm, the change is at most the norm of the change.
        apart = 2 * (weights * self.own).amax(dim=1) + 4 * SINGLE * (n_hours + 8) * (weights * self.sizes).amax(dim=1)
        own = norm.own + (count / degrees).sqrt() * apart + (EVALUATION + SINGLE * (n_hours + 8)) * norm.magnitude
        return AffineForm(norm.centre, norm.terms, own, self.freedom)

    def _trend(self, late: Tensor, square: Tensor, count: Tensor) -> AffineForm:
        """Return the slope of least squares."""
        n_hours = self.centre.shape[1]
        weights = self.counted.double()
        found = self._sum(late / square[:, None], rounded=False)
        unit = SINGLE * (n_hours + 8)
        largest = (weights * self.sizes).amax(dim=1)
        away = torch.where(count > 1, 2 * largest, 0.0)
        apart, late_apart = 4 * unit * largest, 4 * unit * WIDEST_DAY
        size = late.abs().sum(dim=1)
        rounding = (size * (apart + 4 * unit * away) + count * late_apart * (away + apart)) / square
        return AffineForm(found.centre, found.terms, found.own + rounding, self.freedom)
