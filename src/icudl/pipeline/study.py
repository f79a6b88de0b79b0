"""The inputs of a report, sorted into the study that it describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from icudl.artifacts import LineageEntry
from icudl.config.schema import RoleOptions
from icudl.report.study import AttackResults, CertificateResults, DataResults, ModelResults, ProbeResults, StudyResults
from icudl.store.manifest import Upstream


def study_of(
    artifacts: Mapping[str, Any], upstream: Mapping[str, Upstream], lineage: Mapping[str, LineageEntry]
) -> StudyResults:
    """Sort the inputs of a report by data set, model and attack.

    Args:
        artifacts: The inputs by name.
        upstream: The stage, model, attack and data set of each, by the same names.
        lineage: Their origins by the same names; inputs precede what was made from them.
    """

    def of(stage: str, **names: str) -> Any:
        """Return the artifact of a stage and these names; None where the study lacks it."""
        return next(
            (
                artifacts[name]
                for name, entry in upstream.items()
                if entry.node == stage and all(getattr(entry, key) == value for key, value in names.items())
            ),
            None,
        )

    def entries(stage: str) -> list[tuple[str, Upstream]]:
        return [(name, entry) for name, entry in upstream.items() if entry.node == stage]

    data = tuple(
        DataResults(
            name=entry.data,
            role=lineage[name].options[RoleOptions.table]["role"],
            tables=of("extract", data=entry.data),
            grid=artifacts[name],
        )
        for name, entry in entries("preprocess")
    )
    models = tuple(
        ModelResults(
            name=entry.model,
            training=artifacts[name],
            tuning=of("tune-model", model=entry.model),
            scores={score.data: artifacts[scored] for scored, score in entries("score") if score.model == entry.model},
        )
        for name, entry in entries("train")
    )
    attacks = tuple(
        AttackResults(
            model=entry.model,
            attack=entry.attack,
            data=entry.data,
            result=artifacts[name],
            susceptibility=of("analyse", model=entry.model, attack=entry.attack, data=entry.data),
            tuning=of("tune-attack", model=entry.model, attack=entry.attack),
        )
        for name, entry in entries("attack")
    )
    certificates = tuple(
        CertificateResults(model=entry.model, data=entry.data, result=artifacts[name])
        for name, entry in entries("certify")
    )
    probes = tuple(
        ProbeResults(model=entry.model, data=entry.data, result=artifacts[name]) for name, entry in entries("probe")
    )
    return StudyResults(
        data=data,
        models=models,
        attacks=attacks,
        lineage=tuple(lineage.values()),
        certificates=certificates,
        probes=probes,
    )
