"""Models by name, and models from checkpoints."""

from __future__ import annotations

import torch

from icudl.artifacts import Checkpoint
from icudl.errors import DeviceError, PluginError, StageError
from icudl.models.base import SequenceClassifier
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.options import ModelOptions
from icudl.models.rescaled import RescaledClassifier
from icudl.plugins import load_plugin
from icudl.preprocessing.features import n_features as count_features
from icudl.preprocessing.scaling import InputOptions

GROUP = "icudl.models"
"""Entry-point group of the models."""


def build_model(options: ModelOptions, n_features: int) -> SequenceClassifier:
    """Make an untrained model; its weights come from torch's global generator, which the caller seeds.

    Raises:
        PluginError: No model has this name, or what is registered under it is none.
    """
    plugin = load_plugin(GROUP, options.name)
    if not (isinstance(plugin, type) and issubclass(plugin, SequenceClassifier)):
        raise PluginError(
            f"The model {options.name!r} is {plugin!r}; expected a subclass of icudl.models.base.SequenceClassifier."
        )
    if options.ensemble_size > 1:
        return EnsembleClassifier.untrained(plugin, options, n_features)
    return plugin(options, n_features)


def build_folds(options: ModelOptions, n_features: int, folds: int) -> SequenceClassifier:
    """Make an untrained ensemble of the models of several folds, each with inputs of a scale of its own."""
    networks = [RescaledClassifier(options, build_model(options, n_features)) for _ in range(folds)]
    return EnsembleClassifier(options, networks)


def load_model(checkpoint: Checkpoint, device: str) -> SequenceClassifier:
    """Make the model of a checkpoint: in eval mode, its parameters frozen, on ``device``.

    Raises:
        StageError: The weights do not fit the architecture.
        DeviceError: The device does not exist.
    """
    options = ModelOptions.from_dict(checkpoint.model)
    n_features = count_features(InputOptions.from_dict(checkpoint.inputs), len(checkpoint.variables))
    with torch.random.fork_rng(devices=[]):
        if checkpoint.folds:
            model = build_folds(options, n_features, checkpoint.folds)
        else:
            model = build_model(options, n_features)
    try:
        model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in checkpoint.weights.items()})
    except RuntimeError as error:
        raise StageError(
            f"The weights of {str(checkpoint.member)!r} do not fit its architecture: {error}. Train the model again."
        ) from error
    model.requires_grad_(requires_grad=False)
    return to_device(model, device).eval()


def to_device(model: SequenceClassifier, device: str) -> SequenceClassifier:
    """Move a model to a device.

    Raises:
        DeviceError: The device does not exist.
    """
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"The device {device!r} cannot be used: {error}. Set execution.device to cpu.") from error
