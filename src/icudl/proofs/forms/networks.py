"""From a model to bounds of its logit difference while values of a stay move over intervals."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from icudl.errors import StageError
from icudl.models.base import SequenceClassifier
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.recurrent.classifier import RecurrentClassifier
from icudl.models.recurrent.readout import Head
from icudl.models.recurrent.summary import SummaryRecurrentClassifier
from icudl.models.rescaled import RescaledClassifier
from icudl.models.summaries import SummaryClassifier
from icudl.proofs.forms.affine import SINGLE, AffineForm
from icudl.proofs.forms.alongside.apart import changed_stays, travel_apart
from icudl.proofs.forms.alongside.hours import Unchanged
from icudl.proofs.forms.alongside.reading import Attended, Average, Ending, Ends
from icudl.proofs.forms.alongside.travel import Arrived, Asked, Inputs, travel
from icudl.proofs.forms.attention import Attention
from icudl.proofs.forms.passes import Base, Layers, Track
from icudl.proofs.forms.relaxations import ACTIVATIONS, Line, clamp
from icudl.proofs.forms.windows import PreparedWindows, Windows
from icudl.proofs.options import EXPECTED, unprovable

CACHED = 2**20
"""Numbers of the largest array of a pass, over all passes made at once."""


class Band(NamedTuple):
    """Bounds of a number while the V changed values move: ``centre + sum_k slope_k e_k ± rest``.

    Attributes:
        centre: (B,).
        slope: (B, V).
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
        reached: (B, 2) first and last hour that the changed values reach.
    """

    rows: Tensor
    track: Track
    reached: Tensor


class Way(enum.Enum):
    """The ways in which a prepared network bounds passes."""

    ALONGSIDE = enum.auto()
    CENTRED = enum.auto()
    FORMS = enum.auto()

    def bounds(self, network: Prepared) -> Callable[[Passes], Band]:
        """Return the method of a network that goes this way."""
        return {Way.ALONGSIDE: network.alongside, Way.CENTRED: network.centred, Way.FORMS: network.band}[self]


class Prepared(Protocol):
    """A network that has read the unchanged stays."""

    @property
    def runs_alongside(self) -> bool:
        """Whether ``alongside`` is there."""

    def alongside(self, passes: Passes) -> Band:
        """Bound the same for hundreds of passes at once, each about one value: less tightly, and much faster."""

    def centred(self, passes: Passes) -> Band:
        """Bound passes as ``alongside`` does, each alongside the stay as the middle of its value would change it."""

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
        return Mean.of([make_network(network, terms) for network in networks])
    if isinstance(model, RescaledClassifier):
        arrays = (getattr(model, name).detach().double() for name in ("gain", "bias", "low", "high"))
        return Rescaled(make_network(model.network, terms), *arrays)
    reason = unprovable(model.options)
    if reason:
        raise StageError(reason)
    forward = type(model).forward
    if isinstance(model, SummaryClassifier) and forward is SummaryClassifier.forward:
        return WindowNetwork(Windows.of(model.wide))
    if isinstance(model, SummaryRecurrentClassifier) and forward is SummaryRecurrentClassifier.forward:
        share = model.options.summary_share
        paths = (_recurrent(model, terms), 1 - share), (WindowNetwork(Windows.of(model.wide)), share)
        # A path that does not count is not bounded: bounds that say nothing, infinite ones, times 0 would be no number.
        return Mean(*zip(*(path for path in paths if path[1] > 0), strict=True))
    if isinstance(model, RecurrentClassifier) and forward is RecurrentClassifier.forward:
        return _recurrent(model, terms)
    raise StageError(f"Nothing can be proved about {type(model).__name__}. {EXPECTED}")


def _recurrent(model: RecurrentClassifier, terms: int) -> Recurrent:
    options = model.options
    attention = None if model.attention is None else Attention.of(model.attention)
    layers = Layers.of(model.rnn, options.readout, terms * options.hidden_size, attention)
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

    @property
    def runs_alongside(self) -> bool:
        """See ``Prepared``: one layer, whose hours are read by a sum.

        Products of float32 in reduced precision, which torch makes where told to, err by more than is allowed for.
        """
        layers, exact = self.network.layers, torch.get_float32_matmul_precision() == "highest"
        return exact and len(layers.cells) == 1 and layers.readout in {"last_hour", "final", "mean", "attention"}

    def alongside(self, passes: Passes) -> Band:
        """See ``Prepared.alongside``."""
        return self._by_stay(passes, self._alongside)

    def centred(self, passes: Passes) -> Band:
        """See ``Prepared.centred``."""
        return self._by_stay(passes, self._centred)

    def _by_stay(self, passes: Passes, bound: Callable[[int, Track, Tensor], Band]) -> Band:
        bands = []
        for row in torch.unique(passes.rows).tolist():
            own = (passes.rows == row).nonzero()[:, 0]
            bands.append((own, bound(row, passes.track.select(own), passes.reached[own])))
        back = torch.argsort(torch.cat([own for own, _ in bands]))
        return Band(*(torch.cat(arrays)[back] for arrays in zip(*(band for _, band in bands), strict=True)))

    def _alongside(self, row: int, track: Track, reached: Tensor) -> Band:
        """Bound passes about one stay."""
        cells = [direction.cell for direction in self.network.layers.cells[0]]
        ways = [self._way(row, track, reached, place) for place in range(len(cells))]
        sizes = [cell.hidden_size for cell in cells]
        reading = self._reading([stay.state[:, :size] for (stay, _), size in zip(ways, sizes, strict=True)])
        arrived = []
        for place, (cell, (stay, inputs), asked) in enumerate(zip(cells, ways, reading.asked(sizes), strict=True)):
            # Of what is asked in the order of time, the backward direction reads the last hour first.
            turned = Asked(*(array.flip(0) for array in asked)) if place == 1 else asked
            found = travel(cell, stay, inputs, turned)
            arrived.append(found if place == 0 else found.turned())
        middle, moves, rest = reading.difference(arrived)
        return Band(middle, moves[:, None], rest)

    def _centred(self, row: int, track: Track, reached: Tensor) -> Band:
        """Bound passes about one stay, each alongside the stay into which its middle turns this one."""
        cells = [direction.cell for direction in self.network.layers.cells[0]]
        sizes = [cell.hidden_size for cell in cells]
        ways = [self._way(row, track, reached, place) for place in range(len(cells))]
        stays = [changed_stays(cell, stay, inputs) for cell, (stay, inputs) in zip(cells, ways, strict=True)]
        readings = [
            self._reading([stay.state[each, :, :size] for stay, size in zip(stays, sizes, strict=True)])
            for each in range(len(reached))
        ]
        asked = [reading.asked(sizes) for reading in readings]
        arrived = []
        for place, (cell, stay, (_, inputs)) in enumerate(zip(cells, stays, ways, strict=True)):
            stacked = Asked(*(torch.stack(arrays) for arrays in zip(*(each[place] for each in asked), strict=True)))
            turned = Asked(*(array.flip(1) for array in stacked)) if place == 1 else stacked
            found = travel_apart(cell, stay, inputs, turned, readings[0].rough)
            arrived.append(found if place == 0 else found.turned())
        bands = [
            reading.difference([Arrived(*(array[[each]] for array in direction)) for direction in arrived])
            for each, reading in enumerate(readings)
        ]
        middle, moves, rest = (torch.cat(arrays) for arrays in zip(*bands, strict=True))
        return Band(middle, moves[:, None], rest)

    def _way(self, row: int, track: Track, reached: Tensor, place: int) -> tuple[Unchanged, Inputs]:
        """Return an unchanged stay and inputs of passes in the order in which a direction reads them."""
        length, layers = int(self.base.lengths[row]), self.network.layers
        hours, start = torch.arange(length), reached[:, 0]
        if place == 1:
            hours, start = hours.flip(0), length - 1 - reached[:, 1]
        if place == 1 and layers.readout == "last_hour":
            hours = hours[:1]
        # What a read-out gathers on its way stands behind the state of the cell.
        way, state = self.base.ways[place], slice(layers.cells[0][place].cell.state_size)
        stay = Unchanged(
            self.base.features.centre[row, hours], way.centre[row, hours, state], way.own[row, hours, state]
        )
        inputs = Inputs(
            track.centre[:, hours], track.slope[:, 0, hours], track.own[:, hours], start.clamp(max=len(hours))
        )
        return stay, inputs

    def _reading(self, states: Sequence[Tensor]) -> Ends | Average | Attended:
        """Return how the hours of an unchanged stay are read; its hidden units are in the order of each direction."""
        network = self.network
        names = (network.activation, network.fc_activation)
        if network.layers.readout in {"last_hour", "final"}:
            return Ends(Ending.of(network.head, names, torch.cat([units[-1] for units in states])))
        units = torch.cat([each.flip(0) if place == 1 else each for place, each in enumerate(states)], dim=1)
        if network.layers.attention is None:
            return Average(Ending.of(network.head, names, units.mean(dim=0)), len(units))
        return Attended.of(network.layers.attention, network.head, names, units)

    def band(self, passes: Passes) -> Band:
        """See ``Prepared.band``."""
        summary = self.network.layers.summary(self.base, passes.rows, passes.track, passes.reached)
        return band_of(self.network.difference(summary))


@dataclasses.dataclass(frozen=True, eq=False)
class WindowNetwork:
    """A network on window summaries.

    Attributes:
        windows: The network.
    """

    windows: Windows

    @property
    def at_once(self) -> int:
        """See ``Network``."""
        return self.windows.at_once

    def prepare(self, stays: Track, lengths: Tensor) -> PreparedWindowNetwork:
        """See ``Network.prepare``."""
        return PreparedWindowNetwork(self.windows.prepare(stays, lengths))


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedWindowNetwork:
    """A network on window summaries that has read the unchanged stays."""

    windows: PreparedWindows

    runs_alongside = False

    def alongside(self, passes: Passes) -> Band:
        """See ``Prepared.alongside``: passes that move the same columns are bounded together."""
        track = passes.track
        moving = (track.slope != 0).flatten(1, 2).any(dim=1) | (track.own > 0).any(dim=1)
        _, kind = torch.unique(moving, dim=0, return_inverse=True)
        order = torch.argsort(kind, stable=True)
        parts = [
            part
            for alike in torch.split(order, torch.bincount(kind).tolist())
            for part in torch.split(alike, self.windows.network.at_once)
        ]
        bands = [self.band(Passes(passes.rows[part], track.select(part), passes.reached[part])) for part in parts]
        back = torch.argsort(order)
        return Band(*(torch.cat(arrays)[back] for arrays in zip(*bands, strict=True)))

    def centred(self, passes: Passes) -> Band:
        """See ``Prepared.centred``: bounds of summaries know no other stay."""
        return self.alongside(passes)

    def band(self, passes: Passes) -> Band:
        """See ``Prepared.band``."""
        return band_of(self.windows.difference(passes.rows, passes.track))


def band_of(form: AffineForm) -> Band:
    """Return what a (B, 1) form says about its number."""
    alone = form.in_values_alone()
    return Band(alone.centre[:, 0], alone.terms[:, :, 0], alone.own[:, 0])


def _activated(form: AffineForm, name: str) -> AffineForm:
    # Layers behind mix the components, so each error becomes an unknown of its own.
    return form.through(ACTIVATIONS[name](*form.bounds())).shared()


def _linear(form: AffineForm, layer: torch.nn.Linear) -> AffineForm:
    return form.linear(layer.weight.detach().double(), layer.bias.detach().double())


@dataclasses.dataclass(frozen=True, eq=False)
class Mean:
    """The weighted mean of several networks.

    Attributes:
        networks: The networks.
        shares: Their weights.
    """

    networks: tuple[Network, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, networks: Sequence[Network]) -> Self:
        """Return the mean of networks that count alike."""
        return cls(tuple(networks), (1 / len(networks),) * len(networks))

    @property
    def at_once(self) -> int:
        """See ``Network``."""
        return min(network.at_once for network in self.networks)

    def prepare(self, stays: Track, lengths: Tensor) -> PreparedMean:
        """See ``Network.prepare``."""
        return PreparedMean(tuple(network.prepare(stays, lengths) for network in self.networks), self.shares)


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedMean:
    """Networks that have read the unchanged stays; of the dependence on each other's errors nothing is known."""

    networks: tuple[Prepared, ...]
    shares: tuple[float, ...]

    @property
    def runs_alongside(self) -> bool:
        """See ``Prepared``."""
        return any(network.runs_alongside for network in self.networks) and all(
            network.runs_alongside or isinstance(network, PreparedWindowNetwork) for network in self.networks
        )

    def alongside(self, passes: Passes) -> Band:
        """See ``Prepared.alongside``."""
        return self._mean(passes, [network.alongside(passes) for network in self.networks])

    def centred(self, passes: Passes) -> Band:
        """See ``Prepared.centred``."""
        return self._mean(passes, [network.centred(passes) for network in self.networks])

    def band(self, passes: Passes) -> Band:
        """See ``Prepared.band``."""
        return self._mean(passes, [network.band(passes) for network in self.networks])

    def _mean(self, passes: Passes, bands: Sequence[Band]) -> Band:
        freedom = passes.track.freedom
        forms = [
            AffineForm(band.centre[:, None], band.slope[:, :, None], band.rest[:, None], freedom) for band in bands
        ]
        share = torch.tensor([self.shares], dtype=torch.float64)
        return band_of(AffineForm.joined(forms).linear(share, torch.zeros(1, dtype=torch.float64)))


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
        batch, n_hours, size = track.centre.shape
        slope = track.slope.transpose(1, 2)
        flat = AffineForm(track.centre.flatten(0, 1), slope.flatten(0, 1), track.own.flatten(0, 1), track.freedom)
        gain, bias = self.gain.expand_as(flat.centre), self.bias.expand_as(flat.centre)
        # In float32 the product is rounded, and so is the sum, in which most of it may cancel.
        rounding = 2 * SINGLE * (gain.abs() * flat.magnitude + bias.abs())
        moved = flat.through(Line(gain, bias, rounding))
        kept = moved.through(clamp(*moved.bounds(), self.low, self.high))
        shape = (batch, n_hours, size)
        return Track(
            kept.centre.view(shape),
            kept.terms.view(batch, n_hours, -1, size).transpose(1, 2),
            kept.own.view(shape),
            track.freedom,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedRescaled:
    """A rescaled network that has read the unchanged stays."""

    rescaled: Rescaled
    network: Prepared

    @property
    def runs_alongside(self) -> bool:
        """See ``Prepared``."""
        return self.network.runs_alongside

    def alongside(self, passes: Passes) -> Band:
        """See ``Prepared.alongside``."""
        return self.network.alongside(passes._replace(track=self.rescaled.rescaled(passes.track)))

    def centred(self, passes: Passes) -> Band:
        """See ``Prepared.centred``."""
        return self.network.centred(passes._replace(track=self.rescaled.rescaled(passes.track)))

    def band(self, passes: Passes) -> Band:
        """See ``Prepared.band``."""
        return self.network.band(passes._replace(track=self.rescaled.rescaled(passes.track)))
