"""Importance to the model beside susceptibility to the attack."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.artifacts import AttackResult
from icudl.report.charts.descriptions import Axis, Line, Lines
from icudl.report.charts.maps import MEASURES, RANKED, in_order
from icudl.report.elements import (
    Block,
    Figure,
    Switch,
    Table,
)
from icudl.report.names import (
    CONDITION_NAMES,
    CONDITION_SWITCH,
)
from icudl.report.wording import columns, interval, numeric, rounded, row


def importance_blocks(tables: Mapping[str, pl.DataFrame], attack: AttackResult) -> list[Block]:
    """Draw importance against susceptibility; nothing where it was not computed."""
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
            points = Line(
                name="Variables",
                x=rounded(joined["importance"]),
                y=rounded(joined[measure]),
                labels=tuple(labels[name] for name in joined["variable"]),
                marks="only",
            )
            variants[f"{condition}|{measure}"] = Lines(
                x=Axis(label="Importance", min=0),
                y=Axis(label=label, percent=measure == "touched", min=0),
                series=(points,),
                named=True,
            )
    figure = Figure(
        "importance",
        "Important or susceptible?",
        "To the right: variables that the model leans on in unchanged stays (mean size of their integrated gradients, "
        "in logits). Upwards: variables that the attack abuses. A variable far to the upper left is a lever that the "
        "model hardly needs and that still turns its predictions; one at the lower right matters and resists.",
        variants,
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
        columns("Prediction", "Over", "Measure", numeric("Points"), numeric("Rank correlation (95 %)")),
        rows,
        "Spearman's rank correlation of importance with a measure of the best examples: 1 where both rank alike, 0 "
        "where they have nothing to do with each other.",
    )
