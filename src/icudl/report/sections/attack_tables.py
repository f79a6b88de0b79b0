"""Figures of the tables that single attacks add: budgets of pgd, the noise control, the sweep, entry errors."""

from __future__ import annotations

from typing import Any

import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.intervals import wilson
from icudl.artifacts import AttackResult
from icudl.report.elements import Block, Entry, Figure, Note, Table
from icudl.report.names import CONDITION_NAMES, CONDITION_SWITCH
from icudl.report.wording import columns, count, entry, percent, rounded, row

ERROR_NAMES = {
    "transposition": "Two digits swapped",
    "decimal": "Decimal point shifted",
    "unit": "Wrong unit",
    "neighbour": "Neighbouring fields swapped",
    "sign": "Sign lost",
    "copy_forward": "Last value entered again",
}
"""Kinds of entry errors, in the order of their codes in the table ``entry_flips``."""


def attack_tables(attack: AttackResult, fragility: pl.DataFrame) -> list[Block]:
    """Draw the tables of ``attack.curves``; tables that are not known here are left to the artifact."""
    condition = fragility.select("stay_id", "condition")
    found = {
        name: table.join(condition, on="stay_id", how="inner", maintain_order="left")
        for name, table in attack.curves.items()
        if "stay_id" in table.columns
    }
    blocks: list[Block] = []
    if "budgets" in found:
        blocks.append(_budgets(found["budgets"], str(attack.options.get("norm", ""))))
    if "noise" in found:
        blocks += _noise(found["noise"])
    if "sweep" in found and "sweep_flips" in found:
        blocks += _sweep(found["sweep"], found["sweep_flips"], attack)
    if "entry_errors" in found:
        blocks.append(_entry_errors(found["entry_errors"]))
    return blocks


def _budgets(table: pl.DataFrame, norm: str) -> Figure:
    series = []
    for place, name in enumerate(CONDITIONS):
        shares = table.filter(pl.col("condition") == name).group_by("budget").agg(pl.col("flipped").sum(), n=pl.len())
        shares = shares.sort("budget")
        bounds = [wilson(int(hits), int(n)) for hits, n in shares.select("flipped", "n").iter_rows()]
        if bounds:
            estimate, low, high = (rounded([bound[side] for bound in bounds]) for side in range(3))
            series.append(
                {"name": CONDITION_NAMES[name].capitalize(), "x": rounded(shares["budget"]), "y": estimate}
                | {"low": low, "high": high, "marks": True, "dash": place}
            )
    in_norm = f" (in the {norm.capitalize()} norm)" if norm else ""
    return Figure(
        "robustness",
        "Success within a budget",
        f"Share of the attacked stays flipped by a change within each budget{in_norm}, with its 95 % "
        "interval. The attack was run for each budget, so this is what an attacker of that strength reaches.",
        {
            "kind": "lines",
            "x": {"label": "Budget", "log": True},
            "y": {"label": "Stays flipped", "percent": True, "min": 0, "max": 1},
            "series": series,
        },
        size="full",
    )


def _noise(table: pl.DataFrame) -> list[Block]:
    draws, flips = int(table["draws"].sum()), int(table["flips"].sum())
    if not draws:
        return []
    rows = []
    for name in (*CONDITIONS, "both"):
        part = table.filter(pl.col("draws") > 0)
        part = part if name == "both" else part.filter(pl.col("condition") == name)
        if part.height:
            any_flip = wilson(int((part["flips"] > 0).sum()), part.height)
            chance = int(part["flips"].sum()) / int(part["draws"].sum())
            rows.append(
                row(
                    CONDITION_NAMES[name].capitalize(),
                    part.height,
                    int(part["draws"].sum()),
                    int(part["flips"].sum()),
                    Entry(percent(chance), chance),
                    _with_interval(any_flip),
                )
            )
    return [
        Note(
            f"Of {count(draws, 'random error')} as large as an adversarial change of the same stay, "
            f"{percent(flips / draws)} flipped the prediction; the adversarial changes flipped all of these stays. "
            + ("It is their aim, more than their size, that turns a prediction." if 2 * flips < draws else "")
        ),
        Table(
            "noise",
            "Random errors of the same size",
            columns("Prediction", "#Stays", "#Errors drawn", "#That flip", "#Share", "#Stays flipped by any (95 %)"),
            tuple(rows),
            "For each stay the sizes of its smallest adversarial change, scattered over random cells with random "
            "signs.",
        ),
    ]


