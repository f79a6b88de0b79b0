"""Section of the page: on which hours and variables predictions depend."""

from __future__ import annotations

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.numbers.attacks.groups import SMALLEST_GROUP
from icudl.analysis.numbers.attacks.sizes import one_example
from icudl.artifacts import AttackResult, SusceptibilityResult
from icudl.report.charts.maps import hours_figure, map_figure, ranking_figure
from icudl.report.elements import (
    Block,
    Entry,
    Note,
    Section,
    Table,
)
from icudl.report.names import (
    CONDITION_NAMES,
)
from icudl.report.sections.attack.importance import importance_blocks
from icudl.report.wording import columns, entry, listed, numeric, percent, row


def susceptibility_section(attack: AttackResult, susceptibility: SusceptibilityResult) -> Section:
    """Tell what predictions depend on."""
    tables = susceptibility.tables
    lead = (
        (
            "Each cell of the maps is one hour of one variable. Dark cells are rarely or little changed, bright ones "
            "often or much; grey ones never. Sizes are shares of a variable's range, so that variables can be compared."
        ),
    )
    blocks: list[Block] = []
    if tables["cells"]["changed"].sum() == 0:
        blocks.append(Note("No prediction was flipped. The maps are empty."))
    else:
        blocks += _thin(tables["fragility"])
    alike = one_example(attack)
    figures = (
        map_figure(attack, susceptibility),
        ranking_figure(tables["variables"], attack),
        hours_figure(tables["hours"]),
    )
    cells, ranking, hours = (figure.without("example") if alike else figure for figure in figures)
    blocks += [cells, ranking]
    folded: list[Block] = [hours, *importance_blocks(tables, attack)]
    folded.append(_ranking_table(tables["variables"], attack))
    return Section("where", "What predictions depend on", "Where", lead, tuple(blocks), tuple(folded))


def _thin(fragility: pl.DataFrame) -> list[Note]:
    flipped = fragility.filter(pl.col("changed").is_not_null())
    few = [
        f"{CONDITION_NAMES[condition]} ({stays:,})"
        for condition in CONDITIONS
        if 0 < (stays := flipped.filter(pl.col("condition") == condition).height) < SMALLEST_GROUP
    ]
    if not few:
        return []
    return [
        Note(
            f"Fewer than {SMALLEST_GROUP} stays were flipped: {listed(few)}. The maps and bars of this direction "
            "describe these stays and claim nothing beyond them."
        )
    ]


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
            numeric("Stays touched"),
            numeric("Share of values changed"),
            numeric("Susceptibility"),
            numeric("Sensitivity"),
            numeric("Mean change"),
            numeric("Largest change"),
            numeric("Mean change, clinical"),
            "Unit",
            numeric("Upwards"),
        ),
        tuple(rows),
        "Best examples; susceptibility and sensitivity are sums over hours, the others pool the hours. The glossary "
        "gives the symbols of the measures.",
        filtered=True,
    )
