"""Section of the page: how many predictions were flipped, and by how little."""

from __future__ import annotations

import polars as pl

from icudl.analysis.numbers.attacks.sizes import one_example, sizes_of_changes
from icudl.analysis.numbers.comparison import FEWEST_ATTACKED, AttackLine
from icudl.analysis.numbers.headline import ONE_AT_A_TIME
from icudl.artifacts import AttackResult
from icudl.report.charts.histograms import histogram_grid
from icudl.report.elements import Block, Entry, Note, Section, Table
from icudl.report.names import CONDITION_NAMES, EXAMPLE_NAMES, SPLIT_NAMES, STATUS_NAMES, threat_name
from icudl.report.sections.attack.flips import budget_figure, discovery_figure, fewest_figure
from icudl.report.sections.attack.tables import attack_tables
from icudl.report.study import MAIN, AttackResults, StudyResults
from icudl.report.wording import columns, count, entry, middle_entry, numeric, percent, row

PURPOSES = {
    "": "The attack looks for the smallest change of a record that makes the model predict the opposite.",
    "noise": "A control, no attack: random errors of a given size show how many predictions chance turns.",
    "sweep": "Each value of a record is tried over its range, one at a time: can one wrong number turn the prediction?",
    "exact_value": "Each value of a record is decided over its whole range, one at a time: where none is found, no "
    "single value can turn the prediction.",
    "entry_errors": "Errors that people make when they chart (swapped digits, a shifted decimal point, the wrong unit, "
    "the neighbouring column) are tried one at a time.",
    "pgd": "The attack looks for a change within a given size that makes the model predict the opposite.",
}
FEW_STAYS = 100
"""With fewer attacked stays than this, a share has an interval of 20 points or more."""


def attack_section(study: StudyResults, attack: AttackResults, line: AttackLine) -> Section:
    """Tell what an attack reached.

    Args:
        study: The study.
        attack: One attack on one model and data set.
        line: Its line in the comparison of attacks.
    """
    result, tables = attack.result, attack.susceptibility.tables
    purpose = PURPOSES.get(line.plugin, PURPOSES[""])
    alike = one_example(result)
    sizes = (
        "Sizes are shares of a variable's range between its limits in the training stays: 0.1 of a potassium range "
        "from 3.2 to 5.3 mEq/L is 0.2 mEq/L."
    )
    lead = [
        (
            f"{purpose} Here {threat_name(line.threat_model)}. Every example counted was checked again by an "
            "independent pass through the model."
        ),
        sizes
        if alike
        else (
            "The first example is the first change met that flips the prediction; the search then goes on, and the "
            f"best example is the smallest it finds. {sizes}"
        ),
    ]
    if line.threat_model == "grid" and line.charted is not None:
        lead.insert(0, charted_sentence(line.charted))
    if study.data_named(attack.data).role != MAIN:
        lead.append(f"The stays are those of {attack.data}, an external data set that nothing was fitted on.")
    blocks: list[Block] = [_summary(tables["summary"], alike=alike)]
    attacked = tables["fragility"].height
    if attacked < FEW_STAYS:
        blocks.insert(
            0,
            Note(f"Only {count(attacked, 'stay was', 'stays were')} attacked: the shares below rest on few patients."),
        )
    blocks += attack_tables(result, tables["fragility"], study.proofs_about(attack.model, attack.data))
    if line.plugin not in ONE_AT_A_TIME:
        blocks.append(fewest_figure(tables["smallest_change"]))
    clinical = _clinical_sizes(result, tables["fragility"])
    if clinical.rows:
        blocks.append(clinical)
    else:
        blocks.append(Note("No prediction was flipped. There are no changes to describe."))
    folded: list[Block] = []
    if line.plugin not in ONE_AT_A_TIME:  # of one value there is neither a fewest number nor a search for fewer
        folded.append(discovery_figure(tables["discovery"], alike=alike))
    if tables["budget"].height:
        budget = budget_figure(tables["budget"])
        folded.append(budget.without("example") if alike else budget)
    folded += [
        histogram_grid(tables["perturbation_properties"], tables["fragility"], alike=alike),
        _statuses(tables["statuses"]),
    ]
    section = Section(
        "attack", "How easily predictions are flipped", "Attack", tuple(lead), tuple(blocks), tuple(folded)
    )
    return section.based_on(attack_basis(attack))


def charted_sentence(charted: float) -> str:
    """Say how many of the cells that an attack on the filled-in record changed were ever charted."""
    if charted < 0.5:
        return (
            f"The attack changed mostly cells that were never charted: {percent(1 - charted)} of them had been filled "
            "in, so nobody could have entered them wrongly."
        )
    return f"The attack changed cells of which {percent(charted)} were charted; the others had been filled in."


def attack_basis(attack: AttackResults) -> str:
    """Say which stays the numbers of an attack are about."""
    fragility = attack.susceptibility.tables["fragility"]
    splits = [SPLIT_NAMES.get(split, split) for split in fragility["split"].unique().sort().to_list()]
    among = f" ({' and '.join(splits)})" if splits else ""
    return f"{attack.data}: {count(fragility.height, 'attacked stay')}{among}."


def _summary(summary: pl.DataFrame, *, alike: bool) -> Table:
    rows = []
    shown = summary.filter(pl.col("example") == "best") if alike else summary
    for line in shown.iter_rows(named=True):
        success = line["success"]
        if success is None or line["attacked"] < FEWEST_ATTACKED:
            rate = Entry("–" if success is None else "too few to tell", None)
        else:
            rate = Entry(
                f"{percent(success)} ({percent(line['success_low'])} to {percent(line['success_high'])})", success
            )
        rows.append(
            row(
                CONDITION_NAMES[line["condition"]].capitalize(),
                *(() if alike else (EXAMPLE_NAMES[line["example"]],)),
                line["attacked"],
                line["flipped"],
                rate,
                middle_entry(line["l0_median"]),
                line["l0_mean"],
                line["l1_median"],
                line["linf_median"],
                middle_entry(line["iteration"]),
            )
        )
    return Table(
        "attack-summary",
        "What the attack reached",
        columns(
            "Prediction",
            *(() if alike else ("Example",)),
            numeric("Attacked"),
            numeric("Flipped"),
            numeric("Share flipped (95 %)"),
            numeric("Values changed, median"),
            numeric("Values changed, mean"),
            numeric("Sum of changes, median"),
            numeric("Largest change, median"),
            numeric("Iteration found, median"),
        ),
        tuple(rows),
        "Only stays that the model predicts rightly are attacked, unless the configuration asks for all.",
    )


def _clinical_sizes(attack: AttackResult, fragility: pl.DataFrame) -> Table:
    rows = tuple(
        row(
            each.variable.label,
            each.variable.unit or "no unit",
            CONDITION_NAMES[each.condition],
            each.stays,
            each.values,
            entry(each.median),
            entry(each.high),
            Entry(percent(each.upwards), each.upwards),
        )
        for each in sizes_of_changes(attack, fragility.select("stay_id", "condition"))
    )
    return Table(
        "clinical-sizes",
        "Changes in clinical units",
        columns(
            "Variable",
            "Unit",
            "Prediction",
            numeric("Stays"),
            numeric("Values changed"),
            numeric("Median change"),
            numeric("90th percentile"),
            numeric("Upwards"),
        ),
        rows,
        "Best examples. A median change of 0.3 mEq/L means that half of the changed values moved by less.",
        filtered=True,
    )


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
        columns("Outcome", "Status", numeric("Stays"), numeric("Share of the outcome")),
        rows,
    )
