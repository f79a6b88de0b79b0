"""Options of training."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """Optimisation, class balance, early stopping."""

    table: ClassVar[str] = "training"

    optimizer: str = option("adam", "Optimiser.", choices=("adam", "adamw", "rmsprop", "sgd"))
    learning_rate: float = option(1e-3, "Learning rate.", low=1e-8, high=10.0)
    schedule: str = option(
        "constant",
        "Learning rate over the epochs: constant, or cosine (falls to a hundredth at max_epochs).",
        choices=("constant", "cosine"),
    )
    warmup_epochs: int = option(0, "First epochs over which the learning rate rises linearly.", low=0, high=10_000)
    weight_decay: float = option(0.0, "Weight decay.", low=0.0, high=10.0)
    batch_size: int = option(64, "Stays per step.", low=1, high=65536)
    max_epochs: int = option(40, "Most passes over the training stays.", low=1, high=100_000)
    patience: int = option(6, "Epochs without a better validation score before training stops.", low=1, high=100_000)
    monitor: str = option("auroc", "Validation score that picks the epoch.", choices=("auroc", "auprc", "log_loss"))
    class_balance: str = option(
        "oversample",
        "none, oversample (draw both classes equally often) or weight (weighted loss).",
        choices=("none", "oversample", "weight"),
    )
    label_smoothing: float = option(0.0, "Share of each label that is spread over both classes.", low=0.0, high=0.5)
    teacher: str = option(
        "none",
        "Baseline whose risks are mixed into the labels of the training stays: none, logistic_regression or "
        "boosted_trees. Each stay's risk comes from a baseline fitted on other training stays.",
        choices=("none", "logistic_regression", "boosted_trees"),
    )
    teacher_share: float = option(0.5, "Share of the teacher's risk in the targets.", low=0.0, high=1.0)
    ema_decay: float = option(
        0.0,
        "Decay per step of the running mean of the weights that is scored and kept; 0 keeps the weights themselves.",
        low=0.0,
        high=0.99999,
    )
    precision: str = option(
        "float32",
        "Arithmetic of the training steps: float32, or bfloat16 (faster where the processor has it). Scores are always "
        "computed in float32.",
        choices=("float32", "bfloat16"),
    )
    gradient_clip: float = option(1.0, "Largest norm of the gradient; 0 switches clipping off.", low=0.0, high=1e6)
    validation_fraction: float = option(
        0.15,
        "Share of a member's training patients kept for early stopping and for choosing the threshold.",
        low=0.05,
        high=0.5,
    )
    fit_again: bool = option(
        False,
        "Fit each network and baseline a second time, on training and validation stays together, networks for as many "
        "epochs as the validation stays chose; calibration and threshold are those of the first fit. Takes twice the "
        "time.",
    )
    calibration: str = option(
        "platt",
        "Fitted on validation stays: none, temperature (one factor on the logits), platt (a factor and a shift), both "
        "absorbed by the last layer, or isotonic (any curve that never falls, kept beside the model).",
        choices=("none", "temperature", "platt", "isotonic"),
    )
    final: str = option(
        "refit",
        "Member that scores the test stays: refit (a model fitted on all folds) or folds (the mean of the logits of "
        "the models of all folds, as one checkpoint).",
        choices=("refit", "folds"),
    )
    threshold: str = option(
        "f1",
        "What the decision threshold maximises on validation stays: f1 or youden.",
        choices=("f1", "youden"),
    )
    bootstrap_samples: int = option(1000, "Bootstrap resamples behind each interval.", low=10, high=100_000)
    baselines: bool = option(True, "Fit logistic regression and boosted trees beside a network.")
