"""The contract of models as checks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from icudl.models.base import SequenceClassifier
from icudl.models.options import ModelOptions
from icudl.testing.requirement import require

ModelFactory = Callable[[ModelOptions, int], SequenceClassifier]

_HOURS, _FEATURES = 7, 5
_OPTIONS = ModelOptions(hidden_size=8, fc_size=6, dropout=0.5)


def _model(make: ModelFactory) -> SequenceClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return make(_OPTIONS, _FEATURES).eval()


def _stays() -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([7, 3, 1, 5])
    return torch.randn(len(lengths), _HOURS, _FEATURES, generator=torch.Generator().manual_seed(1)), lengths


def check_gives_two_logits(make: ModelFactory) -> None:
    """The output is (B, 2) float32 and unbounded: logits, not probabilities."""
    features, lengths = _stays()
    model = _model(make)
    logits = model(features * 5, lengths)
    require(logits.shape == (len(lengths), 2), f"the output has shape {tuple(logits.shape)}, not (B, 2)")
    require(logits.dtype == torch.float32, f"the output is {logits.dtype}, not float32")
    total = logits.sum(dim=1)
    require(not torch.allclose(total, torch.ones_like(total), atol=1e-3), "the two outputs add up to 1: probabilities")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10)
        require(model(features * 10, lengths).abs().max() > 1.5, "the output stays bounded however large the weights")


def check_padding_changes_nothing(make: ModelFactory) -> None:
    """Cells at or beyond a stay's length change nothing, even where they are NaN, and get zero gradient."""
    features, lengths = _stays()
    model = _model(make)
    blank = features.clone()
    for row, length in enumerate(lengths):
        blank[row, length:] = torch.nan
    require(torch.equal(model(features, lengths), model(blank, lengths)), "padding changes the logits")
    features.requires_grad_()
    torch.autograd.backward(model(features, lengths)[:, 1].sum())
    gradient = features.grad if features.grad is not None else torch.zeros_like(features)
    for row, length in enumerate(lengths):
        require(not gradient[row, length:].any(), "padding gets a gradient")
        require(bool(gradient[row, :length].any()), "a stay's own hours get no gradient")


def check_independent_of_company(make: ModelFactory) -> None:
    """A stay's logits are the same alone, in a batch, and in any order."""
    features, lengths = _stays()
    model = _model(make)
    together = model(features, lengths)
    for row, length in enumerate(lengths):
        alone = model(features[row : row + 1, :length], lengths[row : row + 1])
        require(torch.allclose(together[row : row + 1], alone, atol=1e-6), "a stay's logits depend on its batch")
    order = torch.tensor([2, 0, 3, 1])
    shuffled = model(features[order], lengths[order])
    require(torch.allclose(shuffled, together[order], atol=1e-6), "a stay's logits depend on the order of the batch")


def check_eval_mode_repeats_itself(make: ModelFactory) -> None:
    """In eval mode the same input gives the same output."""
    features, lengths = _stays()
    model = _model(make)
    require(torch.equal(model(features, lengths), model(features, lengths)), "two calls in eval mode differ")


def check_every_parameter_learns(make: ModelFactory) -> None:
    """Every parameter gets a gradient from the loss."""
    features, lengths = _stays()
    model = _model(make).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        loss = torch.nn.functional.cross_entropy(model(features, lengths), torch.tensor([0, 1, 0, 1]))
        torch.autograd.backward(loss)
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    require(not idle, f"no gradient reaches {', '.join(idle)}")


def check_survives_a_missing_variable(make: ModelFactory) -> None:
    """A feature that is always zero leaves the logits finite."""
    features, lengths = _stays()
    features[:, :, 2] = 0.0
    require(bool(torch.isfinite(_model(make)(features, lengths)).all()), "a constant feature makes the logits infinite")


def check_absorbs_calibration(make: ModelFactory) -> None:
    """``absorb`` turns the logit difference z into scale z + shift."""
    features, lengths = _stays()
    model = _model(make)
    before = model(features, lengths)
    model.absorb(1.7, -0.4)
    after = model(features, lengths)
    wanted = 1.7 * (before[:, 1] - before[:, 0]) - 0.4
    require(torch.allclose(after[:, 1] - after[:, 0], wanted, atol=1e-5), "absorb gives another logit difference")


def check_makes_itself_again(make: ModelFactory) -> None:
    """The same options, seed and weights make the same model: what a checkpoint relies on."""
    features, lengths = _stays()
    first, second = _model(make), _model(make)
    require(torch.equal(first(features, lengths), second(features, lengths)), "the same seed gives another model")
    first.absorb(2.0, 0.3)
    second.load_state_dict(first.state_dict())
    require(torch.equal(first(features, lengths), second(features, lengths)), "the state dict does not hold all of it")


MODEL_CHECKS: tuple[Callable[[ModelFactory], None], ...] = (
    check_gives_two_logits,
    check_padding_changes_nothing,
    check_independent_of_company,
    check_eval_mode_repeats_itself,
    check_every_parameter_learns,
    check_survives_a_missing_variable,
    check_absorbs_calibration,
    check_makes_itself_again,
)
"""The contract of models, one function a promise; each takes the model's class."""
