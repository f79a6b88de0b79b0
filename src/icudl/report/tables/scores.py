"""Scores with their intervals: models side by side, and within groups of patients."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from icudl.analysis.numbers.attacks.groups import SMALLEST_GROUP
from icudl.analysis.numbers.comparison import COMPARED, FEWEST_DEATHS, Estimate, JudgedOn, ModelLine
from icudl.report.elements import Entry
from icudl.report.names import METRIC_NAMES, SPLIT_NAMES, predictor_name, subgroup_name
from icudl.report.tables.base import NOTHING, Kind, Line, PaperTable, counted, estimated, is_small
from icudl.report.wording import count

IN_GROUPS = ("auroc", "auprc", "brier")
"""Scores that are told of groups of patients."""

INTERVALS = "Parentheses hold 95 % intervals over resampled patients."
FEW = f"Scores that rest on fewer than {FEWEST_DEATHS} deaths are not told."


def scores_table(lines: Sequence[ModelLine], *, restricted: bool = False) -> PaperTable:
    """Set the models, and the baselines, side by side on the stays that none of them was fitted on.

    Args:
        lines: Of ``models_side_by_side``, at least one.
        restricted: Whether the data are credentialed: numbers of fewer than ten stays or deaths are masked then.
    """
    first = next((line.model for line in lines if not line.baseline), lines[0].model)
    several = any(line.difference is not None for line in lines)
    rows = []
    for data, split in dict.fromkeys((line.data, line.split) for line in lines):
        group = [line for line in lines if (line.data, line.split) == (data, split)]
        stays, deaths = group[0].stays, group[0].deaths
        alike = all((line.stays, line.deaths) == (stays, deaths) for line in group)
        size = f" ({_size(group[0], restricted=restricted)})" if alike else ""
        rows.append(Line(f"{data}, {SPLIT_NAMES[split]}{size}"))
        for line in group:
            own = "" if alike else f" ({_size(line, restricted=restricted)})"
            cells = [_told(line, line.scores.get(name)) for name in COMPARED]
            if several:
                cells.append(_told(line, line.difference, signed=True))
            rows.append(Line(_name(line) + own, tuple(cells), indented=True))
    heads = [METRIC_NAMES[name] for name in COMPARED]
    notes = [f"{INTERVALS} For AUROC and AUPRC more is better, for the others less. {FEW}"]
    if several:
        heads.append(f"AUROC minus that of {first}")
        notes.append("Differences are paired: both models are scored on the same resamples of the same stays.")
    return PaperTable(
        Kind.SCORES.value, "Scores on stays that the model was not fitted on", "Model", tuple(heads), tuple(rows),
        tuple(notes),
    )  # fmt: skip


def _size(line: ModelLine, *, restricted: bool) -> str:
    numbers = ((line.stays, "stay"), (line.deaths, "death"))
    return ", ".join(
        f"<{SMALLEST_GROUP} {noun}s" if restricted and is_small(number) else count(number, noun)
        for number, noun in numbers
    )


def _name(line: ModelLine) -> str:
    if not line.baseline:
        return line.model
    return f"{predictor_name(line.model)} (baseline{f' of {line.beside}' if line.beside else ''})"


def _told(line: ModelLine, of: Estimate | None, *, signed: bool = False) -> Entry:
    return NOTHING if line.deaths < FEWEST_DEATHS else estimated(of, signed=signed)


def subgroups_table(judged: Sequence[JudgedOn], *, restricted: bool) -> PaperTable | None:
    """Tell the scores of a model within groups of patients; None where no group is large enough.

    Args:
        judged: One model on each group of stays that it is judged on.
        restricted: Whether the data are credentialed: numbers of fewer than ten deaths are masked then.
    """
    rows = []
    for each in judged:
        groups = each.metrics.filter(pl.col("subgroup") != "all", pl.col("stays") >= SMALLEST_GROUP)
        if not groups.height:
            continue
        rows.append(Line(f"{each.data}, {SPLIT_NAMES[each.split]}"))
        for (name,), part in groups.group_by("subgroup", maintain_order=True):
            found = {line["metric"]: line for line in part.iter_rows(named=True)}
            stays, deaths = int(part["stays"][0]), int(part["deaths"][0])
            scores = (
                estimated(Estimate(*(found[metric][bound] for bound in ("value", "low", "high"))))
                if metric in found and deaths >= FEWEST_DEATHS
                else NOTHING
                for metric in IN_GROUPS
            )
            numbers = (counted(stays, restricted=restricted), counted(deaths, restricted=restricted))
            rows.append(Line(subgroup_name(str(name)), (*numbers, *scores), indented=True))
    if not rows:
        return None
    return PaperTable(
        f"{Kind.SUBGROUPS}-{judged[0].model}",
        f"Scores of {judged[0].model} within groups of patients",
        "Group",
        ("Stays", "Deaths", *(METRIC_NAMES[name] for name in IN_GROUPS)),
        tuple(rows),
        (f"{INTERVALS} Groups of fewer than {SMALLEST_GROUP} stays are left out. {FEW}",),
    )
