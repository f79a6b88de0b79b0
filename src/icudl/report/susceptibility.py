"""Section of the page: at which hours and in which variables predictions hang."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.artifacts import AttackResult, SusceptibilityResult
from icudl.report.attacks import CONDITION_NAMES, CONDITION_SWITCH, EXAMPLE_SWITCH
from icudl.report.elements import (
    Block,
    Entry,
    Figure,
    Note,
    Section,
    Switch,
    Table,
    Terms,
    columns,
    entry,
    interval,
    percent,
    rounded,
    row,
)

MEASURES = {
    "gpp": "Share of stays changed here (GPP)",
    "ganzp": "Mean size of the changes (GANZP)",
    "sensitivity": "Sensitivity (GPP / GANZP)",
    "s": "Susceptibility (GMP x GPP)",
    "gmp": "Largest change (GMP)",
    "gap": "Mean change over all stays (GAP)",
}
IMPORTANCE = "Importance to the model (logits)"
RANKED = {
    "touched": "Stays with a change of the variable",
    "s": "Susceptibility, summed over hours",
    "sensitivity": "Sensitivity, summed over hours",
    "gpp": "Share of values changed (GPP)",
    "ganzp": "Mean size of the changes (GANZP)",
}
EXAMPLES_SHOWN = ("best", "first")

TERMS = Terms(
    "susceptibility-terms",
    "The measures",
    (
        (
            "GPP",
            "Global perturbation probability: share of flipped stays with a change at this hour and variable.",
        ),
        ("GMP", "Global maximum perturbation: the largest change seen there."),
        (
            "GAP",
            "Global average perturbation: mean change there over all flipped stays, unchanged ones as 0.",
        ),
        ("GANZP", "Mean size of the changes there, where there was one."),
        ("Susceptibility S", "GMP x GPP: high where changes are both frequent and large."),
        ("Sensitivity", "GPP / GANZP: high where small changes already flip the outcome."),
        (
            "Importance",
            "Mean size of integrated gradients: how much a value moves the unchanged prediction, in logits.",
        ),
    ),
)


def susceptibility_section(attack: AttackResult, susceptibility: SusceptibilityResult) -> Section:
    """Tell where predictions hang."""
    tables = susceptibility.tables
    lead = (
        (
            "Each cell of the maps is one hour of one variable. Dark cells are seldom or little changed, bright ones "
            "often or much; grey ones never. Sizes are shares of a variable's range, so that variables can be compared."
        ),
    )
    blocks: list[Block] = []
    if tables["cells"]["changed"].sum() == 0:
        blocks.append(Note("No prediction was flipped. The maps are empty."))
    blocks += [
        _map(attack, tables["cells"], tables.get("importance_cells")),
        _ranking(tables["variables"], attack),
        _hours(tables["hours"]),
    ]
    blocks += _importance(tables, attack)
    blocks += [_ranking_table(tables["variables"], attack), TERMS]
    return Section("where", "Where predictions hang", "Where", lead, tuple(blocks))


def in_order(frame: pl.DataFrame, attack: AttackResult) -> pl.DataFrame:
    """Sort rows by variable in the order of the attack, then by hour where there is one."""
    place = {variable.name: index for index, variable in enumerate(attack.variables)}
    keys = [pl.col("variable").replace_strict(place, return_dtype=pl.Int32)]
    return frame.sort(*keys, *(["hour"] if "hour" in frame.columns else []))


def _map(attack: AttackResult, cells: pl.DataFrame, importance: pl.DataFrame | None) -> Figure:
    measures = dict(MEASURES)
    variants = {}
    for condition in CONDITIONS:
        for example in EXAMPLES_SHOWN:
            part = in_order(cells.filter(pl.col("condition") == condition, pl.col("example") == example), attack)
            for measure, label in MEASURES.items():
                variants[f"{condition}|{example}|{measure}"] = {
                    "values": rounded(part[measure], 3),
                    "label": label,
                    "percent": measure == "gpp",
                }
    if importance is not None and importance.height:
        measures["importance"] = IMPORTANCE
        for condition in CONDITIONS:
            part = in_order(importance.filter(pl.col("condition") == condition), attack)
            values = rounded(part["importance"], 3) or [None] * (attack.n_hours * len(attack.variables))
            for example in EXAMPLES_SHOWN:
                variants[f"{condition}|{example}|importance"] = {"values": values, "label": IMPORTANCE}
    return Figure(
        "map",
        "Hours and variables",
        "Choose the direction of the flip, the example and the measure. Point at a cell, or move with the arrow keys, "
        "to read its value. Importance tells what the model leans on in unchanged stays, for comparison.",
        {
            "kind": "heat",
            "hours": attack.n_hours,
            "rows": [variable.label for variable in attack.variables],
            "variants": variants,
        },
        (CONDITION_SWITCH, EXAMPLE_SWITCH, Switch("measure", "Measure", tuple(measures.items()))),
        "full",
    )


def _ranking(variables: pl.DataFrame, attack: AttackResult) -> Figure:
    labels = [variable.label for variable in attack.variables]
    shown = {measure: label for measure, label in RANKED.items() if measure in variables.columns}
    variants = {}
    for measure, label in shown.items():
        for example in EXAMPLES_SHOWN:
            series = []
            for condition in CONDITIONS:
                part = in_order(
                    variables.filter(pl.col("condition") == condition, pl.col("example") == example), attack
                )
                line = {"name": CONDITION_NAMES[condition].capitalize(), "x": rounded(part[measure])}
                if f"{measure}_low" in part.columns:
                    line |= {side: rounded(part[f"{measure}_{side}"]) for side in ("low", "high")}
                series.append(line)
            variants[f"{measure}|{example}"] = {
                "x": {"label": label, "percent": measure in {"touched", "gpp"}, "min": 0},
                "series": series,
            }
    return Figure(
        "ranking",
        "Ranking of the variables",
        "One value per variable and direction, with its 95 % interval from resampling the stays. Click a name in the "
        "legend to hide that direction; sort to see the ranking.",
        {"kind": "dots", "bars": True, "sortable": True, "rows": labels, "variants": variants},
        (Switch("measure", "Measure", tuple(shown.items())), EXAMPLE_SWITCH),
        "full",
    )


def _hours(hours: pl.DataFrame) -> Figure:
    shown = {measure: label for measure, label in RANKED.items() if measure in hours.columns and measure != "touched"}
    variants = {}
    for measure, label in shown.items():
        for example in EXAMPLES_SHOWN:
            series = []
            for place, condition in enumerate(CONDITIONS):
                part = hours.filter(pl.col("condition") == condition, pl.col("example") == example).sort("hour")
                line = {
                    "name": CONDITION_NAMES[condition].capitalize(),
                    "x": part["hour"].to_list(),
                    "y": rounded(part[measure]),
                    "dash": place,
                }
                if f"{measure}_low" in part.columns:
                    line |= {side: rounded(part[f"{measure}_{side}"]) for side in ("low", "high")}
                series.append(line)
            variants[f"{measure}|{example}"] = {
                "y": {"label": label.replace("summed over hours", "summed over variables"), "min": 0}
                | ({"percent": True} if measure == "gpp" else {}),
                "series": series,
            }
    return Figure(
        "by-hour",
        "Along the stay",
        "The same measures by hour, over all variables. A rise towards the end means that the model listens to the "
        "latest values most.",
        {"kind": "lines", "x": {"label": "Hour since ICU admission"}, "variants": variants},
        (
            Switch("measure", "Measure", tuple((m, t.replace("hours", "variables")) for m, t in shown.items())),
            EXAMPLE_SWITCH,
        ),
        "full",
    )


def _importance(tables: Mapping[str, pl.DataFrame], attack: AttackResult) -> list[Block]:
    importance = tables.get("importance")
    if importance is None or not importance.height:
        return []
    labels = {variable.name: variable.label for variable in attack.variables}
    measures = tables["variables"].filter(pl.col("example") == "best")
    shown = {"s": RANKED["s"], "sensitivity": RANKED["sensitivity"], "touched": RANKED["touched"]}
    variants = {}
    for condition in CONDITIONS:
        weights = importance.filter(pl.col("condition") == condition).select("variable", "importance", "towards_death")
        joined = in_order(measures.filter(pl.col("condition") == condition).join(weights, on="variable"), attack)
        for measure, label in shown.items():
            variants[f"{condition}|{measure}"] = {
                "y": {"label": label, "min": 0} | ({"percent": True} if measure == "touched" else {}),
                "series": [
                    {
                        "name": "Variables",
                        "marks": "only",
                        "x": rounded(joined["importance"]),
                        "y": rounded(joined[measure]),
                        "labels": [labels[name] for name in joined["variable"]],
                    }
                ],
            }
    figure = Figure(
        "importance",
        "Important or susceptible?",
        "To the right: variables that the model leans on in unchanged stays (mean size of their integrated gradients, "
        "in logits). Upwards: variables that the attack abuses. A variable far to the upper left is a lever that the "
        "model hardly needs and that still turns its predictions; one at the lower right matters and resists.",
        {
            "kind": "lines",
            "named": True,
            "x": {"label": "Importance", "min": 0},
            "variants": variants,
        },
        (CONDITION_SWITCH, Switch("measure", "Measure", tuple(shown.items()))),
        "full",
    )
    agreement = tables.get("agreement")
    return [figure] if agreement is None or not agreement.height else [figure, _agreement(agreement)]


def _agreement(agreement: pl.DataFrame) -> Table:
    names = MEASURES | {"s": "Susceptibility", "sensitivity": "Sensitivity"}
    rows = tuple(
        row(
            CONDITION_NAMES[line["condition"]].capitalize(),
            {"variable": "variables", "hour": "hours", "cell": "cells"}.get(line["level"], line["level"]),
            names.get(line["measure"], line["measure"]),
            line["points"],
            interval(line["spearman"], line["low"], line["high"], 2),
        )
        for line in agreement.iter_rows(named=True)
    )
    return Table(
        "agreement",
        "Do importance and susceptibility agree?",
        columns("Prediction", "Over", "Measure", "#Points", "#Rank correlation (95 %)"),
        rows,
        "Spearman's rank correlation of importance with a measure of the best examples: 1 where both rank alike, 0 "
        "where they have nothing to do with each other.",
    )


def _ranking_table(variables: pl.DataFrame, attack: AttackResult) -> Table:
    rows = []
    by_name = {variable.name: variable for variable in attack.variables}
    part = variables.filter(pl.col("example") == "best", pl.col("stays") > 0)
    for line in part.iter_rows(named=True):
        variable = by_name[line["variable"]]
        touched = line["touched"]
        rows.append(
            row(
                variable.label,
                CONDITION_NAMES[line["condition"]],
                Entry("–", None) if touched is None else Entry(percent(touched), touched),
                entry(line["gpp"]),
                entry(line["s"]),
                entry(line["sensitivity"]),
                entry(line["ganzp"]),
                entry(line["gmp"]),
                entry(line["ganzp_clinical"]),
                variable.unit or "no unit",
                Entry("–", None) if line["raised"] is None else Entry(percent(line["raised"]), line["raised"]),
            )
        )
    return Table(
        "variable-measures",
        "Every measure by variable",
        columns(
            "Variable",
            "Prediction",
            "#Stays touched",
            "#GPP",
            "#S",
            "#Sensitivity",
            "#GANZP",
            "#GMP",
            "#GANZP, clinical",
            "Unit",
            "#Upwards",
        ),
        tuple(rows),
        "Best examples; S and sensitivity are sums over hours, the others pool the hours.",
        filtered=True,
    )
