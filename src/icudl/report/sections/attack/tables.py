"""Figures of the tables that single attacks add: budgets of pgd, the noise control, the sweep, entry errors."""

from __future__ import annotations

import polars as pl

from icudl.analysis.numbers.attacks.groups import SMALLEST_GROUP
from icudl.analysis.numbers.attacks.maps import single_value_maps
from icudl.analysis.numbers.attacks.single_attacks import (
    Share,
    entry_errors,
    random_errors,
    single_values_at_risk,
    within_budgets,
)
from icudl.analysis.numbers.comparison import FEWEST_ATTACKED
from icudl.analysis.numbers.proofs.both_sides import Missed, missed_by_sweep
from icudl.artifacts import AttackResult, Certificates
from icudl.report.charts.descriptions import Axis, Line, Lines
from icudl.report.charts.maps import heat
from icudl.report.elements import Block, Entry, Figure, Note, Table
from icudl.report.names import CONDITION_NAMES, CONDITION_SWITCH
from icudl.report.wording import columns, count, entry, numeric, percent, rounded, row

ERROR_NAMES = {
    "transposition": "Two digits swapped",
    "decimal": "Decimal point shifted",
    "unit": "Wrong unit",
    "neighbour": "Neighbouring fields swapped",
    "sign": "Sign lost",
    "copy_forward": "Last value entered again",
}


def attack_tables(attack: AttackResult, fragility: pl.DataFrame, proofs: Certificates | None = None) -> list[Block]:
    """Draw the tables of ``attack.curves``; tables that are not known here are left to the artifact.

    Args:
        attack: The attack.
        fragility: Its stays.
        proofs: About the same model and data set, where there are any.
    """
    conditions = fragility.select("stay_id", "condition")
    blocks: list[Block] = []
    if "budgets" in attack.curves:
        blocks.append(_budgets(attack, conditions))
    if "noise" in attack.curves:
        blocks += _noise(attack, conditions)
    if "sweep" in attack.curves and "sweep_flips" in attack.curves:
        blocks += [*_sweep_counts(attack, conditions), *_beside_proofs(attack, proofs), _sweep_map(attack, conditions)]
    if "entry_errors" in attack.curves:
        blocks.append(_entry_errors(attack, conditions))
    return blocks


def _budgets(attack: AttackResult, conditions: pl.DataFrame) -> Figure:
    norm = str(attack.options.get("norm", ""))
    found = within_budgets(attack, conditions)
    series = []
    for place, name in enumerate(dict.fromkeys(each.condition for each in found)):
        own = [each for each in found if each.condition == name]
        series.append(
            Line(
                name=CONDITION_NAMES[name].capitalize(),
                x=rounded([each.budget for each in own]),
                y=rounded([each.share.value for each in own]),
                low=rounded([each.share.low for each in own]),
                high=rounded([each.share.high for each in own]),
                marks="all",
                dash=place,
            )
        )
    in_norm = f" (in the {norm.capitalize()} norm)" if norm else ""
    return Figure(
        "robustness",
        "Success within a budget",
        f"Share of the attacked stays flipped by a change within each budget{in_norm}, with its 95 % "
        "interval. The attack was run for each budget, so this is what an attacker of that strength reaches.",
        Lines(
            x=Axis(label="Budget", log=True),
            y=Axis(label="Stays flipped", percent=True, min=0, max=1),
            series=tuple(series),
        ),
        size="full",
    )


def _noise(attack: AttackResult, conditions: pl.DataFrame) -> list[Block]:
    found = random_errors(attack, conditions)
    if not found:
        return []
    both = found[-1]
    aimed = " It is their aim, more than their size, that turns a prediction." if both.chance < 0.5 else ""
    rows = tuple(
        row(
            CONDITION_NAMES[each.condition].capitalize(),
            each.stays,
            each.draws,
            each.flips,
            Entry(percent(each.chance), each.chance),
            _with_interval(each.any_flip),
        )
        for each in found
    )
    return [
        Note(
            f"Of {count(both.draws, 'random error')} as large as an adversarial change of the same stay, "
            f"{percent(both.chance)} flipped the prediction; the adversarial changes flipped all of these "
            f"stays.{aimed}"
        ),
        Table(
            "noise",
            "Random errors of the same size",
            columns(
                "Prediction",
                numeric("Stays"),
                numeric("Errors drawn"),
                numeric("That flip"),
                numeric("Share"),
                numeric("Stays flipped by any (95 %)"),
            ),
            rows,
            "For each stay the sizes of its smallest adversarial change, scattered over random cells with random "
            "signs.",
        ),
    ]


def _with_interval(share: Share) -> Entry:
    return Entry(f"{percent(share.value)} ({percent(share.low)} to {percent(share.high)})", share.value)


