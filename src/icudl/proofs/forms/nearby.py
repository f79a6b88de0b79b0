"""Small errors of several values at once: the whole stay in one pass, at most a few values of which are wrong.

The logit difference is bounded by a sum over the values, each times its unknown. Where at most t of them may differ
from 0, the least lead is that of the t largest terms; the same holds for every bound inside the network.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from icudl.proofs.forms.affine import Freedom, largest_sums
from icudl.proofs.forms.networks import Prepared
from icudl.proofs.forms.values import NetworkValues

THREATS = ((1, 0.05), (1, 0.10), (2, 0.05), (2, 0.10), (0, 0.005), (0, 0.01))
"""How many values may be wrong at once (0 for all), and by which share of the range between the winsor limits."""


@dataclasses.dataclass(frozen=True, eq=False)
class Nearby:
    """Bounds what small errors of several values do to stays.

    Attributes:
        network: Has read the unchanged stays.
        values: What may be wrong.
    """

    network: Prepared
    values: NetworkValues

    def least(self, stay: int, most: int, within: float) -> float:
        """Return the least lead of the present class, in logits; minus infinity where nothing is known.

        Args:
            stay: Position of the stay.
            most: Values that may be wrong at once; 0 for all.
            within: Largest error, in unit coordinates.
        """
        values = self.values
        which = (values.stay == stay).nonzero()[:, 0]
        if not len(which):
            return torch.inf
        freedom = Freedom(len(which), most or len(which))
        band = self.network.band(values.nearby_pass(which, within, freedom))
        lead = values.sign[stay] * (band.centre - values.target.shift) - band.rest
        below: Tensor = largest_sums(band.slope[:, :, None], freedom)[0][:, 0]
        least = float(lead - below)
        return least if least == least else -torch.inf  # noqa: PLR0124 - not a number
