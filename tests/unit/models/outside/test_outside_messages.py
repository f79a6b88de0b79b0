"""Every mistake that a model from outside or its table can make has a message that names it and says what to do."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

import outside_cases as cases
from icudl.errors import ConfigError, IcudlError, StageError
from icudl.models.outside.options import OutsideOptions, undeclared

GRID = cases.clinical_grid()
STAYS = cases.stays_of(GRID)
OBJECT = "outside_cases:{}"


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({}, "neither of file and object"),
        ({"file": "a.json", "object": "a:b"}, "both of file and object"),
        ({"file": "model.pkl"}, "is a pickle, .* skops.io.dump"),
        ({"file": "model.joblib"}, "is a pickle"),
        ({"file": "model.h5"}, "ends in '.h5'. Expected one of .json"),
        ({"file": "a.json", "input": "rows"}, "input = 'rows' is unknown"),
        ({"file": "a.json", "trained_on": ""}, "trained_on .* is not said"),
        ({"file": "a.json", "trained_on": "listed"}, "trained_stays belongs"),
        ({"file": "a.json", "trained_on": "training_stays"}, "leaves no stay to choose a threshold"),
    ],
)
def test_what_is_not_said(declared: dict, words: str) -> None:
    options = OutsideOptions(**{"trained_on": "elsewhere"} | declared)
    assert _matches(words, undeclared("models.theirs", options))


def test_what_is_said_is_enough() -> None:
    assert undeclared("m", OutsideOptions(file="a.json", trained_on="elsewhere")) == ""
    assert undeclared("m", OutsideOptions(file="a.json", trained_on="training_stays", threshold=0.2)) == ""


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (
            {"object": OBJECT.format("without_number")},
            r"no finite number for \d+ of 240 stays. \d+% of its features are",
        ),
        ({"object": OBJECT.format("heart"), "output": "probability"}, "are no probabilities. .* say output = 'logit'"),
        ({"object": OBJECT.format("in_probabilities")}, "look like probabilities, not logits"),
        ({"object": OBJECT.format("two_probabilities")}, "two columns that add up to 1 .* Say output = 'probability'"),
        (
            {"object": OBJECT.format("two_logits"), "output": "probability"},
            "two columns with numbers from .* not add up to 1",
        ),
        ({"object": OBJECT.format("two_probabilities"), "output": "auto"}, "does not say whether"),
        ({"object": OBJECT.format("heart"), "output": "auto"}, "does not say whether"),
        ({"object": OBJECT.format("at_random")}, "another score the second time: .* draws random numbers"),
        ({"object": OBJECT.format("mixing")}, "alone than among others: .* mixes the stays"),
        ({"object": OBJECT.format("three_classes")}, r"array of shape \(240, 3\) for 240 stays"),
        ({"object": OBJECT.format("OfItsOwn")}, "is a class. Give an instance"),
        ({"object": OBJECT.format("nothing")}, "has no 'nothing'"),
        ({"object": "no_such_module:f"}, "cannot be imported"),
        ({"object": OBJECT.format("NAMES")}, "is tuple. Expected an object with predict_proba"),
        ({"object": OBJECT.format("heart"), "variables": ("lactate",)}, "variable 'lactate', which the data do not"),
        ({"object": OBJECT.format("heart"), "variables": ("heartrate", "heartrate")}, "names a variable twice"),
        ({"object": OBJECT.format("heart"), "units": {"creatinine": "furlong"}}, "units.creatinine = 'furlong' is unk"),
        ({"object": OBJECT.format("heart"), "units": {"lactate": "mmol/L"}}, "units names 'lactate'"),
        ({"object": OBJECT.format("heart"), "fill": {"lactate": 1.0}}, "fill names 'lactate'"),
        ({"object": OBJECT.format("heart"), "ranges": {"potassium": (9, 2)}}, "ranges.potassium = .9, 2. is no range"),
        (
            {"object": OBJECT.format("heart"), "ranges": {"potassium": (12, 20)}},
            "trained on potassium between 12 and 20; the median .* mEq/L. Does your model expect potassium in mg/dL",
        ),
        (
            {"object": OBJECT.format("heart"), "input": "summaries", "features": ("heartrate.middle",)},
            "features names 'heartrate.middle'. Expected VARIABLE.SUMMARY",
        ),
        ({"object": OBJECT.format("heart"), "input": "outside_cases:three_classes"}, "three_classes failed on values"),
    ],
    ids=lambda value: value.get("object", "").partition(":")[2] if isinstance(value, dict) else "",
)
def test_each_fault_is_named(declared: dict, words: str) -> None:
    with pytest.raises(StageError) as raised:
        cases.fitted(STAYS, **{"missing": "nan", "output": "logit"} | declared)
    assert _matches(words, str(raised.value))


@pytest.mark.parametrize(("name", "output"), [("two_probabilities", "probability"), ("two_logits", "logit")])
def test_two_columns_are_survival_and_death(name: str, output: str) -> None:
    one = cases.fitted(STAYS, object=OBJECT.format("in_probabilities"), output="probability")
    two = cases.fitted(STAYS, object=OBJECT.format(name), output=output)
    assert two.logits(STAYS) == pytest.approx(one.logits(STAYS), abs=1e-9)


@pytest.mark.parametrize(
    ("classes", "fits"),
    [((0, 1), True), ((False, True), True), ((-1, 1), True), (("dead", "survived"), False), ((1, 2), False)],
)
def test_the_second_class_must_be_known_to_be_death(classes: tuple, fits: bool, tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    model = DecisionTreeClassifier(max_depth=2).fit(cases.filled(STAYS), np.array(classes)[GRID.labels.astype(int)])
    file = tmp_path / "model.skops"
    file.write_bytes(skops.dumps(model))
    given = {"file": str(file), "missing": "zero", "trusted": tuple(skops.get_untrusted_types(file=file))}
    if fits:
        cases.fitted(STAYS, **given)
    else:
        with pytest.raises(StageError, match=f"tells {classes[0]} from {classes[1]}"):
            cases.fitted(STAYS, **given)


def test_a_wrong_number_of_features_is_named(tmp_path: Path) -> None:
    file, _ = cases.xgboost_file(tmp_path, STAYS, GRID.labels)
    with pytest.raises(StageError, match="The XGBoost model reads 18 features; the data give 12"):
        cases.fitted(STAYS, file=str(file), variables=("heartrate", "potassium"))


def test_trees_that_split_in_another_unit_are_told_from_trees_that_do_not(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    rows = cases.flat(STAYS)
    rows[:, 2::3] *= 88.4  # creatinine in umol/L
    labels = (np.nanmax(rows[:, 2::3], axis=1) > 130).astype(int)
    xgboost.XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1).fit(rows, labels).save_model(tmp_path / "m.json")
    with pytest.raises(StageError, match=r"split creatinine between .* mg/dL.* expect creatinine in umol/L"):
        cases.fitted(STAYS, file=str(tmp_path / "m.json"))
    model = cases.fitted(STAYS, file=str(tmp_path / "m.json"), units={"creatinine": "umol/L"})
    assert ((model.logits(STAYS) > 0) == labels).mean() > 0.95


@pytest.mark.parametrize(
    ("suffix", "words"),
    [
        (".json", "no XGBoost model"),
        (".txt", "no LightGBM model"),
        (".cbm", "no CatBoost model"),
        (".skops", "no skops file"),
        (".onnx", "cannot run the ONNX file"),
        (".pt", "no TorchScript archive. What torch.save writes is a pickle"),
        (".pt2", "no program of torch.export"),
    ],
)
def test_a_file_of_another_format_is_refused(suffix: str, words: str, tmp_path: Path) -> None:
    if suffix == ".cbm":
        pytest.importorskip("catboost", reason="CatBoost, a wheel of 97 MB, is not installed")
    (tmp_path / f"model{suffix}").write_bytes(b"nothing of the kind")
    with pytest.raises(StageError) as raised:
        cases.fitted(STAYS, file=str(tmp_path / f"model{suffix}"), output="logit")
    assert _matches(words, str(raised.value))


class Witness:
    """Leaves a file when it is unpickled."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        return Path.touch, (Path(self.place),)


