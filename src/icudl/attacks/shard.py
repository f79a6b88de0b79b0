"""One shard of an attack: some stays, through one checkpoint. What a worker process runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from icudl.artifacts import AttackStatus, Checkpoint, Floats
from icudl.attacks.base import Perturbation, make_attack
from icudl.attacks.options import AttackOptions
from icudl.attacks.target import CheckpointTarget
from icudl.attacks.threat import Cells, Entries, StayTensors, grid_cells, measured_cells
from icudl.attacks.verification import Scores, Verified, score, verify
from icudl.execution.base import Tick
from icudl.models.build import load_model
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, to_clinical
from icudl.training.threads import single_thread

STATUSES = tuple(AttackStatus)
"""Order of the status codes in ``ShardArrays``."""

ShardArrays = dict[str, npt.NDArray[np.generic]]
"""``stays.*``: one entry a stay of the shard, as in ``ATTACKED_SCHEMA``; ``cells.*``: one entry a changed cell;
``table.NAME.*``: what the attack found out beside examples, told apart by ``row``."""


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
    before = score(checkpoint, model, target, target.values)
    status = _status_before(before, data.labels[rows], target, attack_all=options.attack_misclassified)
    attacked = np.flatnonzero(status == STATUSES.index(AttackStatus.FAILED))
    positions = torch.from_numpy(attacked).to(data.device)
    chosen = target.select(positions)
    if len(attacked):
        found = make_attack(options)(chosen, data.seeds[rows[attacked]].tolist())
    else:
        found = Perturbation.nothing(chosen.values)
    first, best = verify(checkpoint, model, chosen, found, options.kappa)
    status[attacked[best.holds]] = STATUSES.index(AttackStatus.SUCCESS)
    arrays: ShardArrays = {
        "stays.row": rows,
        "stays.status": status,
        "stays.probability_before": before.probability,
    }
    for name, example in (("first", first), ("best", best)):
        arrays |= _per_stay(name, example, attacked, len(rows))
    for name, table in found.tables.items():
        arrays[f"table.{name}.row"] = rows[attacked[table["stay"].cpu().numpy()]]
        arrays |= {f"table.{name}.{key}": column.cpu().numpy() for key, column in table.items() if key != "stay"}
    return arrays | _per_cell((first, best), chosen, rows[attacked])


def _cells(data: ShardData, checkpoint: Checkpoint, rows: npt.NDArray[np.int64], stays: StayTensors) -> Cells:
    if data.options.threat_model == "measured":
        means, counts = data.values[rows].astype(np.float64), data.counts[rows].astype(np.int64)
        cells = measured_cells(stays, Entries(means, counts, checkpoint.scaler, checkpoint.variables))
    else:
        cells = grid_cells(stays)
    return cells.only(checkpoint.variables, data.options.variables)


def _status_before(
    before: Scores, labels: npt.NDArray[np.int8], target: CheckpointTarget, *, attack_all: bool
) -> npt.NDArray[np.int8]:
    """Return (B,) codes: why a stay is not attacked, or FAILED until an example is found."""
    says_death = before.says_death.cpu().numpy()
    invalid = ~torch.isfinite(before.difference).cpu().numpy()
    movable = (target.attackable & (target.lower < target.upper)).flatten(1).any(dim=1).cpu().numpy()
    wrong = (says_death != (labels == 1)) & (not attack_all)
    return np.select(
        [invalid, wrong, ~movable],
        [
            STATUSES.index(AttackStatus.INVALID_OUTPUT),
            STATUSES.index(AttackStatus.MISCLASSIFIED),
            STATUSES.index(AttackStatus.NOTHING_TO_CHANGE),
        ],
        STATUSES.index(AttackStatus.FAILED),
    ).astype(np.int8)


def _per_stay(name: str, example: Verified, attacked: npt.NDArray[np.int64], n_stays: int) -> ShardArrays:
    """Spread the results of the attacked stays over the shard; NaN and -1 where there is no example."""
    columns: dict[str, npt.NDArray[np.float64]] = {"probability": example.probability, **example.distances()}
    arrays: ShardArrays = {}
    for column, values in columns.items():
        spread = np.full(n_stays, np.nan)
        spread[attacked] = np.where(example.holds, values, np.nan)
        arrays[f"stays.{name}_{column}"] = spread
    iteration = np.full(n_stays, -1, np.int64)
    iteration[attacked] = example.iteration
    arrays[f"stays.{name}_iteration"] = iteration
    return arrays


def _per_cell(
    examples: tuple[Verified, Verified], target: CheckpointTarget, rows: npt.NDArray[np.int64]
) -> ShardArrays:
    """Return the changed cells of first (0) and best (1) examples, with their values in clinical units."""
    unit = target.values.cpu().numpy()
    # A charted mean is told as it was charted, even where the model saw it clipped to a winsor limit.
    known = to_clinical(target.scaler, unit) if target.entries is None else target.entries.means
    parts: list[ShardArrays] = []
    for code, example in enumerate(examples):
        change = example.change.cpu().numpy()
        cell = stay, hour, variable = np.nonzero(change)
        parts.append(
            {
                "cells.row": rows[stay],
                "cells.example": np.full(len(stay), code, np.int8),
                "cells.hour": hour.astype(np.int16),
                "cells.variable": variable.astype(np.uint8),
                "cells.before": unit[cell],
                "cells.change": change[cell],
                "cells.before_clinical": known[cell].astype(np.float32),
                "cells.after_clinical": to_clinical(target.scaler, unit + change)[cell].astype(np.float32),
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
