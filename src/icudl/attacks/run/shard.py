"""One shard of an attack: some stays, through one checkpoint. What a worker process runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Checkpoint, Floats
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.outcome import ShardArrays, attack_stays
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.threat import Cells, Entries, StayTensors, grid_cells, measured_cells
from icudl.execution.base import Tick
from icudl.execution.threads import single_thread
from icudl.models.build import load_model
from icudl.preprocessing.scaling import InputOptions, prepare_inputs
from icudl.training.scores.risk_curve import risks_at


@dataclasses.dataclass(frozen=True, eq=False)
class ShardData:
    """What all shards read.

    Attributes:
        checkpoints: By member.
        options: Of the attack.
        device: Where to compute.
    """

    checkpoints: Mapping[str, Checkpoint]
    options: AttackOptions
    device: str


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Shard:
    """Stays attacked at once, with their data.

    Attributes:
        member: Checkpoint, not fitted on any of these stays.
        rows: (B,) positions of the stays in the data set.
        values: (B, T, F) clinical values.
        counts: (B, T, F) values behind each mean.
        statics: (B, S) static descriptors that the member names.
        lengths: (B,).
        labels: (B,).
        seeds: (B,) one seed a stay.
    """

    member: str
    rows: npt.NDArray[np.int64]
    values: Floats
    counts: npt.NDArray[np.uint16]
    statics: Floats
    lengths: npt.NDArray[np.int16]
    labels: npt.NDArray[np.int8]
    seeds: npt.NDArray[np.int64]


def attack_shard(data: ShardData, shard: Shard, tick: Tick) -> ShardArrays:
    """Attack the stays of a shard and verify what was found.

    A stay that the model gets wrong (unless asked for), cannot score, or in which nothing may change is not attacked;
    its status says why.
    """
    with single_thread():
        arrays = _attack(data, shard)
    tick(len(shard.rows))
    return arrays


def _attack(data: ShardData, shard: Shard) -> ShardArrays:
    checkpoint, options = data.checkpoints[shard.member], data.options
    model = load_model(checkpoint, data.device)
    inputs = prepare_inputs(
        checkpoint.scaler, InputOptions.from_dict(checkpoint.inputs), shard.values, shard.lengths, shard.statics
    )
    stays = StayTensors.of(inputs, np.arange(len(shard.rows)), data.device)
    target = CheckpointTarget.bind(checkpoint, model, stays, _cells(options, checkpoint, shard, stays))
    arrays = attack_stays(model, target, shard.labels, shard.seeds, shard.rows, options)
    return arrays if checkpoint.curve is None else _calibrated(arrays, checkpoint.curve)


def _calibrated(arrays: ShardArrays, curve: npt.NDArray[np.float64]) -> ShardArrays:
    """Put the risks of an isotonic calibration in place of the softmax of the logits, which the attack works on."""
    changed = dict(arrays)
    for name in ("stays.probability_before", "stays.first_probability", "stays.best_probability"):
        with np.errstate(divide="ignore"):
            softmax = arrays[name].astype(np.float64)
            changed[name] = risks_at(curve, np.log(softmax) - np.log1p(-softmax))
    return changed


def _cells(options: AttackOptions, checkpoint: Checkpoint, shard: Shard, stays: StayTensors) -> Cells:
    if options.threat_model == "measured":
        means, counts = shard.values.astype(np.float64), shard.counts.astype(np.int64)
        cells = measured_cells(stays, Entries(means, counts, checkpoint.scaler, checkpoint.variables))
    else:
        cells = grid_cells(stays)
    return cells.only(checkpoint.variables, options.variables)