@pytest.mark.parametrize("suffix", [".pt", ".pt2", ".skops", ".json", ".onnx", ".txt"])
def test_no_pickle_is_ever_run(suffix: str, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    (tmp_path / f"model{suffix}").write_bytes(pickle.dumps(Witness(str(witness))))
    with pytest.raises(IcudlError):
        cases.fitted(STAYS, file=str(tmp_path / f"model{suffix}"), output="logit")
    torch.save(Witness(str(witness)), tmp_path / f"saved{suffix}")
    with pytest.raises(IcudlError):
        cases.fitted(STAYS, file=str(tmp_path / f"saved{suffix}"), output="logit")
    assert not witness.exists()


def test_an_operator_that_onnxruntime_lacks_is_named(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    shape = make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 18])
    result = make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 1])
    graph = make.make_graph([make.make_node("Conjure", ["x"], ["y"])], "g", [shape], [result])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(StageError, match=r"cannot run the ONNX file: .*Conjure.* export it with standard operators"):
        cases.fitted(STAYS, file=str(tmp_path / "m.onnx"), output="logit")


def test_types_that_skops_does_not_trust_are_listed(tmp_path: Path) -> None:
    from sklearn.ensemble import GradientBoostingClassifier

    file, _ = cases.skops_file(tmp_path, STAYS, GRID.labels, GradientBoostingClassifier(n_estimators=3))
    with pytest.raises(StageError, match=r"does not trust: .* name them: trusted = \["):
        cases.fitted(STAYS, file=str(file), missing="zero")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.json' cannot be read"):
        cases.fitted(STAYS, file=str(tmp_path / "none.json"))


def _matches(words: str, text: str) -> bool:
    import re

    assert re.search(words, text), text
    return True
