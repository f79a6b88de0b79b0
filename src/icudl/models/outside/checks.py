"""Whether a model from outside does what it declares, seen on some stays: one message for each fault."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from icudl.errors import StageError
from icudl.models.outside.predictor import Float64s, Predictor, logits_of, one_column

SAME = 1e-3
"""Logits count as equal if they differ by less than this, or by less than this share of a logit above 1."""

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


def require_sound(predictor: Predictor, features: Float64s, lengths: npt.NDArray[np.int64]) -> None:
    """Call a model on some stays, and see whether its answers make sense.

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


_RANDOM = "draws random numbers when it predicts, such as dropout outside eval mode"
_MIXED = "mixes the stays of a batch: batch normalisation in training mode, or a layer that takes stays for hours"


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
