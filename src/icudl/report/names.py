"""Words for the names used in artifacts, and the switches that most figures share."""

from __future__ import annotations

from collections.abc import Mapping

from icudl.analysis.conditions import CONDITIONS
from icudl.artifacts import AttackStatus
from icudl.report.elements import (
    Switch,
)

SPLIT_NAMES = {"test": "held-out test stays", "out-of-fold": "out-of-fold stays"}

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
    "calibration_error": "Calibration error",
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

CONDITION_SWITCH = Switch(
    "condition", "Prediction", tuple((name, CONDITION_NAMES[name].capitalize()) for name in CONDITIONS)
)

EXAMPLE_SWITCH = Switch("example", "Example", (("best", "Best"), ("first", "First")))


def display_name(name: str, *, inside_sentence: bool = False) -> str:
    """Write a model's name as a reader would."""
    known = {"lstm": "LSTM", "gru": "GRU", "tcn": "TCN"}
    words = name.replace("_", " ").replace("-", " ")
    return known.get(name, words if inside_sentence else words.capitalize())


def subgroup_name(name: str) -> str:
    """Write ``"age_years=65-79"`` as ``"Age 65-79"``."""
    column, _, value = name.partition("=")
    words = {"F": "women", "M": "men"} if column == "sex" else {}
    return f"{SUBGROUP_NAMES.get(column, column)}: {words.get(value, value)}"
