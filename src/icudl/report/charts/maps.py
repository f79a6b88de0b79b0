"""Figures of the measures: heat map over hours and variables, ranking, course along the stay."""

from __future__ import annotations

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.artifacts import AttackResult
from icudl.report.elements import (
    Figure,
    Switch,
)
from icudl.report.names import (
    CONDITION_NAMES,
    CONDITION_SWITCH,
    EXAMPLE_SWITCH,
)
from icudl.report.wording import rounded

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


def in_order(frame: pl.DataFrame, attack: AttackResult) -> pl.DataFrame:
    """Sort rows by variable in the order of the attack, then by hour where there is one."""
    place = {variable.name: index for index, variable in enumerate(attack.variables)}
    keys = [pl.col("variable").replace_strict(place, return_dtype=pl.Int32)]
    return frame.sort(*keys, *(["hour"] if "hour" in frame.columns else []))


def map_figure(attack: AttackResult, cells: pl.DataFrame, importance: pl.DataFrame | None) -> Figure:
    """Draw the measures over hours and variables."""
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


def ranking_figure(variables: pl.DataFrame, attack: AttackResult) -> Figure:
    """Draw the measures by variable."""
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


def hours_figure(hours: pl.DataFrame) -> Figure:
    """Draw the measures by hour."""
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
