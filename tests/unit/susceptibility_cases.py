"""Hand-made and random attack results for the tests of analysis, figures and their stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from icudl.artifacts import ATTACKED_SCHEMA, PERTURBATIONS_SCHEMA, AttackResult
from icudl.variables import STUDY_VARIABLES, Variable

Change = tuple[int, int, float]
"""Hour, variable index, signed change in unit coordinates."""


def variable(index: int) -> Variable:
    return STUDY_VARIABLES[index % len(STUDY_VARIABLES)]


def make_attack(
    examples: Mapping[int, Mapping[str, Sequence[Change]]],
    *,
    deaths: Sequence[int] = (),
    failed: Sequence[int] = (),
    lengths: Mapping[int, int] | None = None,
    iterations: Mapping[int, tuple[int, int]] | None = None,
    scale: Sequence[float] = (1.0, 1.0),
    n_hours: int = 2,
    options: Mapping[str, object] | None = None,
) -> AttackResult:
    """Build a result from ``{stay_id: {"first": changes, "best": changes}}``; unit 0.5 is where each cell starts."""
    stays, rows = [], []
    for stay_id in [*examples, *failed]:
        died = stay_id in deaths
        found = examples.get(stay_id)
        row = dict.fromkeys(ATTACKED_SCHEMA)
        row |= {"stay_id": stay_id, "label": int(died), "member": "fold-0", "split": "test"}
        row |= {"length": (lengths or {}).get(stay_id, n_hours), "status": "success" if found else "failed"}
        row["probability_before"] = 0.9 if died else 0.1
        for position, (example, changes) in enumerate((found or {}).items()):
            sizes = np.abs([change for _, _, change in changes])
            row |= {f"{example}_l0": len(changes), f"{example}_l1": sizes.sum(), f"{example}_linf": sizes.max()}
            row[f"{example}_l2"] = float(np.sqrt((sizes**2).sum()))
            row[f"{example}_probability"] = 0.4 if died else 0.6
            row[f"{example}_iteration"] = (iterations or {}).get(stay_id, (3, 8))[position]
            for hour, index, change in changes:
                before = 100 + 0.5 * scale[index]
                rows.append(
                    {
                        "stay_id": stay_id,
                        "example": example,
                        "hour": hour,
                        "variable": index,
                        "before": 0.5,
                        "change": change,
                        "before_clinical": before,
                        "after_clinical": before + change * scale[index],
                    }
                )
        stays.append(row)
    return AttackResult(
        stays=pl.DataFrame(stays, schema=ATTACKED_SCHEMA),
        perturbations=pl.DataFrame(rows, schema=PERTURBATIONS_SCHEMA),
        curves={},
        variables=tuple(variable(index) for index in range(len(scale))),
        n_hours=n_hours,
        threat_model="grid",
        options=options or {},
    )


def random_attack(
    rng: np.random.Generator, n_stays: int = 400, n_hours: int = 48, n_variables: int = 19
) -> AttackResult:
    """Examples that look like those of a real attack: late hours and a few variables dominate, best within first."""
    weight = np.outer(np.exp(np.arange(n_hours) / 9), rng.gamma(0.7, 1.0, n_variables)).ravel()
    weight /= weight.sum()
    examples: dict[int, dict[str, list[Change]]] = {}
    iterations: dict[int, tuple[int, int]] = {}
    ids = 200_000 + np.arange(n_stays)
    deaths = [int(stay) for stay in ids[: n_stays // 10]]
    failed = [int(stay) for stay in ids[-n_stays // 25 :]]
    for stay in ids[: n_stays - len(failed)]:
        size = int(min(rng.geometric(0.15) + 2, weight.size))
        cells = rng.choice(weight.size, size, replace=False, p=weight)
        signs = np.where(np.sin(cells % n_variables) > rng.normal(0, 0.5, size), 1, -1)
        changes = [
            (int(cell // n_variables), int(cell % n_variables), float(sign * max(0.004, min(1, rng.gamma(2, 0.15)))))
            for cell, sign in zip(cells, signs, strict=True)
        ]
        changes.sort()
        kept = max(1, size - int(rng.integers(0, size)))
        examples[int(stay)] = {"first": changes, "best": changes[-kept:]}
        first = int(rng.geometric(0.06))
        iterations[int(stay)] = (first, first + int(rng.geometric(0.02)))
    return make_attack(
        examples,
        deaths=deaths,
        failed=failed,
        iterations=iterations,
        scale=[each.high - each.low for each in map(variable, range(n_variables))],
        n_hours=n_hours,
    )
