"""What a manifest says beyond an artifact's identity: software, time, memory, counts, differences, lineage."""

from __future__ import annotations

import dataclasses
import datetime as dt
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import polars as pl

from icudl import __version__
from icudl.artifacts import (
    AttackResult,
    GridDataset,
    LineageEntry,
    SourceTables,
    SusceptibilityResult,
    TrainingResult,
    TuningResult,
)
from icudl.config.schema import TABLES
from icudl.store.manifest import Identity, Manifest

OF_PEERS = ("adversarial-robustness-toolbox", "foolbox")
"""Libraries whose attacks a result may be made with; told only where they are installed."""


class Clock:
    """Start, duration and peak memory of a stage, from its making on."""

    def __init__(self) -> None:
        self._started = dt.datetime.now(tz=dt.UTC)
        self._counter = time.perf_counter()

    def stop(self) -> dict[str, Any]:
        """Return what has passed since the start."""
        usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        unit = 1 if sys.platform == "darwin" else 1024
        return {
            "started": self._started.isoformat(timespec="seconds"),
            "duration_seconds": round(time.perf_counter() - self._counter, 3),
            "peak_memory_bytes": max(usage) * unit,
        }


def software() -> dict[str, Any]:
    """Return the versions of this package, its commit, Python and the libraries that results depend on."""
    versions = {"icudl": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in ("torch", "numpy", "polars", "scikit-learn", "optuna", "safetensors", "matplotlib"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    for name in OF_PEERS:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {"versions": versions, "commit": _commit()}


def _commit() -> str:
    """Return the commit of the working copy this package is imported from, or ``""`` for an installed package."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder.parents[1] / ".git").exists():
        return ""
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def differing(before: Identity, after: Identity) -> list[str]:
    """Return one line for each thing in which two identities of a node differ."""
    lines = [
        f"{key}: {_short(old.get(key))} -> {_short(new.get(key))}"
        for old, new in [(_flat(before.options), _flat(after.options))]
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    nodes = sorted(before.upstream.keys() | after.upstream.keys())
    lines += [f"{name} is new" for name in nodes if before.upstream.get(name) != after.upstream.get(name)]
    if before.seed != after.seed:
        lines.append(f"run.seed: {before.seed} -> {after.seed}")
    if before.plugin != after.plugin:
        lines.append(f"plug-in: {before.plugin} -> {after.plugin}")
    if before.stage_version != after.stage_version:
        lines.append(f"stage version: {before.stage_version} -> {after.stage_version}")
    if before.fingerprint != after.fingerprint:
        lines.append("the source's data")
    return lines


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{table}.{key}": value for table, values in options.items() for key, value in values.items()}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def lineage_entry(manifest: Manifest) -> LineageEntry:
    """Return what the report tells of an artifact's origin."""
    options = {
        table: {key: value for key, value in values.items() if _can_change_a_result(table, key)}
        for table, values in manifest.options.items()
    }
    return LineageEntry(
        name=manifest.node,
        node=manifest.node,
        id=manifest.id,
        upstream=manifest.identity.upstream,
        options=options,
        requested=options,
        plugin=manifest.identity.plugin,
        citations=manifest.citations,
        restricted=manifest.restricted,
    )


def _can_change_a_result(table: str, key: str) -> bool:
    """Tell so of an option; of one that this version does not know it is taken for granted."""
    fields = dataclasses.fields(TABLES[table]) if table in TABLES else ()
    return next((bool(field.metadata["identity"]) for field in fields if field.name == key), True)


def summarise(artifact: object) -> dict[str, Any]:  # noqa: PLR0911 - one line per type of artifact
    """Return the counts of an artifact that are worth reading without opening it."""
    match artifact:
        case SourceTables():
            counts = {"stays": artifact.stays.height, "hourly_values": artifact.hours.height}
            return counts | {"cleaning": artifact.cleaning.to_dicts()}
        case GridDataset():
            counts = {"stays": len(artifact.labels), "deaths": int(artifact.labels.sum())}
            return counts | {"test_stays": int(artifact.is_test.sum()), "attrition": artifact.flow.to_dicts()}
        case TrainingResult():
            return {"members": list(artifact.checkpoints), "predictions": artifact.predictions.height}
        case AttackResult():
            statuses = artifact.ask("stays", lambda stays: stays.group_by("status").len().sort("status"))
            cells = artifact.ask("perturbations", lambda changes: changes.select(pl.len())).item()
            return {"status": dict(statuses.iter_rows()), "changed_cells": cells}
        case TuningResult():
            best = {"best_trial": artifact.best_trial, "best_value": artifact.best_value}
            return best | {"trials": artifact.trials.height}
        case SusceptibilityResult():
            return {"rows": {name: table.height for name, table in sorted(artifact.tables.items())}}
        case _:
            return {}
