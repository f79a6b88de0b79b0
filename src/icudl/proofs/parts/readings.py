"""The readings of a record, whole and by part: each has inputs of its own, and bounds of its own score."""

from __future__ import annotations

import dataclasses
import functools
from typing import Self

import numpy as np
import torch
from torch import Tensor

from icudl.artifacts import Checkpoint, FeatureScaler
from icudl.attacks.run.shards import Shard, bind_shard
from icudl.attacks.target.charted import ChartedTarget
from icudl.attacks.target.verification import Model, score
from icudl.models.charted.base import ClinicalStays
from icudl.models.charted.parts import PartsModel
from icudl.proofs.forms.networks import Band, Network, Prepared, Way
from icudl.proofs.forms.passes import Track
from icudl.proofs.forms.search import ALONGSIDE
from icudl.proofs.forms.values import NetworkValues
from icudl.proofs.values import Values

_TRIED_AT_ONCE = 1024

_HALF_UNIT = 2.0**-24


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """One way to read B stays: whole, or the charted values of one part alone.

    Attributes:
        network: The network that reads them.
        values: V values that may be wrong, as a network sees them: within the winsor limits. Those that lie in no hour
            of this reading are never asked about.
        room: (F,) how far a unit coordinate may lie from that of the charted value, which has single precision.
    """

    network: Network
    values: NetworkValues
    room: Tensor

    @functools.cached_property
    def prepared(self) -> Prepared:
        """The network, which has read the unchanged stays."""
        return self.network.prepare(Track.exact(self.values.features), self.values.target.lengths)

    def band(self, which: Tensor, low: Tensor, high: Tensor, way: Way) -> Band:
        """Bound the logit difference while each value at ``which`` (n,) moves from ``low`` to ``high``."""
        values = self.values
        room = self.room[values.cell[2, which]]
        bound = way.bounds(self.prepared)
        if way is Way.FORMS:
            first = values.reach(which).ne(0).int().argmax(dim=1)
            order, at_once = torch.argsort(first, stable=True), self.network.at_once
        else:
            order, at_once = torch.argsort(values.stay[which], stable=True), ALONGSIDE
        found = [
            bound(values.passes(which[chosen], (low - room)[chosen], (high + room)[chosen]))
            for chosen in torch.split(order, at_once)
        ]
        back = torch.argsort(order)
        return Band(*(torch.cat(arrays)[back] for arrays in zip(*found, strict=True)))


@dataclasses.dataclass(frozen=True, eq=False)
class RecordValues(NetworkValues):
    """V values of B stays that a network reads whole and in parts; the fields are those of the whole records.

    Attributes:
        record: The same values as they were charted. Beyond a winsor limit, all of them are read as the limit.
    """

    record: Values[ChartedTarget]

    @classmethod
    def around(cls, whole: NetworkValues, record: Values[ChartedTarget]) -> Self:
        """Return the values of whole records, of which the model itself says what they do."""
        fields = {field.name: getattr(whole, field.name) for field in dataclasses.fields(NetworkValues)}
        return cls(**fields, record=record)

    def margins(self, model: Model, which: Tensor, value: Tensor) -> Tensor:
        """See ``NetworkValues.margins``."""
        found, record = [torch.zeros(0, dtype=torch.float64)], self.record
        value = torch.minimum(torch.maximum(value, record.lower[which]), record.upper[which])
        for part, at in zip(*(torch.split(each, _TRIED_AT_ONCE) for each in (which, value)), strict=True):
            chosen = record.target.select(self.stay[part])
            difference = score(model, chosen, chosen.values + record.change(part, at)).difference
            found.append(self.sign[self.stay[part]] * (difference - chosen.shift))
        return torch.cat(found)


@dataclasses.dataclass(frozen=True, eq=False)
class Readings:
    """All readings of B stays.

    Attributes:
        whole: Of the whole records.
        parts: Of each part.
    """

    whole: Reading
    parts: tuple[Reading, ...]

    @classmethod
    def of(
        cls,
        model: PartsModel,
        network: Network,
        checkpoint: Checkpoint,
        shard: Shard,
        record: Values[ChartedTarget],
        says_death: Tensor,
    ) -> Self:
        """Read stays whole and in parts.

        Args:
            model: The model.
            network: Its network, which bounds intervals.
            checkpoint: What the model was made from.
            shard: N stays.
            record: V values of B of them.
            says_death: (B,) what the model says of the unchanged stays.
        """
        rows, readings = record.target.rows, []
        for reading in model.readings(ClinicalStays(shard.values, shard.lengths, shard.statics)):
            alone = dataclasses.replace(shard, values=reading.values)
            bound = bind_shard(checkpoint, model.network, alone, "measured", (), "cpu")
            own = dataclasses.replace(
                NetworkValues.of(bound.select(rows), says_death),
                cell=record.cell,
                lower=record.lower.clamp(0, 1),
                upper=record.upper.clamp(0, 1),
                # Those of the model itself, to the last bit.
                features=model.features(reading.select(rows.numpy()))[0].double(),
            )
            readings.append(Reading(network, own, rounding_of_units(checkpoint.scaler)))
        return cls(readings[0], tuple(readings[1:]))


def rounding_of_units(scaler: FeatureScaler) -> Tensor:
    """Bound how far the (F,) unit coordinates of numbers in single precision lie from those of the numbers themselves.

    A number within the winsor limits errs by half a unit in the last place, and so do the difference to the lower
    limit, the width and the quotient. The bound is twice that.
    """
    lower, upper = (limit.astype(np.float64) for limit in (scaler.lower, scaler.upper))
    largest = np.maximum(np.abs(lower), np.abs(upper)) / (upper - lower)
    return torch.from_numpy(2 * _HALF_UNIT * (largest + 4))
