"""Search spaces, studies, and the objectives of the attack worked out by hand."""

from __future__ import annotations

import fcntl
import json
import math

import polars as pl
import pytest

from icudl.artifacts import ATTACKED_SCHEMA, PERTURBATIONS_SCHEMA, AttackResult, Direction, Objective, TrialState
from icudl.attacks.options import ProximalOptions
from icudl.errors import ConfigError, StageError
from icudl.models.options import LstmOptions
from icudl.search import study as study_module
from icudl.search.attack_trial import attack_score
from icudl.search.space import apply_parameters, parse_space
from icudl.search.study import Asked, Rules, run_study, tuning_result
from icudl.search.trials import FolderTrials, Outcome
from icudl.training.options import TrainingOptions
from icudl.variables import STUDY_VARIABLES

TABLES = {"model": LstmOptions(), "training": TrainingOptions()}
SPACE = {
    "training.learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
    "model.hidden_size": {"low": 4, "high": 64},
    "model.activation": {"choices": ["relu", "tanh"]},
}
HIGH_AUROC = Objective("auroc", Direction.MAXIMIZE)
RULES = Rules(objective=HIGH_AUROC, sampler="tpe", pruner="median", startup_trials=4, batch=3, seed=5)


def _value(parameters) -> float:
    rate, size = parameters["training.learning_rate"], parameters["model.hidden_size"]
    return -((math.log10(rate) + 2) ** 2) - ((size - 30) / 30) ** 2 + (parameters["model.activation"] == "tanh")


def _run(folder, trials=9, rules=RULES, log=None):
    store = FolderTrials(folder)

    def run_batch(asked):
        outcomes = []
        for trial in asked:
            with store.claim(trial.number) as free:
                if not free:
                    outcomes.append(None)
                    continue
                if log is not None:
                    log.append(trial.number)
                outcome = Outcome(
                    number=trial.number,
                    parameters=trial.parameters,
                    state=TrialState.COMPLETE,
                    value=_value(trial.parameters),
                    intermediate={1: _value(trial.parameters)},
                )
                store.keep(outcome)
                outcomes.append(outcome)
        return outcomes

    return run_study(parse_space("tune_model", SPACE, TABLES), rules, trials, run_batch, store, lambda _n: None)


def test_the_original_space_of_the_attack_is_legal():
    assert len(parse_space("tune_attack", ProximalOptions.SPACE, {"attack": ProximalOptions()})) == 4


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "is empty"),
        ({"model.hiden_size": {"low": 1, "high": 2}}, r"no option that can vary.*Did you mean 'model.hidden_size'"),
        ({"attack.kappa": {"low": 0.0, "high": 1.0}}, "Expected a key of model, training"),
        ({"model.dropout": 0.3}, "cannot be read"),
        ({"model.dropout": {"low": 0.0, "hihg": 0.5}}, "cannot be read"),
        ({"model.dropout": {"low": 0.0}}, "expected numbers low and high"),
        ({"model.dropout": {"low": 0.4, "high": 0.2}}, "low <= high"),
        ({"model.dropout": {"low": 0.0, "high": 0.2, "log": True}}, "low above 0"),
        ({"model.activation": {"low": 1, "high": 2}}, "expected numbers low and high, or choices"),
        ({"model.activation": {"choices": []}}, "list of strings or numbers"),
        ({"model.activation": {"choices": ["relu"], "low": 1}}, "nothing beside it"),
        ({"model.hidden_size": {"choices": ["x"]}}, "list of strings or numbers that model.hidden_size may be"),
        ({"inputs.channels": {"choices": ["value"]}}, "Expected a key of model, training"),
        ({"model.hidden_size": {"low": 1.5, "high": 2.5}}, "expected whole numbers low and high"),
        ({"model.dropout": {"low": 0.0, "high": 0.5, "step": "x"}}, "expected a step above 0"),
        ({"model.dropout": {"low": 0.0, "high": 0.5, "log": 1}}, "log = true"),
        ({"model.activation": {"choices": ["relu", "swish"]}}, "model.activation = 'swish' is not one of"),
        ({"model.dropout": {"low": 0.0, "high": 1.5}}, "model.dropout = 1.5 is out of range"),
    ],
)
def test_an_illegal_space_is_told_with_its_path(space, message):
    with pytest.raises(ConfigError, match=message):
        parse_space("tune_model", space, TABLES)


