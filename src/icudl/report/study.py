"""What a report is about: a table of data sets, models and attacks, with the results in its cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from icudl.artifacts import (
    AttackResult,
    Certificates,
    GridDataset,
    LineageEntry,
    Probes,
    Scores,
    SourceTables,
    SusceptibilityResult,
    TrainingResult,
    TuningResult,
)

MAIN = "main"
"""Role of the data set that models are fitted on; every other data set is external."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class DataResults:
    """One data set.

    Attributes:
        name: Its name in the configuration.
        role: ``"main"`` (fitted on, cross-validated, with a held-out test) or ``"external"`` (never fitted on).
        tables: What its source gave.
        grid: Its cohort.
    """

    name: str
    role: str
    tables: SourceTables
    grid: GridDataset


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ModelResults:
    """One model, fitted on the main data set.

    Attributes:
        name: Its name in the configuration.
        training: Fitted members, predictions and scores.
        tuning: The search for its options; None without a search.
        scores: Predictions and scores of the final member, by external data set.
    """

    name: str
    training: TrainingResult
    tuning: TuningResult | None
    scores: Mapping[str, Scores]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class AttackResults:
    """One attack on one model and one data set.

    Attributes:
        model: Name of the model.
        attack: Name of the attack.
        data: Name of the data set.
        result: The adversarial examples.
        susceptibility: Measures over them.
        tuning: The search for the attack's options; None without a search.
    """

    model: str
    attack: str
    data: str
    result: AttackResult
    susceptibility: SusceptibilityResult
    tuning: TuningResult | None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CertificateResults:
    """Proofs about one model and one data set.

    Attributes:
        model: Name of the model.
        data: Name of the data set.
        result: The proofs.
    """

    model: str
    data: str
    result: Certificates


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ProbeResults:
    """Probes of one model and one data set.

    Attributes:
        model: Name of the model.
        data: Name of the data set.
        result: The probes.
    """

    model: str
    data: str
    result: Probes


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class StudyResults:
    """Everything that a report tells.

    Attributes:
        data: The main data set first, then the external ones.
        models: In the order of the configuration; the first one is what the others are compared with.
        attacks: In the order of the configuration.
        lineage: Origin of every artifact above, inputs before what is made from them.
        certificates: Proofs, in the order of models and data sets; empty where none are asked for.
        probes: Likewise.
    """

    data: tuple[DataResults, ...]
    models: tuple[ModelResults, ...]
    attacks: tuple[AttackResults, ...]
    lineage: tuple[LineageEntry, ...]
    certificates: tuple[CertificateResults, ...] = ()
    probes: tuple[ProbeResults, ...] = ()

    @property
    def main(self) -> DataResults:
        """The data set that the models were fitted on."""
        return next(data for data in self.data if data.role == MAIN)

    @property
    def of_main(self) -> str:
        """What follows stays of the main data set in a sentence: " of ward"; nothing where there is no other."""
        return f" of {self.main.name}" if len(self.data) > 1 else ""

    @property
    def external(self) -> tuple[DataResults, ...]:
        """The data sets that nothing was fitted on."""
        return tuple(data for data in self.data if data.role != MAIN)

    @property
    def restricted(self) -> bool:
        """Whether any data underneath are credentialed."""
        return any(entry.restricted for entry in self.lineage)

    def data_named(self, name: str) -> DataResults:
        """Return the data set of this name."""
        return next(data for data in self.data if data.name == name)

    def model_named(self, name: str) -> ModelResults:
        """Return the model of this name."""
        return next(model for model in self.models if model.name == name)

    def proofs_about(self, model: str, data: str) -> Certificates | None:
        """Return the proofs about a model on a data set; None where none were asked for."""
        return next((each.result for each in self.certificates if (each.model, each.data) == (model, data)), None)

    def attacks_on(self, model: str, data: str) -> tuple[AttackResult, ...]:
        """Return the attacks on a model and a data set."""
        return tuple(each.result for each in self.attacks if (each.model, each.data) == (model, data))

    def attack_title(self, attack: AttackResults) -> str:
        """Return the names of model and attack; the data set is named unless it is the main one."""
        names = [attack.model, attack.attack]
        if attack.data != self.main.name:
            names.append(attack.data)
        return ", ".join(names)

    def certificate_title(self, proofs: CertificateResults | ProbeResults) -> str:
        """Return the name of the model; the data set is named unless it is the main one."""
        return proofs.model if proofs.data == self.main.name else f"{proofs.model}, {proofs.data}"
