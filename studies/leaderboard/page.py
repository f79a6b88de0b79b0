"""The page of the leaderboard, in Markdown."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from numbers_of_rows import PER, Number

import icudl
from icudl.config.document import to_toml
from icudl.config.schema import Config, Model
from icudl.models.options import NetworkOptions
from icudl.options import Options

COLUMNS: Mapping[str, str] = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "min_se_ppv": "min(Se, P+)",
    "ece": "ECE",
    "one_value": "flipped by one charted value",
    "entry_error": "by one entry error",
    "fewest": "fewest values, median",
    "reversed": "verdicts reversed per 1,000",
    "responds": "derangements answered",
}
SHARES = ("one_value", "entry_error", "responds")

INTRODUCTION = """# Leaderboard

Model families and trainings on PhysioNet 2012: how well does each predict, and how little reverses its verdict? This
page is written by

    {command}

with version {version}. Set A trains ({fitted:,} stays), set B is scored ({scored:,} stays). {drawn} stays of set B, the
same for every row, are attacked and probed, and an attack asks only about those that the model has right. Early
stopping, calibration and threshold use patients taken out of set A. A number is the mean over seeds; behind it stands
its 95 % interval, over resampled stays, not over seeds.

* **Flipped by one charted value**: the share of stays whose verdict some plausible number flips, in the place of one
  entry. {points} numbers are tried over the range of each, so the true share may be somewhat larger.
* **By one entry error**: the same, of the mistakes that people make (`entry_errors`).
* **Fewest values**: how many charted values a greedy search changes until the verdict flips; stays that it cannot flip
  count as infinitely many.
* **Verdicts reversed per 1,000**: expected at {rate:.1%} wrong entries
  ([decision 0120](../decisions/0120-wrong-verdicts.md)).
* **Derangements answered**: of the records in which a derangement is charted over the last day, the share whose risk
  rises by a point or more. A blind model is perfectly robust, so this must not fall.

`-` stands where a part was not computed, and a row that was not computed is left out. The calibration error (ECE) of
resampled stays is larger on average than that of all of them, so its interval may lie above the number.
"""

OUTLOOK = """
## A row of your own

A row is a table `[models.NAME]`, and its training a table `[models.NAME.robust]`
([how to](../howto/train_a_robust_model.md)). Put yours into a file, a model of another library with
`model = "outside"` ([how to](../howto/audit_your_model.md)), and run

    python studies/leaderboard/leaderboard.py --path DIR --out leaderboard --add mine.toml

What is computed already is not computed again.
"""


def page(
    config: Config,
    numbers: Mapping[str, Mapping[str, Number]],
    seeds: Mapping[str, Sequence[int]],
    facts: Mapping[str, Any],
) -> str:
    """Return the page.

    Args:
        config: The study.
        numbers: By model and column.
        seeds: Of each model.
        facts: What the introduction says: command, fitted, scored, drawn, points, rate, against.
    """
    lines = [INTRODUCTION.format(version=icudl.__version__, **facts)]
    lines += [f"| model | training | seeds | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 3) + "|"]
    for name, found in numbers.items():
        entry = config.models[name]
        cells = [_cell(column, found.get(column)) for column in COLUMNS]
        lines.append(
            f"| `{name}` | {training_of(entry, config.shared['inputs'])} | {len(seeds[name])} | {' | '.join(cells)} |"
        )
    against = str(facts["against"])
    if against in numbers:
        lines += _differences(numbers, against)
    return "\n".join(lines) + "\n" + OUTLOOK


def training_of(entry: Model, inputs: Options) -> str:
    """Return what a row changes of the usual inputs and training, in the words of the options."""
    changed = _differing(entry.inputs, inputs)
    if entry.robust.active:
        changed += _differing(entry.robust, type(entry.robust)())
    if isinstance(entry.model, NetworkOptions) and entry.model.in_parts:
        changed += [f"parts {entry.model.parts}", f"parts_limit {to_toml(entry.model.parts_limit)}"]
    return ", ".join(changed) or "usual"


def _differing(options: Options, usual: Options) -> list[str]:
    fields = [field.name for field in dataclasses.fields(options)]
    changed = {name: getattr(options, name) for name in fields if getattr(options, name) != getattr(usual, name)}
    return [f"{name} {to_toml(value)}" for name, value in changed.items()]


def _cell(column: str, number: Number | None) -> str:
    if number is None:
        return "-"
    low, high = number.interval()
    return f"{_text(column, number.value)} ({_text(column, low)} to {_text(column, high)})"


def _text(column: str, value: float) -> str:
    if column in SHARES:
        return f"{100 * value:.0f} %"
    if column == "reversed":
        return f"{PER * value:.1f}"
    if column == "fewest":
        return "none" if math.isinf(value) else f"{value:g}"
    return f"{value:.3f}"


def _differences(numbers: Mapping[str, Mapping[str, Number]], against: str) -> list[str]:
    asked = ("auroc", "auprc", "one_value", "entry_error", "reversed", "responds")
    lines = [
        "",
        f"Paired differences to `{against}`, on the same resamples of the same stays; shares in percentage points:",
        "",
        f"| model | {' | '.join(COLUMNS[column] for column in asked)} |",
        "|---" * (len(asked) + 1) + "|",
    ]
    first = numbers[against]
    for name, found in numbers.items():
        if name == against:
            continue
        cells = []
        for column in asked:
            if column not in found or column not in first:
                cells.append("-")
                continue
            scale = 100 if column in SHARES else PER if column == "reversed" else 1
            digits = 0 if column in SHARES else 1 if column == "reversed" else 3
            change = [scale * part for part in found[column].minus(first[column])]
            cells.append("{:+.{d}f} ({:+.{d}f} to {:+.{d}f})".format(*change, d=digits))
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines
