"""The picture of the first screen: a stay before and after, or, where no stay may be shown, all of them together."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from icudl.analysis.numbers.headline import Headline, Question, reached_by, telling_stay
from icudl.artifacts import GridDataset, TrainingResult
from icudl.report.elements import SharesPicture, StayPicture
from icudl.report.sections.attack.explorer import as_charted, pack_stays, who
from icudl.report.study import AttackResults, StudyResults
from icudl.report.wording import count, listed, number, risks

BOUNDS = (1, 2, 5, 10)
MOST_CHANGES = 3
"""Changes that the words below a picture spell out."""

_SLACK = 0.01
"""Part of the width between the limits by which a value must lie beyond one of them to be spoken of."""


def stay_picture(study: StudyResults, attack: AttackResults) -> StayPicture | None:
    """Return the stay that shows best what an attack does; None where it flipped none."""
    data, training = study.data_named(attack.data), study.model_named(attack.model).training
    fragility = attack.susceptibility.tables["fragility"]
    stay = telling_stay(attack.result, fragility, data.grid)
    if stay is None:
        return None
    chosen = fragility.filter(pl.col("stay_id") == stay)
    line = chosen.row(0, named=True)
    described = who(data.grid.stays.filter(pl.col("stay_id") == stay).row(0, named=True))
    outcome = "died in hospital" if line["label"] else "left hospital alive"
    alike = fragility.filter(pl.col("changed") == line["changed"]).height
    rule = (
        f" Of the {alike:,} stays that {_values(line['changed'])} can flip, this is one whose risk moves most."
        if alike > 1
        else ""
    )
    return StayPicture(
        title=f"Stay {stay}{f': {described}' if described else ''}; {outcome}",
        text=f"{_changed(attack, line)}{rule}{_cut(data.grid, training, attack, line)}",
        pack=pack_stays(data.grid, training, attack.result, chosen),
    )


def _cut(grid: GridDataset, training: TrainingResult, attack: AttackResults, line: dict[str, Any]) -> str:
    """Return a sentence for each changed variable with values that a network does not see as they are."""
    if as_charted(training):
        return ""
    scaler = training.checkpoints[line["member"]].scaler
    row = int(np.flatnonzero(grid.stay_ids == line["stay_id"])[0])
    changes = attack.result.ask("perturbations", lambda table: table.filter(_is_best_of(line["stay_id"])))
    sentences = []
    for index in sorted(set(changes["variable"].to_list()))[:MOST_CHANGES]:
        variable = attack.result.variables[index]
        after = changes.filter(pl.col("variable") == index)["after_clinical"].to_numpy()
        values = np.concatenate([grid.values[row, :, index], after]).astype(np.float64)
        for value, limit, word in (
            (np.nanmax(values), scaler.upper[index], "most"),
            (np.nanmin(values), scaler.lower[index], "least"),
        ):
            beyond = value - limit if word == "most" else limit - value
            if beyond > _SLACK * (scaler.upper[index] - scaler.lower[index]):
                seen, charted = number(float(limit)), number(float(value))
                sentences.append(
                    f" Of {variable.label} {charted} the model sees {f'{seen} {variable.unit}'.strip()} at {word}."
                )
    return "".join(sentences)


def _is_best_of(stay: int) -> pl.Expr:
    return (pl.col("stay_id") == stay) & (pl.col("example") == "best")


def _values(changed: int) -> str:
    return "one value" if changed == 1 else count(changed, "value")


def _changed(attack: AttackResults, line: dict[str, object]) -> str:
    result = attack.result
    changes = result.ask(
        "perturbations",
        lambda table: table.filter(_is_best_of(int(str(line["stay_id"])))),
    ).sort("hour", "variable")
    words = []
    for change in changes.head(MOST_CHANGES).iter_rows(named=True):
        variable = result.variables[change["variable"]]
        before, after = _apart(change["before_clinical"], change["after_clinical"])
        words.append(f"{variable.label} at hour {change['hour']} from {before} to {f'{after} {variable.unit}'.strip()}")
    more = changes.height - len(words)
    if more:
        words.append(f"{more:,} more")
    turned = "survival turns into death" if line["condition"] == "survival_to_death" else "death turns into survival"
    before, after = risks(float(str(line["probability_before"])), float(str(line["probability_after"])))
    return f"{listed(words)}: predicted {turned}, and the risk goes from {before} to {after}."


def _apart(before: float, after: float) -> tuple[str, str]:
    texts = number(before), number(after)
    return texts if texts[0] != texts[1] else (number(before, 5), number(after, 5))


def shares_picture(attack: AttackResults, told: Headline) -> SharesPicture:
    """Return what it takes to flip the attacked stays, all of them together.

    Args:
        attack: The attack on several values of the model spoken of; without one, the attack spoken of.
        told: What the report begins with.
    """
    fragility = attack.susceptibility.tables["fragility"]
    single = told.question is Question.ONE_VALUE and Question.FEW_VALUES not in told.others
    noun = "value of the filled-in record" if told.question is Question.ANY_CELL else "charted value"
    plural = noun.replace("value", "values", 1)
    bounds = BOUNDS[:1] if single else BOUNDS
    names = ["1 " + noun]
    if not single:
        names += ["2 " + plural, "3 to 5", "6 to 10"]
    names += ["more", "not flipped by one" if single else "not flipped"]
    shares = reached_by(fragility, bounds)
    return SharesPicture(
        title=f"Of 100 predictions of {attack.model}, so many turn",
        text=f"Each square is one of a hundred attacked stays ({fragility.height:,} were attacked). Its colour tells "
        "how many values must be wrong before the prediction says the opposite.",
        shares=tuple((name, share) for name, share in zip(names, shares, strict=True) if share),
    )
