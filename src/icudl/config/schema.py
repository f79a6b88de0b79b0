"""The configuration: one frozen dataclass per table of ``config.toml``, assembled from the algorithms' options."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from icudl.analysis.options import AnalysisOptions
from icudl.attacks.options import AttackOptions
from icudl.execution.base import ExecutionOptions
from icudl.models.options import LstmOptions, ModelOptions
from icudl.options import Options, option
from icudl.preprocessing.cohort import CohortOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.preprocessing.splits import SplitOptions
from icudl.report.options import ReportOptions
from icudl.search import AttackTuningOptions, ModelTuningOptions, TunedOptions
from icudl.sources.base import SourceOptions, VariableOptions, WindowOptions
from icudl.sources.synthetic.options import SyntheticOptions
from icudl.training.options import TrainingOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """What concerns the whole run."""

    table: ClassVar[str] = "run"

    seed: int = option(2018, "Root of every random stream.", low=0, high=2**53)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The whole configuration; one attribute per table.

    ``origins`` tells for each dotted key that is not at its default where the value came from.
    """

    run: RunOptions = dataclasses.field(default_factory=RunOptions)
    source: SourceOptions = dataclasses.field(default_factory=SyntheticOptions)
    variables: VariableOptions = dataclasses.field(default_factory=VariableOptions)
    window: WindowOptions = dataclasses.field(default_factory=WindowOptions)
    cohort: CohortOptions = dataclasses.field(default_factory=CohortOptions)
    split: SplitOptions = dataclasses.field(default_factory=SplitOptions)
    inputs: InputOptions = dataclasses.field(default_factory=InputOptions)
    model: ModelOptions = dataclasses.field(default_factory=LstmOptions)
    training: TrainingOptions = dataclasses.field(default_factory=TrainingOptions)
    tune_model: ModelTuningOptions = dataclasses.field(default_factory=ModelTuningOptions)
    tuned: TunedOptions = dataclasses.field(default_factory=TunedOptions)
    attack: AttackOptions = dataclasses.field(default_factory=AttackOptions)
    tune_attack: AttackTuningOptions = dataclasses.field(default_factory=AttackTuningOptions)
    analysis: AnalysisOptions = dataclasses.field(default_factory=AnalysisOptions)
    report: ReportOptions = dataclasses.field(default_factory=ReportOptions)
    execution: ExecutionOptions = dataclasses.field(default_factory=ExecutionOptions)
    origins: dict[str, str] = dataclasses.field(default_factory=dict, compare=False)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return all tables as plain values."""
        return {name: getattr(self, name).to_dict() for name in TABLES}


TABLES: dict[str, type[Options]] = {
    options.table: options
    for options in (
        RunOptions,
        SourceOptions,
        VariableOptions,
        WindowOptions,
        CohortOptions,
        SplitOptions,
        InputOptions,
        LstmOptions,
        TrainingOptions,
        ModelTuningOptions,
        TunedOptions,
        AttackOptions,
        AttackTuningOptions,
        AnalysisOptions,
        ReportOptions,
        ExecutionOptions,
    )
}
"""Option class of each table, in the order of the file."""
