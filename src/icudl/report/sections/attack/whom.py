"""For whom predictions are fragile: groups of patients, and how sure the model was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.numbers.attacks.groups import (
    SMALLEST_GROUP,
    FlippedShare,
    few_changes,
    flipped_by_group,
    flipped_by_risk,
)
from icudl.analysis.numbers.attacks.single_attacks import Share
from icudl.artifacts import GridDataset
from icudl.report.charts.descriptions import Axis, Dot, Dots, Line, Lines
from icudl.report.elements import Block, Figure, Section, Switch
from icudl.report.names import CONDITION_NAMES, CONDITION_SWITCH, subgroup_name
from icudl.report.sections.attack.results import attack_basis
from icudl.report.study import AttackResults, StudyResults
from icudl.report.wording import count, rounded


def whom_section(study: StudyResults, attack: AttackResults) -> Section:
    """Tell for whom, and at which risks, an attack flips predictions.

    Args:
        study: The study.
        attack: One attack on one model and data set.
    """
    grid, fragility = study.data_named(attack.data).grid, attack.susceptibility.tables["fragility"]
    blocks = _blocks(grid, fragility) if fragility.height >= SMALLEST_GROUP else []
    lead = (
        "Groups are those of the attacked stays. One is more fragile than another only where their intervals part.",
    )
    section = Section("whom-groups", "For whom, and at which risks", "Whom", lead, tuple(blocks))
    return section.based_on(attack_basis(attack))


def _blocks(grid: GridDataset, fragility: pl.DataFrame) -> list[Block]:
    few = few_changes(fragility)
    measures = {
        "few": f"Flipped by at most {count(few, 'changed value')}",
        "all": "Flipped by any number of changes",
    }
    if fragility.filter(pl.col("changed") > few).is_empty():
        del measures["all"]
    blocks: list[Block] = [_by_risk(flipped_by_risk(fragility), measures)]
    groups = flipped_by_group(fragility, grid.stays)
    told = {
        name: group
        for name, group in groups.items()
        if any(math.isfinite(_share(of, measure).value) for of in group.values() for measure in measures)
    }
    if not told:
        return blocks
    figure = _by_group(told, measures)
    return [figure if len(measures) > 1 else figure.without("measure"), *blocks]


def _share(of: FlippedShare, measure: str) -> Share:
    return of.few if measure == "few" else of.all


def _note(of: FlippedShare) -> str:
    median = "–" if of.median is None else f"{of.median:g}"
    return f"{count(of.stays, 'attacked stay')}, median {median} changed"


def _by_group(groups: Mapping[str, Mapping[str, FlippedShare]], measures: Mapping[str, str]) -> Figure:
    def series(condition: str, measure: str) -> Dot:
        found = [group[condition] for group in groups.values()]
        shares = [_share(each, measure) for each in found]
        return Dot(
            name=CONDITION_NAMES[condition].capitalize(),
            x=rounded([share.value for share in shares]),
            low=rounded([share.low for share in shares]),
            high=rounded([share.high for share in shares]),
            notes=tuple(_note(each) for each in found),
        )

    return Figure(
        "fragile-groups",
        "For whom predictions are fragile",
        "Share of the attacked stays of each group whose prediction is flipped, with its 95 % interval. Groups with "
        f"fewer than {SMALLEST_GROUP} attacked stays are left out. Only intervals that stay apart speak of a "
        "difference.",
        {
            measure: Dots(
                x=Axis(label=label, percent=True, min=0, max=1),
                rows=tuple(subgroup_name(name) for name in groups),
                series=tuple(series(condition, measure) for condition in CONDITIONS),
                sortable=True,
            )
            for measure, label in measures.items()
        },
        (Switch("measure", "Share", tuple(measures.items())),),
        "full",
    )


def _by_risk(by_risk: Mapping[str, Sequence[FlippedShare]], measures: Mapping[str, str]) -> Figure:
    def line(groups: Sequence[FlippedShare], measure: str, label: str, place: int) -> Line:
        shares = [_share(each, measure) for each in groups]
        return Line(
            name=label,
            x=rounded([float("nan") if each.risk is None else each.risk for each in groups]),
            y=rounded([share.value for share in shares]),
            low=rounded([share.low for share in shares]),
            high=rounded([share.high for share in shares]),
            marks="all",
            dash=place,
        )

    return Figure(
        "fragile-risks",
        "How sure the model was",
        "Attacked stays sorted by the risk they were given, in groups of equal size: the share flipped, with its 95 % "
        "interval. Predictions close to the decision threshold fall first; a curve that stays high far from it means "
        "that even confident predictions depend on few values.",
        {
            condition: Lines(
                x=Axis(label="Predicted risk before the change", percent=True),
                y=Axis(label="Stays flipped", percent=True, min=0, max=1),
                series=tuple(
                    line(groups, measure, label, place) for place, (measure, label) in enumerate(measures.items())
                ),
            )
            for condition, groups in by_risk.items()
        },
        (CONDITION_SWITCH,),
        "full",
    )
