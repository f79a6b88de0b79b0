"""Window summaries inside a model: their values, their encoding, and what they take from the training stays."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from icudl.models.build import build_model
from icudl.models.encoding import N_BINS, SCALE, SUMMARIES, SummaryEncoding, summarise
from icudl.models.options import GruSummaryOptions, LstmOptions, LstmSummaryOptions
from icudl.preprocessing.features import CHANNELS, columns_of
from icudl.preprocessing.scaling import InputOptions
from icudl.training.data import Stays
from icudl.training.loop import fit
from icudl.training.options import TrainingOptions

VALUE_AND_MASK = {"value": range(1), "observed": range(1, 2), "statics": range(2, 3)}


def _stays(n=40, *, n_hours=6, seed=0) -> Stays:
    """One variable charted in some hours, whether it was, and a descriptor."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(n) % 3 == 0).long()
    charted = (torch.rand(n, n_hours, 1, generator=generator) < 0.6).float()
    value = torch.randn(n, n_hours, 1, generator=generator) + labels[:, None, None]
    static = torch.randn(n, 1, 1, generator=generator).expand(-1, n_hours, -1)
    features = torch.cat([value, charted, static], dim=2)
    return Stays(features, torch.randint(1, n_hours + 1, (n,), generator=generator), labels, VALUE_AND_MASK)


def test_summaries_by_hand():
    features = torch.tensor([[[2.0], [-9.0], [5.0], [99.0]]])
    counted = torch.tensor([[[True], [False], [True], [False]]])
    summaries = dict(zip(SUMMARIES, summarise(features, counted)[0, :, 0].tolist(), strict=True))
    by_hand = {"first": 2.0, "last": 5.0, "minimum": 2.0, "maximum": 5.0, "mean": 3.5, "count": math.log(3)}
    by_hand["deviation"] = 3 / math.sqrt(2)
    # Hours 0 and 2, that is 1/24 day to either side of their mean; 0.02 square days of ridge.
    by_hand["slope"] = (2 * 1.5 / 24) / (2 / 24**2 + 0.02)
    assert summaries == pytest.approx(by_hand, abs=1e-5)


def test_nothing_counted_gives_zeros_and_finite_gradients():
    features = torch.randn(2, 4, 3, requires_grad=True)
    summaries = summarise(features, torch.zeros(2, 4, 3, dtype=torch.bool))
    assert not summaries.any()
    summaries.sum().backward()
    assert not features.grad.any()


def test_places_between_quantiles_by_hand():
    """Five stays whose only hour holds 0, 1, 2, 3 and 4: these are the quantiles."""
    train = torch.arange(5.0)[:, None, None]
    encoding = SummaryEncoding(1)
    encoding.prepare(train, torch.ones(5, dtype=torch.int64), {"value": range(1)})
    encoded = encoding(torch.tensor([[[2.5]]]), torch.tensor([1])).view(N_BINS + 2, len(SUMMARIES))
    mean = encoded[:, SUMMARIES.index("mean")]
    places = [SCALE / 2, SCALE / 2, 0.0, -SCALE / 2]
    score = 0.3 * SCALE * 0.5 / math.sqrt(2)
    assert mean.tolist() == pytest.approx([*places, score, SCALE / 2], abs=1e-6)
    # One hour has no spread and no slope, and each stay has one hour: left out.
    for name in ("deviation", "slope", "count"):
        assert not encoded[:, SUMMARIES.index(name)].any()


def test_only_charted_hours_reach_the_wide_path():
    stays = _stays()
    encoding = SummaryEncoding(3)
    encoding.prepare(stays.features, stays.lengths, stays.columns)
    features = stays.features.clone().requires_grad_()
    weights = torch.randn(encoding.n_outputs, generator=torch.Generator().manual_seed(1))
    (encoding(features, stays.lengths) @ weights).sum().backward()
    inside = torch.arange(6) < stays.lengths[:, None]
    charted = (stays.features[:, :, 1] > 0) & inside
    assert features.grad[:, :, 0][charted].any()
    assert not features.grad[:, :, 0][~charted].any()
    assert not features.grad[:, :, 1].any()


def test_a_variable_that_no_training_stay_has_is_left_out():
    stays = _stays()
    stays.features[:, :, 1] = 0.0
    encoding = SummaryEncoding(3)
    encoding.prepare(stays.features, stays.lengths, stays.columns)
    assert torch.isfinite(encoding.knots).all()
    stays.features[:, :, 1] = 1.0
    encoded = encoding(stays.features, stays.lengths).view(40, N_BINS + 2, len(SUMMARIES), 3)
    assert not encoded[..., 0].any()
    assert encoded[..., 2].any()


@pytest.mark.parametrize("channels", [CHANNELS, ("value",), ("value", "hours_since"), ("observed", "hours_since")])
def test_the_columns_of_each_channel(channels):
    columns = columns_of(InputOptions(channels=channels, statics=("age_years", "sex_male")), 4)
    assert [name for name in columns if name != "statics"] == [name for name in CHANNELS if name in channels]
    assert [column for columns in columns.values() for column in columns] == list(range(4 * len(channels) + 2))


def test_a_killed_run_keeps_its_quantiles(tmp_path):
    model = LstmSummaryOptions(hidden_size=4, fc_size=4)
    options = TrainingOptions(max_epochs=4, patience=4, batch_size=16, ema_decay=0.9)
    train, valid = _stays(), _stays(seed=1)
    straight = fit(model, options, train, valid, seed=5)
    encoding = SummaryEncoding(3)
    encoding.prepare(train.features, train.lengths, train.columns)
    kept = straight.model.state_dict()
    assert all(torch.equal(kept[f"wide.encoding.{name}"], tensor) for name, tensor in encoding.named_buffers())

    path = tmp_path / "epochs.safetensors"
    fit(model, dataclasses.replace(options, max_epochs=2), train, valid, seed=5, snapshot=path)
    resumed = fit(model, options, train, valid, seed=5, snapshot=path).model.state_dict()
    assert {name: tensor.numpy().tobytes() for name, tensor in resumed.items()} == {
        name: tensor.numpy().tobytes() for name, tensor in kept.items()
    }


def test_paths_are_trained_apart_and_scored_together():
    torch.manual_seed(0)
    model = build_model(GruSummaryOptions(hidden_size=4), 3).eval()
    stays = _stays()
    recurrent, wide = model.training_logits(stays.features, stays.lengths)
    assert torch.equal(model(stays.features, stays.lengths), (recurrent + wide) / 2)
    assert not torch.allclose(recurrent, wide)
    plain = build_model(LstmOptions(hidden_size=4), 3).eval()
    assert len(plain.training_logits(stays.features, stays.lengths)) == 1


@pytest.mark.parametrize("share", [0.0, 0.75, 1.0])
def test_the_share_of_the_summaries_is_their_weight(share):
    torch.manual_seed(0)
    model = build_model(LstmSummaryOptions(hidden_size=4, summary_share=share), 3).eval()
    stays = _stays()
    recurrent, wide = model.training_logits(stays.features, stays.lengths)
    logits = model(stays.features, stays.lengths)
    assert torch.allclose(logits, (1 - share) * recurrent + share * wide)
    model.absorb(2.0, 0.5)
    before, after = logits[:, 1] - logits[:, 0], model(stays.features, stays.lengths)
    assert torch.allclose(after[:, 1] - after[:, 0], 2 * before + 0.5, atol=1e-6)
