"""What a manifest records beyond an artifact's identity: software, time, memory, counts, differences, lineage."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import platform
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import polars as pl

from icudl import __version__
from icudl.analysis.numbers.attacks.verdicts import reversed_verdicts
from icudl.analysis.numbers.models.responsiveness import responsiveness
from icudl.artifacts import (
    HOSPITAL_DEATH,
    AttackResult,
    AttackStatus,
    Certificates,
    CertificateStatus,
    GridDataset,
    LineageEntry,
    Probes,
    Scores,
    SourceTables,
    SusceptibilityResult,
    TrainingResult,
    TuningResult,
)
from icudl.config.schema import class_of
from icudl.errors import PluginError
from icudl.execution.memory import forget_peak, peak_memory, processor_seconds
from icudl.store.base import Store
from icudl.store.manifest import Identity, Manifest, Upstream

HEADLINE_METRICS = ("auroc", "auprc")
"""Scores that a manifest holds, so that results can be listed without being opened."""

OF_PEERS = ("adversarial-robustness-toolbox", "foolbox")
"""Libraries whose attacks a result may use; a manifest names their versions where they are installed."""


PROVED = (CertificateStatus.PROVEN, CertificateStatus.FLIPS, CertificateStatus.UNDECIDED)
"""What a stay that was looked at, or one of its values, is found to be."""


class Clock:
    """Start, duration, processor time and peak memory of a stage; the clock starts when the object is made."""

    def __init__(self) -> None:
        forget_peak()
        self._started = dt.datetime.now(tz=dt.UTC)
        self._counter = time.perf_counter()
        self._spent = processor_seconds()

    def stop(self) -> dict[str, Any]:
        """Return the start, the time and the processor time since then, and the peak memory."""
        return {
            "started": self._started.isoformat(timespec="milliseconds"),
            "duration_seconds": round(time.perf_counter() - self._counter, 3),
            "processor_seconds": round(processor_seconds() - self._spent, 3),
            "peak_memory_bytes": peak_memory(),
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


class Kind(enum.StrEnum):
    """What two results of one stage can differ in."""

    OPTION = "option"
    INPUT = "input"
    SEED = "seed"
    PLUGIN = "plug-in"
    VERSION = "stage version"
    DATA = "data"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing in which two results of a stage differ.

    Attributes:
        kind: What kind of thing.
        what: Dotted key of an option, or name of an input; "" for the others.
        before: Value of the first result; None where the first result lacks it.
        after: Value of the second result; None where the second result lacks it.
    """

    kind: Kind
    what: str = ""
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        """Return the difference in a few words."""
        match self.kind:
            case Kind.INPUT:
                return f"{self.what} is {'gone' if self.after is None else 'new'}"
            case Kind.DATA:
                return "the source's data"
            case _:
                return f"{self.what or self.kind}: {_short(self.before)} -> {_short(self.after)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"kind": str(self.kind), "what": self.what, "before": self.before, "after": self.after}


