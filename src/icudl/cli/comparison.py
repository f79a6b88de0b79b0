"""Results compared, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from icudl.analysis.numbers.comparison import COMPARED
from icudl.config.document import to_toml
from icudl.report.compared import Comparison
from icudl.store.manifest import Manifest


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
