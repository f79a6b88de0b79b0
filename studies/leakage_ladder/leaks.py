"""The leaky steps of the original protocol. Nothing outside this folder may use them."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from icudl.artifacts import FeatureScaler, Floats, GridDataset
from icudl.preprocessing.imputation import impute
from icudl.preprocessing.scaling import InputOptions, fit_scaler, select_statics
from icudl.training.data import Rows


def interpolate_whole_stays(long: Floats, n_hours: int) -> Floats:
    """Fill (N, T', F) values of whole stays in both directions, then cut the window: later hours leak into it."""
    n_stays, all_hours, n_variables = long.shape
    unknown = np.full(n_variables, np.nan, np.float32)
    return impute(long, np.full(n_stays, all_hours), unknown, "linear")[:, :n_hours].copy()


def scaler_of_all_stays(grid: GridDataset, inputs: InputOptions) -> FeatureScaler:
    """Fit limits and medians on every stay, those to be scored included."""
    return fit_scaler(grid.values, grid.lengths, select_statics(grid, inputs), inputs)


def folds_that_ignore_patients(
    labels: npt.NDArray[np.integer], n_folds: int, rng: np.random.Generator
) -> npt.NDArray[np.int8]:
    """Divide stays, stratified by outcome: stays of one patient may be on both sides."""
    folds = np.zeros(len(labels), np.int8)
    for value in (0, 1):
        members = rng.permutation(np.flatnonzero(labels == value))
        folds[members] = np.arange(len(members)) % n_folds
    return folds


def balanced_copies(rows: Rows, labels: npt.NDArray[np.integer]) -> Rows:
    """Repeat the deaths among ``rows`` until they are as many as the survivors."""
    deaths, survivors = rows[labels[rows] == 1], rows[labels[rows] == 0]
    return np.concatenate([survivors, np.resize(deaths, len(survivors))])


def with_values(grid: GridDataset, values: Floats) -> GridDataset:
    """Return the grid with other values."""
    return dataclasses.replace(grid, values=values)
