"""The study that an audit is: the data of another study, one model from outside, four attacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from icudl.attacks.options import (
    AttackOptions,
    EntryErrorOptions,
    ExactValueOptions,
    GreedyOptions,
    NoiseOptions,
    SweepOptions,
)
from icudl.config.load import build
from icudl.config.schema import MAIN, Attack, Config, DataSet, Model, RoleOptions, RunOptions
from icudl.errors import ConfigError
from icudl.models.outside.options import OutsideOptions, read_bytes, undeclared
from icudl.pipeline.run import tables_of
from icudl.preprocessing.outcome import OutcomeOptions
from icudl.preprocessing.splits import SplitOptions
from icudl.store.base import Store
from icudl.store.manifest import Manifest

AUDITED = "audited"
"""Name of the model in the study."""

POINTS = 33
"""Numbers tried over the range of each value, where a model does not say where its score jumps."""


def audit_study(base: Config, model: OutsideOptions, *, beside: Sequence[str] = (), max_stays: int = 200) -> Config:
    """Return the study of an audit.

    Attacks, on the same stays: ``one_value`` (exactly, where all models say where their scores jump), ``fewest``,
    ``entry_error``, and ``random`` errors as the control.

    Args:
        base: Names the data, and what training and analysis read of their tables; its models and attacks are replaced.
        model: The model and what it declares.
        beside: Names of model plug-ins to train on the same data and attack on the same stays.
        max_stays: Most stays that each attack is run on; 0 takes all.

    Raises:
        ConfigError: The model does not declare what nobody else can know.
        StageError: It cannot be read.
        PluginError: The library of its format is not installed.
    """
    problem = undeclared(f"models.{AUDITED}", model)
    if problem:
        raise ConfigError(problem)
    plugins = {AUDITED: model} | {name: build("model", "model", {"name": name}, {}) for name in beside}
    shared = {
        table: base.shared[table] for table in ("inputs", "training", "robust", "pretrain", "tune_model", "tuned")
    }
    models = {name: Model(model=cast("Any", options), **cast("Any", shared)) for name, options in plugins.items()}
    exact = _jumps(model) and all(entry.model.piecewise for entry in models.values())
    attacks = {
        name: Attack(attack=attack, tune_attack=cast("Any", base.shared["tune_attack"]))
        for name, attack in _attacks(max_stays, exact=exact).items()
    }
    report = base.report
    if "report.title" not in base.origins:
        report = dataclasses.replace(report, title=f"Audit of {Path(model.file).name or model.object}")
    origins = {f"models.{AUDITED}.{key}": "audit" for key in ("file", "object", "input", "trained_on")}
    return dataclasses.replace(
        base, models=models, attacks=attacks, certify=None, report=report, origins={**base.origins, **origins}
    )


def _attacks(max_stays: int, *, exact: bool) -> dict[str, AttackOptions]:
    shared: dict[str, Any] = {"threat_model": "measured", "max_stays": max_stays}
    one = ExactValueOptions(**shared) if exact else SweepOptions(sweep_points=POINTS, **shared)
    return {
        "one_value": one,
        "fewest": GreedyOptions(**shared),
        "entry_error": EntryErrorOptions(**shared),
        "random": NoiseOptions(**shared),
    }


def _jumps(model: OutsideOptions) -> bool:
    """Tell whether a model says where its score jumps, which only its file knows."""
    from icudl.models.outside.reading import read_predictor

    return model.piecewise and read_predictor(model, read_bytes(model.file) if model.file else b"").levels is not None


def data_of(store: Store, prepared: Manifest, base: Config) -> Config:
    """Return a configuration whose only data set is the one that a result of preprocess was made from.

    Args:
        store: Holds the result and its extract.
        prepared: Manifest of the result.
        base: Configuration of everything else.
    """
    origin = prepared.identity.upstream["extract"]
    tables: Mapping[str, Any] = tables_of(prepared) | tables_of(store.manifest(origin.node, origin.id))
    data = DataSet(
        source=tables["source"],
        role=RoleOptions(),
        variables=tables["variables"],
        window=tables["window"],
        cohort=tables["cohort"],
        outcome=tables.get("outcome", OutcomeOptions()),
        # An external data set is not divided, and the one data set of an audit is.
        split=tables.get("split", SplitOptions()),
    )
    return dataclasses.replace(base, data={MAIN: data}, run=RunOptions(seed=prepared.identity.seed))
