"""Section of the page: how many predictions were flipped, and by how little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.artifacts import AttackResult, GridDataset, SusceptibilityResult
from icudl.report.charts.histograms import histogram_grid
from icudl.report.elements import (
    Block,
    Entry,
    Note,
    Section,
    Table,
)
from icudl.report.names import (
    CONDITION_NAMES,
    EXAMPLE_NAMES,
    STATUS_NAMES,
)
from icudl.report.sections.attack_tables import attack_tables
from icudl.report.sections.flips import budget_figure, discovery_figure, fewest_figure
from icudl.report.sections.fragility import fragility_blocks
from icudl.report.wording import columns, count, entry, percent, row

PURPOSES = {
    "": "The attack looks for the smallest change of a record that makes the model predict the opposite.",
    "noise": "A control, no attack: random errors of a given size show how many predictions chance turns.",
    "sweep": "Each value of a record is tried over its range, one at a time: can one wrong number turn it?",
    "entry_errors": "Errors that people make when they chart (swapped digits, a shifted decimal point, the wrong unit, "
    "the neighbouring column) are tried one at a time.",
    "pgd": "The attack looks for a change within a given size that makes the model predict the opposite.",
}
THREATS = {
    "grid": "any hour of any variable may be changed, within the limits of the training stays",
    "measured": "only charted values may be changed, within the plausible range of the variable",
    "sweep": "exactly one charted value may be changed, over its plausible range",
}

FEW_STAYS = 100
"""With fewer attacked stays than this, a share has an interval of 20 points or more."""


def attack_section(grid: GridDataset, attack: AttackResult, susceptibility: SusceptibilityResult) -> Section:
    """Tell what the attack reached."""
    tables = susceptibility.tables
    threat = THREATS.get(attack.threat_model, attack.threat_model)
    purpose = PURPOSES.get(str(attack.options.get("name", "")), PURPOSES[""])
    lead = (
        (f"{purpose} Here {threat}. Every example counted was checked again by an independent pass through the model."),
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
        blocks.append(fewest_figure(tables["smallest_change"]))
    blocks.append(discovery_figure(tables["discovery"]))
    if "budget" in tables and tables["budget"].height:
        blocks.append(budget_figure(tables["budget"]))
    blocks += fragility_blocks(grid, tables["fragility"])
    blocks.append(histogram_grid(tables["perturbation_properties"], tables["fragility"]))
    blocks += attack_tables(attack, tables["fragility"])
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
    conditions = tables["fragility"].select("stay_id", "condition")
    found = [_sizes_of(attack, index, conditions) for index in range(len(attack.variables))]
    rows = [
        row(
            variable.label,
            variable.unit or "no unit",
            CONDITION_NAMES[name],
            line["stays"],
            line["values"],
            entry(line["median"]),
            entry(line["high"]),
            Entry(percent(line["up"]), line["up"]),
        )
        for name in CONDITIONS
        for variable, lines in zip(attack.variables, found, strict=True)
        for line in lines
        if line["condition"] == name
    ]
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


def _sizes_of(attack: AttackResult, variable: int, conditions: pl.DataFrame) -> list[dict[str, Any]]:
    """Describe the changes of one variable, by condition; of a large attack only these are held."""
    size = (pl.col("after_clinical") - pl.col("before_clinical")).abs().cast(pl.Float64)
    described = attack.ask(
        "perturbations",
        lambda changes: (
            changes.filter(pl.col("example") == "best", pl.col("variable") == variable)
            .join(conditions.lazy(), on="stay_id", how="inner")
            .group_by("condition")
            .agg(
                stays=pl.col("stay_id").n_unique(),
                values=pl.len(),
                median=size.median(),
                high=size.quantile(0.9),
                up=(pl.col("change") > 0).mean(),
            )
        ),
    )
    return described.to_dicts()


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
