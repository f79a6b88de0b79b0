"""Whether a model from outside does what it declares, seen on some stays: one message for each fault."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from icudl.errors import StageError
from icudl.models.outside.predictor import Float64s, Predictor, logits_of, one_column

SAME = 1e-3
"""Logits count as equal if they differ by less than this, or by less than this share of a logit above 1."""

AGAINST = 5.0
"""Standard deviations below one half from which on an area under the ROC curve is no chance."""

PROBED = 512
"""Stays whose scores are looked at."""

FEW = 20
"""Stays below which numbers between 0 and 1 may be logits by chance."""


def output_of(predictor: Predictor, declared: str) -> str:
    """Return what a model gives, ``"probability"`` or ``"logit"``.

    Raises:
        StageError: Neither the file nor the table says it.
    """
    if predictor.gives and declared in {"auto", predictor.gives}:
        return predictor.gives
    if predictor.gives == "logit" and declared == "probability":
        return "logit"  # the margin of a model whose own prediction is the probability: the same score, more digits
    if predictor.gives:
        raise StageError(
            f"{predictor.name} gives a {predictor.gives}; its table says output = {declared!r}. Leave output out."
        )
    if declared == "auto":
        raise StageError(
            f"{predictor.name} does not say whether it gives probabilities or logits. Say output = 'probability' or "
            "'logit'."
        )
    return declared


def require_sound(predictor: Predictor, features: Float64s, lengths: npt.NDArray[np.int64]) -> Float64s:
    """Call a model on some stays, see whether its answers make sense, and return them: one number a stay.

    Raises:
        StageError: A score is no number, lies where its kind cannot lie, changes from call to call, or depends on the
            stays beside it.
    """
    given, output = predictor.given(features, lengths), predictor.output
    _require_numbers(predictor, given, features)
    if given.ndim == 2:
        _require_kind_of_columns(predictor, output, given)
    first = one_column(given, output) if given.ndim == 2 else given
    _require_kind(predictor, output, first)
    _require_same(predictor, output, first, predictor.raw(features, lengths), "the second time", _RANDOM)
    few = min(len(features), 6)
    alone = [predictor.raw(features[[row]], lengths[[row]]) for row in range(few)]
    _require_same(predictor, output, first[:few], np.concatenate(alone), "alone than among others", _MIXED)
    backwards = predictor.raw(features[::-1], lengths[::-1])[::-1]
    _require_same(predictor, output, first, backwards, "in another order", _MIXED)
    return first


_RANDOM = "draws random numbers when it predicts, such as dropout outside eval mode"
_MIXED = "mixes the stays of a batch: batch normalisation in training mode, or a layer that takes stays for hours"


def require_names(predictor: Predictor, labels: Sequence[str], variables: Sequence[str]) -> None:
    """Compare what the file calls its features with what its table puts there.

    A name speaks of a variable if that is one of its words: ``potassium_12`` does, ``K_12`` of none.

    Args:
        predictor: The model.
        labels: What stands in each column (``Layout.labels``).
        variables: Names of the data's variables.

    Raises:
        StageError: A feature has the name of another variable, or of another summary.
    """
    if len(predictor.names) != len(labels):
        return
    known = set(labels)
    for column, (name, label) in enumerate(zip(predictor.names, labels, strict=True)):
        spoken = set(variables) & set(re.split(r"[^0-9a-z]+", name.casefold()))
        own = label.partition(".")[0]
        other = len(spoken) == 1 and own in variables and own not in spoken
        if other or (name != label and name in known and "." in name):
            raise StageError(
                f"{predictor.name} calls feature {column} {name!r}, and its table puts {label} there. Give variables "
                "(or features) in the model's order, and order = 'hours' or 'variables'."
            )


def require_right_way(predictor: Predictor, risks: Float64s, labels: npt.NDArray[np.integer]) -> None:
    """See whether those who died have the higher scores.

    By chance, the area under the ROC curve of a model that knows nothing lies below one half by ``AGAINST`` standard
    deviations (those of the Mann-Whitney statistic) in fewer than one of a million audits.

    Args:
        predictor: The model.
        risks: (N,) scores of stays that were looked at.
        labels: (N,) 1 for death.

    Raises:
        StageError: The scores run the other way.
    """
    from sklearn.metrics import roc_auc_score

    n_died = int((labels == 1).sum())
    n_survived = len(labels) - n_died
    if not n_died or not n_survived:
        return
    area = float(roc_auc_score(labels == 1, risks))
    deviation = np.sqrt((len(labels) + 1) / (12 * n_died * n_survived))
    if area < 0.5 - AGAINST * deviation:
        raise StageError(
            f"{predictor.name} scores those who died lower than those who survived: AUROC {area:.2f} on "
            f"{len(labels):,} stays with {n_died:,} deaths. If it gives the risk of surviving, as a classifier of "
            "'died' and 'survived' does in its second column, give an object whose predict_proba has death last. "
            "If not, check order, variables and units."
        )


def _require_numbers(predictor: Predictor, raw: Float64s, features: Float64s) -> None:
    wrong = int((~np.isfinite(raw)).reshape(len(raw), -1).any(axis=1).sum())
    if not wrong:
        return
    gaps = float(np.isnan(features).mean())
    advice = (
        f" {gaps:.0%} of its features are NaN, for hours without a value: if it cannot read them, say missing = "
        "'forward', 'linear' or 'zero'."
        if gaps
        else " None of its features is NaN, so the model itself is at fault."
    )
    raise StageError(f"{predictor.name} gives no finite number for {wrong:,} of {len(raw):,} stays.{advice}")


def _require_kind_of_columns(predictor: Predictor, output: str, columns: Float64s) -> None:
    """Two columns are taken apart by what they are, so a wrong word about them would give a wrong score in silence."""
    shares = bool((columns >= 0.0).all() and (columns <= 1.0).all())
    adding = shares and bool((np.abs(columns.sum(axis=1) - 1.0) < SAME).all())
    low, high = float(columns.min()), float(columns.max())
    if output == "logit" and adding:
        raise StageError(
            f"{predictor.name} gives two columns that add up to 1 for each of {len(columns):,} stays: probabilities of "
            "survival and death, not logits. Say output = 'probability'."
        )
    if output == "probability" and not adding:
        raise StageError(
            f"{predictor.name} gives two columns with numbers from {low:.3g} to {high:.3g} that do not add up to 1, so "
            "they are not the probabilities of survival and death. If they are logits, say output = 'logit'; if not, "
            "let it give one number a stay."
        )


def _require_kind(predictor: Predictor, output: str, raw: Float64s) -> None:
    low, high = float(raw.min()), float(raw.max())
    if output == "probability" and (low < 0.0 or high > 1.0):
        raise StageError(
            f"{predictor.name} gives numbers from {low:.3g} to {high:.3g}, which are no probabilities. If they are "
            "logits, say output = 'logit'."
        )
    if output == "probability" and not predictor.gives and len(raw) >= FEW and np.isin(raw, (0.0, 1.0)).all():
        raise StageError(
            f"{predictor.name} gives nothing but 0 and 1 for {len(raw):,} stays: decisions, not probabilities. Let it "
            "give what it decides by, such as predict_proba instead of predict."
        )
    if output == "logit" and not predictor.gives and len(raw) >= FEW and low >= 0.0 and high <= 1.0:
        raise StageError(
            f"{predictor.name} gives numbers from {low:.3g} to {high:.3g} for {len(raw):,} stays: these look like "
            "probabilities, not logits. Say output = 'probability'."
        )


def _require_same(predictor: Predictor, output: str, once: Float64s, other: Float64s, when: str, cause: str) -> None:
    one, two = logits_of(once, output), logits_of(other, output)
    away = np.abs(one - two) / np.maximum(np.abs(one), 1.0)
    away = np.where(np.isfinite(away), away, np.inf)
    if float(away.max(initial=0.0)) > SAME:
        row = int(away.argmax())
        raise StageError(
            f"{predictor.name} gives a stay another score {when}: {once[row]:.4g}, then {other[row]:.4g}. Expected the "
            f"same. It {cause}."
        )