def differences(before: Identity, after: Identity) -> list[Difference]:
    """Return the things in which two identities of a stage differ."""
    old, new = _flat(before.options), _flat(after.options)
    found = [
        Difference(kind=Kind.OPTION, what=key, before=old.get(key), after=new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    found += [
        Difference(
            kind=Kind.INPUT, what=name, before=_reference(before.upstream, name), after=_reference(after.upstream, name)
        )
        for name in sorted(before.upstream.keys() | after.upstream.keys())
        if before.upstream.get(name) != after.upstream.get(name)
    ]
    for kind, one, other in (
        (Kind.SEED, before.seed, after.seed),
        (Kind.PLUGIN, before.plugin, after.plugin),
        (Kind.VERSION, before.stage_version, after.stage_version),
        (Kind.DATA, before.fingerprint, after.fingerprint),
    ):
        if one != other:
            found.append(Difference(kind=kind, before=one, after=other))
    return found


def _reference(upstream: Mapping[str, Upstream], name: str) -> str | None:
    return upstream[name].reference if name in upstream else None


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{table}.{key}": value for table, values in options.items() for key, value in values.items()}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def lineage_entry(manifest: Manifest, name: str = "") -> LineageEntry:
    """Return what the report tells of an artifact's origin.

    Args:
        manifest: Manifest of the artifact.
        name: Its name in the study; by default the name under which it was made.
    """
    return LineageEntry(
        node=manifest.node,
        id=manifest.id,
        name=name or manifest.name,
        upstream={key: entry.id for key, entry in manifest.identity.upstream.items()},
        options=_that_can_change_a_result(manifest.used),
        requested=_that_can_change_a_result(manifest.options),
        plugin=manifest.identity.plugin,
        citations=manifest.citations,
        restricted=manifest.restricted,
        # Those of scores stand beside the scores; others speak of the machine, and a report is the same on any.
        warnings=manifest.warnings if manifest.node == "extract" else (),
    )


def _that_can_change_a_result(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return option tables without options that cannot change a result, such as the path of the data."""
    kept = {}
    for table, values in tables.items():
        try:
            fields = dataclasses.fields(class_of(table, values))
        except (PluginError, KeyError):
            # An option that this version does not know may change a result, so it is kept.
            fields = ()
        without = {field.name for field in fields if not field.metadata["identity"]}
        kept[table] = {key: value for key, value in values.items() if key not in without}
    return kept


def used_options(store: Store, manifest: Manifest, *, all_of_them: bool = True) -> dict[str, Any]:
    """Return the options that a result, and what it was made from, used, by dotted key.

    Those of a report begin with the name of the input.

    Args:
        store: Store that holds the inputs.
        manifest: Manifest of the result.
        all_of_them: Whether options that cannot change a result, such as paths, are among them.
    """
    found: dict[str, Any] = {}
    several = manifest.node == "report"
    # What a result is about goes before what its model was fitted on.
    inputs = sorted(manifest.identity.upstream.items(), key=lambda item: item[0] != "preprocess")
    for name, entry in inputs:
        upstream = store.manifest(entry.node, entry.id)
        for key, value in used_options(store, upstream, all_of_them=all_of_them).items():
            found.setdefault(f"{name}: {key}" if several and ":" not in key else key, value)
    tables = manifest.used if all_of_them else _that_can_change_a_result(manifest.used)
    return found | _flat(tables) | {"run.seed": manifest.identity.seed}


def summarise(artifact: object) -> dict[str, Any]:  # noqa: PLR0911 - one case per type of artifact
    """Return the counts of an artifact that are worth reading without opening it."""
    match artifact:
        case SourceTables():
            counts = {"stays": artifact.stays.height, "hourly_values": artifact.hours.height}
            return counts | {"cleaning": artifact.cleaning.to_dicts()}
        case GridDataset():
            counts = {"stays": len(artifact.labels), "deaths": int(artifact.labels.sum())}
            other = artifact.outcome != HOSPITAL_DEATH
            told = {"outcome": dataclasses.asdict(artifact.outcome)} if other else {}
            return counts | told | {"test_stays": int(artifact.is_test.sum()), "attrition": artifact.flow.to_dicts()}
        case TrainingResult():
            scores = artifact.metrics.filter(pl.col("model") == artifact.model)
            members = {"members": list(artifact.checkpoints), "predictions": artifact.predictions.height}
            return members | {"scores": _scores(scores)}
        case Scores():
            counts = {"predictions": artifact.predictions.height, "left_out": artifact.left_out}
            return counts | {"missing": list(artifact.missing), "scores": _scores(artifact.metrics)}
        case AttackResult():
            return _attacked(artifact)
        case Certificates():
            return _certified(artifact)
        case Probes():
            return _probed(artifact)
        case TuningResult():
            best = {"best_trial": artifact.best_trial, "best_value": artifact.best_value}
            return best | {"trials": artifact.trials.height, "objective": artifact.objective.metric}
        case SusceptibilityResult():
            return {"rows": {name: table.height for name, table in sorted(artifact.tables.items())}}
        case _:
            return {}


def _certified(result: Certificates) -> dict[str, Any]:
    statuses = dict(result.stays.group_by("status").len().sort("status").iter_rows())
    verdicts = dict(result.values.group_by("verdict").len().sort("verdict").iter_rows())
    decided = {state.value: statuses.get(state.value, 0) for state in PROVED}
    return {
        "status": statuses,
        "stays": sum(decided.values()),
        **decided,
        "values": {state.value: verdicts.get(state.value, 0) for state in PROVED},
        "boxes": int(result.stays["boxes"].sum()),
    }


def _probed(result: Probes) -> dict[str, Any]:
    followed = responsiveness(result)
    return {
        "stays": result.stays.height,
        "derangements": len(followed.of("held")),
        "responding": followed.responding(),
        "missed": followed.missed(),
        "reversed_per_1000": {each.level: each.value for each in reversed_verdicts(result)},
    }


def _scores(metrics: pl.DataFrame) -> dict[str, Any]:
    """Return the main scores of one model by split, with the number of stays behind them."""
    whole = metrics.filter(pl.col("subgroup") == "all")
    return {
        str(split): {row["metric"]: row["value"] for row in part.to_dicts() if row["metric"] in HEADLINE_METRICS}
        | {"stays": part["stays"][0], "deaths": part["deaths"][0]}
        for (split,), part in whole.group_by("split", maintain_order=True)
    }


def _attacked(result: AttackResult) -> dict[str, Any]:
    statuses = dict(result.ask("stays", lambda stays: stays.group_by("status").len().sort("status")).iter_rows())
    changed = result.ask(
        "stays",
        lambda stays: stays.filter(pl.col("status") == AttackStatus.SUCCESS.value).select(pl.col("best_l0").median()),
    ).item()
    flipped = statuses.get(AttackStatus.SUCCESS.value, 0)
    return {
        "status": statuses,
        "changed_cells": result.ask("perturbations", lambda changes: changes.select(pl.len())).item(),
        "attacked": flipped + statuses.get(AttackStatus.FAILED.value, 0),
        "flipped": flipped,
        "median_changed": changed,
    }
