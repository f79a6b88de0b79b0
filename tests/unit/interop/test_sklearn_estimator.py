"""The scikit-learn wrapper: the pipeline's model, and scikit-learn's habits."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from icudl.interop.data_set import data_set_of
from icudl.interop.sklearn import SequenceClassifierEstimator, options_from
from icudl.models.options import GruOptions, LstmOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.training.members import MemberJob, Plan, run_member
from icudl.training.options import TrainingOptions
from icudl.training.scores.scoring import risks
from icudl.variables import STUDY_VARIABLES
from training_grids import make_grid

SMALL = {"model.hidden_size": 6, "model.fc_size": 4, "training.max_epochs": 3}
GRID = make_grid(90, signal=2.5)
X, Y, GROUPS = GRID.values, GRID.labels, GRID.patient_ids


@pytest.fixture(scope="module")
def fitted() -> SequenceClassifierEstimator:
    return SequenceClassifierEstimator(SMALL, variables=GRID.variables).fit(X, Y, GROUPS, GRID.lengths)


WITHOUT_DATA = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_scikit_learns_checks_that_need_no_data(name: str) -> None:
    """Its other checks give two-dimensional data, which are refused; the tests below stand for them."""
    check: Callable[[str, Any], None] = getattr(estimator_checks, name)
    check("SequenceClassifierEstimator", SequenceClassifierEstimator())


def test_it_is_the_final_member_of_the_pipeline(fitted: SequenceClassifierEstimator, tmp_path: Path) -> None:
    model = LstmOptions(hidden_size=6, fc_size=4)
    grid = data_set_of(X, GRID.lengths, Y, GRID.variables, patients=np.unique(GROUPS, return_inverse=True)[1])
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    plan = Plan(
        grid=grid, inputs=InputOptions(), model=model, training=TrainingOptions(max_epochs=3), seed=seed, device="cpu",
        scratch=tmp_path,
    )  # fmt: skip
    checkpoint = run_member(plan, MemberJob(fold=-1), lambda _units: None).checkpoint
    assert checkpoint is not None
    assert all((fitted.checkpoint_.weights[name] == weight).all() for name, weight in checkpoint.weights.items())
    assert fitted.threshold_ == checkpoint.threshold
    risk = fitted.predict_proba(X, GRID.lengths)[:, 1]
    assert (risk == risks(checkpoint, grid, np.arange(len(X)), "cpu")).all()


def test_what_it_predicts(fitted: SequenceClassifierEstimator) -> None:
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (90, 2)
    assert np.allclose(probabilities.sum(axis=1), 1.0)
    assert (fitted.predict(X) == (probabilities[:, 1] >= fitted.threshold_)).all()
    assert (
        fitted.predict_proba(X, GRID.lengths)[Y == 1, 1].mean()
        > fitted.predict_proba(X, GRID.lengths)[Y == 0, 1].mean()
    )
    assert (fitted.n_features_in_, fitted.n_hours_in_, fitted.classes_.tolist()) == (3, 6, [0, 1])
    assert np.allclose(fitted.predict_proba(X[[7, 3]]), probabilities[[7, 3]], atol=1e-6)
    assert fitted.checkpoint_.variables == STUDY_VARIABLES[:3]


def test_fitting_is_deterministic_and_leaves_no_trace(fitted: SequenceClassifierEstimator) -> None:
    arrays = [X.copy(), Y.copy(), GROUPS.copy()]
    drawn, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = clone(fitted).fit(*arrays, GRID.lengths)
    assert torch.equal(drawn, torch.get_rng_state())
    assert (numbers == np.random.get_state()[1]).all()  # noqa: NPY002
    assert all(np.array_equal(one, other, equal_nan=True) for one, other in zip(arrays, (X, Y, GROUPS), strict=True))
    assert (again.predict_proba(X) == fitted.predict_proba(X)).all()
    other = clone(fitted).set_params(random_state=1).fit(*arrays, GRID.lengths)
    assert (other.predict_proba(X) != fitted.predict_proba(X)).any()
    assert (pickle.loads(pickle.dumps(fitted)).predict_proba(X) == fitted.predict_proba(X)).all()


def test_labels_may_be_anything(fitted: SequenceClassifierEstimator) -> None:
    names = np.where(Y == 1, "died", "alive")
    named = clone(fitted).fit(X, names, GROUPS, GRID.lengths)
    assert named.classes_.tolist() == ["alive", "died"]
    assert (named.predict_proba(X) == fitted.predict_proba(X)).all()
    assert set(named.predict(X)) <= {"alive", "died"}


def test_cross_validation_by_patient() -> None:
    scores = cross_val_score(
        SequenceClassifierEstimator(SMALL), X, Y, groups=GROUPS, cv=GroupKFold(2), scoring="roc_auc",
        params={"groups": GROUPS, "lengths": GRID.lengths}, error_score="raise",
    )  # fmt: skip
    assert scores.shape == (2,)
    assert scores.mean() > 0.6


def test_search_and_pipeline() -> None:
    choices = [SMALL | {"model.name": name, "training.max_epochs": 1} for name in ("gru", "tcn")]
    search = GridSearchCV(
        SequenceClassifierEstimator(), {"settings": choices}, cv=2, scoring="neg_log_loss", error_score="raise"
    )
    search.fit(X, Y)
    assert search.best_params_["settings"] in choices
    assert search.best_estimator_.checkpoint_.model["name"] == search.best_params_["settings"]["model.name"]
    piped = make_pipeline(clone(search.best_estimator_))
    assert piped.fit(X, Y).score(X, Y) > 0.5


def test_settings_reach_their_tables() -> None:
    options = options_from({"model.name": "gru", "training.learning_rate": 1, "inputs.channels": ["value", "observed"]})
    assert options["model"] == GruOptions()
    assert options["training"] == TrainingOptions(learning_rate=1.0)
    assert options["inputs"] == InputOptions(channels=("value", "observed"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.hiden_size": 4}, "Did you mean 'model.hidden_size'"),
        ({"attack.kappa": 1.0}, "Known tables: inputs, model, training"),
        ({"model.hidden_size": "4"}, "is not of type int"),
        ({"model.bidirectional": 1}, "is not of type bool"),
        ({"model.hidden_size": 0}, "out of range"),
        ({"model.name": "lstn"}, "Unknown model 'lstn'"),
        ({"inputs.statics": ("age_years",)}, "age_years"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceClassifierEstimator(SMALL | settings).fit(X, Y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": X[:, 0]}, "Expected 3D array, got 2D"),
        ({"X": X[:0], "y": Y[:0]}, "minimum of 1 is required"),
        ({"X": np.where(np.isnan(X), np.inf, X)}, "infinity"),
        ({"y": Y[:5]}, "inconsistent numbers of samples"),
        ({"y": np.zeros(90)}, r"1 class\(es\)"),
        ({"y": np.arange(90) % 3}, r"3 class\(es\)"),
        ({"y": np.linspace(0, 1, 90)}, "Unknown label type"),
        ({"groups": GROUPS[:4]}, "inconsistent numbers of samples"),
        ({"groups": np.zeros(90)}, "At least two are needed"),
        ({"lengths": np.full(90, 7)}, "lengths run from 7 to 7"),
    ],
    ids=["2D", "empty", "infinite", "short y", "one class", "three", "numbers", "groups", "one patient", "lengths"],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceClassifierEstimator(SMALL).fit(**({"X": X, "y": Y} | arguments))


def test_names_for_other_variables() -> None:
    with pytest.raises(ValueError, match="one name for each"):
        SequenceClassifierEstimator(SMALL, variables=["ph"]).fit(X, Y)


def test_prediction_needs_a_fit_and_the_same_shape(fitted: SequenceClassifierEstimator) -> None:
    with pytest.raises(NotFittedError):
        SequenceClassifierEstimator().predict(X)
    with pytest.raises(ValueError, match="is expecting 6 hours and 3 features"):
        fitted.predict(X[:, :5])


def test_a_variable_never_measured() -> None:
    empty = X.copy()
    empty[:, :, 2] = np.nan
    model = SequenceClassifierEstimator(SMALL | {"training.max_epochs": 1}).fit(empty, Y)
    assert np.isfinite(model.predict_proba(empty)).all()
    assert (model.checkpoint_.variables[2].low, model.checkpoint_.variables[2].high) == (0.0, 1.0)
