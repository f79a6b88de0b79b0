"""What attacks reached: side by side, and within groups of patients."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.numbers.attacks.groups import SMALLEST_GROUP, FlippedShare, few_changes, flipped_by_group
from icudl.analysis.numbers.comparison import FEWEST_ATTACKED, AttackLine, Flips
from icudl.report.elements import Entry
from icudl.report.names import short_threat, subgroup_name
from icudl.report.tables.base import NOTHING, Kind, Line, PaperTable, counted, is_small, share
from icudl.report.wording import count, entry, percent

DIRECTIONS = ("Survival to death", "Death to survival")


def attacks_table(lines: Sequence[AttackLine], *, restricted: bool = False) -> PaperTable:
    """Set the attacks side by side.

    Args:
        lines: Of ``attack_line``, at least one.
        restricted: Whether the data are credentialed: numbers of fewer than ten stays are masked then.
    """
    rows = []
    for data in dict.fromkeys(line.data for line in lines):
        rows.append(Line(data))
        for line in lines:
            if line.data == data:
                cells = (
                    counted(line.flips["both"].attacked, restricted=restricted),
                    *(_flipped(line.flips[name]) for name in (*CONDITIONS, "both")),
                    NOTHING if restricted and is_small(line.flips["both"].flipped) else entry(line.fewest),
                    NOTHING if line.charted is None else Entry(percent(line.charted), line.charted),
                )
                rows.append(Line(f"{line.model}, {line.attack}", cells, indented=True))
    methods = {
        line.attack: ", ".join(word for word in (line.plugin, short_threat(line.threat_model, line.plugin)) if word)
        for line in lines
    }
    return PaperTable(
        Kind.ATTACKS.value,
        "Stays whose prediction an attack flips",
        "Model, attack",
        ("Stays attacked", *DIRECTIONS, "Both", "Fewest changes, median", "Changes to charted cells"),
        tuple(rows),
        (
            (
                "Shares are of the stays attacked, which the model gets right; parentheses hold 95 % intervals "
                f"(Wilson). Shares of fewer than {FEWEST_ATTACKED} stays are not told. The median is that of the "
                "flipped stays."
            ),
            (
                "Attacks that may change different things answer different questions. "
                f"{'; '.join(f'{attack}: {method}' for attack, method in methods.items())}."
            ),
        ),
    )


def _flipped(flips: Flips) -> Entry:
    return NOTHING if flips.attacked < FEWEST_ATTACKED else share(flips.share)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Fragile:
    """The stays of one attack.

    Attributes:
        model: Name of the model.
        attack: Name of the attack.
        data: Name of the data set.
        fragility: Table ``fragility`` of the analysis.
        stays: Stays of the data set (``STAYS_SCHEMA``).
    """

    model: str
    attack: str
    data: str
    fragility: pl.DataFrame
    stays: pl.DataFrame


def fragility_table(attacks: Sequence[Fragile], *, restricted: bool) -> PaperTable | None:
    """Tell within groups of patients how many stays an attack flips; None where no group is large enough.

    Args:
        attacks: The same attack on the same model, on each data set.
        restricted: Whether the data are credentialed: numbers of fewer than ten stays are masked then.
    """
    rows = []
    for each in attacks:
        groups = flipped_by_group(each.fragility, each.stays) if each.fragility.height else {}
        if groups:
            rows.append(Line(f"{each.data}: few is at most {count(few_changes(each.fragility), 'value')}"))
        for name, by_condition in groups.items():
            cells = [
                cell for condition in CONDITIONS for cell in _group(by_condition[condition], restricted=restricted)
            ]
            rows.append(Line(subgroup_name(name), tuple(cells), indented=True))
    if not rows:
        return None
    told = attacks[0]
    return PaperTable(
        f"{Kind.FRAGILITY}-{told.model}-{told.attack}",
        f"Stays whose prediction {told.attack} flips, within groups of patients: {told.model}",
        "Group",
        tuple(f"{head}: {what}" for head in DIRECTIONS for what in ("stays", "flipped", "by few")),
        tuple(rows),
        (
            (
                "Shares are of the attacked stays of the group, flipped by any number of changes and by few; "
                f"parentheses hold 95 % intervals (Wilson). Groups of fewer than {SMALLEST_GROUP} stays are left out, "
                "and so are shares of fewer."
            ),
        ),
    )


def _group(of: FlippedShare, *, restricted: bool) -> tuple[Entry, Entry, Entry]:
    return counted(of.stays, restricted=restricted), share(of.all), share(of.few)
