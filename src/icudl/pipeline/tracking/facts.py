"""What a tracking server is told of a result: numbers, options and origin, nothing about single stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from icudl.analysis.numbers.attacks.pairs import flip_differences
from icudl.analysis.numbers.attacks.verdicts import reversed_verdicts
from icudl.artifacts import AttackResult, Certificates, Probes, Scores, TrainingResult
from icudl.artifacts.models.training import network_histories
from icudl.options import masked
from icudl.pipeline.provenance import PROVED, used_options
from icudl.pipeline.stages import STAGES
from icudl.store.base import Store
from icudl.store.manifest import Manifest

TRACKED = ("train", "score", "attack", "certify", "probe", "report")
"""Stages whose results are tracked; the others have no numbers that anybody compares."""


@dataclasses.dataclass(frozen=True)
class Point:
    """A number of one epoch.

    Attributes:
        name: What it is.
        value: The number.
        step: The epoch.
    """

    name: str
    value: float
    step: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What is told of one result.

    Attributes:
        name: Its name in the study, such as ``train/lstm``.
        reference: ``STAGE/ID``; the same result has the same reference everywhere.
        numbers: Scores, shares and counts by name.
        points: Curves of a training.
        options: Used options, those of what it was made from included, as text by dotted key.
        origin: Version, seed, inputs, whether the data are credentialed.
        page: The report; None for other results, and for one that shows single stays of credentialed data.
    """

    name: str
    reference: str
    numbers: Mapping[str, float]
    points: tuple[Point, ...]
    options: Mapping[str, str]
    origin: Mapping[str, str]
    page: Path | None


def facts_of(store: Store, manifest: Manifest) -> Facts:
    """Return what is told of a result of one of the ``TRACKED`` stages.

    Raises:
        StoreError: The result cannot be read.
    """
    artifact = None if manifest.node == "report" else store.load(STAGES[manifest.node].artifact, manifest)
    return Facts(
        name=manifest.name,
        reference=manifest.reference,
        numbers={name: value for name, value in _numbers(artifact) if value is not None},
        points=tuple(_points(artifact.history)) if isinstance(artifact, TrainingResult) else (),
        options={key: masked(str(value)) for key, value in used_options(store, manifest, all_of_them=False).items()},
        origin={
            "icudl.reference": manifest.reference,
            "icudl.stage": manifest.node,
            "icudl.version": str(manifest.environment["versions"]["icudl"]),
            "icudl.content": manifest.content,
            "icudl.restricted": str(manifest.restricted).lower(),
            "icudl.inputs": ", ".join(sorted(entry.reference for entry in manifest.identity.upstream.values())),
        },
        page=_page(store, manifest),
    )


def _page(store: Store, manifest: Manifest) -> Path | None:
    if manifest.node != "report":
        return None
    if manifest.restricted and manifest.used["report"].get("show_restricted_rows"):
        return None
    return store.fetch(manifest) / "index.html"


def _numbers(artifact: object) -> Iterator[tuple[str, float | None]]:
    match artifact:
        case TrainingResult():
            yield from _scored(artifact.metrics.filter(pl.col("model") == artifact.model))
        case Scores():
            yield from _scored(artifact.metrics)
        case AttackResult():
            stays = artifact.ask("stays", lambda table: table.select("stay_id", "label", "status", "best_l0"))
            for row in flip_differences(stays, None, 0, 0):
                name = f"flipped.{row['predicted']}"
                yield f"{name}.attacked", float(row["attacked"])
                yield name, row["share"]
                yield f"{name}.low", row["low"]
                yield f"{name}.high", row["high"]
                yield f"{name}.median_changed", row["median_changed"]
        case Certificates():
            counts = dict(artifact.stays.group_by("status").len().iter_rows())
            for state in PROVED:
                yield f"stays.{state.value}", float(counts.get(state.value, 0))
        case Probes():
            for rate in reversed_verdicts(artifact):
                name = f"reversed_per_1000.{rate.level}"
                yield from ((name, rate.value), (f"{name}.low", rate.low), (f"{name}.high", rate.high))


def _scored(metrics: pl.DataFrame) -> Iterator[tuple[str, float | None]]:
    """Yield every score of all stays with its interval, and the numbers behind it."""
    for (split,), part in metrics.filter(pl.col("subgroup") == "all").group_by("split", maintain_order=True):
        yield f"{split}.stays", float(part["stays"][0])
        yield f"{split}.deaths", float(part["deaths"][0])
        for row in part.iter_rows(named=True):
            name = f"{split}.{row['metric']}"
            yield from ((name, row["value"]), (f"{name}.low", row["low"]), (f"{name}.high", row["high"]))


def _points(history: pl.DataFrame) -> Iterator[Point]:
    for network, epochs in network_histories(history).items():
        prefix = network.replace(", network ", ".network-")
        for row in epochs.iter_rows(named=True):
            for name in ("train_loss", "valid_loss", "valid_auroc", "valid_auprc"):
                if row[name] is not None:
                    yield Point(f"{prefix}.{name}", row[name], row["epoch"])
