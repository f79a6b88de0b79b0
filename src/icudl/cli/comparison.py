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

SCORES = {"auroc": "AUROC", "auprc": "AUPRC", "brier": "Brier", "ece": "ECE"}


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
        table = _table(
            "Options that differ", Column("option", no_wrap=True), *(Column(label, overflow="fold") for label in labels)
        )
        for row in found.options:
            table.add_row(row["option"], *("-" if row[key] is None else escape(to_toml(row[key])) for key in labels))
        tables.append(table)
    return tables


def _scores_table(split: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    judged = dict.fromkeys(f"{row['stays']:,} stays, {row['deaths']:,} deaths" for row in rows)
    alike = f": {next(iter(judged))}" if len(judged) == 1 else ""
    title = (
        f"Scores on {split} stays{alike}\n95 % intervals over resampled patients; differences to the first are paired"
    )
    counted = () if alike else (_right("stays"), _right("deaths"))
    table = _table(title, "score", Column("result", no_wrap=True), *counted, _right("value"), _right("difference"))
    for metric in COMPARED:
        of = [row for row in rows if row["metric"] == metric]
        for place, row in enumerate(of):
            counts = () if alike else (f"{row['stays']:,}", f"{row['deaths']:,}")
            table.add_row(
                "" if place else SCORES[metric],
                escape(row["result"]),
                *counts,
                _interval(row, "value", "low", "high"),
                _interval(row, "difference", "difference_low", "difference_high", sign="+"),
                end_section=place == len(of) - 1 and len(of) > 1,
            )
    return table


def _attacks_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    title = "Stays flipped, in %\n95 % intervals; differences to the first over the stays that both attacked"
    columns = ("flipped", "changed,\nmedian", "difference")
    table = _table(title, "predicted", Column("result", no_wrap=True), *map(_right, columns))
    for predicted in dict.fromkeys(row["predicted"] for row in rows):
        of = [row for row in rows if row["predicted"] == predicted]
        for place, row in enumerate(of):
            difference = _percent(row, "difference", "difference_low", "difference_high", sign="+")
            both = row["both_attacked"]
            table.add_row(
                "" if place else predicted,
                escape(row["result"].removeprefix("attack/")),
                f"{_percent(row, 'share', 'low', 'high')}\nof {row['attacked']:,} stays",
                "-" if row["median_changed"] is None else f"{row['median_changed']:g}",
                difference if both is None else f"{difference}\non {both:,} stays",
                end_section=place == len(of) - 1,
            )
    return table


def _probes_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    title = "Verdicts that entry errors reverse, per 1,000 stays (95 % intervals), and derangements"
    columns = ("stays", "reversed", "difference", "derangements followed", "deranged, still called survivors")
    table = _table(title, Column("result", no_wrap=True), *map(_right, columns))
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


def _percent(row: Mapping[str, Any], value: str, low: str, high: str, sign: str = "") -> str:
    if row[value] is None:
        return "-"
    share, *ends = (None if row[key] is None else f"{100 * row[key]:{sign}.1f}" for key in (value, low, high))
    return f"{share}" if None in ends else f"{share} ({ends[0]} to {ends[1]})"


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
    return Table(
        *columns,
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        min_width=min(max(map(len, title.split("\n"))) + 2, 78),
    )


def _right(name: str) -> Column:
    return Column(name, justify="right")
