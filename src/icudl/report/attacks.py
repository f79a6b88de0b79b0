"""Section of the page: how many predictions were flipped, and by how little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from icudl.analysis.conditions import CONDITIONS, EXAMPLES
from icudl.artifacts import AttackResult, SusceptibilityResult
from icudl.report.elements import (
    Block,
    Entry,
    Figure,
    FigureGrid,
    Note,
    Section,
    Switch,
    Table,
    columns,
    count,
    entry,
    percent,
    rounded,
    row,
)

CONDITION_NAMES = {
    "survival_to_death": "survival flipped to death",
    "death_to_survival": "death flipped to survival",
    "both": "both directions",
}
EXAMPLE_NAMES = {"first": "first example", "best": "best example"}
STATUS_NAMES = {
    "success": "flipped",
    "failed": "attacked, not flipped",
    "misclassified": "not attacked: predicted wrongly already",
    "nothing_to_change": "not attacked: nothing may be changed",
    "invalid_output": "not attacked: the model gave no number",
}
THREATS = {
    "grid": "any hour of any variable may be changed, within the limits of the training stays",
    "measured": "only charted values may be changed, within the plausible range of the variable",
    "sweep": "exactly one charted value may be changed, over its plausible range",
}
CONDITION_SWITCH = Switch(
    "condition", "Prediction", tuple((name, CONDITION_NAMES[name].capitalize()) for name in CONDITIONS)
)
EXAMPLE_SWITCH = Switch("example", "Example", (("best", "Best"), ("first", "First")))
FEW_STAYS = 100
"""With fewer attacked stays than this, a share has an interval of 20 points or more."""
PROPERTIES = (
    ("number", "Changed values", "How many values of the stay were changed.", True),
    ("share", "Share of values changed", "Changed values as a share of all values of the stay.", False),
    ("sum", "Sum of changes", "All changes of a stay added up, without sign.", False),
    ("mean", "Mean change", "Mean size of the changes of a stay.", False),
    ("largest", "Largest change", "Largest single change of a stay.", False),
    ("smallest", "Smallest change", "Smallest single change of a stay.", False),
    ("positive", "Share of increases", "How many of a stay's changes are upwards.", False),
)
NORM_NAMES = {
    "l0": "number of changed values",
    "l1": "sum of changes (L1)",
    "l2": "root of squared changes (L2)",
    "linf": "largest change (L∞)",
}


def attack_section(attack: AttackResult, susceptibility: SusceptibilityResult) -> Section:
    """Tell what the attack reached."""
    tables = susceptibility.tables
    threat = THREATS.get(attack.threat_model, attack.threat_model)
    lead = (
        (
            f"The attack looks for the smallest change of a record that makes the model predict the opposite. Here "
            f"{threat}. "
            "Every example counted was checked again by an independent pass through the model."
        ),
        (
            "The first example is the first change met that flips the prediction; the search then goes on, and the "
            "best example is the smallest it finds. Sizes are shares of a variable's range between its limits in the "
            "training stays: 0.1 of a potassium range from 3.2 to 5.3 mEq/L is 0.2 mEq/L."
        ),
    )
    blocks: list[Block] = [_summary(tables["summary"])]
    attacked = tables["fragility"].height
    if attacked < FEW_STAYS:
        blocks.insert(
            0,
            Note(f"Only {count(attacked, 'stay was', 'stays were')} attacked: the shares below rest on few patients."),
        )
    clinical = _clinical_sizes(attack, tables)
    if clinical.rows:
        blocks.append(clinical)
    else:
        blocks.append(Note("No prediction was flipped. There are no changes to describe."))
    if "smallest_change" in tables:
        blocks.append(_fewest(tables["smallest_change"]))
    blocks.append(_discovery(tables["discovery"]))
    if "budget" in tables and tables["budget"].height:
        blocks.append(_budget(tables["budget"]))
    blocks.append(_histograms(tables["perturbation_properties"], tables["fragility"]))
    blocks += _curves(attack.curves)
    blocks.append(_statuses(tables["statuses"]))
    return Section("attack", "How easily predictions are flipped", "Attack", lead, tuple(blocks))


def _summary(summary: pl.DataFrame) -> Table:
    rows = []
    for line in summary.iter_rows(named=True):
        success = line["success"]
        if success is None:
            rate = Entry("–", None)
        else:
            rate = Entry(
                f"{percent(success)} ({percent(line['success_low'])} to {percent(line['success_high'])})", success
            )
        rows.append(
            row(
                CONDITION_NAMES[line["condition"]].capitalize(),
                EXAMPLE_NAMES[line["example"]],
                line["attacked"],
                line["flipped"],
                rate,
                line["l0_median"],
                line["l0_mean"],
                line["l1_median"],
                line["linf_median"],
                line["iteration"],
            )
        )
    return Table(
        "attack-summary",
        "What the attack reached",
        columns(
            "Prediction",
            "Example",
            "#Attacked",
            "#Flipped",
            "#Share flipped (95 %)",
            "#Values changed, median",
            "#Values changed, mean",
            "#Sum of changes, median",
            "#Largest change, median",
            "#Iteration found, median",
        ),
        tuple(rows),
        "Only stays that the model predicts rightly are attacked, unless the configuration asks for all.",
    )


def _clinical_sizes(attack: AttackResult, tables: Mapping[str, pl.DataFrame]) -> Table:
    changes = attack.perturbations.filter(pl.col("example") == "best").with_columns(
        size=(pl.col("after_clinical") - pl.col("before_clinical")).abs(), up=pl.col("change") > 0
    )
    condition = tables["fragility"].select("stay_id", "condition")
    changes = changes.join(condition, on="stay_id", how="inner")
    rows = []
    grouped = {key: part for key, part in changes.group_by("condition", "variable") if part.height}
    for name in CONDITIONS:
        for index, variable in enumerate(attack.variables):
            part = grouped.get((name, index))
            if part is None:
                continue
            sizes = part["size"].cast(pl.Float64)
            rows.append(
                row(
                    variable.label,
                    variable.unit or "no unit",
                    CONDITION_NAMES[name],
                    part["stay_id"].n_unique(),
                    part.height,
                    entry(sizes.median()),  # type: ignore[arg-type]
                    entry(sizes.quantile(0.9)),
                    Entry(percent(float(part["up"].mean())), float(part["up"].mean())),  # type: ignore[arg-type]
                )
            )
    return Table(
        "clinical-sizes",
        "Changes in clinical units",
        columns(
            "Variable",
            "Unit",
            "Prediction",
            "#Stays",
            "#Values changed",
            "#Median change",
            "#90th percentile",
            "#Upwards",
        ),
        tuple(rows),
        "Best examples. A median change of 0.3 mEq/L means that half of the changed values moved by less.",
        filtered=True,
    )


def _fewest(smallest: pl.DataFrame) -> Figure:
    series = []
    for place, name in enumerate(CONDITIONS):
        lines = smallest.filter(pl.col("condition") == name).sort("changed")
        if lines.height:
            series.append(
                {
                    "name": CONDITION_NAMES[name].capitalize(),
                    "x": [0, *lines["changed"].to_list()],
                    "y": [0, *rounded(lines["cumulative"])],
                    "step": True,
                    "dash": place,
                }
            )
    return Figure(
        "fewest-changes",
        "How few changed values suffice",
        "Share of the attacked stays whose prediction can be flipped by changing at most so many values. A curve that "
        "rises steeply at the left means predictions that hang on a handful of numbers.",
        {
            "kind": "lines",
            "x": {"label": "Values changed, at most", "min": 0},
            "y": {"label": "Stays flipped", "percent": True, "min": 0, "max": 1},
            "series": series,
        },
    )


def _discovery(discovery: pl.DataFrame) -> Figure:
    series = []
    for place, (name, example) in enumerate((name, example) for name in CONDITIONS for example in EXAMPLES):
        lines = discovery.filter(pl.col("condition") == name, pl.col("example") == example).sort("iteration")
        if lines.height:
            lines = _every(lines, 240)
            series.append(
                {
                    "name": f"{CONDITION_NAMES[name].capitalize()}, {example}",
                    "x": [0, *lines["iteration"].to_list()],
                    "y": [0, *rounded(lines["share"])],
                    "step": True,
                    "dash": place,
                }
            )
    return Figure(
        "discovery",
        "When examples are found",
        "Share of the attacked stays with an example by each iteration of the search. Where the curve of the best "
        "examples lies far to the right of the first ones, the search after the first success pays.",
        {
            "kind": "lines",
            "x": {"label": "Iteration", "min": 0},
            "y": {"label": "Stays with an example", "percent": True, "min": 0, "max": 1},
            "series": series,
        },
    )


def _every(lines: pl.DataFrame, most: int) -> pl.DataFrame:
    if lines.height <= most:
        return lines
    kept = np.unique(np.linspace(0, lines.height - 1, most).round().astype(int))
    return lines.select(pl.all().gather(kept.tolist()))


def _budget(budget: pl.DataFrame) -> Figure:
    norms = [norm for norm in NORM_NAMES if (budget["norm"] == norm).any()]
    variants = {}
    for norm in norms:
        for example in ("best", "first"):
            series = []
            for place, name in enumerate(CONDITIONS):
                lines = budget.filter(
                    pl.col("condition") == name, pl.col("example") == example, pl.col("norm") == norm
                ).sort("budget")
                if lines.height:
                    series.append(
                        {
                            "name": CONDITION_NAMES[name].capitalize(),
                            "x": rounded(lines["budget"]),
                            "y": rounded(lines["share"]),
                            "low": rounded(lines["low"]),
                            "high": rounded(lines["high"]),
                            "dash": place,
                        }
                    )
            variants[f"{norm}|{example}"] = {
                "x": {"label": f"Allowed {NORM_NAMES[norm]}", "min": 0},
                "series": series,
            }
    return Figure(
        "budget",
        "Success against the size allowed",
        "Share of the attacked stays whose prediction is flipped by a change no larger than the size on the horizontal "
        "axis, with its 95 % interval. The examples were sought for few and small changes (L0 and L1); for the other "
        "sizes the curve is a lower bound of what an attacker could reach.",
        {
            "kind": "lines",
            "y": {"label": "Stays flipped", "percent": True, "min": 0, "max": 1},
            "variants": variants,
        },
        (
            Switch("norm", "Size", tuple((norm, NORM_NAMES[norm].capitalize()) for norm in norms)),
            EXAMPLE_SWITCH,
        ),
        "full",
    )


def _histograms(properties: pl.DataFrame, fragility: pl.DataFrame) -> FigureGrid:
    figures: list[Figure] = []
    for name, label, text, whole in PROPERTIES:
        values = properties[name].cast(pl.Float64).drop_nulls().drop_nans()
        edges = _edges(values, whole=whole, share=name == "positive")
        variants = {}
        for condition in CONDITIONS:
            series = []
            for example in EXAMPLES:
                part = properties.filter(pl.col("condition") == condition, pl.col("example") == example)
                counts = np.histogram(part[name].cast(pl.Float64).drop_nulls().to_numpy(), edges)[0]
                series.append({"name": example.capitalize(), "y": counts.tolist()})
            variants[condition] = {"series": series}
        figures.append(
            Figure(
                f"histogram-{name}",
                label,
                text,
                {
                    "kind": "bars",
                    "edges": rounded(edges.tolist(), 6),
                    "whole": whole,
                    "x": {"label": label, "percent": name in {"share", "positive"}},
                    "y": {"label": "Stays"},
                    "variants": variants,
                },
                size="small",
            )
        )
    figures.append(_risk_histogram(fragility))
    return FigureGrid(
        "histograms",
        "The shape of the changes",
        "One count per flipped stay, for its first and its best example. "
        "Left-leaning histograms of the number and the sum of changes mean that little "
        "suffices; the share of increases tells whether values are pushed up or down.",
        (CONDITION_SWITCH,),
        tuple(figures),
    )


def _risk_histogram(fragility: pl.DataFrame) -> Figure:
    edges = np.linspace(0, 1, 21)
    variants = {}
    for condition in CONDITIONS:
        flipped = fragility.filter(pl.col("condition") == condition, pl.col("changed").is_not_null())
        series = []
        for name, column in (("Before", "probability_before"), ("After (best)", "probability_after")):
            counts = np.histogram(flipped[column].drop_nulls().to_numpy(), edges)[0]
            series.append({"name": name, "y": counts.tolist()})
        variants[condition] = {"series": series}
    return Figure(
        "histogram-risk",
        "Risk before and after",
        "Predicted risk of death of the flipped stays.",
        {
            "kind": "bars",
            "edges": rounded(edges.tolist()),
            "x": {"label": "Predicted risk", "percent": True},
            "y": {"label": "Stays"},
            "variants": variants,
        },
        size="small",
    )


def _edges(values: pl.Series, *, whole: bool, share: bool) -> Any:
    if share:
        return np.linspace(0, 1, 21)
    top = float(values.max()) if values.len() else 1.0  # type: ignore[arg-type]
    if whole:
        width = max(1, int(np.ceil(top / 30)))
        return np.arange(0.5, top + width + 0.5, width)
    low = float(values.min()) if values.len() else 0.0  # type: ignore[arg-type]
    low = 0.0 if low < 0.4 * top else low
    return np.linspace(low, top if top > low else low + 1.0, 26)


def _curves(curves: Mapping[str, pl.DataFrame]) -> list[Block]:
    tables: list[Block] = []
    for name, curve in sorted(curves.items()):
        if "stay_id" in curve.columns or not curve.height:
            continue
        numeric = [dtype.is_numeric() for dtype in curve.dtypes]
        labels = [
            f"{'#' if is_number else ''}{column.replace('_', ' ').capitalize()}"
            for column, is_number in zip(curve.columns, numeric, strict=True)
        ]
        rows = tuple(
            row(*(value if isinstance(value, int | float | str) or value is None else str(value) for value in line))
            for line in curve.head(400).iter_rows()
        )
        tables.append(
            Table(f"curve-{name}", name.replace("_", " ").replace("-", " ").capitalize(), columns(*labels), rows)
        )
    return tables


def _statuses(statuses: pl.DataFrame) -> Table:
    rows = tuple(
        row(
            "Died" if line["label"] else "Survived",
            STATUS_NAMES.get(line["status"], line["status"]),
            line["stays"],
            Entry(percent(line["share"]), line["share"]),
        )
        for line in statuses.iter_rows(named=True)
    )
    return Table(
        "statuses",
        "What became of every stay considered",
        columns("Outcome", "Status", "#Stays", "#Share of the outcome"),
        rows,
    )
