"""One shard of an attack: some stays, through one checkpoint. What a worker process runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Checkpoint, Floats
from icudl.attacks.options import AttackOptions
from icudl.attacks.outcome import ShardArrays, attack_stays
from icudl.attacks.target import CheckpointTarget
from icudl.attacks.threat import Cells, Entries, StayTensors, grid_cells, measured_cells
from icudl.execution.base import Tick
from icudl.models.build import load_model
from icudl.preprocessing.scaling import InputOptions, prepare_inputs
from icudl.training.risk_curve import risks_at
from icudl.training.threads import single_thread


@dataclasses.dataclass(frozen=True, eq=False)
class ShardData:
    """What all shards read.

    Attributes:
        checkpoints: By member.
        options: Of the attack.
        values: (N, T, F) clinical values of all stays.
        counts: (N, T, F) values behind each mean.
        statics: (N, S) static descriptors by member (each member names its own).
        lengths: (N,).
        labels: (N,).
        seeds: (N,) one seed a stay.
        device: Where to compute.
    """

    checkpoints: Mapping[str, Checkpoint]
    options: AttackOptions
    values: Floats
    counts: npt.NDArray[np.uint16]
    statics: Mapping[str, Floats]
    lengths: npt.NDArray[np.int16]
    labels: npt.NDArray[np.int8]
    seeds: npt.NDArray[np.int64]
    device: str


@dataclasses.dataclass(frozen=True, eq=False)
class Shard:
    """Stays attacked at once.

    Attributes:
        member: Checkpoint, not fitted on any of these stays.
        rows: (B,) positions of the stays in the data set.
    """

    member: str
    rows: npt.NDArray[np.int64]


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
    checkpoint, rows, options = data.checkpoints[shard.member], shard.rows, data.options
    model = load_model(checkpoint, data.device)
    inputs = prepare_inputs(
        checkpoint.scaler,
        InputOptions.from_dict(checkpoint.inputs),
        data.values[rows],
        data.lengths[rows],
        data.statics[shard.member][rows],
    )
    stays = StayTensors.of(inputs, np.arange(len(rows)), data.device)
    target = CheckpointTarget.bind(checkpoint, model, stays, _cells(data, checkpoint, rows, stays))
    arrays = attack_stays(model, target, data.labels[rows], data.seeds[rows], rows, options)
    return arrays if checkpoint.curve is None else _calibrated(arrays, checkpoint.curve)


def _calibrated(arrays: ShardArrays, curve: npt.NDArray[np.float64]) -> ShardArrays:
    """Put the risks of an isotonic calibration in place of the softmax of the logits, which the attack works on."""
    changed = dict(arrays)
    for name in ("stays.probability_before", "stays.first_probability", "stays.best_probability"):
        with np.errstate(divide="ignore"):
            softmax = arrays[name].astype(np.float64)
            changed[name] = risks_at(curve, np.log(softmax) - np.log1p(-softmax))
    return changed


def _cells(data: ShardData, checkpoint: Checkpoint, rows: npt.NDArray[np.int64], stays: StayTensors) -> Cells:
    if data.options.threat_model == "measured":
        means, counts = data.values[rows].astype(np.float64), data.counts[rows].astype(np.int64)
        cells = measured_cells(stays, Entries(means, counts, checkpoint.scaler, checkpoint.variables))
    else:
        cells = grid_cells(stays)
    return cells.only(checkpoint.variables, data.options.variables)
