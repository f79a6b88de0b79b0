"""For whom predictions are fragile: groups of patients, and how sure the model was."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.intervals import wilson
from icudl.artifacts import GridDataset
from icudl.report.elements import Block, Figure, Switch
from icudl.report.names import CONDITION_NAMES, CONDITION_SWITCH, subgroup_name
from icudl.report.wording import count, rounded
from icudl.training.scores.evaluation import subgroups

SMALLEST_GROUP = 10
"""Groups with fewer attacked stays say nothing, and could point at single patients."""
RISK_BINS = 10


def fragility_blocks(grid: GridDataset, fragility: pl.DataFrame) -> list[Block]:
    """Draw the share of predictions flipped within groups of patients and by the risk that the model gave."""
    flipped = fragility["changed"].drop_nulls()
    few = int(flipped.median() or 1) if flipped.len() else 1  # type: ignore[arg-type]
    blocks: list[Block] = [_by_risk(fragility, few)]
    stays = fragility.join(grid.stays, on="stay_id", how="inner", maintain_order="left")
    groups = {name: mask for name, mask in subgroups(stays).items() if mask.sum() >= SMALLEST_GROUP}
    return [_by_group(stays, groups, few), *blocks] if groups else blocks


def _measures(few: int) -> dict[str, tuple[str, int | None]]:
    return {
        "few": (f"Flipped by at most {count(few, 'changed value')}", few),
        "all": ("Flipped by any number of changes", None),
    }


def _share(stays: pl.DataFrame, most: int | None) -> tuple[float, float, float]:
    changed = stays["changed"].drop_nulls()
    hits = changed.len() if most is None else int((changed <= most).sum())
    return wilson(hits, stays.height)


def _series(name: str, parts: list[pl.DataFrame], most: int | None) -> dict[str, Any]:
    unknown = (float("nan"),) * 3
    shares = [_share(part, most) if part.height >= SMALLEST_GROUP else unknown for part in parts]
    medians = [part["changed"].drop_nulls().median() for part in parts]
    notes = [
        f"{count(part.height, 'attacked stay')}, median {f'{median:g}' if isinstance(median, float) else '–'} changed"
        for part, median in zip(parts, medians, strict=True)
    ]
    estimate, low, high = (rounded([share[side] for share in shares]) for side in range(3))
    return {"name": name, "x": estimate, "low": low, "high": high, "notes": notes}


def _by_group(stays: pl.DataFrame, groups: dict[str, npt.NDArray[np.bool_]], few: int) -> Figure:
    parts = [stays.filter(pl.Series(mask)) for mask in groups.values()]
    directions = {name: CONDITION_NAMES[name] for name in CONDITIONS}
    variants = {
        key: {
            "x": {"label": label, "percent": True, "min": 0, "max": 1},
            "series": [
                _series(words.capitalize(), [part.filter(pl.col("condition") == name) for part in parts], most)
                for name, words in directions.items()
            ],
        }
        for key, (label, most) in _measures(few).items()
    }
    return Figure(
        "fragile-groups",
        "For whom predictions are fragile",
        "Share of the attacked stays of each group whose prediction is flipped, with its 95 % interval. Groups with "
        f"fewer than {SMALLEST_GROUP} attacked stays are left out. Only intervals that stay apart speak of a "
        "difference.",
        {
            "kind": "dots",
            "sortable": True,
            "rows": [subgroup_name(name) for name in groups],
            "variants": variants,
        },
        (Switch("measure", "Share", tuple((key, label) for key, (label, _) in _measures(few).items())),),
        "full",
    )


def _by_risk(fragility: pl.DataFrame, few: int) -> Figure:
    variants = {}
    for name in CONDITIONS:
        stays = fragility.filter(pl.col("condition") == name).sort("probability_before", "stay_id")
        bins = min(RISK_BINS, stays.height // SMALLEST_GROUP)
        bounds = np.linspace(0, stays.height, bins + 1).round().astype(int)
        parts = [stays.slice(int(start), int(end - start)) for start, end in pairwise(bounds)]
        middle = [float(part["probability_before"].mean()) for part in parts]  # type: ignore[arg-type]
        lines = []
        for place, (label, most) in enumerate(_measures(few).values()):
            series = _series(label, parts, most)
            lines.append(
                {"name": label, "x": rounded(middle), "y": series["x"], "dash": place, "marks": True}
                | {side: series[side] for side in ("low", "high")}
            )
        variants[name] = {"series": lines}
    return Figure(
        "fragile-risks",
        "How sure the model was",
        "Attacked stays sorted by the risk they were given, in groups of equal size: the share flipped, with its 95 % "
        "interval. Predictions close to the decision threshold fall first; a curve that stays high far from it means "
        "that even confident predictions hang on few values.",
        {
            "kind": "lines",
            "x": {"label": "Predicted risk before the change", "percent": True},
            "y": {"label": "Stays flipped", "percent": True, "min": 0, "max": 1},
            "variants": variants,
        },
        (CONDITION_SWITCH,),
        "full",
    )
