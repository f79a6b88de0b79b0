"""Stays in clinical units, and models that other libraries trained on them and saved in their own formats."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from icudl.artifacts import GridDataset
from icudl.models.charted.base import ClinicalStays
from icudl.models.outside.model import OutsideModel
from icudl.models.outside.options import OutsideOptions
from icudl.variables import select
from training_grids import make_grid

NAMES = ("heartrate", "potassium", "creatinine")
HOURS = 6
CENTRE, SPREAD = np.array([90.0, 4.2, 1.4]), np.array([15.0, 0.6, 0.3])


def clinical_grid(n_stays: int = 240) -> GridDataset:
    """Stays whose heart rate lies higher in those who die."""
    grid = make_grid(n_stays, n_hours=HOURS, n_variables=3, ragged=False)
    values = (grid.values * SPREAD + CENTRE).astype(np.float32)
    return dataclasses.replace(grid, values=values, variables=select(NAMES))


def stays_of(grid: GridDataset) -> ClinicalStays:
    return ClinicalStays(grid.values, grid.lengths, np.zeros((len(grid.labels), 0), np.float32), grid.variables)


def flat(stays: ClinicalStays) -> np.ndarray:
    """The row that a user's own script would make: hour by hour, gaps as NaN."""
    return stays.values.reshape(len(stays), -1).astype(np.float64)


def filled(stays: ClinicalStays) -> np.ndarray:
    return np.nan_to_num(flat(stays), nan=0.0)


def xgboost_file(folder: Path, stays: ClinicalStays, labels: np.ndarray, suffix: str = ".json") -> tuple[Path, Any]:
    library = pytest.importorskip("xgboost", reason="XGBoost is not installed")
    model = library.XGBClassifier(n_estimators=12, max_depth=3, n_jobs=1).fit(flat(stays), labels)
    model.save_model(folder / f"model{suffix}")
    return folder / f"model{suffix}", model.predict_proba(flat(stays))[:, 1]


def lightgbm_file(folder: Path, stays: ClinicalStays, labels: np.ndarray) -> tuple[Path, Any]:
    library = pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    data = library.Dataset(flat(stays), labels)
    parameters = {"objective": "binary", "num_leaves": 6, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    booster = library.train(parameters, data, 15)
    booster.save_model(folder / "model.txt")
    return folder / "model.txt", booster.predict(flat(stays))


def catboost_file(
    folder: Path, stays: ClinicalStays, labels: np.ndarray, policy: str = "SymmetricTree"
) -> tuple[Path, Any]:
    file = catboost_of(flat(stays), labels, folder, policy)
    library = pytest.importorskip("catboost")
    return file, library.CatBoostClassifier().load_model(str(file)).predict_proba(flat(stays))[:, 1]


def catboost_of(features: np.ndarray, labels: np.ndarray, folder: Path, policy: str) -> Path:
    library = pytest.importorskip("catboost", reason="CatBoost, a wheel of 97 MB, is not installed")
    model = library.CatBoostClassifier(
        iterations=12, depth=3, thread_count=1, verbose=False, allow_writing_files=False, random_seed=1,
        grow_policy=policy,
    )  # fmt: skip
    model.fit(features, labels)
    model.save_model(str(folder / "model.cbm"))
    return folder / "model.cbm"


def skops_file(folder: Path, stays: ClinicalStays, labels: np.ndarray, estimator: Any = None) -> tuple[Path, Any]:
    library = pytest.importorskip("skops.io", reason="skops is not installed")
    estimator = make_pipeline(StandardScaler(), LogisticRegression()) if estimator is None else estimator
    estimator.fit(filled(stays), labels)
    library.dump(estimator, folder / "model.skops")
    return folder / "model.skops", estimator.predict_proba(filled(stays))[:, 1]


def onnx_file(folder: Path, stays: ClinicalStays, labels: np.ndarray) -> tuple[Path, Any]:
    converter = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(filled(stays), labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = converter.to_onnx(estimator, filled(stays)[:1].astype(np.float32), options={"zipmap": False})
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return folder / "model.onnx", estimator.predict_proba(filled(stays))[:, 1]


class Network(torch.nn.Module):
    """A recurrent network of (B, T, F) inputs that gives one logit a stay."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(len(NAMES), 8, batch_first=True)
        self.head = torch.nn.Linear(8, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        standard = (inputs - torch.tensor(CENTRE).to(inputs)) / torch.tensor(SPREAD).to(inputs)
        return 8.0 * self.head(self.gru(standard)[0][:, -1]).squeeze(-1) - 3.0


def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Network().eval()


def torch_scores(stays: ClinicalStays) -> np.ndarray:
    inputs = torch.from_numpy(np.nan_to_num(stays.values, nan=0.0))
    with torch.no_grad():
        return torch.sigmoid(network()(inputs)).numpy()


def script_file(folder: Path, stays: ClinicalStays, labels: np.ndarray) -> tuple[Path, Any]:
    del labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network(), torch.zeros(2, HOURS, len(NAMES))), str(folder / "model.pt"))
    return folder / "model.pt", torch_scores(stays)


def export_file(folder: Path, stays: ClinicalStays, labels: np.ndarray) -> tuple[Path, Any]:
    del labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        several = {"inputs": {0: torch.export.Dim("stays")}}
        example = (torch.zeros(3, HOURS, len(NAMES)),)
        torch.export.save(torch.export.export(network(), example, dynamic_shapes=several), folder / "model.pt2")
    return folder / "model.pt2", torch_scores(stays)


def fitted(stays: ClinicalStays, labels: np.ndarray | None = None, **declared: Any) -> OutsideModel:
    """The model that the train stage would make."""
    options = OutsideOptions(**{"trained_on": "elsewhere"} | declared)
    return OutsideModel.fit(options, stays, np.zeros(len(stays)) if labels is None else labels, [1])


# Objects for `object = "outside_cases:..."`.


def heart(features: np.ndarray) -> np.ndarray:
    """A logit: how far the first column lies above the 90 of a heart rate, or above the 50 of the contract's checks."""
    known = np.nan_to_num(features[:, 0], nan=50.0)
    return (known - 50.0) / 10.0


def in_probabilities(features: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-heart(features) + 4.0))


def decisions(features: np.ndarray) -> np.ndarray:
    return (heart(features) > 4.0).astype(np.int64)


def two_probabilities(features: np.ndarray) -> np.ndarray:
    death = in_probabilities(features)
    return np.stack([1.0 - death, death], axis=1)


def two_logits(features: np.ndarray) -> np.ndarray:
    """Columns whose softmax is that of ``two_probabilities``."""
    return np.stack([np.full(len(features), 3.0), heart(features) - 1.0], axis=1)


def without_number(features: np.ndarray) -> np.ndarray:
    return features[:, 0]


_RANDOM = np.random.default_rng(0)


def at_random(features: np.ndarray) -> np.ndarray:
    return heart(features) + _RANDOM.normal(size=len(features))


def mixing(features: np.ndarray) -> np.ndarray:
    return heart(features) - heart(features).mean()


def three_classes(features: np.ndarray) -> np.ndarray:
    return np.zeros((len(features), 3))


def last_heart_rate(values: np.ndarray, lengths: np.ndarray, statics: np.ndarray) -> np.ndarray:
    """A function of the user's from clinical values to features."""
    del lengths, statics
    return np.nan_to_num(values[:, -1:, 0], nan=90.0)


MODULE = network()


class OfItsOwn:
    """A class, where an instance is expected."""
