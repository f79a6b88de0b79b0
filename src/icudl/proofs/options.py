"""Options of proofs. The module does not import torch, so that a configuration is read without it."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.models.options import GruOptions, LstmOptions, ModelOptions, RecurrentSummaryOptions, SummaryOptions
from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class CertifyOptions(Options):
    """Proofs that no single wrong value flips a prediction, or the values that do; made where [certify] is given."""

    table: ClassVar[str] = "certify"

    threat_model: str = option(
        "measured",
        "What may be wrong: measured (one charted value, anywhere in its plausible range; the change flows through "
        "imputation) or grid (one cell of the filled-in matrix, between the winsor limits).",
        choices=("measured", "grid"),
    )
    variables: tuple[str, ...] = option((), "Names of the variables that may be wrong; empty: all of them.")
    split: str = option(
        "both",
        "Stays to prove: test, out-of-fold, or both. Each is read by a model that was not fitted on it.",
        choices=("both", "test", "out-of-fold"),
    )
    max_stays: int = option(
        0,
        "Prove at most this many stays (drawn at random, both classes in proportion); 0 proves all.",
        low=0,
        high=1_000_000_000,
    )
    misclassified: bool = option(False, "Also prove stays that the model gets wrong.")
    near: bool = option(
        False,
        "Also prove against small errors of several values at once: any one and any two within 5 and 10 % of the range "
        "between the winsor limits, all values within 0.5 and 1 %; several values for "
        "networks that read a record once.",
    )
    pairs: bool = option(
        False,
        "Also prove that no two values, each anywhere in its range, flip a prediction; for boosted_trees and "
        "logistic_regression only.",
    )
    width: float = option(
        0.01,
        "Share of a variable's range between the winsor limits to which the ends of flipping intervals are exact.",
        low=1e-5,
        high=0.1,
    )
    boxes: int = option(
        2000,
        "Most intervals bounded for one stay; what is left then is undecided. A stay has some 200 charted values, "
        "most of which take one interval.",
        low=1,
        high=10_000_000,
    )
    terms: int = option(
        4,
        "Most unknowns that an affine form carries for each hidden unit of a direction; a pass keeps at least three "
        "for each number of its state. More are slower and tighter.",
        low=1,
        high=1000,
    )
    batch_size: int = option(8, "Stays proved at once, and kept at once when a run is interrupted.", low=1, high=65536)


EXPECTED = "Expected lstm, gru, lstm_summary, gru_summary, summary, boosted_trees or logistic_regression."
"""The models about which something can be proved."""


def unprovable(options: ModelOptions, threat_model: str = "measured") -> str:
    """Return why nothing can be proved about a model with these options; "" if something can."""
    if (options.piecewise or options.in_parts) and not options.imputed and threat_model != "measured":
        return (
            f"The model {options.name!r} reads no filled-in record, so nothing can be proved about it under "
            f"certify.threat_model = {threat_model!r}. Expected measured."
        )
    if isinstance(options, LstmOptions | GruOptions | RecurrentSummaryOptions | SummaryOptions) or options.piecewise:
        return ""
    return (
        f"Nothing can be proved about the model {options.name!r}. {EXPECTED} Name the models to prove in certify.on; "
        "the attacks sweep and greedy search every model, without a proof."
    )
