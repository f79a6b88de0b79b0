"""Words for the names used in artifacts, and the switches that most figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.numbers.headline import ONE_AT_A_TIME
from icudl.artifacts import AttackStatus, LineageEntry
from icudl.report.elements import Switch
from icudl.report.wording import listed, percent
from icudl.training.pretraining.options import PretrainOptions
from icudl.training.robust.options import RobustOptions

SPLIT_NAMES = {"test": "held-out test stays", "out-of-fold": "out-of-fold stays", "external": "external stays"}

METRIC_NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "min_se_ppv": "min(Se, P+)",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "Calibration error",
}

SUBGROUP_NAMES = {"sex": "Sex", "age_years": "Age", "icu_type": "ICU"}

CONDITION_NAMES = {
    "survival_to_death": "survival flipped to death",
    "death_to_survival": "death flipped to survival",
    "both": "both directions",
}

EXAMPLE_NAMES = {"first": "first example", "best": "best example"}

STATUS_NAMES: Mapping[str, str] = {
    AttackStatus.SUCCESS: "flipped",
    AttackStatus.FAILED: "attacked, not flipped",
    AttackStatus.MISCLASSIFIED: "not attacked: predicted wrongly already",
    AttackStatus.NOTHING_TO_CHANGE: "not attacked: nothing may be changed",
    AttackStatus.INVALID_OUTPUT: "not attacked: the model gave no number",
}

NORM_NAMES = {
    "l0": "number of changed values",
    "l1": "sum of changes (L1)",
    "l2": "root of squared changes (L2)",
    "linf": "largest change (L∞)",
}

THREAT_NAMES = {
    "grid": "any hour of any variable may be changed, within the limits of the training stays",
    "measured": "only charted values may be changed, within the plausible range of the variable",
    "sweep": "exactly one charted value may be changed, over its plausible range",
}

SHORT_THREATS = {
    "grid": "any cell of the filled-in record",
    "measured": "charted values",
    "sweep": "one charted value",
}

SINGLE_CHANGES = {"grid": "one cell of the filled-in record", "measured": "one charted value"}

PREDICTOR_NAMES = {
    "lstm": "LSTM",
    "gru": "GRU",
    "lstm_summary": "LSTM with summaries",
    "gru_summary": "GRU with summaries",
    "summary": "network on summaries",
    "tcn": "TCN",
    "transformer": "transformer",
    "logistic_regression": "logistic regression",
    "boosted_trees": "boosted trees",
    "outside": "model from outside",
}
"""Models and baselines by the name of their plug-in, as a sentence would call them."""

CONDITION_SWITCH = Switch(
    "condition", "Prediction", tuple((name, CONDITION_NAMES[name].capitalize()) for name in CONDITIONS)
)

EXAMPLE_SWITCH = Switch("example", "Example", (("best", "Best"), ("first", "First")))


def predictor_in_sentence(plugin: str) -> str:
    """Return what follows "the": ``"LSTM"``, ``"model “somebody_s”"``."""
    return PREDICTOR_NAMES.get(plugin, f"model “{plugin}”")


def predictor_name(plugin: str) -> str:
    """Return the name of a model or baseline at the beginning of a line."""
    words = PREDICTOR_NAMES.get(plugin, plugin)
    return words[:1].upper() + words[1:]


def way_of_training(lineage: Sequence[LineageEntry], model: str) -> str:
    """Say how a model was trained, if not as usual: pretraining and robust training; "" for neither.

    Args:
        lineage: Of the study.
        model: Name of the model.
    """
    return "; ".join(filter(None, (pretraining(lineage, model), robust_training(lineage, model))))


def pretraining(lineage: Sequence[LineageEntry], model: str) -> str:
    """Say how a model was pretrained; "" where it was not.

    Args:
        lineage: Of the study.
        model: Name of the model.
    """
    options = _trained_with(lineage, model, PretrainOptions.table)
    if options is None:
        return ""
    epochs = PretrainOptions.from_dict(options).epochs
    passes = f"{epochs} passes" if epochs > 1 else "one pass"
    return f"pretrained without outcomes, to tell hidden charted values, in {passes} over its training stays"


def robust_training(lineage: Sequence[LineageEntry], model: str) -> str:
    """Say how a model was trained against wrong and missing values; "" where it was trained as usual.

    Args:
        lineage: Of the study.
        model: Name of the model.
    """
    options = _trained_with(lineage, model, RobustOptions.table)
    if options is None:
        return ""
    told = RobustOptions.from_dict(options)
    parts = {
        f"errors of entry in {percent(told.error_rate)} of the values": told.error_rate,
        f"{percent(told.value_dropout)} of the values left out": told.value_dropout,
        f"{percent(told.variable_dropout)} of the variables left out": told.variable_dropout,
        f"{percent(told.adversarial_share)} of the loss on records changed on purpose": told.adversarial_share,
        f"weight {told.consistency:g} on consistency with records changed on purpose": told.consistency,
    }
    words = [part for part, amount in parts.items() if amount > 0]
    return f"robust training: {listed(words)}" if words else ""


def _trained_with(lineage: Sequence[LineageEntry], model: str, table: str) -> Mapping[str, Any] | None:
    """Return a table of the options that a model was trained with; None where its training has none."""
    for made in lineage:
        if made.node == "train" and made.name in ("train", f"train/{model}") and table in made.options:
            found: Mapping[str, Any] = made.options[table]
            return found
    return None


def threat_name(threat_model: str) -> str:
    """Say in words what an attacker may change."""
    return THREAT_NAMES.get(threat_model, f"the threat model “{threat_model}” holds")


def short_threat(threat_model: str, plugin: str) -> str:
    """Say in a few words what an attack with this threat model and this method may change."""
    words = SHORT_THREATS.get(threat_model, threat_model)
    return SINGLE_CHANGES.get(threat_model, words) if plugin in ONE_AT_A_TIME else words


def subgroup_name(name: str) -> str:
    """Write ``"age_years=65-79"`` as ``"Age: 65-79"``."""
    column, _, value = name.partition("=")
    words = {"F": "women", "M": "men"} if column == "sex" else {}
    return f"{SUBGROUP_NAMES.get(column, column)}: {words.get(value, value)}"
