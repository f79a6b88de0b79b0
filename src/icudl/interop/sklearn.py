"""The models as a scikit-learn classifier, to be fitted, cloned and cross-validated there."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_array, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from icudl.artifacts import Checkpoint, GridDataset
from icudl.errors import ConfigError, IcudlError, suggestion
from icudl.execution.threads import single_thread
from icudl.interop.data_set import data_set_of, variables_of
from icudl.models.options import GROUP, ModelOptions
from icudl.options import Options
from icudl.plugins import options_of
from icudl.preprocessing.scaling import InputOptions
from icudl.training.members import MemberJob, Plan, run_member
from icudl.training.options import TrainingOptions
from icudl.training.scores.scoring import risks
from icudl.variables import Variable


class SequenceClassifierEstimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The ``final`` member of a training, as a scikit-learn classifier of (N, T, F) arrays with NaN.

    The pipeline fits the model: it keeps a part of the patients for early stopping, calibration and the decision
    threshold, and takes winsor limits, medians and scales from the rest. The same arrays, settings and seed give the
    same model.

    Args:
        settings: Dotted keys of the configuration and their values, such as ``{"model.name": "gru",
            "training.max_epochs": 10}``; all others have their defaults. Static descriptors are not supported.
        variables: F names or ``icudl.variables.Variable`` values, for the checkpoint.
        device: ``"cpu"`` or ``"cuda:N"``.
        random_state: Seed, generator or None, as in scikit-learn.

    Attributes:
        classes_: The two labels; the second one is the event whose probability is modelled.
        checkpoint_: Everything needed to score, export or attack the model.
        threshold_: Decision threshold on the probability of ``classes_[1]``, chosen on validation patients: ``predict``
            goes by it, not by one half.
        n_features_in_: F.
        n_hours_in_: T.
    """

    def __init__(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        variables: Sequence[Variable | str] | None = None,
        device: str = "cpu",
        random_state: Any = 0,
    ) -> None:
        self.settings = settings
        self.variables = variables
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn what the estimator takes."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any, groups: Any = None, lengths: Any = None) -> Self:
        """Fit a model.

        Args:
            X: (N, T, F) values, NaN where nothing was measured.
            y: (N,) two different labels.
            groups: (N,) patient of each stay: all stays of a patient go to training, or all to validation. None makes
                each stay a patient of its own.
            lengths: (N,) hours of each stay; None means T hours for all.

        Raises:
            ValueError: An argument or a setting is wrong, or nothing can be learnt from these stays.
        """
        values, y = _values(X), column_or_1d(y, warn=True)
        check_consistent_length(values, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(
                f"y has {len(self.classes_)} class(es). Expected two: the classifier tells events from others."
            )
        self.n_hours_in_, self.n_features_in_ = values.shape[1:]
        hours, patients = _lengths(lengths, values), None
        if groups is not None:
            check_consistent_length(values, groups)
            patients = np.unique(column_or_1d(groups), return_inverse=True)[1]
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        try:
            variables = variables_of(self.variables, *_ranges(values))
            grid = data_set_of(values, hours, labels, variables, patients=patients)
            self.checkpoint_ = _fitted(grid, options_from(self.settings or {}), seed, self.device)
        except IcudlError as error:
            raise ValueError(str(error)) from error
        self.threshold_ = self.checkpoint_.threshold
        return self

    def predict_proba(self, X: Any, lengths: Any = None) -> npt.NDArray[np.float64]:
        """Return (N, 2) probabilities of ``classes_`` for (N, T, F) values."""
        check_is_fitted(self)
        values = _values(X)
        if values.shape[1:] != (self.n_hours_in_, self.n_features_in_):
            raise ValueError(
                f"X has {values.shape[1]} hours and {values.shape[2]} features, but {type(self).__name__} is expecting "
                f"{self.n_hours_in_} hours and {self.n_features_in_} features as input."
            )
        unknown = np.zeros(len(values), np.int8)
        grid = data_set_of(values, _lengths(lengths, values), unknown, self.checkpoint_.variables)
        with single_thread():
            risk = risks(self.checkpoint_, grid, np.arange(len(values)), self.device)
        return np.stack([1.0 - risk, risk], axis=1)

    def predict(self, X: Any, lengths: Any = None) -> npt.NDArray[Any]:
        """Return the (N,) labels: ``classes_[1]`` where its probability reaches ``threshold_``."""
        risk = self.predict_proba(X, lengths)[:, 1]
        labels: npt.NDArray[Any] = np.asarray(self.classes_)[(risk >= self.threshold_).astype(int)]
        return labels


def options_from(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables ``inputs``, ``model`` and ``training`` with some of their options set.

    Args:
        settings: Values by dotted key; ``"model.name"`` decides which keys the table ``model`` has.

    Raises:
        ConfigError: A key is unknown, or a value is of another type or out of range.
        PluginError: No model has the name given.
    """
    model = options_of(GROUP, str(settings.get("model.name", ModelOptions().name)))
    tables: dict[str, type[Options]] = {"inputs": InputOptions, "model": model, "training": TrainingOptions}
    values: dict[str, dict[str, Any]] = {table: {} for table in tables}
    known = {f"{table}.{field.name}": field for table, kind in tables.items() for field in dataclasses.fields(kind)}
    for key, value in settings.items():
        if key not in known:
            raise ConfigError(f"settings name {key!r}.{suggestion(key, known)} Known tables: {', '.join(tables)}.")
        expected = type(known[key].default)
        given = tuple(value) if isinstance(value, list) else value
        if type(given) is not expected and not (expected is float and type(given) is int):
            raise ConfigError(
                f"{key} = {value!r} is not of type {expected.__name__}. Give a value such as {known[key].default!r}."
            )
        table, _, name = key.partition(".")
        values[table][name] = given
    return {table: kind(**values[table]) for table, kind in tables.items()}


def _fitted(grid: GridDataset, options: Mapping[str, Any], seed: int, device: str) -> Checkpoint:
    """Fit the final member: on all stays but those it keeps for validation.

    Raises:
        ConfigError: ``training.final`` asks for a member made of folds, but a single model is fitted, without folds.
    """
    if options["training"].final != "refit":
        raise ConfigError(
            f"training.final = {options['training'].final!r}, but a single model is fitted here, without folds. "
            "Leave it at 'refit', or train with `icudl train`."
        )
    with tempfile.TemporaryDirectory(prefix="icudl-") as scratch:
        plan = Plan(grid=grid, seed=seed, device=device, scratch=Path(scratch), **options)
        return cast("Checkpoint", run_member(plan, MemberJob(fold=-1), lambda _units: None).checkpoint)


def _values(X: Any) -> npt.NDArray[np.float32]:
    """Return X as (N, T, F) float32.

    Raises:
        ValueError: X does not have three dimensions, holds no stay, or has infinite values.
    """
    values: npt.NDArray[np.float32] = check_array(
        X, dtype=np.float32, allow_nd=True, ensure_2d=False, ensure_all_finite="allow-nan", input_name="X"
    )
    if values.ndim != 3:
        raise ValueError(
            f"Expected 3D array, got {values.ndim}D array instead: shape {values.shape}. Give (stays, hours, "
            "variables)."
        )
    return values


def _lengths(lengths: Any, values: npt.NDArray[np.float32]) -> npt.NDArray[np.integer]:
    n_stays, n_hours = values.shape[:2]
    if lengths is None:
        return np.full(n_stays, n_hours)
    hours: npt.NDArray[np.integer] = column_or_1d(lengths)
    check_consistent_length(values, hours)
    if ((hours < 1) | (hours > n_hours)).any():
        raise ValueError(f"lengths run from {hours.min()} to {hours.max()}. Expected 1 to {n_hours}, the hours of X.")
    return hours


def _ranges(values: npt.NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """Return the smallest and the largest value of each variable; 0 and 1 where nothing was measured."""
    measured = ~np.isnan(values).all(axis=(0, 1))
    lowest, highest = np.zeros(values.shape[2]), np.ones(values.shape[2])
    lowest[measured] = np.nanmin(values[:, :, measured], axis=(0, 1))
    highest[measured] = np.nanmax(values[:, :, measured], axis=(0, 1))
    return lowest.tolist(), highest.tolist()
