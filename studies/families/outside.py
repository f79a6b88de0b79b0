"""XGBoost and LightGBM, fitted by their own libraries on the stays that the models of the table are fitted on."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
import xgboost

from icudl.artifacts import GridDataset
from icudl.models.charted.window import summarise
from icudl.preprocessing.scaling import InputOptions, select_statics
from icudl.training.members import Division

SUMMARIES, HOURS, LIGHTGBM = "xgboost.json", "xgboost_hours.json", "lightgbm.txt"
FITTED_ON = "fitted_on.csv"


def fit_outside(grid: GridDataset, inputs: InputOptions, division: Division, folder: Path, seed: int) -> None:
    """Write the models' files and the list of the patients whom they have met, unless they are there.

    Args:
        grid: All stays.
        inputs: Name the descriptors that models read beside the window.
        division: Whom the final models of the table are fitted on. Calibration and threshold are left to the stays that
            are held out from that, as for those models.
        folder: Where the files go.
        seed: Of the rows and columns that each tree is grown on.
    """
    if (folder / FITTED_ON).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rows, labels = division.fit, grid.labels[division.fit]
    described = select_statics(grid, inputs)[rows]
    summaries = summarise(grid.values[rows], grid.lengths[rows], described)
    inside = np.arange(grid.values.shape[1]) < grid.lengths[rows, None]
    hours = np.where(inside[:, :, None], grid.values[rows], np.nan).reshape(len(rows), -1)
    for name, features in ((SUMMARIES, summaries), (HOURS, np.concatenate([hours, described], axis=1))):
        trees = xgboost.XGBClassifier(
            n_estimators=150, max_depth=3, learning_rate=0.1, subsample=0.7, colsample_bynode=0.3, reg_lambda=5.0,
            n_jobs=1, random_state=seed,
        )  # fmt: skip
        trees.fit(features, labels).save_model(folder / name)
    leaves = lightgbm.LGBMClassifier(
        n_estimators=150, num_leaves=12, learning_rate=0.05, min_child_samples=20, reg_lambda=5.0,
        feature_fraction_bynode=0.3, n_jobs=1, random_state=seed, deterministic=True, verbose=-1,
    )  # fmt: skip
    leaves.fit(summaries, labels).booster_.save_model(folder / LIGHTGBM)
    # Last, so that a folder that has it is whole.
    pl.DataFrame({"patient_id": np.unique(grid.patient_ids[rows])}).write_csv(folder / FITTED_ON)
