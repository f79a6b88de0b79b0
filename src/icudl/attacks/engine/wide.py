"""Engine for networks on window summaries (``models.summaries.WidePath``), with a backward pass of its own.

Which hours count, and so all that depends on them alone, is the same for every variant of a known stay and is
remembered. Networks that encode the summaries alike, as the members of an ensemble, are scored together.

T hours, N stays, C features, U columns in use, M networks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self, TypeVar

import torch
from torch import Tensor, nn

from icudl.attacks.engine.compiled.summaries import CompiledSummaries
from icudl.attacks.engine.known import Known, Memory
from icudl.attacks.engine.reading import without_padding
from icudl.models.base import within_length
from icudl.models.encoding import LEAST_VARIANCE, RIDGE, SUMMARIES
from icudl.models.summaries import UNITS, WidePath

Layer = TypeVar("Layer", bound=nn.Module)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Counted:
    """What the hours that count say of N stays by themselves.

    Attributes:
        hours: (N, T, U) bool, hours that count.
        weights: (N, T, U) 1 for these hours, else 0.
        late: (N, T, U) days since the mean hour that counts; 0 for the others.
        ends: (N, 2, U) first and last hour that counts.
        count: (N, U) hours that count.
        late_square: (N, U) sum of squares of ``late``, with the ridge.
    """

    hours: Tensor
    weights: Tensor
    late: Tensor
    ends: Tensor
    count: Tensor
    late_square: Tensor

    @classmethod
    def of(cls, hours: Tensor, like: Tensor) -> Self:
        """Return what ``hours`` (N, T, U) say; numbers are of the type of ``like``."""
        n_hours = hours.shape[1]
        weights = hours.to(like.dtype)
        count = weights.sum(dim=1)
        steps = torch.arange(n_hours, device=hours.device)[None, :, None]
        days = steps / 24
        late = (days - ((days * weights).sum(dim=1) / count.clamp(min=1))[:, None]) * weights
        ends = [torch.where(hours, steps, n_hours - 1).amin(dim=1), torch.where(hours, steps, 0).amax(dim=1)]
        late_square = (late**2).sum(dim=1) + RIDGE
        return cls(
            hours=hours,
            weights=weights,
            late=late,
            ends=torch.stack(ends, dim=1),
            count=count,
            late_square=late_square,
        )

    def select(self, stays: Tensor, n_columns: int) -> Self:
        """Return the first columns of the stays at ``stays``."""
        return type(self)(
            **{field.name: getattr(self, field.name)[stays, ..., :n_columns] for field in dataclasses.fields(self)}
        )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class WideMemory(Memory):
    """B known stays.

    Attributes:
        counted: Their hours that count.
        summaries: (B, 8, U).
        hidden: (B, R) hidden layers before their activation.
        around: (B,) sums around them.
        origin_moving: (B, T, K) features that move, of these stays.
        origins: (B,) positions in the arrays above, which are those of stays that these are variants of.
    """

    origins: Tensor
    counted: Counted
    summaries: Tensor
    hidden: Tensor
    around: Tensor
    origin_moving: Tensor

    def described(self) -> dict[str, Tensor]:
        """Return what ``compiled.summaries`` takes."""
        counted = self.counted
        return {
            "moving": self.origin_moving,
            "counted": counted.hours,
            "late": counted.late,
            "late_square": counted.late_square,
            "ends": counted.ends,
            "count": counted.count,
            "summaries": self.summaries,
            "hidden": self.hidden,
            "around": self.around,
        }


class Summaries:
    """Summaries of (N, T, U) values over the hours that count; see ``models.encoding.summarise``."""

    def __init__(self, values: Tensor, counted: Counted) -> None:
        self.values, self.counted = values, counted
        weighted = values * counted.weights
        self.exists = (counted.count > 0).to(values.dtype)
        mean = weighted.sum(dim=1) / counted.count.clamp(min=1)
        self.centred = weighted.addcmul(mean[:, None], counted.weights, value=-1.0)
        self.freedom = (counted.count - 1).clamp(min=1)
        self.spread = ((self.centred**2).sum(dim=1) / self.freedom + LEAST_VARIANCE).sqrt()
        slope = (self.centred * counted.late).sum(dim=1) / counted.late_square
        self.extremes = [
            values.masked_fill(~counted.hours, torch.inf).amin(dim=1),
            values.masked_fill(~counted.hours, -torch.inf).amax(dim=1),
        ]
        ends = weighted.gather(1, counted.ends)
        extremes = [torch.where(counted.count > 0, extreme, 0.0) for extreme in self.extremes]
        spread, slope = self.spread * self.exists, slope * self.exists
        parts = [ends[:, 0], ends[:, 1], *extremes, mean, spread, slope, counted.count.log1p()]
        self.all = torch.stack(parts, dim=1)
        """(N, 8, U)."""

    def back(self, gradient: Tensor) -> Tensor:
        """Return the (N, T, U) gradient of the values, given that of the summaries (N, 8, U)."""
        counted = self.counted
        by = dict(zip(SUMMARIES, gradient.unbind(1), strict=True))
        by_mean = by["mean"] / counted.count.clamp(min=1)
        by_centred = by["deviation"] * self.exists / (self.freedom * self.spread)
        by_late = by["slope"] * self.exists / counted.late_square
        by_values = by_mean[:, None] * counted.weights
        by_values.addcmul_(by_centred[:, None], self.centred).addcmul_(by_late[:, None], counted.late)
        for extreme, name in zip(self.extremes, ("minimum", "maximum"), strict=True):
            # Values that tie share the gradient, as in autograd.
            ties = (self.values == extreme[:, None]) & counted.hours
            by_values.addcmul_((by[name] / ties.sum(dim=1).clamp(min=1))[:, None], ties.to(by_values.dtype))
        by_ends = torch.stack([by["first"], by["last"]], dim=1) * counted.weights.gather(1, counted.ends)
        return by_values.scatter_add_(1, counted.ends, by_ends)


class WideEngine:
    """The mean of M networks on window summaries; see ``engine.protocol.Engine``.

    Args:
        paths: Networks that encode the summaries alike. The engine uses their weights unchanged.
    """

    def __init__(self, paths: Sequence[WidePath]) -> None:
        self.encoding = paths[0].encoding
        self.active = self.encoding.active()
        hidden = [_only(nn.Linear, path.hidden) for path in paths]
        norms = [_only(nn.LayerNorm, path.hidden) for path in paths]
        outs, arounds = [path.out for path in paths], [path.around for path in paths]
        self.hidden = torch.cat([self._narrowed(layer.weight) for layer in hidden]).t().contiguous()
        self.hidden_bias = torch.cat([layer.bias.detach() for layer in hidden])
        self.norm = torch.stack([layer.weight.detach() for layer in norms])
        self.norm_bias = torch.stack([layer.bias.detach() for layer in norms])
        self.norm_eps = norms[0].eps
        self.out = torch.stack([_difference(layer.weight) for layer in outs]) / len(paths)
        around = torch.stack([_difference(layer.weight) for layer in arounds]).mean(dim=0)
        self.around = self._narrowed(around[None]).squeeze(0)
        self.compiled = CompiledSummaries(self.encoding, self.active, self.hidden, self.around)
        self.bias = torch.stack([_difference(layer.bias) for layer in (*outs, *arounds)]).sum() / len(paths)

    def _narrowed(self, weight: Tensor) -> Tensor:
        """Return the weights (R, 48 U) of the columns in use, from (R, 48 C)."""
        by_column = weight.detach().view(len(weight), -1, len(self.encoding.charted_by))
        return by_column.index_select(2, self.active).flatten(1)

    def remember(self, features: Tensor, lengths: Tensor, n_moving: int | None = None) -> WideMemory | None:
        """See ``engine.protocol.Engine``; None where variants may change which hours count."""
        n_features = features.shape[2]
        n_moving = n_features if n_moving is None else n_moving
        counts_by = self.encoding.charted_by[self.active]
        if bool((counts_by < n_moving).any()):
            return None
        features = without_padding(features, lengths)
        with torch.no_grad():
            counted = self._counted(features, lengths)
            summaries = Summaries(features.index_select(2, self.active), counted).all
            hidden, around = self._hidden(summaries, summaries[..., :0], counted)
        moving = features[..., :n_moving].clone(memory_format=torch.contiguous_format)
        every = torch.arange(len(features), device=features.device)
        return WideMemory(
            moving=moving,
            fixed=features[..., n_moving:].clone(),
            origins=every,
            counted=counted,
            summaries=summaries,
            hidden=hidden,
            around=around,
            origin_moving=moving,
        )

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:
        """See ``engine.protocol.Engine``."""
        memory = None if known is None else known.memory
        with torch.no_grad():
            if known is not None and isinstance(memory, WideMemory) and self.compiled.can_be_used:
                stays = memory.origins[known.stays]
                return self._scored(*self.compiled.hidden_of(features, memory.described(), stays))
            summaries, further = self._summaries(features, lengths, known)
            return self._score(summaries.all, further, summaries.counted)

    def anchor(self, features: Tensor, lengths: Tensor, known: Known) -> tuple[Tensor, WideMemory] | None:
        """See ``engine.protocol.Engine``."""
        memory = known.memory
        if not isinstance(memory, WideMemory):
            return None
        # Only the columns that differ from the known stays are summarised again: nearer stays save no time.
        return self.difference(features, lengths, known), dataclasses.replace(
            memory, moving=features, fixed=memory.fixed[known.stays], origins=memory.origins[known.stays]
        )

    def difference_and_gradient(
        self, features: Tensor, lengths: Tensor, known: Known | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``engine.protocol.Engine``."""
        with torch.no_grad():
            summaries, further = self._summaries(features, lengths, known)
        with torch.enable_grad():
            leaf = summaries.all.requires_grad_()
            difference = self._score(leaf, further, summaries.counted)
            (by_summaries,) = torch.autograd.grad(difference.sum(), leaf)
        with torch.no_grad():
            by_values = summaries.back(by_summaries)
            gradient = torch.zeros_like(features).index_copy_(2, self.active[: by_values.shape[2]], by_values)
        return difference.detach(), gradient

    def survey(
        self,
        features: Tensor,
        lengths: Tensor,
        faint: float,  # noqa: ARG002
        known: Known | None = None,
    ) -> tuple[Tensor, Tensor, None]:
        """See ``engine.protocol.Engine``."""
        return *self.difference_and_gradient(features, lengths, known), None

    def _counted(self, features: Tensor, lengths: Tensor) -> Counted:
        inside = within_length(lengths, features.shape[1])[:, :, None]
        return Counted.of(self.encoding.charted(features, inside, self.active), features)

    def _summaries(self, features: Tensor, lengths: Tensor, known: Known | None) -> tuple[Summaries, Tensor]:
        """Return the summaries of the columns that move, and those (N, 8, U') of the others in use."""
        features = without_padding(features, lengths)
        memory = None if known is None else known.memory
        if known is None or not isinstance(memory, WideMemory):
            summaries = Summaries(features.index_select(2, self.active), self._counted(features, lengths))
            return summaries, summaries.all[..., :0]
        # Columns in use rise, and those that move come first.
        n_columns = int((self.active < features.shape[2]).sum())
        origins = memory.origins[known.stays]
        counted = memory.counted.select(origins, n_columns)
        further = memory.summaries[origins, :, n_columns:]
        return Summaries(features.index_select(2, self.active[:n_columns]), counted), further

    def _score(self, summaries: Tensor, further: Tensor, counted: Counted) -> Tensor:
        """Return the (N,) differences, averaged over the networks."""
        return self._scored(*self._hidden(summaries, further, counted))

    def _scored(self, hidden: Tensor, around: Tensor) -> Tensor:
        """Return the (N,) differences, given the hidden layers before their activation and the sums around them."""
        by_network = hidden.view(len(hidden), -1, UNITS)
        normal = nn.functional.layer_norm(by_network, (UNITS,), eps=self.norm_eps) * self.norm + self.norm_bias
        return (nn.functional.gelu(normal) * self.out).sum(dim=(1, 2)) + around + self.bias

    def _hidden(self, summaries: Tensor, further: Tensor, counted: Counted) -> tuple[Tensor, Tensor]:
        """Return the (N, R) hidden layers of all networks before their activation, and the (N,) sums around them."""
        exists = (counted.count > 0)[:, None].expand(-1, len(SUMMARIES), -1).clone()
        exists[:, -1] = True
        if further.shape[2]:
            summaries = torch.cat([summaries, further], dim=2)
            # The number of hours is the last summary: log(1 + n).
            others = (further[:, -1:] > 0).expand(-1, len(SUMMARIES), -1).clone()
            others[:, -1] = True
            exists = torch.cat([exists, others], dim=2)
        encoded = self.encoding.encode(summaries, exists, self.active).flatten(1)
        return torch.addmm(self.hidden_bias, encoded, self.hidden), encoded @ self.around


def _only(kind: type[Layer], layers: nn.Sequential) -> Layer:
    """Return the one layer of a kind."""
    (only,) = (layer for layer in layers if isinstance(layer, kind))
    return only


def _difference(parameter: Tensor) -> Tensor:
    """Return the second row less the first one."""
    return parameter.detach()[1] - parameter.detach()[0]
