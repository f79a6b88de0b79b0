"""Soft targets from a baseline: mixed as said, and never from a baseline that was fitted on the stay itself."""

from __future__ import annotations

import numpy as np
import pytest

from icudl.errors import StageError
from icudl.preprocessing.scaling import InputOptions
from icudl.training.options import TrainingOptions
from icudl.training.scores.metrics import score
from icudl.training.teacher import soft_targets
from training_grids import make_grid

INPUTS = InputOptions(statics=("age_years",))


def _risks(grid, rows, **options):
    targets = soft_targets(grid, rows, INPUTS, TrainingOptions(**options), seed=1)
    assert targets.shape == (len(rows), 2)
    assert np.allclose(targets.sum(dim=1), 1.0)
    return targets[:, 1].numpy()


def test_no_teacher_no_targets():
    grid = make_grid()
    assert soft_targets(grid, np.arange(20), INPUTS, TrainingOptions(), seed=1) is None


def test_a_teacher_of_noise_knows_nothing_of_the_labels():
    """Trees that had seen a stay would give its label away."""
    grid = make_grid(600, signal=0.0)
    rows = np.arange(600)
    risks = _risks(grid, rows, teacher="boosted_trees", teacher_share=1.0)
    assert abs(score("auroc", grid.labels, risks) - 0.5) < 0.1


def test_a_teacher_of_a_signal_knows_it():
    grid = make_grid(300)
    risks = _risks(grid, np.arange(300), teacher="logistic_regression", teacher_share=1.0)
    assert score("auroc", grid.labels, risks) > 0.8


def test_labels_and_risks_are_mixed_by_the_share():
    grid = make_grid(200)
    rows = np.arange(0, 200, 2)
    whole = _risks(grid, rows, teacher="boosted_trees", teacher_share=1.0)
    mixed = _risks(grid, rows, teacher="boosted_trees", teacher_share=0.25)
    assert np.allclose(mixed, 0.75 * grid.labels[rows] + 0.25 * whole, atol=1e-6)
    assert np.array_equal(_risks(grid, rows, teacher="boosted_trees", teacher_share=0.0), grid.labels[rows])


def test_too_few_deaths_for_the_parts_is_told():
    grid = make_grid(40, death_share=0.0)
    with pytest.raises(StageError, match="5 folds need at least as many patients who died"):
        soft_targets(grid, np.arange(40), INPUTS, TrainingOptions(teacher="boosted_trees"), seed=1)
