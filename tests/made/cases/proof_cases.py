"""Small networks with a value that moves, and the number of points at which a bound of them is wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from icudl.models.base import SequenceClassifier
from icudl.models.build import build_model
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.options import ModelOptions
from icudl.proofs.forms.affine import AffineForm
from icudl.proofs.forms.networks import Band, Passes, make_network
from icudl.proofs.forms.passes import Track

HOURS, FEATURES = 6, 3
LENGTHS = torch.tensor([HOURS, HOURS - 2])
ROWS = torch.tensor([0, 1, 0, 1, 0])
REACHED = torch.tensor([[2, 4], [0, 0], [HOURS - 1, HOURS - 1], [0, HOURS - 3], [3, 3]])


def make_model(options: ModelOptions, *, scale: float = 2.5, seed: int = 0) -> SequenceClassifier:
    """A model with large random weights."""
    torch.manual_seed(seed)
    model = build_model(options, FEATURES).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


def window_model(options: ModelOptions, *, observed: bool, seed: int = 0) -> SequenceClassifier:
    """A model with window summaries, whose constants are those of random stays.

    Args:
        options: Of the model.
        observed: Whether the second column tells when the first one was charted.
        seed: Of the weights.
    """
    model = make_model(options, scale=1.5, seed=seed)
    features = torch.rand(40, HOURS, FEATURES, generator=torch.Generator().manual_seed(9))
    columns = {"value": range(FEATURES)}
    if observed:
        features[..., 1] = (features[..., 1] > 0.5).float()
        columns = {"value": range(1), "observed": range(1, 2), "statics": range(2, 3)}
    parts = list(model.networks) if isinstance(model, EnsembleClassifier) else [model]
    for part in parts:
        assert isinstance(part, SequenceClassifier)
        part.prepare(features, torch.full((40,), HOURS), columns)
    return model.eval()


def charted(features: Tensor, passes: Passes) -> tuple[Tensor, Passes]:
    """The same stays where the second column tells when the first one was charted; only the first one moves."""
    features = features.clone()
    features[..., 1] = (features[..., 1] > 0.4).float()
    track = passes.track
    centre, slope = features[passes.rows].double(), torch.zeros_like(track.slope)
    slope[..., 0] = track.slope.sum(dim=-1)
    return features, passes._replace(track=Track(centre, slope, torch.zeros_like(centre)))


def moving(half: float, seed: int = 0) -> tuple[Tensor, Passes]:
    """Features of two stays, and five values of them that move by ``half`` to either side."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(len(LENGTHS), HOURS, FEATURES, generator=generator)
    centre = features[ROWS].double()
    slope = torch.zeros_like(centre)[:, None]
    for number, (first, last) in enumerate(REACHED.tolist()):
        moved = half * torch.rand(last - first + 1, generator=generator)
        slope[number, 0, first : last + 1, number % FEATURES] = moved
    return features, Passes(ROWS, Track(centre, slope, torch.zeros_like(centre)), REACHED)


def band_of(model: SequenceClassifier, features: Tensor, passes: Passes, terms: int = 8) -> Band:
    """Bounds of the logit difference of each pass."""
    return make_network(model, terms).prepare(Track.exact(features.double()), LENGTHS).band(passes)


def wrong_points(model: SequenceClassifier, band: Band, passes: Passes, points: int = 101) -> int:
    """How many of the points lie outside the bounds, evaluated in float32 and in float64."""
    wrong = 0
    at = torch.linspace(-1, 1, points, dtype=torch.float64)
    for kind in (torch.float32, torch.float64):
        own = model.to(kind)
        for number, row in enumerate(passes.rows.tolist()):
            track = passes.track
            inputs = track.centre[number] + at[:, None, None] * track.slope[number, 0]
            with torch.no_grad():
                logits = own(inputs.to(kind), LENGTHS[row].expand(points)).double()
            distance = (logits[:, 1] - logits[:, 0] - band.centre[number] - band.slope[number, 0] * at).abs()
            wrong += int((distance > band.rest[number]).sum())
    model.float()
    return wrong


def random_form(seed: int, n_terms: int = 4, size: int = 3, spread: float = 1.0, batch: int = 2) -> AffineForm:
    """A form with random coefficients."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(batch, n_terms + 2, size, generator=generator, dtype=torch.float64) * spread
    return AffineForm(numbers[:, 0], numbers[:, 1:-1], numbers[:, -1].abs())


def members(form: AffineForm, unknowns: Tensor, own: Tensor) -> Tensor:
    """The (K, B, n) vectors of a form at (K, B, G) unknowns and (K, B, n) errors of its own."""
    n_terms = form.terms.shape[1]
    return form.centre + torch.einsum("kbg,bgn->kbn", unknowns[..., :n_terms], form.terms.double()) + own * form.own


def draws(form: AffineForm, count: int = 200, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Unknowns and own errors, a third of them at the ends of their range."""
    generator = torch.Generator().manual_seed(seed)
    batch, n_terms, size = form.terms.shape
    numbers = torch.rand(count, batch, n_terms + size, generator=generator, dtype=torch.float64) * 2 - 1
    numbers[: count // 3] = numbers[: count // 3].sign()
    return numbers[..., :n_terms], numbers[..., n_terms:]


def outside(form: AffineForm, vectors: Tensor, unknowns: Tensor) -> int:
    """How many of the (K, B, n) vectors are no members of a form at (K, B, G) unknowns of the changed list."""
    known = unknowns[..., : form.terms.shape[1]]
    missing = form.terms.shape[1] - known.shape[2]
    middle = form.centre + torch.einsum("kbg,bgn->kbn", known, form.terms[:, : known.shape[2]].double())
    # Unknowns that the operation added may have any value.
    rest = form.own + (form.terms[:, -missing:].double().abs().sum(dim=1) if missing else 0.0)
    return int(((vectors - middle).abs() > rest * (1 + 1e-12) + 1e-12).sum())
