"""From source tables to tensors: cohort, grid, splits, imputation, scaling, features.

Import ``features`` from its own module: it needs torch, and a configuration must be readable without torch.
"""

from __future__ import annotations

from icudl.preprocessing.cohort import CohortOptions, select_cohort
from icudl.preprocessing.grid import densify, window_lengths
from icudl.preprocessing.imputation import ImputationMap, imputation_map, impute, last_charted
from icudl.preprocessing.scaling import (
    InputOptions,
    ModelInputs,
    fit_scaler_on,
    prepare_inputs,
    select_statics,
    to_clinical,
    to_unit,
)
from icudl.preprocessing.splits import Role, SplitOptions, hold_out_all, split_patients

__all__ = [
    "CohortOptions",
    "ImputationMap",
    "InputOptions",
    "ModelInputs",
    "Role",
    "SplitOptions",
    "densify",
    "fit_scaler_on",
    "hold_out_all",
    "imputation_map",
    "impute",
    "last_charted",
    "prepare_inputs",
    "select_cohort",
    "select_statics",
    "split_patients",
    "to_clinical",
    "to_unit",
    "window_lengths",
]