def _sweep_counts(attack: AttackResult, conditions: pl.DataFrame) -> list[Block]:
    told = [each for each in single_values_at_risk(attack, conditions) if each.stays >= FEWEST_ATTACKED]
    if not told:
        return []
    series = tuple(
        Line(
            name=CONDITION_NAMES[each.condition].capitalize(),
            x=each.at_least,
            y=rounded(each.shares),
            marks="all",
            dash=place,
        )
        for place, each in enumerate(told)
    )
    what, how = _tried(attack)
    figure = Figure(
        "sweep-counts",
        f"Single {what} that could flip a prediction",
        f"Share of the stays with at least so many {what} each of which, alone, {how} such that the "
        f"prediction turns. Read it at 1: the share of stays that one changed number can flip.",
        Lines(
            x=Axis(label=f"{what.capitalize()} at risk, at least", whole=True, min=0),
            y=Axis(label="Stays", percent=True, min=0, max=1),
            series=series,
        ),
        size="full",
    )
    return [figure]


def _beside_proofs(attack: AttackResult, proofs: Certificates | None) -> list[Block]:
    """Set the share of stays that the sweep flips beside the exact one, where the same stays were proved."""
    missed = None if proofs is None else missed_by_sweep(proofs, attack)
    if missed is None:
        return []
    rows = tuple(
        row(name, missed.stays, _known_share(missed, share), values)
        for name, share, values in (
            ("Attack", missed.swept, missed.values - missed.missed_values),
            ("Proof: the whole range", missed.proved, missed.values),
        )
    )
    if not missed.values:
        told = "No value of these stays flips a prediction alone, by the proof."
    elif not missed.missed_values:
        told = "The attack missed none of the values that flip a prediction alone."
    else:
        told = (
            f"The attack missed {missed.missed_values:,} of the {count(missed.values, 'value')} that flip a prediction "
            f"alone, and with them {count(missed.missed_stays, 'stay')}."
        )
    if missed.open_stays:
        verb = "is" if missed.open_stays == 1 else "are"
        told += (
            f" The proof leaves {count(missed.open_stays, 'stay')} undecided, which {verb} counted as not flipped: "
            "the true share is at least the one shown."
        )
    return [
        Table(
            "sweep-and-proof",
            "One value: searched and proved",
            columns("How", numeric("Stays"), numeric("Stays flipped (95 %)"), numeric("Values that flip")),
            rows,
            f"The same stays both times: those that the attack tried and the proof looked at. {told}",
        )
    ]


def _known_share(missed: Missed, share: Share) -> Entry:
    if missed.stays < SMALLEST_GROUP:
        hits = round(share.value * missed.stays)
        return Entry(f"{hits:,} of {missed.stays:,}", float(hits))
    return _with_interval(share)


def _tried(attack: AttackResult) -> tuple[str, str]:
    """Say what was tried: of a filled-in matrix most cells were never charted, and nobody can chart them wrongly."""
    if attack.threat_model == "grid":
        return "cells", "charted or filled in, could be changed"
    return "entries", "could be charted wrongly"


def _sweep_map(attack: AttackResult, conditions: pl.DataFrame) -> Figure:
    maps = single_value_maps(attack, conditions)
    variants = {
        name: heat(cells, attack, "Stays at risk", percent=True, zero="no stay") for name, cells in maps.items()
    }
    number = "number in the filled-in record" if attack.threat_model == "grid" else "charted number"
    return Figure(
        "sweep-map",
        "Where one wrong number is enough",
        f"Share of the stays whose prediction one wrong {number} at this hour of this variable can flip.",
        variants,
        (CONDITION_SWITCH,),
        "full",
    )


def _entry_errors(attack: AttackResult, conditions: pl.DataFrame) -> Table:
    rows = []
    for each in entry_errors(attack, conditions):
        plausible = each.tried - each.caught
        share = each.flipped / plausible if plausible else None
        rows.append(
            row(
                ERROR_NAMES[each.kind],
                CONDITION_NAMES[each.condition],
                each.tried,
                each.caught,
                each.flipped,
                entry(None) if share is None else Entry(percent(share), share),
                _with_interval(each.any_flip),
            )
        )
    return Table(
        "entry-errors",
        "Errors that people make",
        columns(
            "Error",
            "Prediction",
            numeric("Tried"),
            numeric("Caught as implausible"),
            numeric("That flip"),
            numeric("Share of the plausible ones"),
            numeric("Stays that one can flip (95 %)"),
        ),
        tuple(rows),
        "Charted values of every attacked stay, with each error that could befall them. An error outside the "
        "plausible range of its variable would be thrown away by the cleaning, and flips nothing.",
        filtered=True,
    )
