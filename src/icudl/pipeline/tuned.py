"""What a search decides for the stages after it: its best setting, or that of the trial that is asked for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, cast

from icudl.artifacts import TuningResult
from icudl.config.schema import Config
from icudl.errors import ConfigError
from icudl.options import Options
from icudl.store.base import Store
from icudl.store.manifest import Identity

TABLES_OF = {"tune-model": "tune_model", "tune-attack": "tune_attack"}
"""Option table of each search."""


def require_trial(config: Config) -> None:
    """Check that the study has the trial whose setting is asked for.

    Raises:
        ConfigError: It has not.
    """
    trial, trials = config.tuned.trial, config.tune_model.trials
    if trial >= max(trials, 0):
        have = (
            f"the study has {trials} trials, numbered from 0" if trials else "tune_model.trials is 0: there is no study"
        )
        raise ConfigError(
            f"tuned.trial = {trial}, but {have}. Name a trial that `icudl trials` lists, and set tune_model.trials "
            "(or --trials) to the number of trials of its study."
        )


def with_choices(config: Config, tunings: Mapping[str, TuningResult]) -> Config:
    """Return the configuration with what the searches decide, by node, in place.

    Raises:
        ConfigError: The trial that is asked for failed, or the study has none of that number.
    """
    for node, result in tunings.items():
        trial = config.tuned.trial if node == "tune-model" else -1
        config = apply_choice(config, result.best if trial < 0 else setting_of(result, trial))
    return config


def setting_of(result: TuningResult, trial: int) -> dict[str, Any]:
    """Return the setting of a trial, keyed by dotted path.

    Raises:
        ConfigError: The trial failed, or there is none of that number.
    """
    found = result.trials.filter(trial=trial).to_dicts()
    if not found:
        raise ConfigError(
            f"tuned.trial = {trial}, but the study has {result.trials.height} trials, numbered from 0. "
            "`icudl trials` lists them."
        )
    if found[0]["state"] == "failed":
        raise ConfigError(
            f"tuned.trial = {trial}, but the model diverged in that trial. Name another one; `icudl trials` lists them."
        )
    return cast("dict[str, Any]", json.loads(found[0]["parameters"]))


def apply_choice(config: Config, choice: Mapping[str, Any]) -> Config:
    """Return the configuration with tuned values, keyed by dotted path, in place."""
    tables: dict[str, dict[str, Any]] = {}
    for key, value in choice.items():
        table, _, name = key.partition(".")
        tables.setdefault(table, {})[name] = value
    changed: dict[str, Options] = {
        table: dataclasses.replace(getattr(config, table), **values) for table, values in tables.items()
    }
    return dataclasses.replace(config, **cast("dict[str, Any]", changed))


def with_trials(config: Config, node: str, trials: int) -> Config:
    """Return the configuration with another length of a search."""
    table = TABLES_OF[node]
    changed: dict[str, Any] = {table: dataclasses.replace(getattr(config, table), trials=trials)}
    return dataclasses.replace(config, **changed)


def study_length(identity: Identity, store: Store) -> int:
    """Return how many trials the longest finished study has that differs from ``identity`` in its length alone."""

    def but_length(other: Identity) -> Identity:
        tables = {table: dict(values) for table, values in other.options.items()}
        tables[TABLES_OF[identity.node]].pop("trials", None)
        return dataclasses.replace(other, options=tables)

    same = [item for item in store.manifests(identity.node) if but_length(item.identity) == but_length(identity)]
    return max((int(item.counts["trials"]) for item in same), default=0)


def without_storage(config: Config) -> Config:
    """Return the configuration with searches that look up no trials that were run before."""
    changed: dict[str, Any] = {
        table: dataclasses.replace(getattr(config, table), storage="") for table in TABLES_OF.values()
    }
    return dataclasses.replace(config, **changed)