def test_parameters_are_put_in_place():
    changed = apply_parameters({"model.hidden_size": 7, "training.learning_rate": 0.5}, TABLES)
    assert (changed["model"].hidden_size, changed["training"].learning_rate) == (7, 0.5)
    assert TABLES["model"].hidden_size != 7


def test_a_study_repeats_itself_and_whole_numbers_stay_whole(tmp_path):
    first, second = _run(tmp_path / "a"), _run(tmp_path / "b")
    assert first == second
    assert all(isinstance(outcome.parameters["model.hidden_size"], int) for outcome in first)
    assert len({json.dumps(dict(outcome.parameters)) for outcome in first}) == 9


def test_a_study_is_extended_without_running_anything_again(tmp_path):
    log: list[int] = []
    short = _run(tmp_path / "a", 7, log=log)
    longer = _run(tmp_path / "a", 12, log=log)
    assert sorted(log) == list(range(12))
    assert longer[:7] == short
    assert longer == _run(tmp_path / "b", 12)


def test_a_killed_study_goes_on_where_it_was(tmp_path):
    whole = _run(tmp_path / "a")
    _run(tmp_path / "b")
    for number in (4, 6, 7, 8):
        (tmp_path / "b" / f"trial-{number}.json").unlink()
    log: list[int] = []
    assert _run(tmp_path / "b", log=log) == whole
    assert log == [4, 6, 7, 8]


