"""Results compared: scores and flipped stays side by side, paired differences, options that differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from icudl.analysis.numbers.comparison import COMPARED
from icudl.analysis.numbers.pairs import flip_differences
from icudl.analysis.numbers.responsiveness import responsiveness
from icudl.analysis.numbers.verdicts import reversal_difference, reversed_verdicts
from icudl.artifacts import AttackResult, GridDataset, Probes, Scores, TrainingResult
from icudl.config.document import to_toml
from icudl.errors import StoreError
from icudl.execution.threads import single_thread
from icudl.store.base import Store
from icudl.store.manifest import Manifest
from icudl.training.scores.evaluation import compare

_COMPARABLE = ("train", "score", "attack", "probe")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison found; every row is about one result.

    Attributes:
        scores: result, split, stays, deaths, metric, value, low, high; and difference, difference_low, difference_high
            to the first result where both are about the same stays, else None.
        attacks: result, predicted, attacked, flipped, share, low, high, median_changed; and the difference of the
            shares to the first result over the stays that both attacked.
        probes: result, stays, reversed, low, high (verdicts per 1,000 stays that entry errors reverse), the difference
            to the first result over the stays that both looked at, responding and missed (``Responsiveness``).
        options: option, and the value of each result that has it, where they differ.
    """

    scores: list[dict[str, Any]]
    attacks: list[dict[str, Any]]
    probes: list[dict[str, Any]]
    options: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)


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
    labels = _labels(manifests)
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


def _labels(manifests: Sequence[Manifest]) -> list[str]:
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
    columns = [_used(store, manifest) for manifest in manifests]
    keys = dict.fromkeys(key for column in columns for key in column)
    return [
        {"option": key} | {label: column.get(key) for label, column in zip(labels, columns, strict=True)}
        for key in keys
        if any(column.get(key) != columns[0].get(key) for column in columns)
    ]


def _used(store: Store, manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    several = manifest.node == "report"
    # What a result is about goes before what its model was fitted on.
    inputs = sorted(manifest.identity.upstream.items(), key=lambda item: item[0] != "preprocess")
    for name, entry in inputs:
        for key, value in _used(store, store.manifest(entry.node, entry.id)).items():
            found.setdefault(f"{name}: {key}" if several and ":" not in key else key, value)
    own = {f"{table}.{key}": value for table, values in manifest.used.items() for key, value in values.items()}
    return found | own | {"run.seed": manifest.identity.seed}


def comparison_tables(found: Comparison) -> list[Table]:
    """Return a comparison as tables."""
    tables = [
        _scores_table(split, [row for row in found.scores if row["split"] == split])
        for split in dict.fromkeys(row["split"] for row in found.scores)
    ]
    if found.attacks:
        tables.append(_attacks_table(found.attacks))
    if found.probes:
        tables.append(_probes_table(found.probes))
    if found.options:
        labels = [key for key in found.options[0] if key != "option"]
        table = _table("Options that differ", "option", *labels)
        for row in found.options:
            table.add_row(row["option"], *("-" if row[key] is None else escape(to_toml(row[key])) for key in labels))
        tables.append(table)
    return tables


def _scores_table(split: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    title = f"Scores on {split} stays (95 % intervals over resampled patients; differences to the first are paired)"
    columns = [_right(head) for metric in COMPARED for head in (metric.upper(), "difference") if _shown(metric, head)]
    table = _table(title, "result", _right("stays"), _right("deaths"), *columns)
    for label in dict.fromkeys(row["result"] for row in rows):
        by_metric = {row["metric"]: row for row in rows if row["result"] == label}
        one = next(iter(by_metric.values()))
        cells: list[str] = []
        for metric in COMPARED:
            row = by_metric.get(metric)
            cells.append(_interval(row, "value", "low", "high"))
            if _shown(metric, "difference"):
                cells.append(_interval(row, "difference", "difference_low", "difference_high", sign="+"))
        table.add_row(escape(label), f"{one['stays']:,}", f"{one['deaths']:,}", *cells)
    return table


def _shown(metric: str, head: str) -> bool:
    """Tell whether a column is shown: of the differences, only those of the two headline scores have room."""
    return head != "difference" or metric in COMPARED[:2]


def _attacks_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    title = "Stays flipped (95 % intervals; differences to the first over the stays that both attacked)"
    columns = ("attacked", "flipped", "values changed (median)", "difference", "on stays")
    table = _table(title, "result", "predicted", *map(_right, columns))
    for row in rows:
        median = "-" if row["median_changed"] is None else f"{row['median_changed']:g}"
        both = "-" if row["both_attacked"] is None else f"{row['both_attacked']:,}"
        table.add_row(
            escape(row["result"]),
            row["predicted"],
            f"{row['attacked']:,}",
            _interval(row, "share", "low", "high"),
            median,
            _interval(row, "difference", "difference_low", "difference_high", sign="+"),
            both,
        )
    return table


def _probes_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    title = "Verdicts that entry errors reverse, per 1,000 stays (95 % intervals), and derangements"
    columns = ("stays", "reversed", "difference", "derangements followed", "deranged, still called survivors")
    table = _table(title, "result", *map(_right, columns))
    for row in rows:
        table.add_row(
            escape(row["result"]),
            f"{row['stays']:,}",
            _interval(row, "reversed", "low", "high"),
            _interval(row, "difference", "difference_low", "difference_high", sign="+"),
            *("-" if row[key] is None else f"{row[key]:.0%}" for key in ("responding", "missed")),
        )
    return table


def _interval(row: Mapping[str, Any] | None, value: str, low: str, high: str, sign: str = "") -> str:
    if row is None or row[value] is None:
        return "-"
    if row[low] is None or row[high] is None:
        return f"{row[value]:{sign}.3f}"
    return f"{row[value]:{sign}.3f} ({row[low]:{sign}.3f} to {row[high]:{sign}.3f})"


def headline_numbers(manifest: Manifest) -> dict[str, float | None]:
    """Return the numbers of a manifest by which results are told apart."""
    counts = manifest.counts
    match manifest.node:
        case "train" | "score":
            return {
                f"{metric.upper()} ({split})": scores[metric]
                for split, scores in counts["scores"].items()
                for metric in ("auroc", "auprc")
                if metric in scores
            }
        case "tune-model" | "tune-attack":
            return {str(counts["objective"]): counts["best_value"]}
        case "attack":
            share = counts["flipped"] / counts["attacked"] if counts["attacked"] else None
            return {"share flipped": share, "values changed (median)": counts["median_changed"]}
        case "probe":
            wrong = {f"reversed per 1,000 ({level})": value for level, value in counts["reversed_per_1000"].items()}
            return wrong | {"derangements followed": counts["responding"]}
        case _:
            return {}


def _table(title: str, *columns: Column | str) -> Table:
    return Table(*columns, title=title, title_justify="left", box=SIMPLE_HEAD, min_width=min(len(title) + 2, 100))


def _right(name: str) -> Column:
    return Column(name, justify="right")
