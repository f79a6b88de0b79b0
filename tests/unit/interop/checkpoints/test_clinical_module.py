"""Preprocessing and models written so that they can be traced do what the originals do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attack_cases import make_checkpoint
from icudl.interop.checkpoints.clinical import ClinicalModule, neighbours
from icudl.interop.checkpoints.onnx import example_stays
from icudl.interop.checkpoints.padded_recurrence import without_packing
from icudl.interop.data_set import data_set_of
from icudl.models.build import build_model, load_model
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.options import GROUP, ConvolutionalOptions
from icudl.plugins import options_of
from icudl.preprocessing.imputation import imputation_map
from icudl.preprocessing.scaling import InputOptions
from icudl.training.scores.scoring import risks
from training_grids import make_grid


@settings(deadline=None, max_examples=60)
@given(
    n_hours=st.integers(1, 9), share=st.sampled_from([0.0, 0.2, 0.5, 1.0]), seed=st.integers(0, 10_000),
)  # fmt: skip
def test_neighbours_are_those_of_the_imputation_map(n_hours: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    observed = rng.random((4, n_hours, 3)) < share
    lengths = rng.integers(1, n_hours + 1, 4)
    observed &= np.arange(n_hours)[None, :, None] < lengths[:, None, None]
    last, following = (found.numpy() for found in neighbours(torch.from_numpy(observed), torch.zeros(observed.shape)))
    where = imputation_map(observed, lengths, "linear")
    inside = np.broadcast_to(np.arange(n_hours)[None, :, None] < lengths[:, None, None], observed.shape)
    somewhere = inside & ~where.missing
    assert (np.where(last < 0, following, last) == where.previous_index)[somewhere].all()
    assert (np.where(following < 0, last, following) == where.next_index)[somewhere].all()
    assert ((last < 0) & (following < 0))[inside & where.missing].all()


@pytest.mark.parametrize("imputation", ["linear", "forward"])
@pytest.mark.parametrize("scaling", ["minmax", "standard"])
@pytest.mark.parametrize(
    ("channels", "statics"),
    [(("value",), ()), (("value", "observed", "hours_since"), ("age_years",)), (("observed",), ())],
    ids=["values", "all", "masks only"],
)
def test_risks_are_those_of_predict(
    imputation: str, scaling: str, channels: tuple[str, ...], statics: tuple[str, ...]
) -> None:
    options = InputOptions(imputation=imputation, scaling=scaling, channels=channels, statics=statics)
    grid = make_grid(40)
    checkpoint = make_checkpoint(grid, "final", inputs=options)
    values, lengths, known = example_stays(checkpoint, 30, 6, np.random.default_rng(4))
    made_up = data_set_of(values, lengths, np.zeros(30, np.int8), grid.variables, statics=known, static_names=statics)
    expected = risks(checkpoint, made_up, np.arange(30), "cpu")
    assert expected.std() > 0.01
    module = ClinicalModule(checkpoint)
    tensors = [torch.from_numpy(array) for array in (values, lengths, known)]
    found = module(*(tensors if statics else tensors[:2])).numpy()
    assert np.abs(found - expected).max() < 1e-6


def test_a_shorter_window_is_a_padded_one() -> None:
    grid = make_grid(40)
    inputs = InputOptions(channels=("value", "hours_since"))
    checkpoint = make_checkpoint(grid, "final", inputs=inputs)
    module = ClinicalModule(checkpoint)
    values, lengths, _ = example_stays(checkpoint, 8, 4, np.random.default_rng(4))
    short = module(torch.from_numpy(values), torch.from_numpy(lengths))
    padded = np.concatenate([values, np.full((8, 2, 3), np.nan, np.float32)], axis=1)
    assert torch.allclose(short, module(torch.from_numpy(padded), torch.from_numpy(lengths)), atol=1e-6)


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_summary", "gru_summary"])
@pytest.mark.parametrize("readout", ["final", "last_hour", "mean", "max", "attention"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_without_packing_the_logits_are_the_same(name: str, readout: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    kind = options_of(GROUP, name)
    options = kind(hidden_size=5, fc_size=4, n_layers=2, readout=readout, bidirectional=bidirectional)
    model = build_model(options, 3).eval()
    ensemble = EnsembleClassifier(options, [model, build_model(options, 3).eval()]).eval()
    features, lengths = torch.randn(6, 7, 3), torch.tensor([7, 1, 3, 7, 5, 2])
    for packed in (model, ensemble):
        before = {key: value.clone() for key, value in packed.state_dict().items()}
        state = torch.get_rng_state()
        padded = without_packing(packed)
        assert torch.equal(state, torch.get_rng_state())
        assert torch.allclose(padded(features, lengths), packed(features, lengths), atol=1e-6)
        assert all(torch.equal(value, before[key]) for key, value in packed.state_dict().items())


def test_what_is_no_recurrent_classifier_is_left_as_it_is() -> None:
    grid = make_grid(20)
    model = load_model(make_checkpoint(grid, "final", ConvolutionalOptions(hidden_size=4, fc_size=4)), "cpu")
    assert type(without_packing(model)) is type(model)
