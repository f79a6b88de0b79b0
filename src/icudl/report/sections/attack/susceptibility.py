"""Section of the page: on which hours and variables predictions depend."""

from __future__ import annotations

import polars as pl

from icudl.artifacts import AttackResult, SusceptibilityResult
from icudl.report.charts.maps import hours_figure, map_figure, ranking_figure
from icudl.report.elements import (
    Block,
    Entry,
    Note,
    Section,
    Table,
    Terms,
)
from icudl.report.names import (
    CONDITION_NAMES,
)
from icudl.report.sections.attack.importance import importance_blocks
from icudl.report.wording import columns, entry, numeric, percent, row

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
    blocks += [
        map_figure(attack, susceptibility),
        ranking_figure(tables["variables"], attack),
        hours_figure(tables["hours"]),
    ]
    blocks += importance_blocks(tables, attack)
    blocks += [_ranking_table(tables["variables"], attack), TERMS]
    return Section("where", "What predictions depend on", "Where", lead, tuple(blocks))


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
            numeric("GPP"),
            numeric("S"),
            numeric("Sensitivity"),
            numeric("GANZP"),
            numeric("GMP"),
            numeric("GANZP, clinical"),
            "Unit",
            numeric("Upwards"),
        ),
        tuple(rows),
        "Best examples; S and sensitivity are sums over hours, the others pool the hours.",
        filtered=True,
    )
