"""Hyperparameter search: space, objective, study, storage, resume."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelTuningOptions(Options):
    """Search over model and training options; scored on patient-grouped folds of the training part."""

    table: ClassVar[str] = "tune_model"

    trials: int = option(0, "Trials; 0 trains with the options as they stand.", low=0, high=100_000)
    folds: int = option(5, "How many of the folds score a trial.", low=1, high=100)
    objective: str = option("auroc", "Validation score that is optimised.", choices=("auroc", "auprc", "log_loss"))
    sampler: str = option("tpe", "Optuna sampler.", choices=("tpe", "random"))
    pruner: str = option("median", "Optuna pruner.", choices=("median", "none"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackTuningOptions(Options):
    """Search over attack options on a sample of stays."""

    table: ClassVar[str] = "tune_attack"

    trials: int = option(0, "Trials; 0 attacks with the options as they stand.", low=0, high=100_000)
    stays: int = option(256, "Stays in the sample.", low=2, high=1_000_000)
    objective: str = option(
        "sparse_small_max",
        "Score of an example, summed over stays.",
        choices=("sparsity", "max_num_nonzero_perts", "sparse_small", "sparse_small_max"),
    )
    n_critical: int = option(
        5, "Most changed cells that max_num_nonzero_perts counts as a success.", low=1, high=1_000_000
    )
    sampler: str = option("tpe", "Optuna sampler.", choices=("tpe", "random"))
