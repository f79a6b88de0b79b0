"""Models by name, and models from checkpoints."""

from __future__ import annotations

import torch

from icudl.artifacts import Checkpoint, FeatureScaler
from icudl.errors import DeviceError, PluginError, StageError
from icudl.models.base import SequenceClassifier
from icudl.models.charted.base import ChartedModel, MeanModel, RiskModel
from icudl.models.charted.one_value import mean_of
from icudl.models.charted.parts import PartsModel
from icudl.models.charted.window import SummaryModel
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.options import GROUP, ModelOptions, NetworkOptions, read_options
from icudl.models.rescaled import RescaledClassifier
from icudl.plugins import load_plugin
from icudl.preprocessing.features import n_features as count_features
from icudl.preprocessing.scaling import InputOptions


def build_model(options: ModelOptions, n_features: int) -> SequenceClassifier:
    """Make an untrained model; its weights come from torch's global generator, which the caller seeds.

    Raises:
        PluginError: No model has this name, the registered object is not a network, or the options belong to another
            model.
    """
    plugin = _model_class(options)
    if not issubclass(plugin, SequenceClassifier):
        raise PluginError(
            f"The model {options.name!r} is no torch network ({plugin.__name__} reads charted values), and this asks "
            "for one: export, engines and modules are for networks. Score and attack it through the pipeline."
        )
    if options.ensemble_size > 1:
        return EnsembleClassifier.untrained(plugin, options, n_features)
    return plugin(options, n_features)


def charted_class(options: ModelOptions) -> type[ChartedModel] | None:
    """Return the class of a model that reads charted values; None for a network.

    Raises:
        PluginError: As in ``build_model``.
    """
    plugin = _model_class(options)
    return plugin if issubclass(plugin, ChartedModel) else None


def _model_class(options: ModelOptions) -> type[SequenceClassifier] | type[ChartedModel]:
    plugin = load_plugin(GROUP, options.name)
    if not (isinstance(plugin, type) and issubclass(plugin, SequenceClassifier | ChartedModel)):
        raise PluginError(
            f"The model {options.name!r} is {plugin!r}; expected a subclass of icudl.models.base.SequenceClassifier "
            "or of icudl.models.charted.base.ChartedModel."
        )
    if not isinstance(options, plugin.Options):
        raise PluginError(
            f"The model {options.name!r} was given {type(options).__name__}; it reads {plugin.Options.__name__}. "
            f"Make its options with {plugin.Options.__module__}.{plugin.Options.__name__}."
        )
    return plugin


def build_folds(options: ModelOptions, n_features: int, folds: int) -> SequenceClassifier:
    """Make an untrained ensemble of the models of several folds, each with inputs of a scale of its own."""
    networks = [RescaledClassifier(options, build_model(options, n_features)) for _ in range(folds)]
    return EnsembleClassifier(options, networks)


def load_model(checkpoint: Checkpoint, device: str) -> SequenceClassifier:
    """Make the model of a checkpoint: in eval mode, its parameters frozen, on ``device``.

    Raises:
        PluginError: The model is not installed, or is no network.
        StageError: Options or weights do not fit the model.
        DeviceError: The device does not exist.
    """
    options = read_options(checkpoint.model)
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


def load_whole(checkpoint: Checkpoint, device: str) -> SequenceClassifier:
    """Make the model of a checkpoint that nothing stands around, as ``load_model`` does.

    Raises:
        PluginError: As in ``load_model``.
        StageError: As in ``load_model``, or the model reads its records in parts: its network is not all of it.
        DeviceError: As in ``load_model``.
    """
    options = read_options(checkpoint.model)
    if options.in_parts:
        raise StageError(
            f"The model {options.name!r} reads a record whole and in {checkpoint.model['parts']} parts; its network "
            "alone would be another model. Score and attack it through the pipeline, or train it with parts = 1."
        )
    return load_model(checkpoint, device)


FOLD = "folds.{}."
"""What the names of a fold's arrays begin with in a checkpoint that is the mean of several folds."""


def load_charted(checkpoint: Checkpoint) -> RiskModel | None:
    """Return the model of a checkpoint that reads charted values; None for a network that reads filled-in records.

    Raises:
        PluginError: The model is not installed.
        StageError: Options or arrays do not fit the model.
    """
    options = read_options(checkpoint.model)
    if options.in_parts:
        return in_parts(load_model(checkpoint, "cpu"), checkpoint.scaler, InputOptions.from_dict(checkpoint.inputs))
    plugin = charted_class(options)
    if plugin is None:
        return None
    starts = [FOLD.format(fold) for fold in range(checkpoint.folds)] or [""]
    try:
        models = [
            plugin(options, {k.removeprefix(start): v for k, v in checkpoint.weights.items() if k.startswith(start)})
            for start in starts
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise StageError(
            f"The arrays of {str(checkpoint.member)!r} do not fit the model {options.name!r}: {error!r}. Train the "
            "model again."
        ) from error
    if not checkpoint.folds:
        return models[0].offered()
    of_summaries = [model for model in models if isinstance(model, SummaryModel)]
    return mean_of(of_summaries) if len(of_summaries) == len(models) else MeanModel(models)


def in_parts(network: SequenceClassifier, scaler: FeatureScaler, inputs: InputOptions) -> PartsModel:
    """Return the model that reads records in parts with a network whose options ask for it."""
    options = network.options
    if not isinstance(options, NetworkOptions):
        raise TypeError(f"{type(options).__name__} has no parts; expected NetworkOptions.")
    return PartsModel(network.eval(), scaler, inputs, options.parts, options.parts_limit)


def to_device(model: SequenceClassifier, device: str) -> SequenceClassifier:
    """Move a model to a device.

    Raises:
        DeviceError: The device does not exist.
    """
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"The device {device!r} cannot be used: {error}. Set execution.device to cpu.") from error
