"""A checkpoint as an ONNX file, run by onnxruntime."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import icudl.interop.checkpoints.clinical
import icudl.interop.extra
from attack_cases import make_checkpoint
from icudl.artifacts import Checkpoint
from icudl.errors import ConfigError, PluginError, StageError
from icudl.interop.checkpoints.clinical import ClinicalModule
from icudl.interop.checkpoints.onnx import example_stays, export_onnx, open_session, run_session
from icudl.interop.data_set import data_set_of
from icudl.models.build import build_model
from icudl.models.options import GROUP, GruOptions
from icudl.plugins import options_of
from icudl.preprocessing.features import n_features
from icudl.preprocessing.scaling import InputOptions
from icudl.training.scores.scoring import risks
from training_grids import make_grid

needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None,
    reason="the extra interop (onnx, onnxruntime) is absent",
)
GRID = make_grid(40)
EVERYTHING = InputOptions(channels=("value", "observed", "hours_since"), statics=("age_years",), scaling="standard")
FORWARD = InputOptions(imputation="forward")


def checkpoint_of(name: str, inputs: InputOptions = EVERYTHING, **options: Any) -> Checkpoint:
    return make_checkpoint(GRID, "final", options_of(GROUP, name)(**{"hidden_size": 6, "fc_size": 4} | options), inputs)


def ensemble() -> Checkpoint:
    single = checkpoint_of("gru", FORWARD)
    options = GruOptions(hidden_size=6, fc_size=4, ensemble_size=2)
    torch.manual_seed(3)
    network = build_model(options, n_features(FORWARD, 3))
    weights = {name: 2 * tensor.numpy() for name, tensor in network.state_dict().items()}
    return dataclasses.replace(single, model=options.to_dict(), weights=weights)


def check_against_predict(checkpoint: Checkpoint, path: Path) -> None:
    """Run the file on stays the export has not seen, alone and together, and on fewer hours."""
    session = open_session(path)
    values, lengths, statics = example_stays(checkpoint, 17, GRID.values.shape[1], np.random.default_rng(99))
    made_up = data_set_of(
        values, lengths, np.zeros(17, np.int8), GRID.variables, statics=statics, static_names=checkpoint.static_names
    )
    expected = risks(checkpoint, made_up, np.arange(17), "cpu")
    assert expected.std() > 1e-3
    found = run_session(session, values, lengths, statics)
    assert np.abs(found - expected).max() <= 1e-5
    one = run_session(session, values[[5]], lengths[[5]], statics[[5]])
    assert np.abs(one - expected[[5]]).max() <= 1e-5
    short = np.flatnonzero(lengths <= 4)
    cut = run_session(session, values[short, :4], lengths[short], statics[short])
    assert np.abs(cut - expected[short]).max() <= 1e-5


@needs_onnx
@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("lstm", EVERYTHING),
        ("gru", FORWARD),
        ("lstm_summary", FORWARD),
        pytest.param("gru_summary", EVERYTHING, marks=pytest.mark.slow),
        pytest.param("tcn", EVERYTHING, marks=pytest.mark.slow),
        ("transformer", EVERYTHING),
    ],
    ids=lambda value: value if isinstance(value, str) else value.imputation,
)
def test_risks_are_those_of_predict(name: str, inputs: InputOptions, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(name, inputs, n_layers=2)
    assert export_onnx(checkpoint, tmp_path / "model.onnx") <= 1e-5
    check_against_predict(checkpoint, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@needs_onnx
def test_an_isotonic_curve_is_part_of_the_file(tmp_path: Path) -> None:
    # Places that rise, a level piece, and two places that are one in single precision.
    places = [-2.0, -0.5, -0.2, 0.1, 0.1 + 1e-12, 1.5]
    curve = np.array([places, [0.02, 0.1, 0.1, 0.3, 0.4, 0.9]])
    checkpoint = dataclasses.replace(checkpoint_of("gru", FORWARD), curve=curve)
    assert export_onnx(checkpoint, tmp_path / "model.onnx") <= 1e-5
    check_against_predict(checkpoint, tmp_path / "model.onnx")
    straight = dataclasses.replace(checkpoint, curve=None)
    made_up = example_stays(checkpoint, 17, GRID.values.shape[1], np.random.default_rng(99))
    with_curve = run_session(open_session(tmp_path / "model.onnx"), *made_up)
    export_onnx(straight, tmp_path / "straight.onnx")
    assert np.abs(run_session(open_session(tmp_path / "straight.onnx"), *made_up) - with_curve).max() > 0.05


@pytest.mark.parametrize(("logit", "risk"), [(-3.0, 0.1), (0.5, 0.15), (1.0, 0.2), (1.5, 0.65), (9.0, 0.7)])
def test_at_a_jump_of_the_curve_there_is_a_risk(logit: float, risk: float) -> None:
    """A network whose weights are all zero gives every stay the logit that its last bias says."""
    checkpoint = checkpoint_of("gru", FORWARD)
    weights = {name: np.zeros_like(array) for name, array in checkpoint.weights.items()}
    (bias,) = (name for name, array in weights.items() if array.shape == (2,))
    weights[bias] = np.array([0, logit], np.float32)
    curve = np.array([[0.0, 1.0, 1.0, 2.0], [0.1, 0.2, 0.6, 0.7]])
    values, lengths, _ = example_stays(checkpoint, 3, GRID.values.shape[1], np.random.default_rng(9))
    module = ClinicalModule(dataclasses.replace(checkpoint, weights=weights, curve=curve))
    torch.testing.assert_close(module(torch.from_numpy(values), torch.from_numpy(lengths)), torch.full((3,), risk))


@needs_onnx
def test_an_ensemble_is_one_file(tmp_path: Path) -> None:
    export_onnx(ensemble(), tmp_path / "model.onnx")
    check_against_predict(ensemble(), tmp_path / "model.onnx")


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("readout", ["final", "last_hour", "mean", "max", "attention"])
@pytest.mark.parametrize("imputation", ["linear", "forward"])
@pytest.mark.parametrize("channels", [("value",), ("value", "observed", "hours_since"), ("hours_since",)])
@pytest.mark.parametrize("name", ["lstm", "gru_summary", "transformer"])
def test_every_option_of_a_model(
    name: str, channels: tuple[str, ...], imputation: str, readout: str, bidirectional: bool, tmp_path: Path
) -> None:
    options: dict[str, object] = {"readout": readout, "bidirectional": bidirectional}
    if name == "transformer":
        if readout == "final" or not bidirectional:
            pytest.skip("a transformer has no direction and no final state")
        options.pop("bidirectional")
    inputs = InputOptions(channels=channels, imputation=imputation, statics=("age_years",))
    checkpoint = checkpoint_of(name, inputs, **options)
    export_onnx(checkpoint, tmp_path / "model.onnx")
    check_against_predict(checkpoint, tmp_path / "model.onnx")


@needs_onnx
def test_the_file_tells_what_it_is(tmp_path: Path) -> None:
    checkpoint = checkpoint_of("lstm")
    export_onnx(checkpoint, tmp_path / "model.onnx")
    session = open_session(tmp_path / "model.onnx")
    told = session.get_modelmeta().custom_metadata_map
    assert [each["name"] for each in json.loads(told["variables"])] == [each.name for each in GRID.variables]
    assert json.loads(told["variables"])[0]["unit"] == GRID.variables[0].unit
    assert float(told["threshold"]) == checkpoint.threshold
    assert (told["hours"], json.loads(told["statics"])) == ("6", ["age_years"])
    assert [entry.name for entry in session.get_inputs()] == ["values", "lengths", "statics"]
    assert [entry.shape for entry in session.get_inputs()] == [["stays", "hours", 3], ["stays"], ["stays", 1]]
    export_onnx(checkpoint, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()


class RunningMaximum(nn.Module):
    """An operation that ONNX does not have."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        return torch.cummax(features, dim=1).values[:, -1, :2]


class ByTheData(nn.Module):
    """Decides in Python by the numbers: tracing keeps one of the two ways."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        logits = features.sum(dim=1)[:, :2]
        return logits if bool((lengths == features.shape[1]).all()) else 3 * logits


@needs_onnx
@pytest.mark.parametrize(
    ("module", "message"),
    [(RunningMaximum, "aten::cummax"), (ByTheData, "gives other risks than the checkpoint")],
)
def test_what_cannot_be_exported_is_told_and_leaves_no_file(
    module: type[nn.Module], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(icudl.interop.checkpoints.clinical, "without_packing", lambda _model: module())
    with pytest.raises(StageError, match=message):
        export_onnx(checkpoint_of("lstm"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().out == ""


@needs_onnx
def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        export_onnx(checkpoint_of("lstm"), tmp_path / "nowhere" / "model.onnx")


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> Any:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(icudl.interop.extra, "import_module", absent)
    with pytest.raises(PluginError, match=r"onnx is not installed. Install it with: pip install"):
        export_onnx(checkpoint_of("lstm"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
