"""``icudl.audit`` on arrays: a fitted classifier in, scores of its own and a page out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

import icudl
import outside_cases as cases
from icudl.errors import ConfigError

FEW = ("training.bootstrap_samples=20", "analysis.bootstrap_samples=10", "split.folds=2")


@pytest.mark.slow
def test_a_classifier_in_memory_is_audited(tmp_path: Path) -> None:
    pytest.importorskip("skops.io")
    grid = cases.clinical_grid()
    half = len(grid.labels) // 2
    rows = grid.values.reshape(len(grid.labels), -1).astype(np.float64)
    model = HistGradientBoostingClassifier(max_iter=10, max_leaf_nodes=6, min_samples_leaf=5)
    model.fit(rows[:half], grid.labels[:half])
    found = icudl.audit(
        model, grid.values[half:], grid.labels[half:], variables=cases.NAMES, trained_on="elsewhere",
        store=tmp_path / "runs", max_stays=6, settings=FEW,
    )  # fmt: skip
    theirs = model.predict_proba(rows[half:])[:, 1]
    ours = found.training.predictions.sort("stay_id")
    np.testing.assert_allclose(ours["probability"].to_numpy(), theirs, rtol=1e-9)
    test = ours.filter(split="test")
    own = found.scores.filter(split="test", subgroup="all", metric="auroc")["value"].item()
    assert own == pytest.approx(roc_auc_score(test["label"], test["probability"]))
    assert set(found.attacks) == {"one_value", "fewest", "entry_error", "random"}
    assert found.pipeline.config.attacks["one_value"].attack.name == "exact_value"
    assert "Audit of model.skops" in found.report.read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variables": ("heartrate", "potassium")}, r"shape \(240, 6, 3\), with 240 labels and 2 variables"),
        ({"variables": ("heartrate", "potassium", "magic")}, "'magic', which is not in the catalogue"),
        ({"model": object()}, "The model is builtins.object"),
        ({"trained_on": "nobody"}, "trained_on"),
        ({"colour": 1}, "colour"),
        ({"labels": np.full(240, -1)}, "labels hold -1"),
        ({"labels": np.where(np.arange(240) == 3, np.nan, 0.0)}, "labels hold nan"),
        ({"labels": np.full(240, "dead")}, "labels hold dead"),
        ({"labels": np.zeros((240, 1))}, r"labels have the shape \(240, 1\)"),
        ({"patients": np.arange(239)}, r"patients have the shape \(239,\)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes: dict, words: str, tmp_path: Path) -> None:
    grid = cases.clinical_grid()
    usual = {"model": "m.json", "variables": cases.NAMES, "trained_on": "elsewhere", "store": tmp_path}
    usual |= {"labels": grid.labels}
    given = usual | changes
    with pytest.raises(ConfigError, match=words):
        icudl.audit(given.pop("model"), grid.values, given.pop("labels"), **given)
