"""From a model to bounds of its logit difference while one value of a stay moves over an interval."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from icudl.errors import StageError
from icudl.models.base import SequenceClassifier
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.recurrent.classifier import RecurrentClassifier
from icudl.models.recurrent.readout import Head
from icudl.models.rescaled import RescaledClassifier
from icudl.proofs.affine import AffineForm
from icudl.proofs.options import unprovable
from icudl.proofs.passes import Base, Layers, Track
from icudl.proofs.relaxations import ACTIVATIONS, Line, clamp

CACHED = 2**20
"""Numbers of the largest array of a pass, over all passes made at once."""


class Band(NamedTuple):
    """Bounds of a number while the changed value moves over its interval: ``centre + slope e ± rest``, |e| <= 1.

    Attributes:
        centre: (B,).
        slope: (B,).
        rest: (B,), at least 0.
    """

    centre: Tensor
    slope: Tensor
    rest: Tensor


class Passes(NamedTuple):
    """B passes to bound.

    Attributes:
        rows: (B,) stay of each among those prepared.
        track: Inputs.
        reached: (B, 2) first and last hour that the changed value reaches.
    """

    rows: Tensor
    track: Track
    reached: Tensor


class Prepared(Protocol):
    """A network that has read the unchanged stays."""

    def band(self, passes: Passes) -> Band:
        """Bound the logit difference, death minus survival, of each pass."""


class Network(Protocol):
    """A network that can be bounded.

    Attributes:
        at_once: Passes that are best bounded at once; more do not fit in a processor's cache.
    """

    @property
    def at_once(self) -> int:
        """Passes that are best bounded at once."""

    def prepare(self, stays: Track, lengths: Tensor) -> Prepared:
        """Read N unchanged stays."""


def make_network(model: SequenceClassifier, terms: int) -> Network:
    """Take the weights of a model.

    Args:
        model: As ``models.load_model`` makes it.
        terms: Most unknowns that a pass carries for each hidden unit of a direction.

    Raises:
        StageError: Nothing can be proved about the model.
    """
    if isinstance(model, EnsembleClassifier):
        networks = [network for network in model.networks if isinstance(network, SequenceClassifier)]
        return Ensemble(tuple(make_network(network, terms) for network in networks))
    if isinstance(model, RescaledClassifier):
        arrays = (getattr(model, name).detach().double() for name in ("gain", "bias", "low", "high"))
        return Rescaled(make_network(model.network, terms), *arrays)
    reason = unprovable(model.options)
    if reason or type(model).forward is not RecurrentClassifier.forward or not isinstance(model, RecurrentClassifier):
        raise StageError(reason or f"Nothing can be proved about {type(model).__name__}. Expected lstm or gru.")
    options = model.options
    layers = Layers.of(model.rnn, options.readout, terms * options.hidden_size)
    return Recurrent(layers, model.head, options.activation, options.fc_activation)


@dataclasses.dataclass(frozen=True, eq=False)
class Recurrent:
    """Recurrent layers with a head.

    Attributes:
        layers: The layers and the read-out.
        head: Weights of the head.
        activation: Name of the activation behind the read-out.
        fc_activation: Name of that behind the fully connected layer.
    """

    layers: Layers
    head: Head
    activation: str
    fc_activation: str

    def prepare(self, stays: Track, lengths: Tensor) -> PreparedRecurrent:
        """See ``Network.prepare``."""
        return PreparedRecurrent(self, self.layers.base(stays, lengths))

    @property
    def at_once(self) -> int:
        """See ``Network``."""
        numbers = self.layers.most_terms * 4 * self.layers.cells[0][0].cell.hidden_size
        return max(2, min(64, CACHED // numbers))

    def difference(self, summary: AffineForm) -> AffineForm:
        """Return the (B, 1) logit difference of read-outs."""
        form = _activated(summary, self.activation)
        if self.head.fc is not None:
            form = _activated(_linear(form, self.head.fc), self.fc_activation)
        logits = _linear(form, self.head.out)
        return logits.part(1, 2).minus(logits.part(0, 1))


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedRecurrent:
    """Recurrent layers that have read the unchanged stays."""

    network: Recurrent
    base: Base

    def band(self, passes: Passes) -> Band:
        """See ``Prepared.band``."""
        summary = self.network.layers.summary(self.base, passes.rows, passes.track, passes.reached)
        form = self.network.difference(summary).in_value_alone()
        return Band(form.centre[:, 0], form.terms[:, 0, 0], form.own[:, 0])


def _activated(form: AffineForm, name: str) -> AffineForm:
    # Layers behind mix the components, so each error becomes an unknown of its own.
    return form.through(ACTIVATIONS[name](*form.bounds())).shared()


def _linear(form: AffineForm, layer: torch.nn.Linear) -> AffineForm:
    return form.linear(layer.weight.detach().double(), layer.bias.detach().double())


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """The mean of several networks."""

    networks: tuple[Network, ...]

    @property
    def at_once(self) -> int:
        """See ``Network``."""
        return min(network.at_once for network in self.networks)

    def prepare(self, stays: Track, lengths: Tensor) -> PreparedEnsemble:
        """See ``Network.prepare``."""
        return PreparedEnsemble(tuple(network.prepare(stays, lengths) for network in self.networks))


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedEnsemble:
    """Networks that have read the unchanged stays; of the dependence on each other's errors nothing is known."""

    networks: tuple[Prepared, ...]

    def band(self, passes: Passes) -> Band:
        """See ``Prepared.band``."""
        bands = [network.band(passes) for network in self.networks]
        forms = [AffineForm(band.centre[:, None], band.slope[:, None, None], band.rest[:, None]) for band in bands]
        share = torch.full((1, len(forms)), 1 / len(forms), dtype=torch.float64)
        mean = AffineForm.joined(forms).linear(share, torch.zeros(1, dtype=torch.float64))
        return Band(mean.centre[:, 0], mean.terms[:, 0, 0], mean.own[:, 0])


@dataclasses.dataclass(frozen=True, eq=False)
class Rescaled:
    """A network whose input columns are multiplied, shifted and kept within limits."""

    network: Network
    gain: Tensor
    bias: Tensor
    low: Tensor
    high: Tensor

    @property
    def at_once(self) -> int:
        """See ``Network``."""
        return self.network.at_once

    def prepare(self, stays: Track, lengths: Tensor) -> PreparedRescaled:
        """See ``Network.prepare``."""
        return PreparedRescaled(self, self.network.prepare(self.rescaled(stays), lengths))

    def rescaled(self, track: Track) -> Track:
        """Return the inputs on the scale of the network."""
        shape = track.centre.shape
        flat = AffineForm(track.centre.flatten(0, 1), track.slope.flatten(0, 1)[:, None], track.own.flatten(0, 1))
        gain, bias = self.gain.expand_as(flat.centre), self.bias.expand_as(flat.centre)
        moved = flat.through(Line(gain, bias, torch.zeros_like(flat.centre)))
        kept = moved.through(clamp(*moved.bounds(), self.low, self.high))
        return Track(kept.centre.view(shape), kept.terms[:, 0].view(shape), kept.own.view(shape))


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedRescaled:
    """A rescaled network that has read the unchanged stays."""

    rescaled: Rescaled
    network: Prepared

    def band(self, passes: Passes) -> Band:
        """See ``Prepared.band``."""
        return self.network.band(passes._replace(track=self.rescaled.rescaled(passes.track)))
