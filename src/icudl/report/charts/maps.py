"""Charts of the measures: map over hours and variables, ranking, course along the stay."""

from __future__ import annotations

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.numbers.attacks.maps import CellMap, importance_map, measure_map
from icudl.artifacts import AttackResult, SusceptibilityResult
from icudl.report.charts.descriptions import Axis, Dot, Dots, Heat, Line, Lines, Numbers
from icudl.report.elements import Figure, Switch
from icudl.report.names import CONDITION_NAMES, CONDITION_SWITCH, EXAMPLE_SWITCH
from icudl.report.wording import rounded

MEASURES = {
    "gpp": "Share of stays changed here",
    "ganzp": "Mean size of the changes",
    "sensitivity": "Sensitivity",
    "s": "Susceptibility",
    "gmp": "Largest change",
    "gap": "Mean change over all stays",
}

IMPORTANCE = "Importance to the model (logits)"

RANKED = {
    "touched": "Stays with a change of the variable",
    "s": "Susceptibility, summed over hours",
    "sensitivity": "Sensitivity, summed over hours",
    "gpp": "Share of values changed",
    "ganzp": "Mean size of the changes",
}

BY_HOUR = {
    "s": "Susceptibility, summed over variables",
    "sensitivity": "Sensitivity, summed over variables",
    "gpp": RANKED["gpp"],
    "ganzp": RANKED["ganzp"],
}

SHARES = ("touched", "gpp")
EXAMPLES_SHOWN = ("best", "first")


def in_order(frame: pl.DataFrame, attack: AttackResult) -> pl.DataFrame:
    """Sort rows by variable in the order of the attack."""
    place = {variable.name: index for index, variable in enumerate(attack.variables)}
    return frame.sort(pl.col("variable").replace_strict(place, return_dtype=pl.Int32))


def heat(cells: CellMap | None, attack: AttackResult, label: str, *, percent: bool = False, zero: str = "") -> Heat:
    """Draw a map; None gives an empty one."""
    labels = {variable.name: variable.label for variable in attack.variables}
    place = [] if cells is None else [cells.variables.index(variable) for variable in labels]
    size = attack.n_hours * len(attack.variables)
    values = [None] * size if cells is None else rounded(cells.values[place].ravel().tolist(), 3)
    return Heat(
        hours=attack.n_hours, rows=tuple(labels.values()), values=values, label=label, percent=percent, zero=zero
    )


def map_figure(attack: AttackResult, susceptibility: SusceptibilityResult) -> Figure:
    """Draw the measures over hours and variables."""
    measures = dict(MEASURES)
    variants = {
        f"{condition}|{example}|{measure}": heat(
            measure_map(susceptibility, measure, condition, example), attack, label, percent=measure in SHARES
        )
        for condition in CONDITIONS
        for example in EXAMPLES_SHOWN
        for measure, label in MEASURES.items()
    }
    importance = {condition: importance_map(susceptibility, condition) for condition in CONDITIONS}
    if any(cells is not None for cells in importance.values()):
        measures["importance"] = IMPORTANCE
        for condition, cells in importance.items():
            for example in EXAMPLES_SHOWN:
                variants[f"{condition}|{example}|importance"] = heat(cells, attack, IMPORTANCE)
    return Figure(
        "map",
        "Hours and variables",
        "Choose the direction of the flip and the measure. Point at a cell, or move with the arrow keys, "
        "to read its value. Importance tells what the model leans on in unchanged stays, for comparison.",
        variants,
        (CONDITION_SWITCH, EXAMPLE_SWITCH, Switch("measure", "Measure", tuple(measures.items()))),
        "full",
    )


def _bounds(part: pl.DataFrame, measure: str) -> tuple[Numbers | None, Numbers | None]:
    if f"{measure}_low" not in part.columns:
        return None, None
    return rounded(part[f"{measure}_low"]), rounded(part[f"{measure}_high"])


def ranking_figure(variables: pl.DataFrame, attack: AttackResult) -> Figure:
    """Draw the measures by variable."""

    def series(measure: str, example: str, condition: str) -> Dot:
        part = in_order(variables.filter(pl.col("condition") == condition, pl.col("example") == example), attack)
        low, high = _bounds(part, measure)
        return Dot(name=CONDITION_NAMES[condition].capitalize(), x=rounded(part[measure]), low=low, high=high)

    variants = {
        f"{measure}|{example}": Dots(
            x=Axis(label=label, percent=measure in SHARES, min=0),
            rows=tuple(variable.label for variable in attack.variables),
            series=tuple(series(measure, example, condition) for condition in CONDITIONS),
            bars=True,
            sortable=True,
        )
        for measure, label in RANKED.items()
        for example in EXAMPLES_SHOWN
    }
    return Figure(
        "ranking",
        "Ranking of the variables",
        "One value per variable and direction, with its 95 % interval from resampling the stays. Click a name in the "
        "legend to hide that direction; sort to see the ranking.",
        variants,
        (Switch("measure", "Measure", tuple(RANKED.items())), EXAMPLE_SWITCH),
        "full",
    )


def hours_figure(hours: pl.DataFrame) -> Figure:
    """Draw the measures by hour."""

    def series(measure: str, example: str, place: int, condition: str) -> Line:
        part = hours.filter(pl.col("condition") == condition, pl.col("example") == example).sort("hour")
        low, high = _bounds(part, measure)
        return Line(
            name=CONDITION_NAMES[condition].capitalize(),
            x=part["hour"].to_list(),
            y=rounded(part[measure]),
            low=low,
            high=high,
            dash=place,
        )

    variants = {
        f"{measure}|{example}": Lines(
            x=Axis(label="Hour since ICU admission", whole=True),
            y=Axis(label=label, percent=measure in SHARES, min=0),
            series=tuple(series(measure, example, place, condition) for place, condition in enumerate(CONDITIONS)),
        )
        for measure, label in BY_HOUR.items()
        for example in EXAMPLES_SHOWN
    }
    return Figure(
        "by-hour",
        "Along the stay",
        "The same measures by hour, over all variables. A rise towards the end means that the model listens to the "
        "latest values most.",
        variants,
        (Switch("measure", "Measure", tuple(BY_HOUR.items())), EXAMPLE_SWITCH),
        "full",
    )
