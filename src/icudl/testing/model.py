"""The contract of models as checks."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from icudl.errors import ConfigError
from icudl.models.base import SequenceClassifier
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.options import ModelOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.search.space import parse_space
from icudl.testing.requirement import require
from icudl.training.options import TrainingOptions

_HOURS, _FEATURES = 7, 5


class ModelCheck(Protocol):
    """One promise of models."""

    __name__: str

    def __call__(self, plugin: type[SequenceClassifier], options: ModelOptions | None = None) -> None:
        """Hold a model to the promise.

        Args:
            plugin: Its class.
            options: How to make it; the defaults of ``plugin.Options`` where None.

        Raises:
            AssertionError: The model breaks the promise.
        """


def _model(plugin: type[SequenceClassifier], options: ModelOptions | None) -> SequenceClassifier:
    options = plugin.Options() if options is None else options
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if options.ensemble_size > 1:
            return EnsembleClassifier.untrained(plugin, options, _FEATURES).eval()
        return plugin(options, _FEATURES).eval()


def _stays() -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([7, 3, 1, 5])
    return torch.randn(len(lengths), _HOURS, _FEATURES, generator=torch.Generator().manual_seed(1)), lengths


def check_names_its_options(plugin: type[SequenceClassifier], options: ModelOptions | None = None) -> None:
    """``Options`` derives from ``ModelOptions`` and has defaults; its ``SPACE`` names options that can vary.

    ``citations`` is a tuple of strings.
    """
    kind = plugin.Options
    require(issubclass(kind, ModelOptions), f"Options is {kind!r}, not a subclass of ModelOptions")
    own = kind() if options is None else options
    require(isinstance(own, kind), f"the model is made with {type(own).__name__}, not {kind.__name__}")
    again = kind.from_dict(own.to_dict())
    require(again == own, "the options that a checkpoint keeps are not those that the model was made with")
    works: object = plugin.citations
    cited = isinstance(works, tuple) and all(isinstance(work, str) for work in works)
    require(cited, f"citations is {works!r}, not a tuple of strings")
    tables = {"model": kind(), "training": TrainingOptions(), "inputs": InputOptions()}
    try:
        parse_space("Options.SPACE", kind.SPACE, tables)
    except ConfigError as error:
        raise AssertionError(str(error)) from error


def check_gives_two_logits(plugin: type[SequenceClassifier], options: ModelOptions | None = None) -> None:
    """The output is (B, 2) float32 and unbounded: logits, not probabilities."""
    features, lengths = _stays()
    model = _model(plugin, options)
    logits = model(features * 5, lengths)
    require(logits.shape == (len(lengths), 2), f"the output has shape {tuple(logits.shape)}, not (B, 2)")
    require(logits.dtype == torch.float32, f"the output is {logits.dtype}, not float32")
    total = logits.sum(dim=1)
    require(not torch.allclose(total, torch.ones_like(total), atol=1e-3), "the two outputs add up to 1: probabilities")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10)
        require(model(features * 10, lengths).abs().max() > 1.5, "the output stays bounded however large the weights")


def check_padding_changes_nothing(plugin: type[SequenceClassifier], options: ModelOptions | None = None) -> None:
    """Cells at or beyond a stay's length change nothing, even where they are NaN, and get zero gradient."""
    features, lengths = _stays()
    model = _model(plugin, options)
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


def check_independent_of_company(plugin: type[SequenceClassifier], options: ModelOptions | None = None) -> None:
    """A stay's logits are the same alone, in a batch, and in any order."""
    features, lengths = _stays()
    model = _model(plugin, options)
    together = model(features, lengths)
    for row, length in enumerate(lengths):
        alone = model(features[row : row + 1, :length], lengths[row : row + 1])
        require(torch.allclose(together[row : row + 1], alone, atol=1e-6), "a stay's logits depend on its batch")
    order = torch.tensor([2, 0, 3, 1])
    shuffled = model(features[order], lengths[order])
    require(torch.allclose(shuffled, together[order], atol=1e-6), "a stay's logits depend on the order of the batch")


def check_eval_mode_repeats_itself(plugin: type[SequenceClassifier], options: ModelOptions | None = None) -> None:
    """In eval mode the same input gives the same output."""
    features, lengths = _stays()
    model = _model(plugin, options)
    require(torch.equal(model(features, lengths), model(features, lengths)), "two calls in eval mode differ")


def check_every_parameter_learns(plugin: type[SequenceClassifier], options: ModelOptions | None = None) -> None:
    """Every parameter gets a gradient from the loss."""
    features, lengths = _stays()
    model = _model(plugin, options).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        loss = torch.nn.functional.cross_entropy(model(features, lengths), torch.tensor([0, 1, 0, 1]))
        torch.autograd.backward(loss)
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    require(not idle, f"no gradient reaches {', '.join(idle)}")


def check_survives_a_missing_variable(plugin: type[SequenceClassifier], options: ModelOptions | None = None) -> None:
    """A feature that is always zero leaves the logits finite."""
    features, lengths = _stays()
    features[:, :, 2] = 0.0
    require(
        bool(torch.isfinite(_model(plugin, options)(features, lengths)).all()),
        "a constant feature makes the logits infinite",
    )


def check_absorbs_calibration(plugin: type[SequenceClassifier], options: ModelOptions | None = None) -> None:
    """``absorb`` turns the logit difference z into scale z + shift."""
    features, lengths = _stays()
    model = _model(plugin, options)
    before = model(features, lengths)
    model.absorb(1.7, -0.4)
    after = model(features, lengths)
    wanted = 1.7 * (before[:, 1] - before[:, 0]) - 0.4
    require(torch.allclose(after[:, 1] - after[:, 0], wanted, atol=1e-5), "absorb gives another logit difference")


def check_makes_itself_again(plugin: type[SequenceClassifier], options: ModelOptions | None = None) -> None:
    """The same options, seed and weights make the same model: what a checkpoint relies on."""
    features, lengths = _stays()
    first, second = _model(plugin, options), _model(plugin, options)
    require(torch.equal(first(features, lengths), second(features, lengths)), "the same seed gives another model")
    first.absorb(2.0, 0.3)
    second.load_state_dict(first.state_dict())
    require(torch.equal(first(features, lengths), second(features, lengths)), "the state dict does not hold all of it")


MODEL_CHECKS: tuple[ModelCheck, ...] = (
    check_names_its_options,
    check_gives_two_logits,
    check_padding_changes_nothing,
    check_independent_of_company,
    check_eval_mode_repeats_itself,
    check_every_parameter_learns,
    check_survives_a_missing_variable,
    check_absorbs_calibration,
    check_makes_itself_again,
)
"""The contract of models, one function a promise; each takes the class of the model."""
