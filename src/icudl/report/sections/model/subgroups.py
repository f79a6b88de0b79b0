"""Scores of the model within groups of patients."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from icudl.report.charts.descriptions import Axis, Dot, Dots
from icudl.report.elements import Entry, Figure, Switch, Table
from icudl.report.names import METRIC_NAMES, subgroup_name
from icudl.report.wording import columns, interval_below, numeric, rounded, row

DRAWN = ("auroc", "auprc", "brier", "recall")
LISTED = ("auroc", "auprc", "brier", "precision", "recall")


def subgroup_figure(subgroups: Mapping[str, pl.DataFrame], words: Mapping[str, str]) -> Figure:
    """Draw the scores by group.

    Args:
        subgroups: Rows of ``METRICS_SCHEMA`` by key of the stays judged.
        words: What the stays are called, by key.
    """
    metrics = [name for name in DRAWN if any((subgroups[key]["metric"] == name).any() for key in words)]

    def chart(key: str, metric: str) -> Dots:
        lines = subgroups[key].filter(pl.col("metric") == metric).sort("subgroup")
        notes = tuple(
            f"{stays:,} stays, {deaths:,} deaths" for stays, deaths in lines.select("stays", "deaths").iter_rows()
        )
        series = Dot(
            name=METRIC_NAMES[metric],
            x=rounded(lines["value"]),
            low=rounded(lines["low"]),
            high=rounded(lines["high"]),
            notes=notes,
        )
        rows = tuple(subgroup_name(name) for name in lines["subgroup"])
        return Dots(x=Axis(label=METRIC_NAMES[metric]), rows=rows, series=(series,), sortable=True)

    return Figure(
        "subgroups",
        "Subgroups",
        "The same score within groups of patients, with its 95 % interval. Groups of fewer than ten stays are "
        "left out. Wide intervals mean few deaths in the group; only intervals that stay apart speak of a real "
        "difference.",
        {f"{key}|{metric}": chart(key, metric) for key in words for metric in metrics},
        (
            Switch("split", "Stays", tuple((key, text[:1].upper() + text[1:]) for key, text in words.items())),
            Switch("metric", "Score", tuple((metric, METRIC_NAMES[metric]) for metric in metrics)),
        ),
        "full",
    )


def subgroup_table(subgroups: Mapping[str, pl.DataFrame], words: Mapping[str, str]) -> Table:
    """Tabulate the scores by group; arguments as of ``subgroup_figure``."""
    rows = []
    for key, text in sorted(words.items(), key=lambda item: item[1]):
        for (group,), lines in sorted(subgroups[key].group_by("subgroup"), key=lambda item: str(item[0])):
            found = {line["metric"]: line for line in lines.iter_rows(named=True)}
            first = next(iter(found.values()))
            cells = [
                interval_below(found[name]["value"], found[name]["low"], found[name]["high"])
                if name in found
                else Entry("–", None)
                for name in LISTED
            ]
            rows.append(row(subgroup_name(str(group)), text, first["stays"], first["deaths"], *cells))
    return Table(
        "subgroup-scores",
        "Scores by subgroup",
        columns(
            "Group",
            "Judged on",
            numeric("Stays"),
            numeric("Deaths"),
            *(numeric(METRIC_NAMES[name]) for name in LISTED),
        ),
        tuple(rows),
        filtered=True,
    )