def test_a_trial_that_another_process_runs_is_waited_for(tmp_path, monkeypatch):
    whole = _run(tmp_path / "a", 3)
    folder = tmp_path / "b"
    folder.mkdir()
    store = FolderTrials(folder)
    handle = (folder / "trial-1.lock").open("w")
    fcntl.flock(handle, fcntl.LOCK_EX)
    passes: list[list[int]] = []
    pauses: list[float] = []

    def run_batch(asked):
        passes.append([trial.number for trial in asked])
        return [whole[trial.number] for trial in asked]

    def other_process_ends(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            store.keep(whole[1])
            handle.close()

    monkeypatch.setattr(study_module.time, "sleep", other_process_ends)
    space = parse_space("tune_model", SPACE, TABLES)
    assert run_study(space, RULES, 3, run_batch, store, lambda _n: None) == whole
    assert passes == [[0, 2]]
    assert pauses == [0.2, 0.4, 0.8]


def test_a_trial_whose_process_died_is_run_by_another(tmp_path):
    whole = _run(tmp_path / "a", 3)
    folder = tmp_path / "b"
    folder.mkdir()
    # The lock file stays behind, its lock does not.
    (folder / "trial-1.lock").touch()
    log: list[int] = []
    assert _run(folder, 3, log=log) == whole
    assert log == [0, 1, 2]


def test_the_outcome_that_is_kept_first_counts(tmp_path):
    store = FolderTrials(tmp_path)
    first = Outcome(number=0, parameters={"x": 1}, state=TrialState.COMPLETE, value=0.5)
    assert store.keep(first) == first
    assert store.keep(Outcome(number=0, parameters={"x": 1}, state=TrialState.COMPLETE, value=0.25)) == first


def test_trials_of_another_study_are_refused(tmp_path):
    _run(tmp_path / "a", 3)
    path = tmp_path / "a" / "trial-0.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"parameters": {"model.hidden_size": 1}}))
    with pytest.raises(StageError, match="use another storage"):
        _run(tmp_path / "a", 3)


def test_tpe_beats_random_search_at_an_equal_number_of_trials(tmp_path):
    best = {"tpe": [], "random": []}
    for sampler, values in best.items():
        for seed in range(4):
            rules = Rules(objective=HIGH_AUROC, sampler=sampler, pruner="none", startup_trials=8, batch=1, seed=seed)
            values.append(max(outcome.value for outcome in _run(tmp_path / f"{sampler}-{seed}", 30, rules)))
    assert sum(best["tpe"]) > sum(best["random"])


def _finished(*values) -> tuple[Outcome, ...]:
    return tuple(
        Outcome(
            number=k, parameters={"x": k}, state=TrialState.COMPLETE, value=value, intermediate={1: value, 2: value}
        )
        for k, value in enumerate(values)
    )


def _asked(finished, **changes) -> Asked:
    usual = {"sampler": "tpe", "pruner": "median", "startup_trials": 3, "batch": 1, "seed": 0}
    rules = Rules(**{"objective": HIGH_AUROC} | usual | changes)
    return Asked(number=9, parameters={}, finished=finished, rules=rules)


def test_the_median_pruner_gives_up_below_the_median():
    judge = _asked(_finished(0.5, 0.6, 0.7)).judge()
    assert judge(1, 0.59)
    assert not _asked(_finished(0.5, 0.6, 0.7)).judge()(1, 0.61)
    assert _asked(_finished(0.5, 0.6, 0.7), objective=Objective("brier", Direction.MINIMIZE)).judge()(1, 0.61)


def test_the_pruner_waits_for_its_startup_trials_and_can_be_switched_off():
    assert not _asked(_finished(0.5, 0.6)).judge()(1, 0.1)
    assert not _asked(_finished(0.5, 0.6, 0.7), pruner="none").judge()(1, 0.1)


def test_the_best_complete_trial_is_chosen():
    outcomes = [
        Outcome(number=0, parameters={"a": 0}, state=TrialState.COMPLETE, value=0.7),
        Outcome(number=1, parameters={"a": 1}, state=TrialState.PRUNED, value=0.9, intermediate={1: 0.9}),
        Outcome(number=2, parameters={"a": 2}, state=TrialState.FAILED, value=None),
        Outcome(number=3, parameters={"a": 3}, state=TrialState.COMPLETE, value=0.8),
        Outcome(number=4, parameters={"a": 4}, state=TrialState.COMPLETE, value=0.8),
    ]
    result = tuning_result(outcomes, HIGH_AUROC)
    assert (result.best_trial, result.best_value, dict(result.best)) == (3, 0.8, {"a": 3})
    assert result.objective == HIGH_AUROC
    assert result.trials["state"].to_list() == ["complete", "pruned", "failed", "complete", "complete"]
    assert result.trials["steps"].to_list() == [0, 1, 0, 0, 0]
    with pytest.raises(StageError, match="None of 1 trials was completed"):
        tuning_result(outcomes[2:3], HIGH_AUROC)


@pytest.fixture
def attack_result() -> AttackResult:
    """Two examples on stays of 10 and 5 hours x 4 variables, one failure, one stay the model gets wrong."""
    rows = [
        {"stay_id": 1, "length": 10, "status": "success", "best_l0": 4, "best_l1": 2.0, "best_linf": 0.8},
        {"stay_id": 2, "length": 5, "status": "success", "best_l0": 10, "best_l1": 4.0, "best_linf": 0.5},
        {"stay_id": 3, "length": 10, "status": "failed"},
        {"stay_id": 4, "length": 10, "status": "misclassified"},
    ]
    return AttackResult(
        stays=pl.DataFrame(rows, schema=dict(ATTACKED_SCHEMA)),
        perturbations=pl.DataFrame(schema=dict(PERTURBATIONS_SCHEMA)),
        curves={},
        variables=STUDY_VARIABLES[:4],
        n_hours=10,
        threat_model="grid",
        options={},
    )


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("sparsity", (1 - 4 / 40) + (1 - 10 / 20)),
        ("max_num_nonzero_perts", 1.0),
        ("sparse_small", 0.9 / 2.0 + 0.5 / 4.0),
        ("sparse_small_max", 0.9 / 0.8 + 0.5 / 0.5),
        ("smallest_l0", 2 + 1 / (1 + 7)),
    ],
)
def test_attack_objectives_by_hand(attack_result, objective, expected):
    assert attack_score(attack_result, objective, n_critical=5) == pytest.approx(expected)


def test_an_attack_without_examples_scores_nothing(attack_result):
    nothing = AttackResult(**vars(attack_result) | {"stays": attack_result.stays.filter(pl.col("stay_id") > 2)})
    assert attack_score(nothing, "sparse_small", 5) == 0.0
    assert attack_score(nothing, "smallest_l0", 5) == 0.0


def test_a_stay_flipped_is_worth_more_than_any_number_of_cells_spared(attack_result):
    fewest = AttackResult(
        **vars(attack_result)
        | {"stays": attack_result.stays.with_columns(pl.when(pl.col("stay_id") == 1).then(1).alias("best_l0"))}
    )
    assert attack_score(fewest, "smallest_l0", 5) == 1 + 1 / 2
    assert attack_score(attack_result, "smallest_l0", 5) > attack_score(fewest, "smallest_l0", 5)
