"""The setting that a search passes on: that of its best trial, or of the trial that the user names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, cast

from icudl.artifacts import TrialState, TuningResult
from icudl.config.schema import MAIN, Config
from icudl.errors import ConfigError
from icudl.options import Options
from icudl.store.base import Store
from icudl.store.manifest import Identity

TABLE_OF = {"tune-model": "tune_model", "tune-attack": "tune_attack"}
"""Option table of each search, by the name of its stage."""


def require_trials(config: Config) -> None:
    """Check that the study of each model has the requested trial.

    Raises:
        ConfigError: A study has no trial of that number.
    """
    for name, entry in config.models.items():
        trial, trials = entry.tuned.trial, entry.tune_model.trials
        if trial < max(trials, 0):
            continue
        of_model = "" if name == MAIN else f" of model {name!r}"
        have = (
            f"the study{of_model} has {trials} trials, numbered from 0"
            if trials
            else f"tune_model.trials{of_model} is 0: there are no trials to choose from"
        )
        raise ConfigError(
            f"tuned.trial = {trial}, but {have}. Name a trial that `icudl trials` lists, and set tune_model.trials "
            "(or --trials) to the number of trials of its study."
        )


def with_choices(tables: Mapping[str, Options], tunings: Mapping[str, TuningResult]) -> dict[str, Options]:
    """Return the option tables with the choices of the searches in place.

    Args:
        tables: Options of a stage by table; ``tuned`` among them names the trial of a model.
        tunings: Results of the searches that the stage reads, by the name of their stage.

    Raises:
        ConfigError: The requested trial failed, or the study has no trial of that number.
    """
    chosen = dict(tables)
    for stage, result in tunings.items():
        trial = cast("Any", tables["tuned"]).trial if stage == "tune-model" else -1
        chosen = apply_choice(chosen, result.best if trial < 0 else setting_of(result, trial))
    return chosen


def setting_of(result: TuningResult, trial: int) -> dict[str, Any]:
    """Return the setting of a trial, keyed by dotted path.

    Raises:
        ConfigError: The trial failed, or the study has no trial of that number.
    """
    found = result.trials.filter(trial=trial).to_dicts()
    if not found:
        raise ConfigError(
            f"tuned.trial = {trial}, but the study has {result.trials.height} trials, numbered from 0. "
            "`icudl trials` lists them."
        )
    if found[0]["state"] == TrialState.FAILED.value:
        raise ConfigError(
            f"tuned.trial = {trial}, but the model diverged in that trial. Name another one; `icudl trials` lists them."
        )
    return cast("dict[str, Any]", json.loads(found[0]["parameters"]))


def apply_choice(tables: Mapping[str, Options], choice: Mapping[str, Any]) -> dict[str, Options]:
    """Return the option tables with tuned values, keyed by dotted path, in place."""
    changed = dict(tables)
    for path, value in choice.items():
        table, _, key = path.partition(".")
        changed[table] = dataclasses.replace(changed[table], **{key: value})
    return changed


def study_length(identity: Identity, store: Store) -> int:
    """Return the length of the longest finished study that differs from ``identity`` in its length alone."""

    def but_length(other: Identity) -> Identity:
        tables = {table: dict(values) for table, values in other.options.items()}
        tables[TABLE_OF[identity.node]].pop("trials", None)
        return dataclasses.replace(other, options=tables)

    same = [item for item in store.manifests(identity.node) if but_length(item.identity) == but_length(identity)]
    return max((int(item.counts["trials"]) for item in same), default=0)


def without_storage(tables: Mapping[str, Options]) -> dict[str, Options]:
    """Return the option tables without the storage of a search, so that no earlier trials are read."""
    return {
        name: dataclasses.replace(table, **cast("Any", {"storage": ""})) if name in TABLE_OF.values() else table
        for name, table in tables.items()
    }
