"""Options of the models; the module does not import torch, so that a configuration is read without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from icudl.errors import ConfigError, PluginError, StageError
from icudl.options import Options, option
from icudl.plugins import options_of

GROUP = "icudl.models"
"""Entry-point group of the models."""

ACTIVATIONS = ("tanh", "relu", "gelu", "identity")
READOUTS = ("last_hour", "mean", "max", "attention")
"""Read-outs of every model over the hours."""

NAME_DOC = (
    "Model plug-in: lstm, gru, lstm_summary, gru_summary, summary, tcn, transformer, boosted_trees, "
    "logistic_regression, outside, ..."
)

TRAINING_SPACE: Mapping[str, Any] = {
    "training.optimizer": {"choices": ["adam", "rmsprop", "sgd"]},
    "training.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "training.batch_size": {"choices": [32, 64, 128, 256]},
}
"""Training options that the original's search varied."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """Options of every model; each model adds its own in a subclass, which its class names as ``Options``.

    Attributes:
        SPACE: What a search varies where ``tune_model.space`` is empty, keyed by dotted path.
        differentiable: Whether the model offers a gradient, which some attacks need.
        imputed: Whether the model reads the filled-in grid; otherwise it reads charted values with their gaps.
        piecewise: Whether the model says where its score jumps or bends, which an exact search needs.
        learns_in_epochs: Whether the model is a network that is fitted here, epoch by epoch.
        in_parts: Whether a network reads a record in parts beside the whole (``models.charted.parts``).
        pretrainable: Whether the model has recurrent layers, which can be fitted without outcomes.
        READS: The keys that the model reads of a table which all kinds of models share; a table that is not here is
            read whole. What a model does not read, its own table cannot set.
    """

    table: ClassVar[str] = "model"

    SPACE: ClassVar[Mapping[str, Any]] = TRAINING_SPACE
    differentiable: ClassVar[bool] = True
    imputed: ClassVar[bool] = True
    piecewise: ClassVar[bool] = False
    learns_in_epochs: ClassVar[bool] = True
    in_parts: ClassVar[bool] = False
    pretrainable: ClassVar[bool] = False
    READS: ClassVar[Mapping[str, Sequence[str]]] = {}

    name: str = option("lstm", NAME_DOC)
    ensemble_size: int = option(
        1,
        "Networks with initial weights of their own whose logits are averaged; one model to everything after training.",
        low=1,
        high=100,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkOptions(ModelOptions):
    """Options that the networks share."""

    parts: int = option(
        1,
        "Parts into which the charted values of a record are dealt, an odd number; 1 reads the whole record alone. One "
        "wrong value lies in one part, and the others outvote it (parts_limit).",
        low=1,
        high=99,
        late=True,
    )
    parts_limit: float = option(
        0.1,
        "Logits by which the score of the whole record may differ from the middle one of the scores of its parts; only "
        "read where parts is above 1.",
        low=0.0,
        high=100.0,
        late=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parts % 2 == 0:
            raise ConfigError(f"parts = {self.parts} is even: two scores would stand in the middle. Use an odd number.")

    @property
    def in_parts(self) -> bool:  # type: ignore[override]
        """Whether records are read in parts."""
        return self.parts > 1

    # Which part a value is in depends on what was charted, so such a network reads charted values with their gaps.
    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        """Whether attacks get a gradient."""
        return not self.in_parts

    @property
    def imputed(self) -> bool:  # type: ignore[override]
        """Whether attacks may change the filled-in grid."""
        return not self.in_parts


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequenceOptions(NetworkOptions):
    """Options that the models over the hours share."""

    SPACE: ClassVar[Mapping[str, Any]] = {
        "model.hidden_size": {"choices": [32, 64, 128]},
        "model.activation": {"choices": ["relu", "tanh"]},
        "model.dropout": {"low": 0.0, "high": 0.5},
        "model.fc_size": {"choices": [16, 32, 64, 128, 256]},
        "model.fc_activation": {"choices": ["relu", "tanh"]},
        **TRAINING_SPACE,
    }

    hidden_size: int = option(64, "Units per direction and layer.", low=1, high=4096)
    n_layers: int = option(1, "Recurrent layers, convolutional blocks or encoder layers.", low=1, high=16)
    readout: str = option(
        "last_hour", "From the hours to the stay: last_hour (its output); mean; max; attention.", choices=READOUTS
    )
    activation: str = option("relu", "Activation after the layers over the hours.", choices=ACTIVATIONS)
    dropout: float = option(0.3, "Dropout before the fully connected layer.", low=0.0, high=0.95)
    fc_size: int = option(64, "Units of the fully connected layer; 0 leaves it out.", low=0, high=4096)
    fc_activation: str = option("tanh", "Activation after the fully connected layer.", choices=ACTIVATIONS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecurrentOptions(SequenceOptions):
    """Options that LSTM and GRU share."""

    pretrainable: ClassVar[bool] = True

    bidirectional: bool = option(True, "Read the window in both directions.")
    readout: str = option(
        "final",
        "final: final state of each direction; last_hour: outputs of the last hour, whose backward half has seen one "
        "hour (as the original); mean; max; attention.",
        choices=("final", *READOUTS),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LstmOptions(RecurrentOptions):
    """An LSTM over the hours. Defaults follow the original's best trial, apart from size and read-out."""

    name: str = option("lstm", NAME_DOC)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GruOptions(RecurrentOptions):
    """A GRU over the hours."""

    name: str = option("gru", NAME_DOC)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecurrentSummaryOptions(RecurrentOptions):
    """Options that the recurrent models with window summaries share."""

    summary_share: float = option(
        0.5, "Weight of the logits of window summaries; the recurrent layers have the rest.", low=0.0, high=1.0
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LstmSummaryOptions(RecurrentSummaryOptions):
    """An LSTM over the hours, beside a network on summaries of the window."""

    name: str = option("lstm_summary", NAME_DOC)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GruSummaryOptions(RecurrentSummaryOptions):
    """A GRU over the hours, beside a network on summaries of the window."""

    name: str = option("gru_summary", NAME_DOC)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SummaryOptions(NetworkOptions):
    """A network on summaries of the window."""

    SPACE: ClassVar[Mapping[str, Any]] = {"model.dropout": {"low": 0.0, "high": 0.5}, **TRAINING_SPACE}

    name: str = option("summary", NAME_DOC)
    dropout: float = option(0.3, "Dropout before and behind the hidden layer.", low=0.0, high=0.95)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvolutionalOptions(SequenceOptions):
    """A temporal convolutional network over the hours."""

    name: str = option("tcn", NAME_DOC)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerOptions(SequenceOptions):
    """A transformer encoder over the hours."""

    name: str = option("transformer", NAME_DOC)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChartedOptions(ModelOptions):
    """Options that the models of charted values share.

    Of ``[inputs]`` they read the static descriptors, and the limits in whose units changes are measured; of
    ``[training]`` what divides, calibrates and scores.
    """

    differentiable: ClassVar[bool] = False
    imputed: ClassVar[bool] = False
    learns_in_epochs: ClassVar[bool] = False
    READS: ClassVar[Mapping[str, Sequence[str]]] = {
        "inputs": ("statics", "winsor_low", "winsor_high", "scaling"),
        "training": (
            "validation_fraction", "fit_again", "calibration", "final", "threshold", "bootstrap_samples",
        ),
    }  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoostedTreesOptions(ChartedOptions):
    """Gradient boosted trees on summaries of the window (scikit-learn's HistGradientBoostingClassifier)."""

    SPACE: ClassVar[Mapping[str, Any]] = {
        "model.learning_rate": {"low": 0.01, "high": 0.3, "log": True},
        "model.trees": {"low": 50, "high": 500, "log": True},
        "model.leaves": {"low": 4, "high": 32},
        "model.l2": {"low": 0.1, "high": 30.0, "log": True},
        "model.feature_share": {"low": 0.1, "high": 1.0},
    }
    piecewise: ClassVar[bool] = True

    name: str = option("boosted_trees", NAME_DOC)
    learning_rate: float = option(0.05, "Share of each tree that is added.", low=1e-4, high=1.0)
    trees: int = option(150, "Trees.", low=1, high=10_000)
    leaves: int = option(12, "Most leaves of a tree.", low=2, high=1024)
    stays_per_leaf: int = option(20, "Fewest training stays of a leaf.", low=1, high=1_000_000)
    l2: float = option(5.0, "L2 penalty on the values of the leaves.", low=0.0, high=1e6)
    feature_share: float = option(0.3, "Share of the summaries drawn for each split.", low=0.01, high=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogisticOptions(ChartedOptions):
    """Logistic regression on summaries of the window, each clipped to its 1st and 99th percentile and standardised."""

    SPACE: ClassVar[Mapping[str, Any]] = {"model.inverse_penalty": {"low": 1e-4, "high": 10.0, "log": True}}
    piecewise: ClassVar[bool] = True

    name: str = option("logistic_regression", NAME_DOC)
    ensemble_size: int = option(
        1,
        "Fits whose coefficients are averaged; of several, each is on a bootstrap resample of the training stays.",
        low=1,
        high=100,
    )
    inverse_penalty: float = option(0.01, "Inverse of the L2 penalty (C of scikit-learn).", low=1e-8, high=1e8)


def read_options(values: Mapping[str, Any]) -> ModelOptions:
    """Return the options that a checkpoint keeps, as the class that its model names.

    Args:
        values: ``Checkpoint.model``.

    Raises:
        PluginError: No model has this name, or it names no options.
        StageError: The model has other options now.
    """
    options = options_of(GROUP, str(values["name"]))
    if not issubclass(options, ModelOptions):
        raise PluginError(
            f"The model {values['name']!r} names {options.__name__} as its options. Expected a subclass of "
            "icudl.models.options.ModelOptions."
        )
    try:
        return options.from_dict(values)
    except (TypeError, ConfigError) as error:
        raise StageError(
            f"The options that the checkpoint keeps do not fit the model {values['name']!r}: {error}. Train the model "
            "again, or install the version of the plug-in that trained it."
        ) from error
