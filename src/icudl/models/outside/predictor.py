"""What every reader makes of a model: one call from features to one number a stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from icudl.errors import StageError

Float64s = npt.NDArray[np.float64]

ROUNDING = 1e-4
"""Logits by which a score may depend on the stays beside it: products of matrices add in an order that their size
decides."""

LONGEST = 300
"""Characters of another library's message that are passed on."""

NEAREST = 1e-12
"""A probability nearer to 0 or 1 counts as this far away, so that its logit is finite."""


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """A model from outside, loaded.

    Attributes:
        name: What it is, for messages.
        call: From (n, C) features, or (n, T, C), in double precision, and (n,) lengths to what the model gives.
        gives: ``"probability"`` or ``"logit"`` where the file or the interface says it; else "".
        output: The same, once it is settled by what the file says and what the model's table declares.
        n_features: C of a flat row, where the file says it; else None.
        names: What the file calls its features, in its order; empty where it does not say.
        at_once: Stays that one call takes, where the file fixes their number; else None.
        slack: Logits by which the score of a stay may differ by the stays beside it.
        levels: For each feature the sorted numbers at which the score may jump, where it is constant between them;
            None for any other model.
        sloped: From features, lengths and ``output`` to (n,) numbers, as ``raw`` gives them, and their derivatives in
            the shape of the features; None for a model that offers none.
    """

    name: str
    call: Callable[[Float64s, npt.NDArray[np.int64]], Any]
    gives: str = ""
    output: str = ""
    n_features: int | None = None
    names: tuple[str, ...] = ()
    at_once: int | None = None
    slack: float = ROUNDING
    levels: Mapping[int, Float64s] | None = None
    sloped: Callable[[Float64s, npt.NDArray[np.int64], str], tuple[Float64s, Float64s]] | None = None

    def raw(self, features: Float64s, lengths: npt.NDArray[np.int64]) -> Float64s:
        """Return one number a stay, as the model gives it: (n,), from (n,), (n, 1) or two columns.

        Raises:
            StageError: The call fails, or gives something else.
        """
        found = self.given(features, lengths)
        return one_column(found, self.output) if found.ndim == 2 else found

    def given(self, features: Float64s, lengths: npt.NDArray[np.int64]) -> Float64s:
        """Return what the model gives: (n,), or two columns where it gives one for each outcome.

        Raises:
            StageError: The call fails, or gives something else.
        """
        if self.n_features is not None and features.ndim == 2 and features.shape[1] != self.n_features:
            raise StageError(f"{self.name} reads {self.n_features} features; the data give {features.shape[1]}.")
        n = len(features)
        if self.at_once is None:
            return self._called(features, lengths)
        # The last part is filled up with copies of the last stay.
        rows = np.minimum(np.arange(-(-n // self.at_once) * self.at_once), n - 1).reshape(-1, self.at_once)
        return np.concatenate([self._called(features[part], lengths[part]) for part in rows])[:n]

    def _called(self, features: Float64s, lengths: npt.NDArray[np.int64]) -> Float64s:
        try:
            given = self.call(features, lengths)
            found = np.asarray(given.detach() if hasattr(given, "detach") else given, np.float64)
        except StageError:
            raise
        except Exception as error:
            gaps = float(np.isnan(features).mean())
            advice = f"{gaps:.0%} of them are NaN, for hours without a value. " if gaps else ""
            raise StageError(
                f"{self.name} failed on features of shape {features.shape}: {type(error).__name__}: "
                f"{cause_of(str(error))} {advice}Check input, variables, missing and masks of the model's table."
            ) from error
        n = len(features)
        if found.shape == (n, 2):
            return found
        # squeeze() takes away the dimension of a single stay, too.
        if found.size == n and (n == 1 or found.shape[:1] == (n,)):
            return found.reshape(n)
        raise StageError(
            f"{self.name} gives an array of shape {found.shape} for {n} stays. Expected one number a stay, or two "
            "columns: survival and death."
        )


def require_classes(name: str, model: Any) -> None:
    """Make sure that the second of a classifier's classes is death, where it names its classes.

    Libraries sort classes: of "dead" and "survived" the second is survival, and every score would be turned round.

    Raises:
        StageError: The classes are others than 0 and 1, false and true, or -1 and 1.
    """
    classes = [str(each) for each in getattr(model, "classes_", ())]
    known = (["0", "1"], ["0.0", "1.0"], ["False", "True"], ["-1", "1"], ["-1.0", "1.0"])
    if len(classes) == 2 and classes not in known:
        raise StageError(
            f"{name} tells {classes[0]} from {classes[1]}, and its probability is that of {classes[1]}: which of them "
            "is death cannot be told. Fit it to 0 and 1, 1 for death, or give a function of the features that "
            "returns the probability of death."
        )


def cause_of(message: str) -> str:
    """Return what another library's message says of the cause, in one line: such messages hold traces and tables."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    causes = [line for line in lines if line.partition(":")[0].endswith("Error")]
    found = causes[0] if causes else " ".join(lines)
    return found if len(found) <= LONGEST else f"{found[:LONGEST]}..."


def one_column(columns: Any, output: str) -> Any:
    """Return (n,) numbers from (n, 2), survival and death: the probability of death, or its logit.

    Two logits are a softmax away from probabilities, so the logit of death is their difference.
    """
    return columns[:, 1] if output == "probability" else columns[:, 1] - columns[:, 0]


def logits_of(raw: Float64s, output: str) -> Float64s:
    """Return logits of what a model gives; NaN stays NaN."""
    if output == "logit":
        return raw
    inside = np.clip(raw, NEAREST, 1.0 - NEAREST)
    logits: Float64s = np.log(inside) - np.log1p(-inside)
    return logits


def slopes_of_logits(raw: Float64s, output: str) -> Float64s:
    """Return the (n,) derivatives of ``logits_of``; 0 where a probability counts as farther from 0 and 1 than it is."""
    if output == "logit":
        return np.ones_like(raw)
    inside = (raw > NEAREST) & (raw < 1.0 - NEAREST)
    spread = np.where(inside, raw * (1.0 - raw), 1.0)
    slopes: Float64s = np.where(inside, 1.0 / spread, 0.0)
    return slopes


def last_single(threshold: npt.NDArray[np.floating], *, below: bool) -> Float64s:
    """Return the levels of trees that compare numbers rounded to single precision.

    A number goes to the left where, rounded, it is at most ``threshold`` (or less, with ``below``). Rounding turns over
    half-way between the last single that does and the next.
    """
    single = np.asarray(threshold, np.float32)
    beyond = single >= threshold if below else single > threshold
    last = np.where(beyond, np.nextafter(single, np.float32(-np.inf)), single)
    following = np.nextafter(last, np.float32(np.inf))
    levels: Float64s = (last.astype(np.float64) + following.astype(np.float64)) / 2
    return levels


def by_feature(features: npt.NDArray[np.integer], levels: Float64s) -> dict[int, Float64s]:
    """Return sorted levels by feature."""
    return {int(each): np.unique(levels[features == each]) for each in np.unique(features)}
