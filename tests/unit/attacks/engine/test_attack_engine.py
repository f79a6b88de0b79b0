"""The hand-written cells against autograd through the library's RNN."""

import pytest
import torch

from icudl.attacks.engine import AutogradEngine, make_engine
from icudl.attacks.engine.ends import EndStateEngine
from icudl.attacks.engine.hours import HoursEngine
from icudl.attacks.engine.stack import StackEngine
from icudl.errors import AttackError
from icudl.models.base import SequenceClassifier
from icudl.models.build import build_model
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.options import GROUP, LstmOptions
from icudl.models.recurrent.classifier import LstmClassifier, RecurrentClassifier
from icudl.plugins import options_of

READOUTS = ("final", "last_hour", "mean", "max", "attention")


def model_of(name: str = "lstm", **options: object) -> RecurrentClassifier:
    torch.manual_seed(0)
    return build_model(options_of(GROUP, name)(**{"hidden_size": 6, "fc_size": 5} | options), 4).eval()


def features_of(dtype: torch.dtype, lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.rand(len(lengths), 7, 4, generator=rng, dtype=dtype), torch.tensor(lengths)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["uni", "bi"])
@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("name", ["lstm", "gru"])
@pytest.mark.parametrize(
    "lengths",
    [pytest.param([7, 7, 7], marks=pytest.mark.slow), [3, 7, 1, 5], pytest.param([4], marks=pytest.mark.slow)],
    ids=["full", "ragged", "single"],
)
def test_equal_to_autograd(name: str, n_layers: int, bidirectional: bool, readout: str, lengths: list[int]) -> None:
    model = model_of(name=name, n_layers=n_layers, bidirectional=bidirectional, readout=readout)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        model = model.to(dtype)
        features, hours = features_of(dtype, lengths)
        reference = AutogradEngine(model)
        expected, gradient = reference.difference_and_gradient(features, hours)
        own = make_engine(model)
        # The second pass reuses the work arrays; the engine for stacks is exact for a single layer, too.
        for engine in (own, own, StackEngine(model)):
            found, found_gradient = engine.difference_and_gradient(features, hours)
            torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
            torch.testing.assert_close(found_gradient, gradient, rtol=0, atol=tolerance)
            torch.testing.assert_close(engine.difference(features, hours), expected, rtol=0, atol=tolerance)


def test_smaller_batch_after_larger() -> None:
    model = model_of().double()
    engine = make_engine(model)
    features, hours = features_of(torch.float64, [7, 4, 6, 2])
    together = engine.difference_and_gradient(features, hours)
    alone = engine.difference_and_gradient(features[1:2], hours[1:2])
    torch.testing.assert_close(alone[0], together[0][1:2])
    torch.testing.assert_close(alone[1], together[1][1:2])


def test_padding_changes_nothing_and_gets_no_gradient() -> None:
    engine = make_engine(model_of().double())
    features, hours = features_of(torch.float64, [3, 7, 1, 5])
    expected, gradient = engine.difference_and_gradient(features, hours)
    spoiled = features.clone()
    padding = torch.arange(7) >= hours[:, None]
    spoiled[padding] = torch.nan
    found, found_gradient = engine.difference_and_gradient(spoiled, hours)
    assert torch.equal(found, expected)
    assert torch.equal(found_gradient, gradient)
    assert not gradient[padding].any()


def test_matrix_precision_is_left_alone() -> None:
    before = torch.get_float32_matmul_precision()
    engine = make_engine(model_of())
    engine.difference_and_gradient(*features_of(torch.float32, [7, 7]))
    assert torch.get_float32_matmul_precision() == before


class Rounded(SequenceClassifier):
    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        total = features.detach().sum(dim=(1, 2))
        return torch.stack([total, -total], dim=1)

    def absorb(self, scale: float, shift: float) -> None:
        raise NotImplementedError


class Doubled(LstmClassifier):
    """A plug-in that derives from ours may have changed anything: it must not get the hand-written pass."""

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(features, lengths)


def test_other_models_fall_back_to_autograd() -> None:
    assert isinstance(make_engine(model_of(readout="final").double()), EndStateEngine)
    assert isinstance(make_engine(model_of(readout="mean").double()), HoursEngine)
    assert isinstance(make_engine(model_of(readout="max")), StackEngine)
    assert isinstance(make_engine(model_of(n_layers=2)), StackEngine)
    doubled = Doubled(LstmOptions(hidden_size=3), 4)
    assert isinstance(make_engine(doubled), AutogradEngine)
    assert isinstance(make_engine(EnsembleClassifier(LstmOptions(), [doubled, doubled])), AutogradEngine)


def test_model_without_gradient_is_an_error() -> None:
    engine = make_engine(Rounded(LstmOptions(), 4))
    with pytest.raises(AttackError, match="Rounded is not differentiable"):
        engine.difference_and_gradient(*features_of(torch.float32, [7, 7]))
