"""The sentence that a report begins with, and those beside it."""

from __future__ import annotations

import math

from icudl.analysis.numbers.comparison import AttackLine, overlap
from icudl.analysis.numbers.headline import Headline, Question
from icudl.analysis.numbers.models.quality import own_models
from icudl.report.names import predictor_in_sentence
from icudl.report.study import StudyResults
from icudl.report.wording import count, percent

FLIP = {
    Question.ONE_VALUE: "One wrong charted value is enough to flip",
    Question.FEW_VALUES: "Wrong charted values flip",
    Question.CONTROL: "One of the errors that nobody aimed flips",
}
NOTHING = {
    Question.ONE_VALUE: "No single wrong charted value that was tried flips",
    Question.FEW_VALUES: "No change of charted values that was found flips",
    Question.CONTROL: "None of the errors that were tried flips",
}


def called(study: StudyResults, model: str) -> str:
    """Return what a sentence calls a model: its kind where it is the only one, else its name."""
    if len(study.models) > 1:
        return f"the model {model}"
    names = own_models(study.model_named(model).training)
    return f"the {predictor_in_sentence(names[0])}" if names else model


def share_of(line: AttackLine) -> str:
    """Write the share of the attacked stays that an attack flips."""
    value = line.flips["both"].share.value
    return "–" if value is None else percent(value)


def first_sentence(study: StudyResults, told: Headline | None) -> str:
    """Say in one sentence what was found.

    Args:
        study: The study.
        told: What to begin with; None where no attack was run on enough stays.
    """
    if told is None:
        if study.attacks:
            return "Too few stays were attacked to say how easily the predictions are flipped."
        return "How well the models predict, on stays that they were not fitted on: nothing was attacked."
    line, model = told.line, called(study, told.line.model)
    flips = line.flips["both"]
    if told.question is Question.ANY_CELL:
        return _any_cell(line, model)
    if not flips.flipped:
        return (
            f"{NOTHING[told.question]} any of the {count(flips.attacked, 'prediction')} of {model} that were attacked."
        )
    few = ""
    if told.question is Question.FEW_VALUES and line.fewest is not None:
        few = f", half of them with at most {math.floor(line.fewest):,}"
    return f"{FLIP[told.question]} {share_of(line)} of the predictions of {model}{few}."


def _any_cell(line: AttackLine, model: str) -> str:
    flips = f"{share_of(line)} of the predictions of {model}"
    if line.charted is None:
        return f"Changing any cells of the filled-in record, charted or not, flips {flips}."
    never = percent(1 - line.charted)
    if line.charted < 0.5:
        return f"Most of the changed cells were never charted ({never}): changes of the filled-in record flip {flips}."
    return f"{never} of the changed cells were never charted: changes of the filled-in record flip {flips}."


def beside_sentences(study: StudyResults, told: Headline) -> tuple[str, ...]:
    """Say what stands behind the first sentence: intervals, other models, several values, errors that nobody aimed."""
    flips = told.line.flips["both"]
    low, high = flips.share.low, flips.share.high
    interval = "" if low is None or high is None else f"; 95 % interval {percent(low)} to {percent(high)}"
    texts = [
        f"That is {flips.flipped:,} of {count(flips.attacked, 'attacked stay')}{study.of_main}{interval}. "
        f"{_models(told)}".rstrip()
    ]
    further = [sentence for question in Question if (sentence := _other(told, question))]
    if further:
        texts.append(" ".join(further))
    return tuple(texts)


def _models(told: Headline) -> str:
    if len(told.beside) < 2:
        return "Every flip was checked again by an independent pass through the model."
    least, most = told.beside[0], told.beside[-1]
    if share_of(least) == share_of(most):
        return f"Every model is flipped equally often, in {share_of(most)}."
    return (
        f"Flipped least often is {least.model} ({share_of(least)}), most often {most.model} ({share_of(most)}); "
        f"{'chance may explain the difference' if alike(least, most) else 'chance does not explain the difference'}."
    )


def alike(least: AttackLine, most: AttackLine) -> bool:
    """Whether chance may explain that one model is flipped more often than another: their 95 % intervals overlap."""
    return overlap(least.flips["both"].share, most.flips["both"].share)


def _other(told: Headline, question: Question) -> str:
    line = told.others.get(question)
    if line is None:
        return ""
    share = share_of(line)
    if question is Question.FEW_VALUES:
        few = "" if line.fewest is None else f", half of them with at most {count(math.floor(line.fewest), 'value')}"
        return f"Where several charted values may be wrong, {share} flip{few}."
    if question is Question.CONTROL:
        what = (
            "One error of the kinds that people make when they chart (swapped digits, a shifted point, a wrong unit)"
            if line.plugin == "entry_errors"
            else "At least one of the random errors drawn for a stay"
        )
        return f"{what} flips {share}."
    if question is Question.ANY_CELL:
        never = "" if line.charted is None else f", but {percent(1 - line.charted)} of those cells were never charted"
        return f"Where any cell of the filled-in record may change, {share} flip{never}."
    return f"One charted value alone flips {share}."
