"""What became of stays under attack: their status, and the examples that an independent forward pass confirms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from icudl.artifacts import AttackStatus
from icudl.attacks.base import Perturbation, make_attack
from icudl.attacks.options import AttackOptions
from icudl.attacks.target.verification import CheckedTarget, Scores, Verified, score, verify

STATUSES = tuple(AttackStatus)
"""Order of the status codes in ``ShardArrays``."""

ShardArrays = dict[str, npt.NDArray[np.generic]]
"""``stays.*``: one entry a stay of the shard, as in ``ATTACKED_SCHEMA``; ``cells.*``: one entry a changed cell;
``table.NAME.*``: what the attack found out beside examples, told apart by ``row``."""


def attack_stays(
    model: nn.Module,
    target: CheckedTarget,
    labels: npt.NDArray[np.int8],
    seeds: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    options: AttackOptions,
) -> ShardArrays:
    """Attack B stays and verify what was found.

    Args:
        model: (features, lengths) to (B, 2) logits; what ``target`` is bound to.
        target: B stays.
        labels: (B,).
        seeds: (B,) one seed a stay.
        rows: (B,) positions of the stays in their data set, which tell them apart in the result.
        options: Attack and confidence.
    """
    before = score(model, target, target.values)
    status = _status_before(before, labels, target, attack_all=options.attack_misclassified)
    attacked = np.flatnonzero(status == STATUSES.index(AttackStatus.FAILED))
    positions = torch.from_numpy(attacked).to(target.values.device)
    chosen = target.select(positions)
    if len(attacked):
        found = make_attack(options)(chosen, seeds[attacked].tolist())
    else:
        found = Perturbation.nothing(chosen.values)
    first, best = verify(model, chosen, found, options.kappa)
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


def _status_before(
    before: Scores, labels: npt.NDArray[np.int8], target: CheckedTarget, *, attack_all: bool
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


def _per_cell(examples: tuple[Verified, Verified], target: CheckedTarget, rows: npt.NDArray[np.int64]) -> ShardArrays:
    """Return the changed cells of first (0) and best (1) examples, with their values in clinical units."""
    unit, known = target.values.cpu().numpy(), target.charted()
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
                "cells.after_clinical": target.clinical(target.values + example.change)[cell].astype(np.float32),
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
