"""Summaries of each charted variable over the window, encoded piecewise linearly as inputs of a network.

A tree asks whether a summary (the last creatinine, the lowest pressure) lies above a cut. A network is given the same
question in a form that it can be trained and attacked through: where between two neighbouring quantiles of the
training stays a summary lies, for each pair of neighbours (piecewise linear encoding, Gorishniy et al. 2022).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from icudl.models.base import within_length

SUMMARIES = ("first", "last", "minimum", "maximum", "mean", "deviation", "slope", "count")
"""Numbers per column, in the order in which ``summarise`` gives them."""

N_BINS = 4
SCALE = 0.25
"""Range of an encoded place. Under Adam it sets how fast the layers behind it learn, compared with recurrent layers."""

_BLOCK = 512
RIDGE = 0.02  # square days: two values an hour apart say little about a slope
NARROWEST = 0.02  # of a bin, in standard deviations: a step would carry no gradient
LEAST_VARIANCE = 1e-6  # a root has no gradient at 0
SCORE_SCALE = 0.3  # of a standard score, beside the places
SCORE_LIMIT = 4.0  # standard deviations


def summarise(features: Tensor, counted: Tensor) -> Tensor:
    """Summarise columns over the hours that count; differentiable in the features.

    Args:
        features: (B, T, C), finite.
        counted: (B, T, C) bool, hours that count: charted ones.

    Returns:
        (B, 8, C) in the order of ``SUMMARIES``: first, last, smallest, largest, mean; standard deviation of the sample
        (about 0 for a single value); slope per day, by least squares with a small ridge; log(1 + n) of the n hours that
        count. All are 0 where no hour counts.
    """
    n_hours = features.shape[1]
    weights = counted.to(features.dtype)
    count = weights.sum(dim=1)
    known = (count > 0).to(features.dtype)
    values = features * weights
    mean = values.sum(dim=1) / count.clamp(min=1)
    days = torch.arange(n_hours, device=features.device)[None, :, None] / 24
    centred = (features - mean[:, None]) * weights
    spread = ((centred**2).sum(dim=1) / (count - 1).clamp(min=1) + LEAST_VARIANCE).sqrt()
    late = (days - ((days * weights).sum(dim=1) / count.clamp(min=1))[:, None]) * weights
    slope = (centred * late).sum(dim=1) / ((late**2).sum(dim=1) + RIDGE)
    steps = torch.arange(n_hours, device=features.device)[None, :, None]
    first = torch.where(counted, steps, n_hours - 1).amin(dim=1)
    last = torch.where(counted, steps, 0).amax(dim=1)
    ends = values.gather(1, torch.stack([first, last], dim=1))
    smallest = torch.where(counted, features, torch.inf).amin(dim=1)
    largest = torch.where(counted, features, -torch.inf).amax(dim=1)
    extremes = [torch.where(count > 0, extreme, 0.0) for extreme in (smallest, largest)]
    parts = [ends[:, 0], ends[:, 1], *extremes, mean, spread * known, slope * known, count.log1p()]
    return torch.stack(parts, dim=1)


class SummaryEncoding(nn.Module):
    """Window summaries of the input columns, each as its place between quantiles of the training stays.

    A value column counts the hours in which it was charted, if the input tells. Static descriptors contribute their
    mean; other columns contribute nothing, because the number of charted hours is a summary of the values. Before
    ``prepare`` every hour counts, and the quantiles are those of a normal distribution.

    Attributes:
        n_outputs: (``N_BINS`` + 2) 8 C: places, standard scores, and whether the summary exists.
        settled: What ``active`` gives inside ``settled``, else None.
    """

    charted_by: Tensor
    used: Tensor
    knots: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        n_summaries = len(SUMMARIES) * n_features
        self.n_outputs = (N_BINS + 2) * n_summaries
        quantiles = torch.special.ndtri(torch.linspace(0.02, 0.98, N_BINS + 1))
        self.register_buffer("charted_by", torch.full((n_features,), n_features))
        self.register_buffer("used", torch.ones(n_summaries))
        self.register_buffer("knots", quantiles[:, None].repeat(1, n_summaries))
        self.register_buffer("centre", torch.zeros(n_summaries))
        self.register_buffer("spread", torch.ones(n_summaries))
        self.settled: Tensor | None = None

    def prepare(self, features: Tensor, lengths: Tensor, columns: Mapping[str, range]) -> None:
        """Take quantiles, means and deviations of the training stays; see ``SequenceClassifier.prepare``."""
        if columns.get("value") and columns.get("observed"):
            value, observed = (torch.tensor(columns[name]) for name in ("value", "observed"))
            self.charted_by[value] = observed.to(self.charted_by)
        every = torch.arange(features.shape[2], device=features.device)
        parts = [
            self._summaries(features[start : start + _BLOCK], lengths[start : start + _BLOCK], every)
            for start in range(0, len(features), _BLOCK)
        ]
        summaries, known = (torch.cat(part).flatten(1) for part in zip(*parts, strict=True))
        summaries = torch.where(known, summaries, torch.nan)
        wanted = _wanted(features.shape[2], columns).to(summaries.device)
        self.knots.copy_(_quantiles(summaries))
        self.centre.copy_(summaries.nanmean(dim=0).nan_to_num())
        spread = ((summaries - self.centre) ** 2).nanmean(dim=0).nan_to_num().sqrt()
        self.used.copy_(wanted & (spread > 1e-4))
        self.spread.copy_(torch.where(spread > 1e-4, spread, 1.0))

    def forward(self, features: Tensor, lengths: Tensor, active: Tensor | None = None) -> Tensor:
        """Return (B, ``n_outputs``) from (B, T, C); 0 for a summary that does not exist or is not used.

        ``active`` saves asking a device for ``active()``.
        """
        active = self.active() if active is None else active
        summaries, known = self._summaries(features, lengths, active)
        encoded = self.encode(summaries, known, active)
        everything = encoded.new_zeros(*encoded.shape[:3], len(self.charted_by))
        return everything.scatter(3, active.expand_as(encoded), encoded).flatten(1)

    def active(self) -> Tensor:
        """Return the (K,) columns of which a summary is used."""
        if self.settled is not None:
            return self.settled
        return self.used.view(len(SUMMARIES), -1).any(dim=0).nonzero().squeeze(1)

    def encode(self, summaries: Tensor, known: Tensor, active: Tensor) -> Tensor:
        """Encode summaries of some columns.

        Args:
            summaries: (B, 8, K).
            known: (B, 8, K) bool, the summary exists.
            active: (K,) the columns.

        Returns:
            (B, ``N_BINS`` + 2, 8, K) places, standard scores, presence.
        """
        n_features = len(self.charted_by)
        used = self.used.view(len(SUMMARIES), n_features).index_select(1, active)
        exists = known * used
        knots, centre, spread = (
            constant.view(-1, len(SUMMARIES), n_features).index_select(2, active)
            for constant in (self.knots, self.centre, self.spread)
        )
        width = torch.maximum(knots[1:] - knots[:-1], NARROWEST * spread)
        places = SCALE * ((summaries[:, None] - knots[:-1]) / width).clamp(0, 1) - SCALE / 2
        scores = SCORE_SCALE * SCALE * ((summaries - centre) / spread).clamp(-SCORE_LIMIT, SCORE_LIMIT)
        encoded = torch.cat([places, scores[:, None]], dim=1) * exists[:, None]
        presence = SCALE * (exists - 0.5 * used)
        return torch.cat([encoded, presence[:, None]], dim=1)

    def _summaries(self, features: Tensor, lengths: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, 8, K) summaries of K columns and whether each exists; how often one was charted always does."""
        inside = within_length(lengths, features.shape[1])[:, :, None]
        summaries = summarise(features.index_select(2, active), self.charted(features, inside, active))
        known = (summaries[:, -1:] > 0).expand(-1, len(SUMMARIES) - 1, -1)
        return summaries, torch.cat([known, torch.ones_like(known[:, :1])], dim=1)

    def charted(self, features: Tensor, inside: Tensor, active: Tensor) -> Tensor:
        """Return (B, T, K) bool: the hours of K columns that count, of those ``inside`` (B, T, 1) the stays."""
        always = inside.to(features.dtype)
        return inside & (torch.cat([features, always], dim=2).index_select(2, self.charted_by[active]) > 0.5)


