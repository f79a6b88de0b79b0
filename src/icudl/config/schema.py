"""The configuration of a study: a table of data sets, models and attacks, assembled from the algorithms' options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from icudl.analysis.options import AnalysisOptions
from icudl.attacks.options import AttackOptions
from icudl.errors import ConfigError
from icudl.execution.base import ExecutionOptions
from icudl.models.options import ModelOptions
from icudl.options import Options, option
from icudl.plugins import options_of
from icudl.preprocessing.cohort import CohortOptions
from icudl.preprocessing.outcome import OutcomeOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.preprocessing.splits import SplitOptions
from icudl.probes.options import ProbeOptions
from icudl.proofs.options import CertifyOptions
from icudl.report.options import ReportOptions
from icudl.search import AttackTuningOptions, ModelTuningOptions, TunedOptions
from icudl.sources.base import SourceOptions, VariableOptions, WindowOptions
from icudl.training.options import TrainingOptions
from icudl.training.pretraining.options import PretrainOptions
from icudl.training.robust.options import RobustOptions

BY_DEFAULT = "the default study"
"""Origin of a value that the default study gives, in a configuration that names only its data."""

MAIN = "main"
"""Name of a data set, model or attack to which the configuration gives no name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """Options of the whole run."""

    table: ClassVar[str] = "run"

    seed: int = option(2018, "Root of every random stream.", low=0, high=2**53)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoleOptions(Options):
    """What a data set is for."""

    table: ClassVar[str] = "data"

    role: str = option(
        "main",
        "main: split, trained on and cross-validated, with a held-out test set; external: scored and attacked by the "
        "final model only, never fitted on.",
        choices=("main", "external"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plugin:
    """A table that a plug-in validates.

    Attributes:
        group: Entry-point group of the plug-ins.
        key: Key that names the plug-in where the table stands alone (``[model] name = ...``).
        family: Table whose entries are such tables (``[models.NAME]``); "" for executors, which have no entries.
        family_key: Key that names the plug-in in an entry of the family (``[models.NAME] model = ...``).
        base: Options that all plug-ins of the group share.
        default: Plug-in of a table that names none.
    """

    group: str
    key: str
    base: type[Options]
    default: str
    family: str = ""
    family_key: str = ""

    @property
    def kind(self) -> str:
        """Kind of the group's plug-ins: source, model, attack or executor."""
        return self.group.rpartition(".")[2].removesuffix("s")

    def options(self, name: str) -> type[Options]:
        """Return the options class of a plug-in of the group.

        Raises:
            PluginError: The group has no plug-in of this name, or the plug-in names no options.
        """
        return options_of(self.group, name)


PLUGINS: dict[str, Plugin] = {
    "source": Plugin(
        group="icudl.sources", key="name", base=SourceOptions, default="synthetic", family="data", family_key="source"
    ),
    "model": Plugin(
        group="icudl.models", key="name", base=ModelOptions, default="lstm", family="models", family_key="model"
    ),
    "attack": Plugin(
        group="icudl.attacks", key="name", base=AttackOptions, default="proximal", family="attacks", family_key="attack"
    ),
    "execution": Plugin(group="icudl.executors", key="executor", base=ExecutionOptions, default="processes"),
}
"""The tables that plug-ins validate."""

SHARED: dict[str, type[Options]] = {
    options.table: options
    for options in (
        RunOptions,
        VariableOptions,
        WindowOptions,
        CohortOptions,
        OutcomeOptions,
        SplitOptions,
        InputOptions,
        TrainingOptions,
        RobustOptions,
        PretrainOptions,
        ModelTuningOptions,
        TunedOptions,
        AttackTuningOptions,
        CertifyOptions,
        ProbeOptions,
        AnalysisOptions,
        ReportOptions,
    )
}
"""Options class of each table that no plug-in validates."""

TABLES: tuple[str, ...] = (
    "run", "source", "variables", "window", "cohort", "outcome", "split", "inputs", "model", "training", "robust",
    "pretrain", "tune_model", "tuned", "attack", "tune_attack", "certify", "probe", "analysis", "report", "execution",
)  # fmt: skip
"""The tables of a study of one data set, one model and one attack, in the order of the file."""

FAMILIES = ("data", "models", "attacks")
"""The tables whose entries are named data sets, models or attacks."""

OPTIONAL = (CertifyOptions.table, ProbeOptions.table)
"""Tables of stages that only run where their table is given; each has a further key ``on``."""

COMMON = ("analysis", "report", "execution")
"""The tables that a whole study shares and no entry of a family can hold."""

OVERRIDES: dict[str, tuple[str, ...]] = {
    "data": ("variables", "window", "cohort", "outcome", "split"),
    "models": ("inputs", "training", "robust", "pretrain", "tune_model", "tuned"),
    "attacks": ("tune_attack",),
}
"""Shared tables that an entry of a family may hold itself; there they override the shared values."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSet:
    """One entry of ``[data]``: where its stays come from, and how they become a grid."""

    source: SourceOptions
    role: RoleOptions
    variables: VariableOptions
    window: WindowOptions
    cohort: CohortOptions
    outcome: OutcomeOptions
    split: SplitOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """One entry of ``[models]``: an architecture, what it sees, how it is trained and searched."""

    model: ModelOptions
    inputs: InputOptions
    training: TrainingOptions
    tune_model: ModelTuningOptions
    tuned: TunedOptions
    robust: RobustOptions = dataclasses.field(default_factory=RobustOptions)
    pretrain: PretrainOptions = dataclasses.field(default_factory=PretrainOptions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
    """One entry of ``[attacks]``: a method, a threat model, and how its options are searched.

    Attributes:
        attack: Options of the attack.
        tune_attack: Search over them.
        on: Names of the models and data sets that it is run on; empty for all. A name of a model leaves out the other
            models, a name of a data set the other data sets.
    """

    attack: AttackOptions
    tune_attack: AttackTuningOptions
    on: tuple[str, ...] = ()

    def concerns(self, name: str, among: Mapping[str, Any]) -> bool:
        """Tell whether the attack is run on ``name``, one of the models or one of the data sets ``among`` all."""
        return _concerns(self.on, name, among)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certify:
    """The table ``[certify]``, where a study has it: what is proved of its models.

    Attributes:
        options: Threat model, stays, width and budget.
        on: Names of the models and data sets that it concerns, as in ``Attack``.
    """

    options: CertifyOptions
    on: tuple[str, ...] = ()

    def concerns(self, name: str, among: Mapping[str, Any]) -> bool:
        """Tell whether something is proved about ``name``, one of the models or one of the data sets ``among`` all."""
        return _concerns(self.on, name, among)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """The table ``[probe]``, where a study has it: how its models take records that are changed on purpose.

    Attributes:
        options: Stays, derangements and rates of errors.
        on: Names of the models and data sets that it concerns, as in ``Attack``.
    """

    options: ProbeOptions
    on: tuple[str, ...] = ()

    def concerns(self, name: str, among: Mapping[str, Any]) -> bool:
        """Tell whether ``name``, one of the models or one of the data sets ``among`` all, is probed."""
        return _concerns(self.on, name, among)


def _concerns(on: tuple[str, ...], name: str, among: Mapping[str, Any]) -> bool:
    chosen = set(on) & set(among)
    return not chosen or name in chosen


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A whole study: data sets x models x attacks.

    Attributes:
        run: Seed of the run.
        data: Data sets by name, the main one first.
        models: Models by name.
        attacks: Attacks by name.
        certify: What is proved; None where the configuration has no table ``[certify]``.
        probe: What is probed; None where the configuration has no table ``[probe]``.
        analysis: How every attack is analysed.
        report: What the page shows.
        execution: Where and how jobs run.
        shared: The tables that hold for every entry of a family which does not say otherwise.
        origins: For each dotted key that is not at its default, where the value came from.
    """

    run: RunOptions
    data: Mapping[str, DataSet]
    models: Mapping[str, Model]
    attacks: Mapping[str, Attack]
    analysis: AnalysisOptions
    report: ReportOptions
    execution: ExecutionOptions
    certify: Certify | None = None
    probe: Probe | None = None
    shared: Mapping[str, Options] = dataclasses.field(default_factory=dict, compare=False)
    origins: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def is_by_default(self) -> bool:
        """Whether models and attacks are those of the default study, because the configuration names only data."""
        return BY_DEFAULT in self.origins.values()

    @property
    def unread(self) -> tuple[str, ...]:
        """Dotted keys that are set in a table which models share, and that no model of the study reads."""
        set_here = (key for key, origin in self.origins.items() if origin != BY_DEFAULT and key.count(".") == 1)
        split = (key.split(".") for key in set_here)
        return tuple(f"{table}.{key}" for table, key in split if not self._is_read(table, key))

    def _is_read(self, table: str, key: str) -> bool:
        """Tell whether some model of the study reads a key of a table, or the table is none that models share."""
        if table == PretrainOptions.table:
            return any(entry.model.pretrainable for entry in self.models.values())
        return any(key in entry.model.READS.get(table, (key,)) for entry in self.models.values())

    @property
    def main(self) -> str:
        """Name of the data set that models are fitted on."""
        return next(name for name, entry in self.data.items() if entry.role.role == "main")

    @property
    def source(self) -> SourceOptions:
        """The source of the main data set."""
        return self.data[self.main].source

    @property
    def variables(self) -> VariableOptions:
        """The variables of the main data set."""
        return self.data[self.main].variables

    @property
    def window(self) -> WindowOptions:
        """The window of the main data set."""
        return self.data[self.main].window

    @property
    def cohort(self) -> CohortOptions:
        """The criteria of the main data set."""
        return self.data[self.main].cohort

    @property
    def outcome(self) -> OutcomeOptions:
        """What is predicted on the main data set."""
        return self.data[self.main].outcome

    @property
    def split(self) -> SplitOptions:
        """The split of the main data set."""
        return self.data[self.main].split

    @property
    def model(self) -> ModelOptions:
        """The architecture, in a study of one model."""
        options: ModelOptions = _only("models", self.models).model
        return options

    @property
    def inputs(self) -> InputOptions:
        """What the model sees, in a study of one model."""
        options: InputOptions = _only("models", self.models).inputs
        return options

    @property
    def training(self) -> TrainingOptions:
        """How the model is trained, in a study of one model."""
        options: TrainingOptions = _only("models", self.models).training
        return options

    @property
    def robust(self) -> RobustOptions:
        """What the model is trained against, in a study of one model."""
        options: RobustOptions = _only("models", self.models).robust
        return options

    @property
    def pretrain(self) -> PretrainOptions:
        """How the model learns before it sees an outcome, in a study of one model."""
        options: PretrainOptions = _only("models", self.models).pretrain
        return options

    @property
    def tune_model(self) -> ModelTuningOptions:
        """The search over the model, in a study of one model."""
        options: ModelTuningOptions = _only("models", self.models).tune_model
        return options

    @property
    def tuned(self) -> TunedOptions:
        """Which trial of that search the model is trained with, in a study of one model."""
        options: TunedOptions = _only("models", self.models).tuned
        return options

    @property
    def attack(self) -> AttackOptions:
        """The attack, in a study of one attack."""
        options: AttackOptions = _only("attacks", self.attacks).attack
        return options

    @property
    def tune_attack(self) -> AttackTuningOptions:
        """The search over the attack, in a study of one attack."""
        options: AttackTuningOptions = _only("attacks", self.attacks).tune_attack
        return options

    def to_dict(self) -> dict[str, Any]:
        """Return all tables as plain values, passwords masked; an entry of a family holds one dictionary a table."""
        plain: dict[str, Any] = {name: getattr(self, name).to_dict() for name in ("run", *COMMON)}
        for family in FAMILIES:
            plain[family] = {name: _entry_to_dict(entry) for name, entry in getattr(self, family).items()}
        if self.certify is not None:
            plain["certify"] = self.certify.options.to_dict() | {"on": list(self.certify.on)}
        if self.probe is not None:
            plain["probe"] = self.probe.options.to_dict() | {"on": list(self.probe.on)}
        return plain


def _only(family: str, entries: Mapping[str, Any]) -> Any:
    """Return the one entry of a family.

    Raises:
        ConfigError: The family has several entries.
    """
    if len(entries) != 1:
        raise ConfigError(f"The study has {len(entries)} {family}: {', '.join(entries)}. Name one of them.")
    return next(iter(entries.values()))


def _entry_to_dict(entry: DataSet | Model | Attack) -> dict[str, Any]:
    values = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    return {key: value.to_dict() if isinstance(value, Options) else list(value) for key, value in values.items()}


def class_of(table: str, values: Mapping[str, Any]) -> type[Options]:
    """Return the options class of a table with these values: the plug-in's, where a plug-in validates the table.

    Raises:
        PluginError: The table names no plug-in that is installed.
    """
    if table == RoleOptions.table:
        return RoleOptions
    if table not in PLUGINS:
        return SHARED[table]
    plugin = PLUGINS[table]
    name = values.get(plugin.key, plugin.default)
    # A name of another type is refused by the base class, which names the key.
    return plugin.options(name) if isinstance(name, str) else plugin.base
