"""The stage graph: which stage reads what, which options are its own, and how it is called."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from icudl.artifacts import (
    Artifact,
    AttackResult,
    GridDataset,
    LineageEntry,
    Report,
    SourceTables,
    SusceptibilityResult,
    TrainingResult,
    TuningResult,
)
from icudl.config.schema import Config
from icudl.execution.context import RunContext
from icudl.sources.base import DataSource


@dataclasses.dataclass(frozen=True)
class StageInputs:
    """What a stage of the graph is called with.

    Attributes:
        config: The configuration, tuned values applied.
        artifacts: Upstream artifacts by node.
        source: The data source, for extract.
        lineage: Origins of everything upstream, for the report.
        context: Executor, device, progress, scratch folder, random streams.
    """

    config: Config
    artifacts: Mapping[str, Any]
    source: DataSource | None
    lineage: Sequence[LineageEntry]
    context: RunContext


@dataclasses.dataclass(frozen=True)
class Node:
    """One stage in the graph.

    Attributes:
        name: Its name, also the folder of its artifacts.
        verb: Words of the command line that run it.
        artifact: Type of its result.
        tables: Option tables that are its own.
        upstream: Nodes whose artifacts it reads.
        run: Calls the stage.
        stage_version: Raised when the stage's code changes what it computes.
        plugin: (entry-point group, option table whose ``name`` chooses the plug-in).
    """

    name: str
    verb: str
    artifact: type[Artifact]
    tables: tuple[str, ...]
    upstream: tuple[str, ...]
    run: Callable[[StageInputs], Artifact]
    stage_version: int = 1
    plugin: tuple[str, str] | None = None


def _extract(inputs: StageInputs) -> Artifact:
    from icudl.stages.extract import extract

    source = cast("DataSource", inputs.source)
    return extract(source, inputs.config.variables, inputs.config.window, inputs.context)


def _preprocess(inputs: StageInputs) -> Artifact:
    from icudl.stages.preprocess import preprocess

    return preprocess(inputs.artifacts["extract"], inputs.config.cohort, inputs.config.split, inputs.context)


def _tune_model(inputs: StageInputs) -> Artifact:
    from icudl.stages.tune import tune_model

    config = inputs.config
    return tune_model(
        inputs.artifacts["preprocess"], config.inputs, config.model, config.training, config.tune_model, inputs.context
    )


def _train(inputs: StageInputs) -> Artifact:
    from icudl.stages.train import train

    config = inputs.config
    return train(inputs.artifacts["preprocess"], config.inputs, config.model, config.training, inputs.context)


def _tune_attack(inputs: StageInputs) -> Artifact:
    from icudl.stages.tune import tune_attack

    grid, training = inputs.artifacts["preprocess"], inputs.artifacts["train"]
    return tune_attack(grid, training, inputs.config.attack, inputs.config.tune_attack, inputs.context)


def _attack(inputs: StageInputs) -> Artifact:
    from icudl.stages.attack import attack

    return attack(inputs.artifacts["preprocess"], inputs.artifacts["train"], inputs.config.attack, inputs.context)


def _analyse(inputs: StageInputs) -> Artifact:
    from icudl.stages.analyse import analyse

    artifacts = inputs.artifacts
    return analyse(
        artifacts["preprocess"], artifacts["train"], artifacts["attack"], inputs.config.analysis, inputs.context
    )


def _report(inputs: StageInputs) -> Artifact:
    from icudl.report.study import AttackResults, DataResults, ModelResults, StudyResults
    from icudl.stages.report import report

    artifacts = inputs.artifacts
    study = StudyResults(
        data=(DataResults(name="main", role="main", tables=artifacts["extract"], grid=artifacts["preprocess"]),),
        models=(ModelResults(name="main", training=artifacts["train"], tuning=artifacts.get("tune-model"), scores={}),),
        attacks=(
            AttackResults(
                model="main",
                attack="main",
                data="main",
                result=artifacts["attack"],
                susceptibility=artifacts["analyse"],
                tuning=artifacts.get("tune-attack"),
            ),
        ),
        lineage=tuple(inputs.lineage),
    )
    return report(study, inputs.config.report, inputs.context)


NODES: dict[str, Node] = {
    node.name: node
    for node in (
        Node(
            "extract", "extract", SourceTables, ("source", "variables", "window"), (), _extract,
            plugin=("icudl.sources", "source"),
        ),
        Node("preprocess", "preprocess", GridDataset, ("cohort", "split"), ("extract",), _preprocess),
        Node(
            "tune-model", "tune model", TuningResult, ("inputs", "model", "training", "tune_model"), ("preprocess",),
            _tune_model, stage_version=3, plugin=("icudl.models", "model"),
        ),
        Node(
            "train", "train", TrainingResult, ("inputs", "model", "training", "tuned"), ("preprocess", "tune-model"),
            _train, stage_version=3, plugin=("icudl.models", "model"),
        ),
        Node(
            "tune-attack", "tune attack", TuningResult, ("attack", "tune_attack"), ("preprocess", "train"),
            _tune_attack, stage_version=3, plugin=("icudl.attacks", "attack"),
        ),
        Node(
            "attack", "attack", AttackResult, ("attack",), ("preprocess", "train", "tune-attack"), _attack,
            stage_version=4, plugin=("icudl.attacks", "attack"),
        ),
        Node(
            "analyse", "analyse", SusceptibilityResult, ("analysis",), ("preprocess", "train", "attack"), _analyse,
            stage_version=2,
        ),
        Node(
            "report", "report", Report, ("report",),
            ("extract", "preprocess", "tune-model", "train", "tune-attack", "attack", "analyse"), _report,
            stage_version=2,
        ),
    )
}  # fmt: skip
"""The graph, in an order in which it can be run."""
