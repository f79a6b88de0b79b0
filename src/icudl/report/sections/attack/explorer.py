"""The stay explorer: single stays, packed small enough to travel inside the page.

A stay is packed as two base64 texts: ``mask`` has one bit per cell of the T x F grid (row-major by hour, most
significant bit first; 1 where something was charted), ``values`` one little-endian 16-bit number per charted cell, in
steps of its variable between its smallest and largest value. Each example is one text of 7 bytes per change: hour
(16 bits), variable (8 bits), then the value before and after in steps (16 bits each), little-endian.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.numbers.proofs.certificates import flips_of, looked_at
from icudl.artifacts import AttackResult, Certificates, GridDataset, SusceptibilityResult, TrainingResult
from icudl.models.options import read_options
from icudl.report.elements import Explorer, Section
from icudl.report.names import STATUS_NAMES
from icudl.report.wording import rounded

STEPS = 65_535
MOST_BYTES = 7_000_000
"""All explorers of a page together: the least fragile stays are left out beyond this size, to keep the page small."""


def explorer_section(
    grid: GridDataset,
    training: TrainingResult,
    attack: AttackResult,
    susceptibility: SusceptibilityResult,
    most: int,
    most_bytes: int = MOST_BYTES,
    proofs: Certificates | None = None,
) -> Section:
    """Make the section with at most ``most`` stays, the most fragile ones, packed into at most ``most_bytes``."""
    chosen = susceptibility.tables["fragility"].sort("rank").head(most)
    pack = pack_stays(grid, training, attack, chosen, most_bytes, proofs)
    lead: tuple[str, ...] = (
        (
            "Pick a stay to see what the model was given, what the attack changed, and how the risk moved. The most "
            "fragile stays come first: those whose prediction is flipped by the fewest changed values, and "
            "among these those whose risk moves most."
        ),
    )
    if len(pack["stays"]) < susceptibility.tables["fragility"].height:
        lead = (*lead, f"Shown are the {len(pack['stays']):,} most fragile of the attacked stays.")
    return Section("stays", "Stay by stay", "Stays", lead, (Explorer(pack),))


def pack_stays(
    grid: GridDataset,
    training: TrainingResult,
    attack: AttackResult,
    chosen: pl.DataFrame,
    most_bytes: int = MOST_BYTES,
    proofs: Certificates | None = None,
) -> dict[str, Any]:
    """Pack stays; see the documentation of the module.

    Args:
        grid: The data set that was attacked.
        training: The model.
        attack: The attack.
        chosen: Rows of the table ``fragility``, in the order wanted.
        most_bytes: Stays beyond this size are left out.
        proofs: About the same model and data set, where there are any.
    """
    row_of = {int(stay): index for index, stay in enumerate(grid.stay_ids)}
    rows = np.array([row_of[stay] for stay in chosen["stay_id"]], dtype=np.int64)
    values = grid.values[rows]
    is_chosen = pl.col("stay_id").is_in(chosen["stay_id"].to_list())
    kept = attack.ask("perturbations", lambda changes: changes.filter(is_chosen))
    scale = _scale_of(values, kept)
    described = attack.ask("stays", lambda stays: stays.filter(is_chosen))
    attacked = {line["stay_id"]: line for line in described.iter_rows(named=True)}
    examples = _pack_examples(kept, scale)
    proved = {} if proofs is None else _pack_proofs(proofs, chosen["stay_id"].to_list())
    stays: list[dict[str, Any]] = []
    size = 0
    for line, row, of_stay in zip(chosen.iter_rows(named=True), rows, values, strict=True):
        mask, packed = _pack_values(of_stay, scale)
        stay = {
            "id": line["stay_id"],
            "who": who(grid.stays.row(int(row), named=True)),
            "label": line["label"],
            "length": line["length"],
            "member": line["member"],
            "direction": line["condition"].partition("_")[0],
            "status": line["status"],
            "statusText": STATUS_NAMES.get(line["status"], line["status"]),
            "before": _short(line["probability_before"]),
            "mask": mask,
            "values": packed,
        } | {
            name: _example(attacked[line["stay_id"]], name, examples.get((line["stay_id"], name)))
            for name in ("first", "best")
        }
        if line["stay_id"] in proved:
            stay["proof"] = proved[line["stay_id"]]
        size += len(json.dumps(stay))
        if size > most_bytes:
            break
        stays.append(stay)
    return {
        "hours": attack.n_hours,
        "imputation": _imputation(training),
        "asCharted": as_charted(training),
        "threat": attack.threat_model,
        "provedThreat": None if proofs is None else proofs.threat_model,
        "variables": [
            {"label": variable.label, "unit": variable.unit}
            | {"low": float(scale.low[index]), "step": float(scale.step[index])}
            for index, variable in enumerate(attack.variables)
        ],
        "members": _members(training, set(chosen["member"].to_list())),
        "stays": stays,
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Scale:
    """16-bit steps of each variable.

    Attributes:
        low: (F,) value of step 0, in the variable's unit.
        step: (F,) width of a step.
    """

    low: npt.NDArray[np.float64]
    step: npt.NDArray[np.float64]

    def steps(self, values: npt.NDArray[Any], variable: npt.NDArray[np.int64]) -> npt.NDArray[np.uint16]:
        """Return the nearest step of each value."""
        steps = np.rint((values.astype(np.float64) - self.low[variable]) / self.step[variable])
        return steps.clip(0, STEPS).astype("<u2")


def _scale_of(values: npt.NDArray[np.float32], changes: pl.DataFrame) -> Scale:
    known = ~np.isnan(values)
    low = np.where(known, values, np.inf).min(axis=(0, 1), initial=np.inf).astype(np.float64)
    high = np.where(known, values, -np.inf).max(axis=(0, 1), initial=-np.inf).astype(np.float64)
    variable = changes["variable"].to_numpy()
    for name in ("before_clinical", "after_clinical"):
        np.minimum.at(low, variable, changes[name].to_numpy().astype(np.float64))
        np.maximum.at(high, variable, changes[name].to_numpy().astype(np.float64))
    low, high = (np.where(np.isfinite(bound), bound, 0.0) for bound in (low, high))
    width = np.where(high > low, high - low, 1.0) / STEPS
    # Six digits are what the page is given; rounded up, so that the last step still reaches the largest value.
    return Scale(low, np.array([float(f"{each * 1.00001:.6g}") for each in width]))


def _pack_values(values: npt.NDArray[np.float32], scale: Scale) -> tuple[str, str]:
    known = ~np.isnan(values)
    _, variable = np.nonzero(known)
    return _text(np.packbits(known.ravel()).tobytes()), _text(scale.steps(values[known], variable).tobytes())


def _pack_examples(changes: pl.DataFrame, scale: Scale) -> dict[tuple[int, str], npt.NDArray[Any]]:
    changes = changes.sort("stay_id", "example", "hour", "variable")
    record = np.zeros(changes.height, dtype=[("hour", "<u2"), ("variable", "u1"), ("before", "<u2"), ("after", "<u2")])
    record["hour"], record["variable"] = changes["hour"].to_numpy(), changes["variable"].to_numpy()
    variable = changes["variable"].to_numpy().astype(np.int64)
    for name in ("before", "after"):
        record[name] = scale.steps(changes[f"{name}_clinical"].to_numpy(), variable)
    sizes = changes.group_by("stay_id", "example", maintain_order=True).agg(n=pl.len())
    ends = sizes["n"].cum_sum().to_list()
    return {
        (stay, example): record[end - n : end] for (stay, example, n), end in zip(sizes.iter_rows(), ends, strict=True)
    }


def _pack_proofs(proofs: Certificates, stays: list[int]) -> dict[int, dict[str, Any]]:
    """Return what is proved of each stay, and the intervals of single values that flip it: hour, variable, ends."""
    wanted = looked_at(proofs).filter(pl.col("stay_id").is_in(stays))
    packed = {}
    for line in wanted.iter_rows(named=True):
        flips = flips_of(proofs, line["stay_id"])
        packed[line["stay_id"]] = {
            "status": line["status"],
            "values": line["values"],
            "undecided": line["undecided"],
            "flips": [
                [hour, variable, _short(low), _short(high)]
                for hour, variable, low, high in flips.select("hour", "variable", "entry_low", "entry_high").iter_rows()
            ],
        }
    return packed


def _example(line: dict[str, Any], name: str, changes: npt.NDArray[Any] | None) -> dict[str, Any] | None:
    if changes is None or line[f"{name}_probability"] is None:
        return None
    return {
        "iteration": line[f"{name}_iteration"],
        "risk": _short(line[f"{name}_probability"]),
        "changed": len(changes),
        "size": _short(line[f"{name}_l1"]),
        "cells": _text(changes.tobytes()),
    }


def _members(training: TrainingResult, names: set[str]) -> dict[str, Any]:
    members = {}
    for name in sorted(names):
        checkpoint = training.checkpoints[name]
        members[name] = {"threshold": _short(checkpoint.threshold)} | {
            key: rounded(getattr(checkpoint.scaler, key).tolist(), 5) for key in ("lower", "upper", "median")
        }
    return members


def as_charted(training: TrainingResult) -> bool:
    """Tell whether a model reads values as they were charted: neither are they cut off at limits, nor gaps filled."""
    return any(not read_options(checkpoint.model).imputed for checkpoint in training.checkpoints.values())


def _imputation(training: TrainingResult) -> str:
    return next((checkpoint.scaler.imputation for checkpoint in training.checkpoints.values()), "linear")


def who(stay: dict[str, Any]) -> str:
    """Describe the patient of a stay: age, sex and unit, where they are known."""
    parts = []
    if stay["age_years"] is not None:
        parts.append(f"{stay['age_years']:.0f} years" if stay["age_years"] < 90 else "90 years or older")
    if stay["sex"] is not None:
        parts.append({"F": "woman", "M": "man"}.get(stay["sex"], stay["sex"]))
    if stay["icu_type"] is not None:
        parts.append(stay["icu_type"])
    return ", ".join(parts)


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
