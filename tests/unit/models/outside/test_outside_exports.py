"""Files as other libraries leave them: forests of boosting, fixed numbers of stays, named columns, halves of files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import outside_cases as cases
from icudl.errors import StageError

GRID = cases.clinical_grid()
STAYS = cases.stays_of(GRID)
CELLS = [f"{name}_h{hour}" for hour in range(cases.HOURS) for name in cases.NAMES]
NETWORK = {"input": "grid", "missing": "zero", "output": "logit"}


def risks(model: cases.OutsideModel) -> np.ndarray:
    return 1 / (1 + np.exp(-model.logits(STAYS)))


@pytest.mark.parametrize(
    "kind",
    [
        {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7},
        {"objective": "binary", "boosting": "dart"},
        {"objective": "binary", "sigmoid": 2.0},
        {"objective": "cross_entropy"},
    ],
    ids=["random forest", "dart", "steep sigmoid", "cross entropy"],
)
def test_each_kind_of_lightgbm_gives_its_own_probability(kind: dict, tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    given = {"num_leaves": 6, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1} | kind
    booster = lightgbm.train(given, lightgbm.Dataset(cases.flat(STAYS), GRID.labels), 8)
    booster.save_model(tmp_path / "m.txt")
    model = cases.fitted(STAYS, file=str(tmp_path / "m.txt"))
    np.testing.assert_allclose(risks(model), booster.predict(cases.flat(STAYS)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_fixed", [1, 7])
def test_an_onnx_file_of_a_fixed_number_of_stays_scores_any_number(n_fixed: int, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    example = torch.zeros(n_fixed, cases.HOURS, len(cases.NAMES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(cases.network(), (example,), str(tmp_path / "m.onnx"), dynamo=False)
    model = cases.fitted(STAYS, file=str(tmp_path / "m.onnx"), **NETWORK)
    assert model.predictor.at_once == n_fixed
    np.testing.assert_allclose(risks(model), cases.torch_scores(STAYS), atol=1e-5)


def test_an_onnx_file_whose_weights_lie_elsewhere_is_named(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    file, _ = cases.onnx_file(tmp_path, STAYS, GRID.labels)
    weights = onnx.numpy_helper.from_array(np.zeros((18, 1), np.float32), "weights")
    make = onnx.helper
    graph = make.make_graph(
        [make.make_node("MatMul", ["x", "weights"], ["y"])], "g",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 18])],
        [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 1])], [weights],
    )  # fmt: skip
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, str(file), save_as_external_data=True, location="beside", size_threshold=0)
    with pytest.raises(StageError, match=r"keeps its weights in another file .* external_data=False"):
        cases.fitted(STAYS, file=str(file), output="logit")


def test_a_module_may_squeeze_a_single_stay_away(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Squeezing()), str(tmp_path / "m.pt"))
    model = cases.fitted(STAYS, file=str(tmp_path / "m.pt"), missing="zero", output="logit")
    assert model.logits(STAYS.select(slice(3, 4))) == pytest.approx(cases.filled(STAYS)[3].mean(), rel=1e-6)


class Squeezing(torch.nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.mean(dim=1, keepdim=True).squeeze()


def test_a_pipeline_that_was_fitted_on_a_data_frame_finds_its_columns(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    rows = pd.DataFrame(cases.filled(STAYS), columns=CELLS)
    chosen = ColumnTransformer([(part, StandardScaler(), CELLS[start::2]) for start, part in enumerate("ab")])
    estimator = make_pipeline(chosen, LogisticRegression()).fit(rows, GRID.labels)
    skops.dump(estimator, tmp_path / "m.skops")
    model = cases.fitted(STAYS, file=str(tmp_path / "m.skops"), missing="zero")
    np.testing.assert_allclose(risks(model), estimator.predict_proba(rows)[:, 1], atol=1e-12)


def test_names_in_the_file_are_held_against_the_table(tmp_path: Path) -> None:
    """Creatinine and potassium lie so near to each other that no threshold tells them apart."""
    xgboost = pytest.importorskip("xgboost")
    swapped = [CELLS[3 * hour + place] for hour in range(cases.HOURS) for place in (0, 2, 1)]
    rows = pd.DataFrame(cases.flat(STAYS), columns=CELLS)[swapped]
    theirs = xgboost.XGBClassifier(n_estimators=4, max_depth=2, n_jobs=1).fit(rows, GRID.labels)
    theirs.save_model(tmp_path / "m.json")
    with pytest.raises(StageError, match="calls feature 1 'creatinine_h0', and its table puts potassium there"):
        cases.fitted(STAYS, file=str(tmp_path / "m.json"))
    model = cases.fitted(STAYS, file=str(tmp_path / "m.json"), variables=("heartrate", "creatinine", "potassium"))
    np.testing.assert_allclose(risks(model), theirs.predict_proba(rows)[:, 1], rtol=1e-5)


@pytest.mark.parametrize(("suffix", "make"), [(".txt", cases.lightgbm_file), (".ubj", cases.xgboost_file)])
def test_half_of_a_file_is_an_error_and_no_end_of_the_process(suffix: str, make, tmp_path: Path) -> None:
    file, _ = make(tmp_path, STAYS, GRID.labels, *([suffix] if suffix == ".ubj" else []))
    whole = file.read_bytes()
    for share in (0.0, 0.3, 0.6, 0.9, 0.97):
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(StageError, match=r"is empty|was cut"):
            cases.fitted(STAYS, file=str(file))


def test_scores_that_run_the_wrong_way_are_told(tmp_path: Path) -> None:
    """Somebody's 1 is survival."""
    skops = pytest.importorskip("skops.io")
    theirs = make_pipeline(StandardScaler(), LogisticRegression()).fit(cases.filled(STAYS), 1 - GRID.labels)
    skops.dump(theirs, tmp_path / "m.skops")
    with pytest.raises(StageError, match=r"died lower than those who survived: AUROC 0\.\d+ on 240 stays"):
        cases.fitted(STAYS, GRID.labels, file=str(tmp_path / "m.skops"), missing="zero")


def test_decisions_are_no_probabilities() -> None:
    with pytest.raises(StageError, match=r"nothing but 0 and 1 .* predict_proba instead of predict"):
        cases.fitted(STAYS, object="outside_cases:decisions", output="probability")
