"""How the risk of real stays follows a battery of derangements."""

from __future__ import annotations

import numpy as np
import polars as pl

from icudl.artifacts import Checkpoint
from icudl.attacks.run.shards import Shard
from icudl.probes.derangements import COURSES, Derangement, battery, concerned_cells, deranged
from icudl.probes.options import ProbeOptions
from icudl.probes.scoring import RiskOf

RESPONSE_COLUMNS = {
    "row": pl.Int64,
    "derangement": pl.String,
    "course": pl.String,
    "level": pl.Float64,
    "probability": pl.Float64,
}


def respond(checkpoint: Checkpoint, risk_of: RiskOf, shard: Shard, options: ProbeOptions) -> pl.DataFrame:
    """Return the risk of every stay at every level of every derangement that concerns it.

    A derangement concerns a stay in whose last hours each of its variables was charted at least once.

    Args:
        checkpoint: Names the variables.
        risk_of: Gives the risk of the shard's stays with other values.
        shard: The stays.
        options: Last hours and steps.

    Returns:
        ``row`` (position in the data set), ``derangement``, ``course``, ``level`` and ``probability``.
    """
    place = {variable.name: index for index, variable in enumerate(checkpoint.variables)}
    levels = np.linspace(0.0, 1.0, options.steps + 1)
    parts = [pl.DataFrame(schema=RESPONSE_COLUMNS)]
    for each in battery().among(place):
        stays = concerned(each, shard, place, options.hours)
        if not stays.any():
            continue
        for course in COURSES:
            for level in levels:
                values = shard.values
                for change in each.changes:
                    values = deranged(
                        values,
                        shard.lengths,
                        change,
                        place[change.variable],
                        level=float(level),
                        course=course,
                        hours=options.hours,
                    )
                risk = risk_of(values)[stays]
                parts.append(
                    pl.DataFrame(
                        {
                            "row": shard.rows[stays],
                            "derangement": [each.name] * len(risk),
                            "course": [course] * len(risk),
                            "level": np.full(len(risk), level),
                            "probability": risk,
                        },
                        schema=RESPONSE_COLUMNS,
                    )
                )
    return pl.concat(parts)


def concerned(each: Derangement, shard: Shard, place: dict[str, int], hours: int) -> np.ndarray:
    """Return the (B,) stays in whose last hours each variable of a derangement was charted."""
    found = np.ones(len(shard.rows), bool)
    for change in each.changes:
        found &= concerned_cells(shard.values, shard.lengths, place[change.variable], hours).any(axis=1)
    return found
