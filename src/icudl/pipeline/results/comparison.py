"""Results compared with the first of them: the numbers of `icudl compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from icudl.analysis.numbers.attacks.pairs import flip_differences
from icudl.analysis.numbers.attacks.verdicts import reversal_difference, reversed_verdicts
from icudl.analysis.numbers.comparison import COMPARED
from icudl.analysis.numbers.models.responsiveness import responsiveness
from icudl.artifacts import HOSPITAL_DEATH, AttackResult, GridDataset, Outcome, Probes, Scores, TrainingResult
from icudl.errors import StoreError
from icudl.execution.threads import single_thread
from icudl.pipeline.provenance import used_options
from icudl.report.compared import Comparison
from icudl.store.base import Store
from icudl.store.manifest import Manifest
from icudl.training.scores.evaluation import compare

_COMPARABLE = ("train", "score", "attack", "probe")


def comparison(store: Store, manifests: Sequence[Manifest], samples: int, seed: int) -> Comparison:
    """Compare results with the first of them.

    Args:
        store: Store that holds the results.
        manifests: Two or more results of one stage. Of reports, trainings and attacks of the same names are compared.
        samples: Bootstrap resamples.
        seed: Seed of the resamples.

    Raises:
        StoreError: The results are of different stages, or of a stage that has nothing to compare.
    """
    stages = {manifest.node for manifest in manifests}
    if len(stages) > 1:
        listed = ", ".join(f"{manifest.name} ({manifest.reference})" for manifest in manifests)
        raise StoreError(f"{listed} are results of different stages. Give results of one stage.")
    groups = _groups(store, manifests)
    if not groups:
        raise StoreError(
            f"A result of {manifests[0].node} has no scores. Give results of train, score, attack, probe or report."
        )
    labels = labels_of(manifests)
    scores: list[dict[str, Any]] = []
    attacks: list[dict[str, Any]] = []
    probes: list[dict[str, Any]] = []
    with single_thread():
        for group in groups:
            named = [(labels[position] + suffix, manifest) for position, suffix, manifest in group]
            if group[0][2].node == "attack":
                attacks += _attacks(store, named, samples, seed)
            elif group[0][2].node == "probe":
                probes += _probes(store, named)
            else:
                scores += _scores(store, named, samples, seed)
    return Comparison(scores=scores, attacks=attacks, probes=probes, options=_options(labels, manifests, store))


def labels_of(manifests: Sequence[Manifest]) -> list[str]:
    """Return a name for each result, with its id where two results share a name."""
    names = [manifest.name for manifest in manifests]
    return [
        name if names.count(name) == 1 else f"{name} {manifest.id[:8]}"
        for name, manifest in zip(names, manifests, strict=True)
    ]


def _groups(store: Store, manifests: Sequence[Manifest]) -> list[list[tuple[int, str, Manifest]]]:
    """Return what is compared with one another: (position of the result, what is added to its label, manifest)."""
    if manifests[0].node in _COMPARABLE:
        return [[(position, "", manifest) for position, manifest in enumerate(manifests)]]
    if manifests[0].node != "report":
        return []
    groups: dict[str, list[tuple[int, str, Manifest]]] = {}
    for position, report in enumerate(manifests):
        for name, entry in report.identity.upstream.items():
            if entry.node in _COMPARABLE:
                groups.setdefault(name, []).append((position, f": {name}", store.manifest(entry.node, entry.id)))
    return list(groups.values())


def _scores(store: Store, named: Sequence[tuple[str, Manifest]], samples: int, seed: int) -> list[dict[str, Any]]:
    loaded = [(label, *_predictions_of(store, manifest)) for label, manifest in named]
    rows: list[dict[str, Any]] = []
    for label, predictions, metrics, grid in loaded:
        for (split,), part in metrics.group_by("split", maintain_order=True):
            differences: dict[str, dict[str, Any]] = {}
            first = loaded[0][1].filter(pl.col("split") == split)
            own = predictions.filter(pl.col("split") == split)
            if label != loaded[0][0] and _same_stays(first, own):
                table = compare(own, first, grid.stays, samples, seed)
                differences = {row["metric"]: row for row in table.to_dicts()}
            rows += [
                {key: row[key] for key in ("metric", "value", "low", "high", "stays", "deaths")}
                | {"result": label, "split": split}
                | _difference(differences.get(row["metric"]))
                for row in part.to_dicts()
                if row["metric"] in COMPARED
            ]
    return rows


def _difference(row: Mapping[str, Any] | None) -> dict[str, Any]:
    found = row or {}
    return {
        "difference": found.get("difference"),
        "difference_low": found.get("low"),
        "difference_high": found.get("high"),
    }


def _same_stays(first: pl.DataFrame, second: pl.DataFrame) -> bool:
    """Tell whether two tables of predictions are about the same stays with the same outcomes."""
    one, other = (table.select("stay_id", "label").sort("stay_id") for table in (first, second))
    return one.height > 0 and one.equals(other)


def _predictions_of(store: Store, manifest: Manifest) -> tuple[pl.DataFrame, pl.DataFrame, GridDataset]:
    """Return predictions and scores of the model alone (without its baselines), and the grid they are about."""
    grid_entry = manifest.identity.upstream["preprocess"]
    grid = store.load(GridDataset, store.manifest(grid_entry.node, grid_entry.id))
    if manifest.node == "score":
        scored = store.load(Scores, manifest)
        return scored.predictions, scored.metrics.filter(pl.col("subgroup") == "all"), grid
    training = store.load(TrainingResult, manifest)
    own = pl.col("model") == training.model
    return training.predictions.filter(own), training.metrics.filter(own, pl.col("subgroup") == "all"), grid


def _attacks(store: Store, named: Sequence[tuple[str, Manifest]], samples: int, seed: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    first: pl.DataFrame | None = None
    for label, manifest in named:
        result = store.load(AttackResult, manifest)
        grid_entry = manifest.identity.upstream["preprocess"]
        grid = store.load(GridDataset, store.manifest(grid_entry.node, grid_entry.id))
        stays = result.ask("stays", lambda table: table.select("stay_id", "label", "status", "best_l0"))
        own = stays.join(grid.stays.select("stay_id", "patient_id"), on="stay_id", how="inner", maintain_order="left")
        rows += [{"result": label} | row for row in flip_differences(own, first, samples, seed)]
        first = own if first is None else first
    return rows


def _probes(store: Store, named: Sequence[tuple[str, Manifest]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    first: Probes | None = None
    for label, manifest in named:
        result = store.load(Probes, manifest)
        followed = responsiveness(result)
        usual = next((each for each in reversed_verdicts(result) if each.level == "usual"), None)
        difference = None if first is None else reversal_difference(result, first)
        first = first or result
        rows.append(
            {
                "result": label,
                "stays": result.stays.height,
                "reversed": None if usual is None else usual.value,
                "low": None if usual is None else usual.low,
                "high": None if usual is None else usual.high,
                "difference": None if difference is None else difference[0],
                "difference_low": None if difference is None else difference[1],
                "difference_high": None if difference is None else difference[2],
                "responding": followed.responding(),
                "missed": followed.missed(),
            }
        )
    return rows


def _options(labels: Sequence[str], manifests: Sequence[Manifest], store: Store) -> list[dict[str, Any]]:
    """Return the used options in which the results, or what they were made from, differ."""
    columns = [used_options(store, manifest) for manifest in manifests]
    keys = dict.fromkeys(key for column in columns for key in column)
    return [
        {"option": key} | {label: column.get(key) for label, column in zip(labels, columns, strict=True)}
        for key in keys
        if any(column.get(key) != columns[0].get(key) for column in columns)
    ]


def outcome_of(store: Store, manifest: Manifest) -> Outcome:
    """Return what a result predicts: the outcome of the data set that it was made from."""
    if manifest.node == "preprocess":
        told = manifest.counts.get("outcome")
        return HOSPITAL_DEATH if told is None else Outcome(**told)
    entries = sorted(manifest.identity.upstream.values(), key=lambda entry: entry.position)
    grid = next((entry for entry in entries if entry.node == "preprocess"), None)
    return HOSPITAL_DEATH if grid is None else outcome_of(store, store.manifest(grid.node, grid.id))
