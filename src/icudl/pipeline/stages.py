"""The stages as the pipeline calls them: what each reads and makes, and the function that does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, cast

from icudl.artifacts import (
    Artifact,
    AttackResult,
    Certificates,
    GridDataset,
    LineageEntry,
    Probes,
    Report,
    Scores,
    SourceTables,
    SusceptibilityResult,
    TrainingResult,
    TuningResult,
)
from icudl.execution.context import RunContext
from icudl.options import Options
from icudl.preprocessing.splits import SplitOptions
from icudl.sources.base import DataSource
from icudl.store.manifest import Upstream

FITTED_ON = "fitted-on"
"""Name under which a stage reads the grid that a model was fitted on, beside the external one that it works on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageInputs:
    """The inputs of a stage.

    Attributes:
        options: Its option tables by name, with the choices of the searches in place.
        artifacts: Its input artifacts, by the names that the stage has for them.
        upstream: Where each input comes from, by the same names.
        source: The data source, for extract.
        lineage: Origins of the inputs, by the same names.
        context: Executor, device, progress, scratch folder, random streams.
    """

    options: Mapping[str, Any]
    artifacts: Mapping[str, Any]
    upstream: Mapping[str, Upstream]
    source: DataSource | None
    lineage: Mapping[str, LineageEntry]
    context: RunContext


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of node.

    Attributes:
        name: Its name, which is also the folder of its artifacts.
        verb: The command that runs it, without ``icudl``.
        artifact: Type of its result.
        run: Calls the stage.
        version: Raised when the stage's code changes what it computes.
        plugin: Option table that names the plug-in that the result depends on, or "".
    """

    name: str
    verb: str
    artifact: type[Artifact]
    run: Callable[[StageInputs], Artifact]
    version: int = 1
    plugin: str = ""


def _extract(inputs: StageInputs) -> Artifact:
    from icudl.stages.extract import extract

    source = cast("DataSource", inputs.source)
    return extract(source, inputs.options["variables"], inputs.options["window"], inputs.context)


def _preprocess(inputs: StageInputs) -> Artifact:
    from icudl.stages.preprocess import preprocess

    options = inputs.options
    # An external data set is not divided, so it has no options of the split.
    split = options.get("split", SplitOptions())
    role, outcome = options["data"].role, options["outcome"]
    return preprocess(inputs.artifacts["extract"], options["cohort"], split, inputs.context, role, outcome)


def _tune_model(inputs: StageInputs) -> Artifact:
    from icudl.stages.tune import tune_model

    options = inputs.options
    return tune_model(
        inputs.artifacts["preprocess"],
        options["inputs"],
        options["model"],
        options["training"],
        options["tune_model"],
        inputs.context,
        robust=options.get("robust"),
        pretrain=options.get("pretrain"),
    )


def _train(inputs: StageInputs) -> Artifact:
    from icudl.stages.train import train

    options = inputs.options
    return train(
        inputs.artifacts["preprocess"],
        options["inputs"],
        options["model"],
        options["training"],
        inputs.context,
        robust=options.get("robust"),
        pretrain=options.get("pretrain"),
    )


def _score(inputs: StageInputs) -> Artifact:
    from icudl.stages.score import score

    artifacts = inputs.artifacts
    return score(
        artifacts["preprocess"], artifacts[FITTED_ON], artifacts["train"], inputs.options["training"], inputs.context
    )


def _tune_attack(inputs: StageInputs) -> Artifact:
    from icudl.stages.tune import tune_attack

    options = inputs.options
    return tune_attack(
        inputs.artifacts["preprocess"],
        inputs.artifacts["train"],
        options["attack"],
        options["tune_attack"],
        inputs.context,
    )


def _attack(inputs: StageInputs) -> Artifact:
    from icudl.stages.attack import attack

    artifacts = inputs.artifacts
    return attack(
        artifacts["preprocess"],
        artifacts["train"],
        inputs.options["attack"],
        inputs.context,
        fitted_on=artifacts.get(FITTED_ON),
    )


def _analyse(inputs: StageInputs) -> Artifact:
    from icudl.stages.analyse import analyse

    artifacts = inputs.artifacts
    return analyse(
        artifacts["preprocess"], artifacts["train"], artifacts["attack"], inputs.options["analysis"], inputs.context
    )


def _certify(inputs: StageInputs) -> Artifact:
    from icudl.stages.certify import certify

    artifacts = inputs.artifacts
    return certify(
        artifacts["preprocess"],
        artifacts["train"],
        inputs.options["certify"],
        inputs.context,
        fitted_on=artifacts.get(FITTED_ON),
    )


def _probe(inputs: StageInputs) -> Artifact:
    from icudl.stages.probe import probe

    artifacts = inputs.artifacts
    return probe(
        artifacts["preprocess"],
        artifacts["train"],
        inputs.options["probe"],
        inputs.context,
        fitted_on=artifacts.get(FITTED_ON),
    )


def _report(inputs: StageInputs) -> Artifact:
    from icudl.pipeline.study import study_of
    from icudl.stages.report import report

    study = study_of(inputs.artifacts, inputs.upstream, inputs.lineage)
    return report(study, inputs.options["report"], inputs.context)


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(name="extract", verb="extract", artifact=SourceTables, run=_extract, version=3, plugin="source"),
        Stage(name="preprocess", verb="preprocess", artifact=GridDataset, run=_preprocess, version=3),
        Stage(name="tune-model", verb="tune model", artifact=TuningResult, run=_tune_model, version=4, plugin="model"),
        Stage(name="train", verb="train", artifact=TrainingResult, run=_train, version=5, plugin="model"),
        Stage(name="score", verb="score", artifact=Scores, run=_score, version=2),
        Stage(
            name="tune-attack",
            verb="tune attack",
            artifact=TuningResult,
            run=_tune_attack,
            version=7,
            plugin="attack",
        ),
        Stage(name="attack", verb="attack", artifact=AttackResult, run=_attack, version=8, plugin="attack"),
        Stage(name="analyse", verb="analyse", artifact=SusceptibilityResult, run=_analyse, version=4),
        Stage(name="certify", verb="certify", artifact=Certificates, run=_certify, version=5),
        Stage(name="probe", verb="probe", artifact=Probes, run=_probe),
        Stage(name="report", verb="report", artifact=Report, run=_report, version=9),
    )
}
"""The stages, in an order in which they can be run."""


def options_of_tables(tables: Mapping[str, Options]) -> dict[str, Any]:
    """Return option tables as they enter an identity: without options that cannot change a result."""
    return {name: table.to_dict(identity_only=True) for name, table in tables.items()}
