"""What can go wrong in a record, and does the prediction survive it? Every attack on one model, in one table.

    python studies/physionet2012/attacks.py --path DIR --store runs --out attacks [--stays 200] [--points 5]

A bidirectional LSTM-128 with the read-out ``last_hour`` is trained on set A; stays of set B are attacked: the same ones
in every row. Results lie in the store, so a study that was stopped goes on where it was. Writes ``attacks.md``.
"""

# ruff: noqa: E402 - the allocator must be set before torch is imported

from __future__ import annotations

from icudl.execution.threads import tune_process

tune_process()

import argparse
from pathlib import Path

import polars as pl

import icudl
from icudl.analysis.intervals import wilson
from icudl.artifacts import AttackResult, AttackStatus

MODEL = (
    "source.name=physionet2012",
    'split.test_sets=["b"]',
    "split.folds=2",
    "model.hidden_size=128",
    "model.readout=last_hour",
    "attack.split=test",
)
ROWS: dict[str, tuple[str, ...]] = {
    "any cell, fewest cells": ("attack.name=greedy",),
    "any cell, smallest L1": ("attack.name=proximal",),
    "charted values, fewest": ("attack.name=greedy", "attack.threat_model=measured"),
    "charted values, smallest L1": ("attack.name=proximal", "attack.threat_model=measured"),
    "one charted value, any plausible number": ("attack.name=sweep", "attack.threat_model=measured"),
    "one entry error people make": ("attack.name=entry_errors", "attack.threat_model=measured"),
    "random error as large as greedy's, any cell": ("attack.name=noise",),
    "random error as large as greedy's, charted values": ("attack.name=noise", "attack.threat_model=measured"),
}
HEADER = (
    "| what may go wrong | stays | flipped (95 % interval) | changed values, median (middle half) | "
    "size of a change, median | share of all errors tried that flip |\n|---|---|---|---|---|---|"
)


def share_of_errors(result: AttackResult, name: str) -> str:
    """Return how many of the single errors or draws of an attack that enumerates them flip, of how many."""
    if name == "sweep":
        table = result.curves["sweep"]
        flips, tried = table["at_risk"].sum(), table["entries"].sum()
    elif name == "noise":
        table = result.curves["noise"]
        flips, tried = table["flips"].sum(), table["draws"].sum()
    elif name == "entry_errors":
        table = result.curves["entry_errors"]
        flips = sum(table[column].sum() for column in table.columns if column.endswith("_flips"))
        tried = sum(table[column].sum() for column in table.columns if column.endswith("_tried"))
    else:
        return ""
    return f"{100 * flips / tried:.2f} % of {tried:,}"


def most_changed(result: AttackResult, n_variables: int = 3) -> str:
    """Return the variables changed in most stays, with the median size of their change in clinical units."""
    best = result.perturbations.filter(pl.col("example") == "best")
    if best.is_empty():
        return ""
    sizes = (
        best.with_columns((pl.col("after_clinical") - pl.col("before_clinical")).abs().alias("size"))
        .group_by("variable")
        .agg(pl.col("stay_id").n_unique().alias("stays"), pl.col("size").median())
        .sort("stays", "variable", descending=[True, False])
        .head(n_variables)
    )
    named = [(result.variables[row["variable"]], row["size"]) for row in sizes.iter_rows(named=True)]
    return ", ".join(f"{variable.label} {size:.3g} {variable.unit}" for variable, size in named)


def row_of(title: str, result: AttackResult, name: str) -> str:
    """Return a line of the table."""
    attacked = result.stays.filter(pl.col("status") != AttackStatus.MISCLASSIFIED)
    flipped = attacked.filter(pl.col("status") == AttackStatus.SUCCESS)
    share, low, high = wilson(len(flipped), len(attacked))
    cells = flipped["best_l0"]
    changed = ""
    if len(flipped):
        middle = [cells.quantile(level, "nearest") for level in (0.25, 0.75)]
        changed = f"{cells.median():.0f} ({middle[0]:.0f}-{middle[1]:.0f})"
    return (
        f"| {title} | {len(attacked)} | {100 * share:.0f} % ({100 * low:.0f}-{100 * high:.0f}) | {changed} | "
        f"{most_changed(result)} | {share_of_errors(result, name)} |"
    )


def errors_by_kind(result: AttackResult) -> list[str]:
    """Return a table of the kinds of entry errors: how many reach the model, and how many of those flip."""
    table = result.curves["entry_errors"]
    lines = [
        "| kind of error | possible | caught by the plausible range | reach the model and flip |",
        "|---|---|---|---|",
    ]
    for column in table.columns:
        kind = column.removesuffix("_tried")
        if kind != column:
            tried, caught, flips = (int(table[f"{kind}_{what}"].sum()) for what in ("tried", "caught", "flips"))
            share = f" ({100 * flips / (tried - caught):.2f} %)" if tried > caught else ""
            lines.append(f"| {kind} | {tried:,} | {caught:,} | {flips:,}{share} |")
    return lines


def main() -> None:
    """Run every attack that is not in the store yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", required=True, help="folder of the challenge's archives")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--out", type=Path, default=Path("attacks"))
    parser.add_argument("--stays", type=int, default=200)
    parser.add_argument("--points", type=int, default=5, help="values that the sweep tries over each range")
    args = parser.parse_args()
    common = (
        *MODEL,
        f"source.path={args.path}",
        f"attack.max_stays={args.stays}",
    )
    lines, kinds = [HEADER], []
    for title, settings in ROWS.items():
        points = (f"attack.sweep_points={args.points}",) if "attack.name=sweep" in settings else ()
        result = icudl.Pipeline(icudl.load_config(settings=[*common, *settings, *points]), args.store).run("attack")
        name = str(result.options["name"])
        lines.append(row_of(title, result, name))
        print(lines[-1], flush=True)
        if name == "entry_errors":
            kinds = errors_by_kind(result)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "attacks.md").write_text("\n".join([*lines, "", *kinds]) + "\n")


if __name__ == "__main__":
    main()
