"""Results compared, as a page: scores and fragility side by side, paired differences, options that differ."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from icudl.analysis.numbers.comparison import COMPARED, FEWEST_ATTACKED, FEWEST_DEATHS
from icudl.artifacts import Outcome
from icudl.report.build import render
from icudl.report.charts.descriptions import Axis, Chart, Dot, Dots, Variants
from icudl.report.elements import Entry, Figure, Layer, Section, Switch, Table
from icudl.report.names import METRIC_NAMES, SPLIT_NAMES
from icudl.report.vocabulary import Vocabulary
from icudl.report.wording import columns, count, decimals, interval, numeric, percent, rounded, row

Row = Mapping[str, Any]

PREDICTED = {"survival": "Survival to death", "death": "Death to survival", "either": "Both directions"}
"""Directions of a flip by what was predicted before it."""

NOTHING = Entry("–", None)


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


def comparison_page(of: Comparison, labels: Sequence[str], outcome: Outcome) -> str:
    """Return a comparison as a page that stands alone, drawn like a report.

    Args:
        of: The comparison.
        labels: What the results are called, in order; the others are compared with the first.
        outcome: What the results predict.
    """
    layers = [layer for layer in (_scores(of), _attacks(of), _probes(of), _options(of, labels)) if layer is not None]
    words = Vocabulary.of(outcome, [*labels, *(str(line["result"]) for line in (*of.scores, *of.attacks, *of.probes))])
    title = " and ".join(labels) if len(labels) == 2 else f"{labels[0]} and {len(labels) - 1} others"
    return render(f"{title}, compared", [words.value(layer) for layer in layers], words)


def _layer(name: str, title: str, short: str, section: Section) -> Layer:
    return Layer(name, title, short, "", (section,))


def _results(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(str(line["result"]) for line in rows))


def _scores(of: Comparison) -> Layer | None:
    if not of.scores:
        return None
    splits = list(dict.fromkeys(str(line["split"]) for line in of.scores))
    tables = tuple(_scores_table(split, [line for line in of.scores if line["split"] == split]) for split in splits)
    lead = tuple(
        sentence
        for split in splits
        for sentence in _told([line for line in of.scores if line["split"] == split], split)
    )
    section = Section("scores", "How well they predict", "Scores", lead, (*tables, _scores_figure(of.scores, splits)))
    return _layer("models", "How well they predict", "Scores", section)


def _told(rows: Sequence[Row], split: str) -> list[str]:
    """Say for each result in how far its AUROC differs from that of the first one."""
    found = []
    first = _results(rows)[0]
    for line in rows:
        low, high = line["difference_low"], line["difference_high"]
        if line["metric"] != "auroc" or line["deaths"] < FEWEST_DEATHS or low is None or high is None:
            continue
        verdict = (
            "chance alone may explain the difference"
            if low <= 0 <= high
            else f"{line['result']} ranks {'better' if low > 0 else 'worse'}, beyond chance"
        )
        found.append(
            f"On {line['stays']:,} {SPLIT_NAMES.get(split, split)}, the AUROC of {line['result']} is "
            f"{line['difference']:+.3f} ({low:+.3f} to {high:+.3f}) from that of {first}: {verdict}."
        )
    return found


def _score(line: Row | None, prefix: str = "") -> Entry:
    names = ("difference", "difference_low", "difference_high") if prefix else ("value", "low", "high")
    if line is None or line["deaths"] < FEWEST_DEATHS:
        return NOTHING
    value, low, high = (line[name] for name in names)
    if value is None:
        return NOTHING
    sign = "+" if prefix else ""
    detail = "" if low is None or high is None else f"{low:{sign}.3f} to {high:{sign}.3f}"
    return Entry(f"{value:{sign}.3f}", value, detail)


_SHOWN = [
    (metric, prefix)
    for metric in COMPARED
    for prefix in ("", "difference")
    if not prefix or metric in COMPARED[:2]  # the page has no room for the others
]


def _scores_table(split: str, rows: Sequence[Row]) -> Table:
    lines = []
    for name in _results(rows):
        by_metric = {line["metric"]: line for line in rows if line["result"] == name}
        one = next(iter(by_metric.values()))
        cells = [_score(by_metric.get(metric), prefix) for metric, prefix in _SHOWN]
        lines.append(row(name, one["stays"], one["deaths"], *cells))
    heads = [numeric("to the first" if prefix else METRIC_NAMES[metric]) for metric, prefix in _SHOWN]
    return Table(
        f"scores-{split}",
        f"Scores on {SPLIT_NAMES.get(split, split)}",
        columns("Result", numeric("Stays"), numeric("Deaths"), *heads),
        tuple(lines),
        "The 95 % interval stands below each number. Differences to the first result are paired: both are scored on "
        "the same resamples of the same patients. Where the stays are not the same, there is none. Scores that rest on "
        f"fewer than {FEWEST_DEATHS} deaths are not told.",
    )


def _dots(rows: Sequence[Row], names: Sequence[str], axis: Axis, columns_of: tuple[str, str, str], noun: str) -> Dots:
    by_result = {str(line["result"]): line for line in rows}

    def values(column: str) -> list[float]:
        found = [by_result[name][column] if name in by_result else None for name in names]
        return [float("nan") if value is None else float(value) for value in found]

    value, low, high = columns_of
    return Dots(
        x=axis,
        rows=tuple(names),
        series=(Dot(name=noun, x=rounded(values(value)), low=rounded(values(low)), high=rounded(values(high))),),
    )


def _scores_figure(rows: Sequence[Row], splits: Sequence[str]) -> Figure:
    charts: dict[str, Chart] = {}
    for split in splits:
        for metric in COMPARED:
            own = [
                line
                for line in rows
                if (line["split"], line["metric"]) == (split, metric) and line["deaths"] >= FEWEST_DEATHS
            ]
            axis = Axis(label=METRIC_NAMES[metric])
            names = _results([line for line in rows if line["split"] == split])
            charts[f"{split}|{metric}"] = _dots(own, names, axis, ("value", "low", "high"), METRIC_NAMES[metric])
    return Figure(
        "scores-figure",
        "Scores as a picture",
        "One dot a result, with its 95 % interval. Intervals of the same stays may overlap although the difference is "
        "certain: the table tells the differences themselves.",
        charts,
        (
            Switch("split", "Judged on", tuple((split, SPLIT_NAMES.get(split, split)) for split in splits)),
            Switch("metric", "Score", tuple((metric, METRIC_NAMES[metric]) for metric in COMPARED)),
        ),
        "full",
    )


def _share(line: Row) -> Entry:
    if line["attacked"] < FEWEST_ATTACKED or line["share"] is None:
        return NOTHING
    return Entry(percent(line["share"]), line["share"], f"{percent(line['low'])} to {percent(line['high'])}")


def _share_difference(line: Row) -> Entry:
    if line["difference"] is None:
        return NOTHING
    value, low, high = (100 * line[name] for name in ("difference", "difference_low", "difference_high"))
    stays = count(line["both_attacked"], "stay")
    return Entry(f"{value:+.1f} points", line["difference"], f"{low:+.1f} to {high:+.1f}, {stays}")


def _attacks(of: Comparison) -> Layer | None:
    if not of.attacks:
        return None
    lines = tuple(
        row(
            line["result"],
            PREDICTED[line["predicted"]],
            line["attacked"],
            _share(line),
            line["median_changed"],
            _share_difference(line),
        )
        for line in of.attacks
    )
    table = Table(
        "attacks-table",
        "Stays flipped",
        columns(
            "Result",
            "Prediction",
            numeric("Stays attacked"),
            numeric("Flipped"),
            numeric("Fewest changes, median"),
            numeric("To the first"),
        ),
        lines,
        "The 95 % interval stands below each share. Differences are over the stays that both attacked, in percentage "
        f"points; there is none where they are too few. Shares of fewer than {FEWEST_ATTACKED} stays are not told.",
    )
    names = _results(of.attacks)
    charts: Variants = {
        predicted: _dots(
            [line for line in of.attacks if line["predicted"] == predicted and line["attacked"] >= FEWEST_ATTACKED],
            names,
            Axis(label="Stays flipped", percent=True, min=0, max=1),
            ("share", "low", "high"),
            "Flipped",
        )
        for predicted in reversed(PREDICTED)
    }
    figure = Figure(
        "attacks-figure",
        "Flipped stays as a picture",
        "One dot a result, with its 95 % interval (Wilson).",
        charts,
        (Switch("predicted", "Prediction", tuple((name, PREDICTED[name]) for name in reversed(PREDICTED))),),
        "full",
    )
    section = Section(
        "fragility",
        "How fragile they are",
        "Fragility",
        ("Only results whose attacks may change the same things compare models: the options below tell.",),
        (table, figure),
    )
    return _layer("fragile", "How fragile they are", "Fragility", section)


def _probes(of: Comparison) -> Layer | None:
    if not of.probes:
        return None
    lines = []
    for line in of.probes:
        known = line["low"] is not None and line["high"] is not None
        digits = decimals(line["low"], line["high"]) if known else 3
        lines.append(
            row(
                line["result"],
                line["stays"],
                interval(line["reversed"], line["low"], line["high"], digits),
                interval(line["difference"], line["difference_low"], line["difference_high"], digits),
                *(NOTHING if line[name] is None else Entry(percent(line[name]), line[name]) for name in _FOLLOWED),
            )
        )
    table = Table(
        "probes-table",
        "Verdicts that entry errors reverse, per 1,000 stays, and derangements",
        columns(
            "Result",
            numeric("Stays"),
            numeric("Reversed (95 %)"),
            numeric("To the first"),
            numeric("Derangements followed"),
            numeric("Deranged, still called survivors"),
        ),
        tuple(lines),
    )
    section = Section("probed", "Errors of entry and derangements", "Probes", (), (table,))
    return _layer("probes", "Errors of entry and derangements", "Probes", section)


_FOLLOWED = ("responding", "missed")


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _options(of: Comparison, labels: Sequence[str]) -> Layer | None:
    if not of.options:
        return None
    lines = tuple(
        row(line["option"], *("–" if line[label] is None else _written(line[label]) for label in labels))
        for line in of.options
    )
    table = Table("options-table", "Options that differ", columns("Option", *labels), lines, filtered=True)
    section = Section("options", "In what they differ", "Options", (), (table,))
    return _layer("difference", "In what they differ", "Options", section)