@contextlib.contextmanager
def settled(model: nn.Module) -> Iterator[None]:
    """Ask the device once, and not at every pass inside, which columns the summaries of a model use."""
    encodings = [part for part in model.modules() if isinstance(part, SummaryEncoding)]
    for encoding in encodings:
        encoding.settled = encoding.active()
    try:
        yield
    finally:
        for encoding in encodings:
            encoding.settled = None


def _wanted(n_features: int, columns: Mapping[str, range]) -> Tensor:
    """Return (8 C,) bool: all summaries of the values, the mean of the statics."""
    wanted = torch.zeros(len(SUMMARIES), n_features, dtype=torch.bool)
    wanted[:, list(columns.get("value", ()))] = True
    wanted[SUMMARIES.index("mean"), list(columns.get("statics", ()))] = True
    return wanted.flatten()


def _quantiles(summaries: Tensor) -> Tensor:
    """Return (``N_BINS`` + 1, K) quantiles, smallest to largest, of (n, K) without NaN; 0 where all are NaN."""
    ordered = summaries.nan_to_num(nan=torch.inf).sort(dim=0).values
    known = summaries.isfinite().sum(dim=0)
    places = torch.linspace(0, 1, N_BINS + 1, device=summaries.device)[:, None] * (known - 1).clamp(min=0)
    return torch.where(known > 0, ordered.gather(0, places.round().long()), 0.0)
