"""Models and variable lists of the study. Chosen by hand on the stays of set A; nothing was selected on set C."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from icudl.models.options import (
    ConvolutionalOptions,
    GruOptions,
    LstmOptions,
    LstmSummaryOptions,
    ModelOptions,
    SummaryOptions,
    TransformerOptions,
)
from icudl.preprocessing.scaling import InputOptions
from icudl.training.options import TrainingOptions
from icudl.training.pretraining.options import PretrainOptions
from icudl.variables import CATALOGUE, STUDY_NAMES

STATICS = {
    "study": (),
    "study+gcs+age": ("age_years",),
    "all": (
        "age_years",
        "sex_male",
        "height_cm",
        "weight_kg",
        "icu_type=CCU",
        "icu_type=CSRU",
        "icu_type=MICU",
        "icu_type=SICU",
    ),
}
"""Static descriptors that go with each list of variables."""


SUMMARY_SHARES = {"study": 0.75, "study+gcs+age": 0.75, "all": 0.5}
"""What window summaries weigh beside recurrent layers. On few variables the latter add less."""


def variables_of(name: str, available: Collection[str]) -> tuple[str, ...]:
    """Return the names of a list, as far as the challenge has them (it has no calcium).

    Their order decides where the weights of a network begin, so it is that of the catalogue in every process.
    """
    if name == "all":
        return tuple(variable for variable in CATALOGUE if variable in available)
    study = tuple(variable for variable in STUDY_NAMES if variable in available)
    return study if name == "study" else (*study, "gcs")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """One row of the table.

    Attributes:
        model: Architecture; of no meaning for a baseline.
        training: Optimisation.
        inputs: How the model sees a stay; the static descriptors are put in for each list.
        pretrain: How the network learns from records before it sees an outcome.
        baseline: Name of a baseline, or "".
        first: Name of the contender that is the first network of this ensemble, or "".
    """

    model: ModelOptions = dataclasses.field(default_factory=LstmOptions)
    training: TrainingOptions = dataclasses.field(default_factory=TrainingOptions)
    inputs: InputOptions = dataclasses.field(default_factory=InputOptions)
    pretrain: PretrainOptions = dataclasses.field(default_factory=PretrainOptions)
    baseline: str = ""
    first: str = ""

    def model_for(self, variables: str) -> ModelOptions:
        """Return the architecture with the share of the window summaries that goes with a list of variables."""
        if not any(field.name == "summary_share" for field in dataclasses.fields(self.model)):
            return self.model
        return dataclasses.replace(self.model, summary_share=SUMMARY_SHARES[variables])


RICH_INPUTS = InputOptions(
    imputation="forward",
    scaling="standard",
    channels=("value", "observed", "hours_since"),
    winsor_low=1.0,
    winsor_high=99.0,
)
PATIENT = TrainingOptions(
    optimizer="adamw",
    learning_rate=1e-3,
    weight_decay=0.01,
    class_balance="none",
    monitor="log_loss",
    max_epochs=30,
    patience=5,
)
TAUGHT = dataclasses.replace(
    PATIENT,
    learning_rate=2e-3,
    batch_size=128,
    weight_decay=0.1,
    ema_decay=0.99,
    teacher="boosted_trees",
    teacher_share=0.5,
    fit_again=True,
)
RECURRENT: dict[str, Any] = {
    "hidden_size": 64,
    "readout": "attention",
    "dropout": 0.5,
    "activation": "identity",
    "fc_size": 0,
}

STUDY_2018 = Contender(
    model=LstmOptions(
        hidden_size=128, readout="last_hour", activation="tanh", dropout=0.5, fc_size=32, fc_activation="relu"
    ),
    training=TrainingOptions(learning_rate=1e-4, batch_size=128, max_epochs=60, patience=8),
)
"""The network of Sun et al. 2018 (LSTM-128, tanh, dropout .5, FC 32, ReLU, Adam 1e-4), bidirectional as in the
original, on values alone; early stopping instead of a fixed number of epochs."""

AGAIN = TrainingOptions(fit_again=True)
"""A baseline that learns from the same stays as the networks that are fitted again, validation stays included."""

CONTENDERS: dict[str, Contender] = {
    "logistic_regression": Contender(baseline="logistic_regression", training=AGAIN),
    "boosted_trees": Contender(baseline="boosted_trees", training=AGAIN),
    "study2018": STUDY_2018,
    "lstm": Contender(model=LstmOptions(**RECURRENT), training=PATIENT, inputs=RICH_INPUTS),
    "gru": Contender(model=GruOptions(**RECURRENT), training=PATIENT, inputs=RICH_INPUTS),
    "summary": Contender(model=SummaryOptions(dropout=0.5), training=TAUGHT, inputs=RICH_INPUTS),
    "lstm_summary": Contender(
        model=LstmSummaryOptions(**RECURRENT | {"hidden_size": 48}), training=TAUGHT, inputs=RICH_INPUTS
    ),
    "lstm_summary_x3": Contender(
        model=LstmSummaryOptions(ensemble_size=3, **RECURRENT | {"hidden_size": 48}),
        training=TAUGHT,
        inputs=RICH_INPUTS,
        first="lstm_summary",
    ),
    "lstm_summary_pretrained": Contender(
        model=LstmSummaryOptions(**RECURRENT | {"hidden_size": 48}),
        training=TAUGHT,
        inputs=RICH_INPUTS,
        pretrain=PretrainOptions(epochs=30),
    ),
    "tcn": Contender(
        model=ConvolutionalOptions(hidden_size=64, n_layers=4, readout="max", dropout=0.3, fc_size=0),
        training=PATIENT,
        inputs=RICH_INPUTS,
    ),
    "transformer": Contender(
        model=TransformerOptions(hidden_size=64, n_layers=2, readout="mean", dropout=0.3, fc_size=0),
        training=dataclasses.replace(PATIENT, warmup_epochs=2),
        inputs=RICH_INPUTS,
    ),
}
