"""Scores of the model within groups of patients."""

from __future__ import annotations

import polars as pl

from icudl.report.elements import (
    Entry,
    Figure,
    Switch,
    Table,
)
from icudl.report.names import (
    METRIC_NAMES,
    SPLIT_NAMES,
    subgroup_name,
)
from icudl.report.wording import columns, interval, rounded, row


def subgroup_figure(subgroups: pl.DataFrame, splits: list[str]) -> Figure:
    """Draw the scores by group."""
    variants = {}
    metrics = [metric for metric in ("auroc", "auprc", "brier", "recall") if (subgroups["metric"] == metric).any()]
    shown = [split for split in splits if (subgroups["split"] == split).any()]
    for split in shown:
        for metric in metrics:
            lines = subgroups.filter(pl.col("split") == split, pl.col("metric") == metric).sort("subgroup")
            variants[f"{split}|{metric}"] = {
                "rows": [subgroup_name(name) for name in lines["subgroup"].to_list()],
                "x": {"label": METRIC_NAMES[metric]},
                "series": [
                    {
                        "name": METRIC_NAMES[metric],
                        "x": rounded(lines["value"]),
                        "low": rounded(lines["low"]),
                        "high": rounded(lines["high"]),
                        "notes": [
                            f"{stays:,} stays, {deaths:,} deaths"
                            for stays, deaths in zip(lines["stays"], lines["deaths"], strict=True)
                        ],
                    }
                ],
            }
    return Figure(
        "subgroups",
        "Subgroups",
        "The same score within groups of patients, with its 95 % interval. Groups of fewer than ten stays are "
        "left out. Wide intervals mean few deaths in the group; only intervals that stay apart speak of a real "
        "difference.",
        {"kind": "dots", "sortable": True, "variants": variants},
        (
            Switch("split", "Stays", tuple((split, SPLIT_NAMES[split].capitalize()) for split in shown)),
            Switch("metric", "Score", tuple((metric, METRIC_NAMES[metric]) for metric in metrics)),
        ),
        "full",
    )


def subgroup_table(subgroups: pl.DataFrame) -> Table:
    """Tabulate the scores by group."""
    rows = []
    for (split, group), lines in sorted(subgroups.group_by("split", "subgroup"), key=lambda item: str(item[0])):
        found = {line["metric"]: line for line in lines.iter_rows(named=True)}
        first = next(iter(found.values()))
        cells = [
            interval(found[name]["value"], found[name]["low"], found[name]["high"])
            if name in found
            else Entry("–", None)
            for name in ("auroc", "auprc", "brier", "precision", "recall")
        ]
        rows.append(row(subgroup_name(str(group)), SPLIT_NAMES[str(split)], first["stays"], first["deaths"], *cells))
    return Table(
        "subgroup-scores",
        "Scores by subgroup",
        columns("Group", "Judged on", "#Stays", "#Deaths", "#AUROC", "#AUPRC", "#Brier score", "#Precision", "#Recall"),
        tuple(rows),
        filtered=True,
    )
