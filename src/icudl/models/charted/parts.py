"""A network that reads a record whole and in parts, so that one wrong value moves its score little.

The charted values are dealt into parts as cards are: which part a value goes to depends on which hours were charted,
never on a number. A wrong number therefore lies in one part, and k wrong ones lie in k parts at most. The network
scores the whole record and each part by itself, and the score of the whole record is held within a limit of the middle
one of the scores of the parts, which k < parts / 2 wrong values move no further than k places in their order.

The idea is that of ablation (Levine and Feizi, "Robustness certificates for sparse adversarial attacks by randomized
ablation", AAAI 2020), without its chance: all parts are read, and the whole record is read beside them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import torch

from icudl.artifacts import FeatureScaler, Floats
from icudl.models.base import SequenceClassifier
from icudl.models.charted.base import ClinicalStays, Float64s
from icudl.preprocessing.features import assemble_features
from icudl.preprocessing.imputation import inside
from icudl.preprocessing.scaling import InputOptions, prepare_inputs

BATCH = 1024
"""Records that the network scores at once."""


def part_numbers(charted: npt.NDArray[np.bool_], parts: int) -> npt.NDArray[np.int64]:
    """Return (B, T, F) the part that each charted value is dealt to, -1 where nothing was charted.

    The values of a variable go to one part after the other, hour by hour; each variable begins with another part.

    Args:
        charted: (B, T, F).
        parts: How many.
    """
    order = np.cumsum(charted, axis=1) - 1 + np.arange(charted.shape[2])
    return np.where(charted, order % parts, -1)


def limited(whole: Float64s, of_parts: Float64s, limit: float) -> Float64s:
    """Return (B,) scores of whole records, held within ``limit`` of the middle one of the (P, B) scores of parts."""
    middle = np.median(of_parts, axis=0)
    held: Float64s = np.clip(whole, middle - limit, middle + limit)
    return held


@dataclasses.dataclass(frozen=True, eq=False)
class PartsModel:
    """See the module; a ``RiskModel``.

    Attributes:
        network: In eval mode.
        scaler: Fitted with it.
        inputs: Its channels.
        parts: How many, an odd number.
        limit: In logits.
        slack: Logits by which the score of a record may depend on the records beside it, for float32 products are
            rounded; as the slack of attacks on networks (``attacks.target.checkpoint.SLACK``).
    """

    network: SequenceClassifier
    scaler: FeatureScaler
    inputs: InputOptions
    parts: int
    limit: float
    slack: float = 1e-4

    def logits(self, stays: ClinicalStays) -> Float64s:
        """Return the (N,) logits of the event."""
        whole, of_parts = self.scores(stays)
        return limited(whole, of_parts, self.limit)

    def scores(self, stays: ClinicalStays) -> tuple[Float64s, Float64s]:
        """Return the (N,) logits of the whole records and the (P, N) logits of their parts."""
        whole, *of_parts = (self._differences(reading) for reading in self.readings(stays))
        return whole, np.stack(of_parts)

    def readings(self, stays: ClinicalStays) -> list[ClinicalStays]:
        """Return what the network reads of the stays: the whole records, then those of each part alone."""
        part = self.part_of(stays)
        alone = (_only(stays.values, part == number) for number in range(self.parts))
        return [stays, *(dataclasses.replace(stays, values=values) for values in alone)]

    def part_of(self, stays: ClinicalStays) -> npt.NDArray[np.int64]:
        """Return the (N, T, F) part of each charted value, -1 where nothing was charted."""
        return part_numbers(~np.isnan(stays.values) & inside(stays.lengths, stays.values.shape[1]), self.parts)

    def _differences(self, stays: ClinicalStays) -> Float64s:
        """Return the (N,) logits of the network; records that are the same are read once.

        An attack changes one value of a record many times over: all parts but one are then the same.
        """
        if not len(stays):
            return np.zeros(0)
        first, where = _distinct(stays)
        distinct = stays.select(first)
        found = [self._read(distinct.select(slice(start, start + BATCH))) for start in range(0, len(distinct), BATCH)]
        return np.concatenate(found)[where]

    def _read(self, stays: ClinicalStays) -> Float64s:
        with torch.no_grad():
            logits = self.network(*self.features(stays)).double().cpu().numpy()
        difference: Float64s = logits[:, 1] - logits[:, 0]
        return difference

    def features(self, stays: ClinicalStays) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the (N, T, C) inputs of the network for one reading of each stay, and the (N,) lengths."""
        prepared = prepare_inputs(self.scaler, self.inputs, stays.values, stays.lengths, stays.statics)
        device = next(self.network.parameters()).device
        arrays = (prepared.unit, prepared.observed, prepared.hours_since, prepared.statics)
        unit, observed, since, statics = (torch.from_numpy(array).to(device) for array in arrays)
        lengths = torch.from_numpy(prepared.lengths.astype(np.int64)).to(device)
        return assemble_features(unit, observed, since, statics, lengths, self.scaler, self.inputs), lengths


def _only(values: Floats, kept: npt.NDArray[np.bool_]) -> Floats:
    alone: Floats = np.where(kept, values, np.float32(np.nan))
    return alone


def _distinct(stays: ClinicalStays) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first of each group of records with the same bytes, and (N,) the group of each record."""
    seen: dict[bytes, int] = {}
    first: list[int] = []
    where = np.empty(len(stays), np.int64)
    values, statics = np.ascontiguousarray(stays.values), np.ascontiguousarray(stays.statics)
    for row in range(len(stays)):
        key = values[row].tobytes() + statics[row].tobytes() + int(stays.lengths[row]).to_bytes(8, "little")
        group = seen.setdefault(key, len(first))
        if group == len(first):
            first.append(row)
        where[row] = group
    return np.array(first, np.int64), where
