"""A search written as a study of Optuna, for Optuna's own tools such as its dashboard."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from icudl.analysis.numbers.models.searches import distributions_of, parameters_of
from icudl.artifacts import Direction, TrialState, TuningResult


def write_optuna(result: TuningResult, path: Path, name: str) -> int:
    """Write the trials of a search to a journal file of Optuna; the file appears in one step.

    Numbers are floating-point there, and other settings are JSON. A pruned trial has its last score as its only
    intermediate one.

    Args:
        result: The search.
        path: The file. One that exists is replaced.
        name: Name of the study in the file.

    Returns:
        Number of trials.

    Raises:
        OSError: The file cannot be written.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState as OptunaState

    states = {
        TrialState.COMPLETE.value: OptunaState.COMPLETE,
        TrialState.PRUNED.value: OptunaState.PRUNED,
        TrialState.FAILED.value: OptunaState.FAIL,
    }
    trials = result.trials.sort("trial").to_dicts()
    settings: list[dict[str, Any]] = [json.loads(trial["parameters"]) for trial in trials]
    distributions = distributions_of(settings)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory(prefix=".icudl-", dir=path.parent) as folder:
        file = Path(folder) / "trials.log"
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(file))),
            study_name=name,
            direction="maximize" if result.objective.direction is Direction.MAXIMIZE else "minimize",
        )
        for trial, setting in zip(trials, settings, strict=True):
            state, value, steps = trial["state"], trial["value"], int(trial["steps"] or 0)
            complete = state == TrialState.COMPLETE.value
            pruned = state == TrialState.PRUNED.value and value is not None
            study.add_trial(
                optuna.trial.create_trial(
                    state=states[state],
                    value=value if complete else None,
                    params=parameters_of(setting, distributions),
                    distributions={key: kind for key, kind in distributions.items() if key in setting},
                    intermediate_values={steps: value} if pruned else {},
                    user_attrs={"trial": trial["trial"], "chosen": trial["trial"] == result.best_trial},
                )
            )
        file.replace(path)
    return len(trials)