def _with_interval(bounds: tuple[float, float, float]) -> Entry:
    share, low, high = bounds
    return Entry(f"{percent(share)} ({percent(low)} to {percent(high)})", share)


def _sweep(sweep: pl.DataFrame, flips: pl.DataFrame, attack: AttackResult) -> list[Block]:
    return [_sweep_counts(sweep), _sweep_map(sweep, flips, attack)]


def _sweep_counts(sweep: pl.DataFrame) -> Figure:
    series = []
    for place, name in enumerate(CONDITIONS):
        at_risk = sweep.filter(pl.col("condition") == name)["at_risk"]
        if at_risk.len():
            counts = sorted({0, *at_risk.to_list()})
            shares = [float((at_risk >= most).mean()) for most in counts]
            series.append(
                {"name": CONDITION_NAMES[name].capitalize(), "x": counts, "y": rounded(shares), "dash": place}
            )
    return Figure(
        "sweep-counts",
        "Single entries that could flip a prediction",
        "Share of the stays with at least so many entries each of which, alone, could be charted wrongly such that the "
        "prediction turns. Read it at 1: the share of stays that one wrong number can flip.",
        {
            "kind": "lines",
            "x": {"label": "Entries at risk, at least", "min": 0},
            "y": {"label": "Stays", "percent": True, "min": 0, "max": 1},
            "series": series,
        },
        size="full",
    )


def _sweep_map(sweep: pl.DataFrame, flips: pl.DataFrame, attack: AttackResult) -> Figure:
    n_variables = len(attack.variables)
    variants = {}
    for name in CONDITIONS:
        stays = max(1, sweep.filter(pl.col("condition") == name).height)
        values = [0.0] * (attack.n_hours * n_variables)
        cells = flips.filter(pl.col("condition") == name).select("stay_id", "hour", "variable").unique()
        for hour, variable, n in cells.group_by("hour", "variable").agg(n=pl.len()).iter_rows():
            values[variable * attack.n_hours + hour] = n / stays
        variants[name] = {"values": rounded(values, 3)}
    return Figure(
        "sweep-map",
        "Where one wrong number is enough",
        "Share of the stays whose prediction can be flipped by one wrong value at this hour of this variable.",
        {
            "kind": "heat",
            "hours": attack.n_hours,
            "rows": [variable.label for variable in attack.variables],
            "label": "Stays at risk",
            "zero": "no stay",
            "percent": True,
            "variants": variants,
        },
        (CONDITION_SWITCH,),
        "full",
    )


def _entry_errors(table: pl.DataFrame) -> Table:
    rows: list[tuple[Any, ...]] = []
    for name in CONDITIONS:
        part = table.filter(pl.col("condition") == name)
        for kind, words in ERROR_NAMES.items():
            if not part.height or f"{kind}_tried" not in part.columns:
                continue
            tried, caught, flipped = (int(part[f"{kind}_{what}"].sum()) for what in ("tried", "caught", "flips"))
            plausible = tried - caught
            rows.append(
                row(
                    words,
                    CONDITION_NAMES[name],
                    tried,
                    caught,
                    flipped,
                    entry(None) if not plausible else Entry(percent(flipped / plausible), flipped / plausible),
                    _with_interval(wilson(int((part[f"{kind}_flips"] > 0).sum()), part.height)),
                )
            )
    return Table(
        "entry-errors",
        "Errors that people make",
        columns(
            "Error",
            "Prediction",
            "#Tried",
            "#Caught as implausible",
            "#That flip",
            "#Share of the plausible ones",
            "#Stays that one can flip (95 %)",
        ),
        tuple(rows),
        "Every charted value of every attacked stay, with each error that could befall it. An error outside the "
        "plausible range of its variable would be thrown away by the cleaning, and flips nothing.",
        filtered=True,
    )
