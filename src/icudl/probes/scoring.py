"""The risk that a checkpoint gives to records of its stays that were changed in clinical units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Checkpoint, Floats
from icudl.attacks.run.shards import Shard
from icudl.models.build import load_charted, load_model
from icudl.models.charted.base import ClinicalStays
from icudl.preprocessing.scaling import InputOptions
from icudl.training.data import scaled_stays
from icudl.training.loop import logits_of
from icudl.training.scores.calibration import calibrated_risks
from icudl.training.scores.scoring import charted_logits

RiskOf = Callable[[Floats], npt.NDArray[np.float64]]
"""From (B, T, F) clinical values to (B,) risks of death."""


def risk_function(checkpoint: Checkpoint, shard: Shard, device: str) -> RiskOf:
    """Return what gives the risk of a shard's stays with other values in place of theirs.

    The values go the whole way: imputation, scaling, channels, model, calibration.
    """
    charted = load_charted(checkpoint)
    if charted is not None:

        def of_charted(values: Floats) -> npt.NDArray[np.float64]:
            logits = charted_logits(charted, ClinicalStays(values, shard.lengths, shard.statics))
            return calibrated_risks(logits, checkpoint.curve)

        return of_charted
    network, inputs = load_model(checkpoint, device), InputOptions.from_dict(checkpoint.inputs)

    def of_network(values: Floats) -> npt.NDArray[np.float64]:
        stays = scaled_stays(values, shard.lengths, shard.statics, shard.labels, checkpoint.scaler, inputs)
        return calibrated_risks(logits_of(network, stays.to(device)).cpu(), checkpoint.curve)

    return of_network
