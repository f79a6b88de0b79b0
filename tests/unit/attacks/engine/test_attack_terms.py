"""Networks beside window summaries, and means of several networks, against autograd through the library's modules."""

import pytest
import torch

from icudl.attacks.engine import AutogradEngine, make_engine
from icudl.attacks.engine.known import Known
from icudl.attacks.engine.terms import TermEngine
from icudl.models.base import SequenceClassifier
from icudl.models.build import build_folds, build_model
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.options import GROUP
from icudl.models.recurrent.summary import SummaryRecurrentClassifier
from icudl.models.rescaled import RescaledClassifier
from icudl.models.summaries import SummaryClassifier
from icudl.plugins import options_of

N_HOURS, N_VALUES = 7, 3
COLUMNS = {"value": range(3), "observed": range(3, 6), "statics": range(6, 8)}
N_FEATURES = 8

MODELS: dict[str, dict[str, object]] = {
    "attention": {"name": "lstm_summary", "readout": "attention"},
    "attention of three": {"name": "lstm_summary", "readout": "attention", "ensemble_size": 3},
    "attention of two GRUs": {"name": "gru_summary", "readout": "attention", "ensemble_size": 2},
    "ends of two": {"name": "gru_summary", "readout": "final", "ensemble_size": 2},
    "last hour": {"name": "lstm_summary", "readout": "last_hour"},
    "largest": {"name": "lstm_summary", "readout": "max", "ensemble_size": 2},
    "two layers": {"name": "gru_summary", "n_layers": 2},
    "one way": {"name": "lstm", "readout": "mean", "bidirectional": False, "ensemble_size": 2},
    "summaries": {"name": "summary", "ensemble_size": 2},
    "folds": {"name": "lstm_summary", "readout": "attention", "folds": 2},
}


def stays_of(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return values (some of them equal, as if filled in), what was charted, descriptors; NaN beyond the lengths."""
    rng = torch.Generator().manual_seed(1)
    n_stays, hours = len(lengths), torch.tensor(lengths)
    values = torch.randn(n_stays, N_HOURS, N_VALUES, generator=rng, dtype=torch.float64)
    values[:, 2] = values[:, 1]
    observed = (torch.rand(values.shape, generator=rng) < 0.6).double()
    observed[0, :, 0] = 0.0
    statics = torch.randn(n_stays, 1, 2, generator=rng, dtype=torch.float64).expand(-1, N_HOURS, -1)
    features = torch.cat([values, observed, statics], dim=2)
    features[torch.arange(N_HOURS) >= hours[:, None]] = torch.nan
    return features, hours


def model_of(name: str, folds: int = 0, **options: object) -> SequenceClassifier:
    torch.manual_seed(0)
    plugin = options_of(GROUP, name)
    chosen = plugin(**options if name == "summary" else {"hidden_size": 5, "fc_size": 4} | options)
    model = (build_folds(chosen, N_FEATURES, folds) if folds else build_model(chosen, N_FEATURES)).double()
    training, hours = stays_of([7] * 40)
    for part in model.modules():
        if isinstance(part, SummaryRecurrentClassifier | SummaryClassifier):
            part.prepare(training, hours, COLUMNS)
            part.wide.around.weight.data.normal_()
        if isinstance(part, RescaledClassifier):
            part.gain.uniform_(0.5, 1.5)
            part.high.fill_(0.9)
            part.low.fill_(-0.7)
    return model.eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize("lengths", [[7, 7, 7], [3, 7, 1, 5], [4]], ids=["full", "ragged", "single"])
@pytest.mark.parametrize("case", MODELS)
def test_equal_to_autograd(case: str, lengths: list[int]) -> None:
    model = model_of(**MODELS[case])
    features, hours = stays_of(lengths)
    expected, expected_gradient = AutogradEngine(model).difference_and_gradient(features, hours)
    engine = make_engine(model)
    assert not isinstance(engine, AutogradEngine)
    difference, gradient = engine.difference_and_gradient(features, hours)
    torch.testing.assert_close(difference, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(engine.difference(features, hours), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("lengths", [[7, 7, 7], [3, 7, 1, 5]], ids=["full", "ragged"])
@pytest.mark.parametrize("case", MODELS)
def test_variants_of_known_stays(case: str, lengths: list[int]) -> None:
    """Only the values of a variant are given; what else the model reads is that of the known stay."""
    model = model_of(**MODELS[case])
    reference, engine = AutogradEngine(model), make_engine(model)
    features, hours = stays_of(lengths)
    memory = engine.remember(features, hours, N_VALUES)
    if memory is None:
        pytest.skip("no part of this model remembers")
    rng = torch.Generator().manual_seed(2)
    origin = torch.randint(len(lengths), (20,), generator=rng)
    variants = features[origin].clone()
    chance = torch.rand(20, N_HOURS, N_VALUES, generator=rng) * torch.linspace(0.2, 8, 20)[:, None, None]
    variants[..., :N_VALUES] += torch.where(chance < 0.3, 0.7, 0.0)
    expected, slopes = reference.difference_and_gradient(variants, hours[origin])
    known = Known(memory, origin)
    moving = variants[..., :N_VALUES].contiguous()
    torch.testing.assert_close(engine.difference(moving, hours[origin], known), expected, rtol=1e-9, atol=1e-9)
    difference, gradient, reach = engine.survey(moving, hours[origin], 0.2, known)
    torch.testing.assert_close(difference, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, slopes[..., :N_VALUES], rtol=1e-8, atol=1e-9)
    difference, gradient = engine.difference_and_gradient(moving, hours[origin], known)
    torch.testing.assert_close(difference, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, slopes[..., :N_VALUES], rtol=1e-8, atol=1e-9)
    if reach is None:
        return
    near = engine.difference_and_gradient(moving, hours[origin], Known(memory, origin, torch.zeros_like(reach)))
    torch.testing.assert_close(near[0], expected, rtol=1e-9, atol=1e-9)
    is_changed = (moving != features[origin][..., :N_VALUES]) & ~moving.isnan()
    torch.testing.assert_close(near[1][is_changed], slopes[..., :N_VALUES][is_changed], rtol=1e-8, atol=1e-9)


def test_members_of_one_shape_are_read_together() -> None:
    engine = make_engine(model_of(**MODELS["attention of three"]))
    assert isinstance(engine, TermEngine)
    assert len(engine.engines) == 2
    assert sum(engine.weights) == pytest.approx(1.0)


def test_members_of_different_shapes() -> None:
    first, second = (model_of(name="lstm_summary", readout=readout) for readout in ("attention", "final"))
    model = EnsembleClassifier(first.options, [first, second, first])
    features, hours = stays_of([5, 7])
    expected = AutogradEngine(model).difference_and_gradient(features, hours)
    torch.testing.assert_close(make_engine(model).difference_and_gradient(features, hours), expected)
