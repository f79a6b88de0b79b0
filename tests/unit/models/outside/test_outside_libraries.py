"""One model of each real library, trained by its own code and saved in its own format, gives its own scores here."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)

import outside_cases as cases
from icudl.models.charted.base import RiskModel, Rounded
from icudl.models.outside.options import OutsideOptions

GRID = cases.clinical_grid()
STAYS = cases.stays_of(GRID)
ZERO = {"missing": "zero"}
NETWORK = {"input": "grid", "missing": "zero", "output": "logit"}


@pytest.mark.parametrize(
    ("make", "declared"),
    [
        (cases.xgboost_file, {}),
        (lambda *given: cases.xgboost_file(*given, suffix=".ubj"), {}),
        (cases.lightgbm_file, {}),
        (cases.catboost_file, {}),
        (cases.skops_file, ZERO),
        (cases.onnx_file, ZERO),
        (cases.script_file, NETWORK),
        pytest.param(cases.export_file, NETWORK, marks=pytest.mark.slow),  # it loads the compiler of torch
    ],
    ids=["xgboost-json", "xgboost-ubj", "lightgbm", "catboost", "skops", "onnx", "torchscript", "torch-export"],
)
def test_the_scores_are_those_of_the_library(make, declared, tmp_path: Path) -> None:
    file, theirs = make(tmp_path, STAYS, GRID.labels)
    model = cases.fitted(STAYS, file=str(file), **declared)
    file.unlink()  # all of it is kept in the arrays
    again = type(model)(model.options, model.arrays)
    ours = 1 / (1 + np.exp(-again.logits(STAYS)))
    assert isinstance(again.offered(), RiskModel)
    assert isinstance(again.offered(), Rounded)
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-6)
    assert np.ptp(ours) > 0.01


def test_a_module_and_a_function_are_called_as_they_are() -> None:
    module = cases.fitted(STAYS, object="outside_cases:MODULE", **NETWORK)
    np.testing.assert_allclose(1 / (1 + np.exp(-module.logits(STAYS))), cases.torch_scores(STAYS), atol=1e-6)
    function = cases.fitted(STAYS, object="outside_cases:heart", missing="linear", output="logit")
    assert np.isfinite(function.logits(STAYS)).all()


TREES = [
    HistGradientBoostingClassifier(max_iter=8, max_leaf_nodes=6, min_samples_leaf=5),
    RandomForestClassifier(n_estimators=8, max_depth=4, random_state=1),
    ExtraTreesClassifier(n_estimators=8, max_depth=4, random_state=1),
    GradientBoostingClassifier(n_estimators=8, max_depth=2, random_state=1),
]


@pytest.mark.parametrize("estimator", TREES, ids=lambda each: type(each).__name__)
def test_trees_of_scikit_learn_say_where_they_jump(estimator, tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    file, theirs = cases.skops_file(tmp_path, STAYS, GRID.labels, estimator)
    trusted = tuple(skops.get_untrusted_types(file=file))
    model = cases.fitted(STAYS, file=str(file), missing="zero", trusted=trusted)
    np.testing.assert_allclose(1 / (1 + np.exp(-model.logits(STAYS))), theirs, rtol=1e-9, atol=1e-11)
    assert model.predictor.levels


@pytest.mark.parametrize("input_", ["flat", "summaries"])
@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost", "catboost-lossguide"])
def test_a_score_is_constant_between_the_levels_and_jumps_at_some(library, input_, tmp_path: Path) -> None:
    """Brute force: 4,001 values of each of some cells, and no change of the score where no level lies between."""
    make = {"xgboost": cases.xgboost_file, "lightgbm": cases.lightgbm_file}.get(
        library, partial(cases.catboost_file, policy="Lossguide" if "lossguide" in library else "SymmetricTree")
    )
    stays = STAYS
    if input_ == "summaries":
        file = _of_summaries(library, tmp_path)
    else:
        file, _ = make(tmp_path, STAYS, GRID.labels)
    model = cases.fitted(stays, file=str(file), input=input_).offered()
    from icudl.attacks.target.charted import PieceScorer, make_scorer

    scorer = make_scorer(model, stays)
    assert isinstance(scorer, PieceScorer)
    jumps = 0
    for stay in range(12):
        for hour, variable in np.argwhere(~np.isnan(stays.values[stay]))[:8]:
            x = np.linspace(*((40, 160), (2.5, 6.5), (0.3, 3.0))[variable], 4001, dtype=np.float32)
            scores = scorer.single_logits(stay, int(hour), int(variable), x)
            moved = np.flatnonzero(np.diff(scores))
            levels, constant = scorer.break_points(stay, int(hour), int(variable))
            assert constant
            for place in moved:
                assert ((levels >= x[place]) & (levels <= x[place + 1])).any()
            jumps += len(moved)
    assert jumps > 20


def _of_summaries(library: str, folder: Path) -> Path:
    from icudl.models.charted.window import summarise

    columns = summarise(STAYS.values, STAYS.lengths, STAYS.statics)
    if library == "xgboost":
        xgboost = pytest.importorskip("xgboost")
        xgboost.XGBClassifier(n_estimators=12, max_depth=3, n_jobs=1).fit(columns, GRID.labels).save_model(
            folder / "model.json"
        )
        return folder / "model.json"
    if library.startswith("catboost"):
        return cases.catboost_of(
            columns, GRID.labels, folder, "Lossguide" if "lossguide" in library else "SymmetricTree"
        )
    lightgbm = pytest.importorskip("lightgbm")
    parameters = {"objective": "binary", "num_leaves": 6, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    lightgbm.train(parameters, lightgbm.Dataset(columns, GRID.labels), 15).save_model(folder / "model.txt")
    return folder / "model.txt"


def test_the_content_of_the_file_decides_the_id_and_its_place_does_not(tmp_path: Path) -> None:
    for name, content in (("a.json", "1"), ("b.json", "1"), ("c.json", "2")):
        (tmp_path / name).write_text(content)
    digests = [OutsideOptions(file=str(tmp_path / name)).fingerprint() for name in ("a.json", "b.json", "c.json")]
    assert digests[0] == digests[1] != digests[2]
    plain = OutsideOptions(file=str(tmp_path / "a.json")).to_dict(identity_only=True)
    assert "file" not in plain
    assert "trained_stays" not in plain
