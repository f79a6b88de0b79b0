"""What can be set about a model."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.options import Options, option

ACTIVATIONS = ("tanh", "relu", "gelu", "identity")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """Architecture. Defaults follow the original's best trial but for size and read-out."""

    table: ClassVar[str] = "model"

    name: str = option("lstm", "Model plug-in: lstm, gru, lstm_summary, gru_summary, summary, tcn, transformer, ...")
    hidden_size: int = option(64, "Units per direction and layer.", low=1, high=4096)
    n_layers: int = option(1, "Recurrent layers, convolutional blocks or encoder layers.", low=1, high=16)
    bidirectional: bool = option(True, "Read the window in both directions.")
    readout: str = option(
        "final",
        "final: final state of each direction; last_hour: outputs of the last hour, whose backward half has seen one "
        "hour (as the original); mean; max; attention.",
        choices=("final", "last_hour", "mean", "max", "attention"),
    )
    activation: str = option("relu", "Activation after the recurrent layers.", choices=ACTIVATIONS)
    dropout: float = option(0.3, "Dropout before the fully connected layer.", low=0.0, high=0.95)
    fc_size: int = option(64, "Units of the fully connected layer; 0 leaves it out.", low=0, high=4096)
    fc_activation: str = option("tanh", "Activation after the fully connected layer.", choices=ACTIVATIONS)
    summary_share: float = option(
        0.5,
        "Weight of the logits of window summaries in lstm_summary and gru_summary; recurrent layers have the rest.",
        low=0.0,
        high=1.0,
    )
    ensemble_size: int = option(
        1,
        "Networks with initial weights of their own whose logits are averaged; one model to everything after training.",
        low=1,
        high=100,
    )
