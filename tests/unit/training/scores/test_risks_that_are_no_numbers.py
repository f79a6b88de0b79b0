"""A risk that is NaN is no low risk: no score counts it as one."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from icudl.artifacts import PREDICTIONS_SCHEMA
from icudl.errors import StageError
from icudl.training.scores.evaluation import compare, score_predictions
from icudl.training.scores.metrics import Scored, choose_threshold, score
from training_grids import make_grid

LABELS = np.array([1, 1, 0, 0])
RISKS = np.array([0.9, 0.8, np.nan, 0.1])


@pytest.mark.parametrize("name", ["auroc", "auprc", "min_se_ppv", "brier", "log_loss", "ece"])
def test_a_score_of_risks_with_nan_does_not_exist(name: str) -> None:
    """As the lowest risk, the NaN of a survivor would give an AUROC of 1."""
    assert math.isnan(score(name, LABELS, RISKS))
    assert math.isfinite(score(name, LABELS, np.nan_to_num(RISKS, nan=0.2)))


def test_decisions_and_thresholds_refuse_nan() -> None:
    with pytest.raises(StageError, match="1 of 4 predicted risks are NaN"):
        Scored(LABELS, RISKS, np.full(4, 0.5), np.arange(4))
    with pytest.raises(StageError, match="1 of 4 predicted risks are NaN"):
        choose_threshold(LABELS, RISKS, "f1")


def test_tables_of_scores_refuse_nan() -> None:
    grid = make_grid(20)
    risks = np.linspace(0.1, 0.9, 20)
    whole = pl.DataFrame(
        {
            "model": ["lstm"] * 20,
            "member": ["final"] * 20,
            "split": ["test"] * 20,
            "fold": [-1] * 20,
            "stay_id": grid.stay_ids,
            "label": grid.labels,
            "probability": risks,
            "threshold": [0.5] * 20,
        },
        schema_overrides=dict(PREDICTIONS_SCHEMA),
    )
    holed = whole.with_columns(probability=pl.when(pl.col("stay_id") == 1003).then(math.nan).otherwise("probability"))
    assert score_predictions(whole, grid.stays, 5, 0)["value"].null_count() < 11
    with pytest.raises(StageError, match="1 of 20 predicted risks are NaN"):
        score_predictions(holed, grid.stays, 5, 0)
    with pytest.raises(StageError, match="1 of 20 predicted risks are NaN"):
        compare(whole, holed, grid.stays, 5, 0)
