"""The stay explorer: single stays, packed small enough to travel inside the page.

A stay is packed as two base64 texts: ``mask`` has one bit per cell of the T x F grid (row-major by hour, most
significant bit first; 1 where something was charted), ``values`` one little-endian 16-bit number per charted cell, in
steps of its variable between its smallest and largest value. Each example is one text of 12 bytes per change: cell
index (uint32), clinical value before and after (float32), little-endian.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import AttackResult, GridDataset, SusceptibilityResult, TrainingResult
from icudl.report.elements import (
    Explorer,
    Section,
)
from icudl.report.names import (
    STATUS_NAMES,
)
from icudl.report.wording import rounded

STEPS = 65_535


def explorer_section(
    grid: GridDataset, training: TrainingResult, attack: AttackResult, susceptibility: SusceptibilityResult, most: int
) -> Section:
    """Make the section with the ``most`` most fragile stays."""
    pack = pack_stays(grid, training, attack, susceptibility, most)
    lead: tuple[str, ...] = (
        (
            "Pick a stay to see what the model was given, what the attack changed, and how the risk moved. The most "
            "fragile stays come first: those whose prediction is flipped by the fewest changed values."
        ),
    )
    if len(pack["stays"]) < susceptibility.tables["fragility"].height:
        lead = (*lead, f"Shown are the {len(pack['stays']):,} most fragile of the attacked stays.")
    return Section("stays", "Stay by stay", "Stays", lead, (Explorer(pack),))


def pack_stays(
    grid: GridDataset, training: TrainingResult, attack: AttackResult, susceptibility: SusceptibilityResult, most: int
) -> dict[str, Any]:
    """Pack the most fragile stays; see the documentation of the module."""
    chosen = susceptibility.tables["fragility"].sort("rank").head(most)
    row_of = {int(stay): index for index, stay in enumerate(grid.stay_ids)}
    rows = np.array([row_of[stay] for stay in chosen["stay_id"]], dtype=np.int64)
    values = grid.values[rows]
    low, step = _quantisation(values)
    attacked = {line["stay_id"]: line for line in attack.stays.iter_rows(named=True)}
    examples = _examples(attack, set(chosen["stay_id"].to_list()))
    stays = []
    for line, row, of_stay in zip(chosen.iter_rows(named=True), rows, values, strict=True):
        mask, packed = _pack_values(of_stay, low, step)
        stays.append(
            {
                "id": line["stay_id"],
                "who": _who(grid.stays.row(int(row), named=True)),
                "label": line["label"],
                "length": line["length"],
                "member": line["member"],
                "direction": line["condition"].partition("_")[0],
                "status": line["status"],
                "statusText": STATUS_NAMES.get(line["status"], line["status"]),
                "before": _short(line["probability_before"]),
                "mask": mask,
                "values": packed,
            }
            | {
                name: _example(attacked[line["stay_id"]], name, examples.get((line["stay_id"], name)), attack)
                for name in ("first", "best")
            }
        )
    return {
        "hours": attack.n_hours,
        "imputation": _imputation(training),
        "threat": attack.threat_model,
        "variables": [
            {"label": variable.label, "unit": variable.unit, "low": float(low[index]), "step": float(step[index])}
            for index, variable in enumerate(attack.variables)
        ],
        "members": _members(training, set(chosen["member"].to_list())),
        "stays": stays,
    }


def _quantisation(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    known = ~np.isnan(values)
    low = np.where(known, values, np.inf).min(axis=(0, 1), initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=(0, 1), initial=-np.inf)
    low = np.where(np.isfinite(low), low, 0.0).astype(np.float64)
    span = np.where(np.isfinite(high), high, 0.0).astype(np.float64) - low
    step = np.array([float(f"{value:.6g}") for value in np.where(span > 0, span, 1.0) / STEPS * 1.00001])
    return low, step


def _pack_values(
    values: npt.NDArray[np.float32], low: npt.NDArray[np.float64], step: npt.NDArray[np.float64]
) -> tuple[str, str]:
    known = ~np.isnan(values)
    steps = np.rint((values.astype(np.float64) - low) / step)[known].clip(0, STEPS).astype("<u2")
    return _text(np.packbits(known.ravel()).tobytes()), _text(steps.tobytes())


def _examples(attack: AttackResult, stays: set[int]) -> dict[tuple[int, str], pl.DataFrame]:
    chosen = attack.perturbations.filter(pl.col("stay_id").is_in(list(stays))).sort(
        "stay_id", "example", "hour", "variable"
    )
    return {
        (int(str(stay)), str(name)): part
        for (stay, name), part in chosen.group_by("stay_id", "example", maintain_order=True)
    }


def _example(
    line: dict[str, Any], name: str, changes: pl.DataFrame | None, attack: AttackResult
) -> dict[str, Any] | None:
    if changes is None or line[f"{name}_probability"] is None:
        return None
    record = np.zeros(changes.height, dtype=[("cell", "<u4"), ("before", "<f4"), ("after", "<f4")])
    hour, variable = changes["hour"].to_numpy().astype(np.int64), changes["variable"].to_numpy().astype(np.int64)
    record["cell"] = hour * len(attack.variables) + variable
    record["before"] = changes["before_clinical"].to_numpy()
    record["after"] = changes["after_clinical"].to_numpy()
    return {
        "iteration": line[f"{name}_iteration"],
        "risk": _short(line[f"{name}_probability"]),
        "changed": changes.height,
        "size": _short(line[f"{name}_l1"]),
        "cells": _text(record.tobytes()),
    }


def _members(training: TrainingResult, names: set[str]) -> dict[str, Any]:
    members = {}
    for name in sorted(names):
        checkpoint = training.checkpoints[name]
        members[name] = {"threshold": _short(checkpoint.threshold)} | {
            key: rounded(getattr(checkpoint.scaler, key).tolist(), 5) for key in ("lower", "upper", "median")
        }
    return members


def _imputation(training: TrainingResult) -> str:
    return next((checkpoint.scaler.imputation for checkpoint in training.checkpoints.values()), "linear")


def _who(stay: dict[str, Any]) -> str:
    parts = []
    if stay["age_years"] is not None:
        parts.append(f"{stay['age_years']:.0f} years" if stay["age_years"] < 90 else "90 years or older")
    if stay["sex"] is not None:
        parts.append({"F": "woman", "M": "man"}.get(stay["sex"], stay["sex"]))
    if stay["icu_type"] is not None:
        parts.append(stay["icu_type"])
    return ", ".join(parts)


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
