"""What the models beside the plain recurrent ones promise on top of the contract."""

from __future__ import annotations

import pytest
import torch

from icudl.attacks.engine import AutogradEngine, make_engine
from icudl.models.build import build_model
from icudl.models.options import ConvolutionalOptions, LstmSummaryOptions, TransformerOptions
from icudl.models.transformer import hour_waves


def test_an_attack_on_the_summary_model_goes_through_its_wide_path():
    """A hand-written pass would leave out the encoded summaries without a word if it took the model for a plain one."""
    torch.manual_seed(0)
    model = build_model(LstmSummaryOptions(hidden_size=4), 3).eval()
    engine = make_engine(model)
    assert not isinstance(engine, AutogradEngine)
    features, lengths = torch.randn(5, 8, 3), torch.full((5,), 8)
    logits = model(features, lengths)
    assert torch.allclose(engine.difference(features, lengths), logits[:, 1] - logits[:, 0], atol=1e-5)


def test_convolutions_are_causal_and_reach_as_far_as_said():
    torch.manual_seed(0)
    options = ConvolutionalOptions(hidden_size=6, n_layers=2, readout="last_hour", activation="identity", fc_size=0)
    model = build_model(options, 2).eval()
    features = torch.randn(1, 20, 2, requires_grad=True)
    model(features, torch.tensor([20]))[0, 1].backward()
    touched = features.grad[0].abs().sum(dim=1) > 0
    assert touched.nonzero().min() == 20 - (1 + 4 * (2**2 - 1))


def test_the_transformer_knows_the_hour():
    torch.manual_seed(0)
    model = build_model(TransformerOptions(hidden_size=16, readout="mean"), 2).eval()
    features = torch.randn(1, 6, 2)
    swapped = features[:, [1, 0, 2, 3, 4, 5]]
    assert not torch.allclose(model(features, torch.tensor([6])), model(swapped, torch.tensor([6])), atol=1e-6)


def test_hour_waves_by_hand():
    waves = hour_waves(3, 4)
    assert waves[0].tolist() == [0.0, 1.0, 0.0, 1.0]
    assert waves[2].tolist() == pytest.approx([0.9092974, -0.4161468, 0.0199987, 0.9998], abs=1e-6)
