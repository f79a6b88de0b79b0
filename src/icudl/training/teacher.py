"""Soft targets: what a baseline fitted on other training stays thinks of each training stay (Hinton et al. 2015).

A label says that a patient died; the baseline says how much of that the record shows. A network that is given both
overfits later. The baseline learns from training stays only, and nothing after training needs it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from icudl.artifacts import GridDataset
from icudl.execution.context import seed_for
from icudl.models.baselines import fit_baseline
from icudl.models.charted.window import summarise
from icudl.preprocessing.scaling import InputOptions, select_statics
from icudl.preprocessing.splits import SplitOptions, split_patients
from icudl.training.data import Rows
from icudl.training.options import TrainingOptions

FOLDS = 5
"""Parts of the training stays; the risks of each come from a baseline fitted on the other four."""


def soft_targets(
    grid: GridDataset, rows: Rows, inputs: InputOptions, options: TrainingOptions, seed: int
) -> Tensor | None:
    """Return (n, 2) float32 targets of the training stays at ``rows``, or None where the options name no teacher.

    Args:
        grid: All stays.
        rows: The stays to fit.
        inputs: Which static descriptors the teacher sees.
        options: ``teacher`` and ``teacher_share``.
        seed: Of the parts and of the teacher.

    Raises:
        StageError: Fewer patients died, or survived, than there are parts.
    """
    if options.teacher == "none":
        return None
    labels = grid.labels[rows]
    summaries = summarise(grid.values[rows], grid.lengths[rows], select_statics(grid, inputs)[rows])
    rng = np.random.default_rng(seed_for(seed, "parts"))
    whole = SplitOptions(test_fraction=0.0, folds=FOLDS)
    _, parts = split_patients(grid.patient_ids[rows], labels, ("",) * len(rows), whole, rng)
    risks = np.empty(len(rows))
    for part in range(FOLDS):
        own = parts == part
        teacher = fit_baseline(options.teacher, summaries[~own], labels[~own], seed_for(seed, "teacher", part))
        risks[own] = teacher.predict_proba(summaries[own])[:, 1]
    deaths = (1 - options.teacher_share) * labels + options.teacher_share * risks
    return torch.from_numpy(np.stack([1 - deaths, deaths], axis=1).astype(np.float32))
