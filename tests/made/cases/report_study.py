"""A made-up study in the types of ``icudl.artifacts``: what the tests of the report draw."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import numpy as np
import polars as pl

from icudl.analysis.importance import AGREEMENT_SCHEMA, IMPORTANCE_CELLS_SCHEMA, IMPORTANCE_SCHEMA
from icudl.analysis.options import AnalysisOptions
from icudl.analysis.susceptibility import analyse_attack
from icudl.artifacts import (
    ATTACKED_SCHEMA,
    CLEANING_SCHEMA,
    FLOW_SCHEMA,
    HISTORY_SCHEMA,
    HOURS_SCHEMA,
    METRICS_SCHEMA,
    PERTURBATIONS_SCHEMA,
    PREDICTIONS_SCHEMA,
    STAYS_SCHEMA,
    TRIALS_SCHEMA,
    AttackResult,
    Checkpoint,
    Direction,
    FeatureScaler,
    GridDataset,
    LineageEntry,
    Member,
    Objective,
    Scores,
    SourceTables,
    SusceptibilityResult,
    TrainingResult,
    TuningResult,
)
from icudl.preprocessing.imputation import impute
from icudl.report.study import AttackResults, DataResults, ModelResults, StudyResults
from icudl.variables import STUDY_VARIABLES

HOURS = 48
CENTRES = np.array([4.1, 1.14, 7.38, 40, 1.8, 3.1, 24, 1.1, 139, 24, 190, 135, 2.0, 86, 119, 60, 36.9, 19, 97])
SPREADS = np.array([0.5, 0.08, 0.06, 7, 1.0, 0.5, 12, 0.5, 4, 4, 70, 35, 0.25, 14, 18, 11, 0.6, 4, 2])
MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


def fake_study(
    n_stays: int = 300,
    *,
    deaths: float = 0.2,
    markup: bool = False,
    restricted: bool = False,
    every_table: bool = False,
    seed: int = 3,
) -> StudyResults:
    """Make a study of ``n_stays`` stays, with one data set, one model and one attack.

    Args:
        n_stays: Stays of the cohort.
        deaths: Share of them that ended in death.
        markup: Whether the text of the source holds HTML and script.
        restricted: Whether the data are credentialed.
        every_table: Whether the attack brings the tables of all attacks along.
        seed: Of everything random.
    """
    rng = np.random.default_rng(seed)
    data = _data("main", "main", n_stays, deaths, rng, markup=markup)
    training = _training(data.grid, rng)
    attack = _attack_results("main", "main", data, training, rng, every_table=every_table)
    return StudyResults(
        data=(data,),
        models=(ModelResults(name="main", training=training, tuning=_tuning(rng), scores={}),),
        attacks=(attack,),
        lineage=_lineage(restricted=restricted, markup=markup),
    )


@functools.cache
def fake_table(n_stays: int = 200, *, restricted: bool = False, seed: int = 5) -> StudyResults:
    """Make a study of two data sets (one external), two models and two attacks; nobody writes to it."""
    rng = np.random.default_rng(seed)
    data = (_data("main", "main", n_stays, 0.2, rng), _data("elsewhere", "external", n_stays // 2, 0.3, rng))
    models = []
    attacks = []
    for name, plugin, skill in (("lstm", "lstm", 1.9), ("summary", "lstm_summary", 2.3)):
        training = _training(data[0].grid, rng, plugin, skill)
        scores = {"elsewhere": _external_scores(data[1].grid, rng, plugin, skill)}
        models.append(ModelResults(name=name, training=training, tuning=_tuning(rng), scores=scores))
        for attack in ("one_value", "fewest"):
            for each in data:
                predictions = training.predictions if each.role == "main" else scores[each.name].predictions
                attacks.append(
                    _attack_results(
                        name,
                        attack,
                        each,
                        dataclasses.replace(training, predictions=predictions),
                        rng,
                        every_table=attack == "one_value",
                        plugin=plugin,
                        tuning=_tuning(rng) if attack == "fewest" and each.role == "main" else None,
                    )
                )
    return StudyResults(
        data=data, models=tuple(models), attacks=tuple(attacks), lineage=_table_lineage(restricted=restricted)
    )


def of_one_attack(study: StudyResults) -> AttackResults:
    """Return the only attack of a study."""
    (attack,) = study.attacks
    return attack


def with_attack(study: StudyResults, **changes: Any) -> StudyResults:
    """Return the study with parts of its only attack replaced."""
    return dataclasses.replace(study, attacks=(dataclasses.replace(of_one_attack(study), **changes),))


def with_training(study: StudyResults, **changes: Any) -> StudyResults:
    """Return the study with parts of its only training replaced."""
    (model,) = study.models
    training = dataclasses.replace(model.training, **changes)
    return dataclasses.replace(study, models=(dataclasses.replace(model, training=training),))


def _data(
    name: str, role: str, n_stays: int, deaths: float, rng: np.random.Generator, *, markup: bool = False
) -> DataResults:
    labels = (np.arange(n_stays) < deaths * n_stays).astype(np.int8)
    rng.shuffle(labels)
    stays = _stays(n_stays, labels, rng, markup=markup)
    grid = _grid(stays, labels, rng)
    if role == "external":
        grid = dataclasses.replace(
            grid,
            is_test=np.ones(n_stays, bool),
            folds=np.full(n_stays, -1, np.int8),
            population="synthetic elsewhere",
        )
    tables = SourceTables(
        stays=stays,
        hours=pl.DataFrame(schema=HOURS_SCHEMA),
        cleaning=pl.DataFrame(
            [
                ("tempc", "fahrenheit_to_celsius", 4210),
                ("potassium", "out_of_range", 12),
                ("glucose", MARKUP if markup else "error_flag", 31),
            ],
            schema=CLEANING_SCHEMA,
            orient="row",
        ),
        variables=STUDY_VARIABLES,
        window_hours=HOURS,
        population=grid.population,
    )
    return DataResults(name=name, role=role, tables=tables, grid=grid)


def _attack_results(
    model: str,
    name: str,
    data: DataResults,
    training: TrainingResult,
    rng: np.random.Generator,
    *,
    every_table: bool,
    plugin: str = "lstm",
    tuning: TuningResult | None = None,
) -> AttackResults:
    result = _attack(data.grid, training, rng, plugin)
    if every_table:
        result = dataclasses.replace(result, curves=_attack_tables(result, rng), threat_model="measured")
    susceptibility = analyse_attack(
        result,
        AnalysisOptions(bootstrap_samples=20),
        lambda condition, example: np.random.default_rng([len(condition), len(example)]),
    )
    susceptibility = SusceptibilityResult(tables=susceptibility.tables | _importance(rng))
    return AttackResults(
        model=model, attack=name, data=data.name, result=result, susceptibility=susceptibility, tuning=tuning
    )


def _stays(n: int, labels: np.ndarray, rng: np.random.Generator, *, markup: bool) -> pl.DataFrame:
    units = np.array(["MICU", "SICU", "CCU", MARKUP if markup else "CSRU"])
    hours = rng.uniform(50, 300, n)
    return pl.DataFrame(
        {
            "stay_id": 200_000 + np.arange(n) * 3,
            "patient_id": 10_000 + np.arange(n) * 9 // 10,
            "admission_id": 100_000 + np.arange(n),
            "age_years": rng.uniform(19, 91.4, n).astype(np.float32),
            "sex": np.where(rng.random(n) < 0.45, "F", "M"),
            "icu_type": rng.choice(units, n),
            "height_cm": np.full(n, 170, np.float32),
            "weight_kg": np.full(n, 80, np.float32),
            "source_set": np.full(n, ""),
            "stay_number": np.ones(n, np.int32),
            "stay_hours": hours,
            "death_hours": [float(h) if died else None for h, died in zip(hours, labels, strict=True)],
            "died": labels.astype(bool),
        },
        schema=STAYS_SCHEMA,
    )


def _grid(stays: pl.DataFrame, labels: np.ndarray, rng: np.random.Generator) -> GridDataset:
    n = stays.height
    walk = np.cumsum(rng.normal(0, 0.12, (n, HOURS, len(CENTRES))), axis=1)
    values = CENTRES + SPREADS * (rng.normal(0, 0.8, (n, 1, len(CENTRES))) + walk + 0.3 * labels[:, None, None])
    values[:, :, 18] = np.minimum(values[:, :, 18], 100)
    share = np.r_[np.full(13, 0.09), np.full(6, 0.93)]
    observed = rng.random((n, HOURS, len(CENTRES))) < share
    observed[:, :, 5] &= rng.random((n, 1)) < 0.4
    is_test = np.arange(n) % 5 == 0
    flow = pl.DataFrame(
        [("ICU stays", 0, n + 40, n, 40), ("alive at the end of the window", 40, n, n - 5, int(labels.sum()))],
        schema=FLOW_SCHEMA,
        orient="row",
    )
    return GridDataset(
        values=np.where(observed, values, np.nan).astype(np.float32),
        counts=observed.astype(np.uint16),
        lengths=np.full(n, HOURS, np.int16),
        labels=labels,
        statics=np.zeros((n, 0), np.float32),
        static_names=(),
        stays=stays,
        is_test=is_test,
        folds=np.where(is_test, -1, np.arange(n) % 5 - 1).astype(np.int8),
        flow=flow,
        variables=STUDY_VARIABLES,
        population="synthetic",
    )


def _training(
    grid: GridDataset, rng: np.random.Generator, plugin: str = "lstm", own_skill: float = 1.9
) -> TrainingResult:
    frames, metrics = [], []
    for model, skill in ((plugin, own_skill), ("logistic_regression", 1.6), ("boosted_trees", 1.8)):
        logit = rng.normal(-1.0, 1, len(grid.labels)) + skill * grid.labels
        risk = 1 / (1 + np.exp(-logit))
        for split, chosen in (("test", grid.is_test), ("out-of-fold", ~grid.is_test)):
            n = int(chosen.sum())
            frames.append(
                pl.DataFrame(
                    {
                        "model": [model] * n,
                        "member": ["final" if split == "test" else f"fold-{fold}" for fold in grid.folds[chosen]],
                        "split": [split] * n,
                        "fold": grid.folds[chosen],
                        "stay_id": grid.stay_ids[chosen],
                        "label": grid.labels[chosen],
                        "probability": risk[chosen],
                        "threshold": np.full(n, 0.5),
                    },
                    schema_overrides=PREDICTIONS_SCHEMA,
                ).cast(dict(PREDICTIONS_SCHEMA))
            )
            metrics += _metrics(model, split, grid.labels[chosen])
    epochs = np.arange(1, 21)
    history = pl.concat(
        pl.DataFrame(
            {
                "member": [member] * 20,
                "network": [0] * 20,
                "epoch": epochs,
                "train_loss": 0.7 * np.exp(-epochs / 8) + 0.1,
                "valid_loss": 0.5 * np.exp(-epochs / 6) + 0.25 + epochs * 0.002,
                "valid_auroc": 0.88 - 0.3 * np.exp(-epochs / 4) + 0.004 * place,
                "valid_auprc": 0.5 - 0.3 * np.exp(-epochs / 4),
                "learning_rate": np.full(20, 1e-3),
            }
        ).cast(dict(HISTORY_SCHEMA))
        for place, member in enumerate(["fold-0", "fold-1", "fold-2", "fold-3", "final"])
    )
    members = ["fold-0", "fold-1", "fold-2", "fold-3", "final"]
    return TrainingResult(
        checkpoints={member: _checkpoint(member, plugin) for member in members},
        history=history,
        predictions=pl.concat(frames),
        metrics=pl.DataFrame(metrics, schema=METRICS_SCHEMA, orient="row"),
    )


def _external_scores(grid: GridDataset, rng: np.random.Generator, plugin: str, skill: float) -> Scores:
    n = len(grid.labels)
    predictions = pl.DataFrame(
        {
            "model": [plugin] * n,
            "member": ["final"] * n,
            "split": ["external"] * n,
            "fold": np.full(n, -1),
            "stay_id": grid.stay_ids,
            "label": grid.labels,
            "probability": 1 / (1 + np.exp(-rng.normal(-1.0, 1, n) - 0.8 * skill * grid.labels)),
            "threshold": np.full(n, 0.5),
        }
    ).cast(dict(PREDICTIONS_SCHEMA))
    metrics = pl.DataFrame(_metrics(plugin, "external", grid.labels), schema=METRICS_SCHEMA, orient="row")
    return Scores(predictions=predictions, metrics=metrics, left_out=7, missing=("lactate",))


def _metrics(model: str, split: str, labels: np.ndarray) -> list[tuple[Any, ...]]:
    stays, deaths = len(labels), int(labels.sum())
    base = {"lstm": 0.871, "lstm_summary": 0.882, "logistic_regression": 0.842, "boosted_trees": 0.866}[model]
    rows = []
    groups = ("all", "sex=F", "sex=M", "age_years=18-39", "age_years=40-64", "age_years=65-79", "icu_type=MICU")
    for place, group in enumerate(groups):
        for metric, value in (("auroc", base), ("auprc", base - 0.35), ("brier", 0.09), ("ece", 0.03), ("recall", 0.6)):
            share = 1 if group == "all" else 4
            here = value - 0.01 * place
            rows.append(
                (
                    model,
                    split,
                    group,
                    metric,
                    here,
                    here - 0.02 * share,
                    here + 0.02 * share,
                    stays // share,
                    deaths // share,
                )
            )
    rows.append((model, split, "all", "precision", None, None, None, stays, deaths))
    return rows


def _checkpoint(member: str, plugin: str) -> Checkpoint:
    empty = np.zeros(0, np.float32)
    scaler = FeatureScaler(
        lower=(CENTRES - 1.7 * SPREADS).astype(np.float32),
        upper=(CENTRES + 1.7 * SPREADS).astype(np.float32),
        median=CENTRES.astype(np.float32),
        offset=CENTRES.astype(np.float32),
        scale=SPREADS.astype(np.float32),
        static_median=empty,
        static_offset=empty,
        static_scale=empty,
        imputation="linear",
        fitted_on=100,
    )
    return Checkpoint(
        member=Member.parse(member),
        model={"name": plugin, "hidden_size": 128},
        inputs={"imputation": "linear"},
        variables=STUDY_VARIABLES,
        static_names=(),
        n_hours=HOURS,
        scaler=scaler,
        threshold=0.5,
        weights={},
    )


def _attack(grid: GridDataset, training: TrainingResult, rng: np.random.Generator, plugin: str) -> AttackResult:
    chosen = training.predictions.filter(pl.col("model") == plugin).sort("stay_id")
    lower, upper = CENTRES - 1.7 * SPREADS, CENTRES + 1.7 * SPREADS
    unit = np.clip((grid.values - lower) / (upper - lower), 0, 1).astype(np.float32)
    given = impute(unit, grid.lengths, np.full(len(CENTRES), 0.5, np.float32), "linear")
    row_of = {stay: row for row, stay in enumerate(grid.stay_ids.tolist())}
    likely = np.r_[np.array([5, 4, 3, 2, 3, 1, 2, 2, 1, 2, 1, 1, 0.5]), np.array([2, 3, 1, 1, 2, 4])]
    stays, changes = [], []
    for line in chosen.iter_rows(named=True):
        right = (line["probability"] >= 0.5) == bool(line["label"])
        status = "misclassified" if not right else "success" if rng.random() < 0.94 else "failed"
        record: dict[str, Any] = dict.fromkeys(ATTACKED_SCHEMA)
        record |= {
            "stay_id": line["stay_id"],
            "label": line["label"],
            "member": line["member"],
            "split": line["split"],
            "length": HOURS,
            "status": status,
            "probability_before": line["probability"],
        }
        if status == "success":
            best = int(min(30, 1 + rng.geometric(0.3 if line["label"] else 0.2)))
            flipped = 0.45 - 0.3 * rng.random() if line["label"] else 0.52 + 0.2 * rng.random()
            for example, number in (("best", best), ("first", best + int(rng.integers(0, 12)))):
                hour = np.minimum(HOURS - 1, (HOURS * rng.beta(3, 1, number)).astype(int))
                variable = rng.choice(len(CENTRES), number, p=likely / likely.sum())
                cells = sorted(set(zip(hour.tolist(), variable.tolist(), strict=True)))
                sizes = []
                for at, index in cells:
                    before = float(given[row_of[line["stay_id"]], at, index])
                    change = float(np.clip(rng.normal(0.2 if not line["label"] else -0.2, 0.1), -before, 1 - before))
                    change = change or (0.05 if before < 0.5 else -0.05)
                    sizes.append(change)
                    clinical = lower[index] + np.array([before, before + change]) * (upper - lower)[index]
                    changes.append((line["stay_id"], example, at, index, before, change, *clinical.tolist()))
                record |= {
                    f"{example}_iteration": int(rng.integers(2, 60)) + (60 if example == "best" else 0),
                    f"{example}_probability": flipped,
                    f"{example}_l0": len(sizes),
                    f"{example}_l1": float(np.abs(sizes).sum()),
                    f"{example}_l2": float(np.sqrt(np.square(sizes).sum())),
                    f"{example}_linf": float(np.abs(sizes).max()),
                }
        stays.append(record)
    return AttackResult(
        stays=pl.DataFrame(stays, schema=ATTACKED_SCHEMA),
        perturbations=pl.DataFrame(changes, schema=PERTURBATIONS_SCHEMA, orient="row"),
        curves={},
        variables=STUDY_VARIABLES,
        n_hours=HOURS,
        threat_model="grid",
        options={"name": "proximal"},
    )


def _attack_tables(attack: AttackResult, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    stays = attack.stays.filter(pl.col("status").is_in(["success", "failed"]))["stay_id"].to_numpy()
    n = len(stays)
    budgets = np.array([0.05, 0.2, 1.0])
    at_risk = rng.integers(0, 4, n)
    flips = np.repeat(stays, at_risk)
    kinds = ("transposition", "decimal", "unit", "neighbour", "sign", "copy_forward")
    errors: dict[str, Any] = {"stay_id": stays}
    for kind in kinds:
        errors |= {
            f"{kind}_tried": np.full(n, 40),
            f"{kind}_caught": np.full(n, 10),
            f"{kind}_flips": rng.integers(0, 3, n),
        }
    return {
        "budgets": pl.DataFrame(
            {
                "stay_id": np.repeat(stays, 3),
                "budget": np.tile(budgets, n),
                "flipped": rng.random(3 * n) < np.tile(budgets, n),
            }
        ),
        "noise": pl.DataFrame(
            {
                "stay_id": stays,
                "draws": np.full(n, 100),
                "flips": rng.integers(0, 5, n),
                "reference_l0": np.full(n, 3),
                "reference_l1": np.full(n, 0.5),
            }
        ),
        "sweep": pl.DataFrame({"stay_id": stays, "entries": np.full(n, 300), "at_risk": at_risk}),
        "sweep_flips": pl.DataFrame(
            {
                "stay_id": flips,
                "hour": rng.integers(30, HOURS, len(flips)).astype(np.int16),
                "variable": rng.integers(0, len(CENTRES), len(flips)).astype(np.uint8),
                "low": np.full(len(flips), 0.1, np.float32),
                "high": np.full(len(flips), 0.2, np.float32),
            }
        ),
        "entry_errors": pl.DataFrame(errors),
    }


def _importance(rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    shown, cells, agreement = [], [], []
    for condition in ("survival_to_death", "death_to_survival"):
        size = rng.gamma(2, 0.1, len(CENTRES))
        for index, variable in enumerate(STUDY_VARIABLES):
            value = float(size[index])
            shown.append((condition, variable.name, 50, value, 0.8 * value, 1.2 * value, value / 3, 0.001))
        for hour in range(HOURS):
            for index, variable in enumerate(STUDY_VARIABLES):
                value = float(size[index] * (hour + 1) / HOURS**2)
                cells.append((condition, hour, variable.name, 50, value, value / 3))
        for level, points in (("variable", 19), ("hour", 48), ("cell", 912)):
            agreement += [(condition, level, measure, points, 0.61, 0.42, 0.77) for measure in ("s", "sensitivity")]
    return {
        "importance": pl.DataFrame(shown, schema=IMPORTANCE_SCHEMA, orient="row"),
        "importance_cells": pl.DataFrame(cells, schema=IMPORTANCE_CELLS_SCHEMA, orient="row"),
        "agreement": pl.DataFrame(agreement, schema=AGREEMENT_SCHEMA, orient="row"),
    }


def _tuning(rng: np.random.Generator) -> TuningResult:
    trials = []
    for trial in range(14):
        setting = {
            "model.hidden_size": int(rng.choice([32, 64, 128])),
            "training.learning_rate": float(10 ** rng.uniform(-5, -1)),
            "model.activation": str(rng.choice(["tanh", "relu"])),
        }
        value = None if trial % 9 == 5 else 0.86 - 0.02 * abs(np.log10(setting["training.learning_rate"]) + 3)
        trials.append((trial, "complete" if value else "pruned", value, json.dumps(setting), 4.0, 12))
    frame = pl.DataFrame(trials, schema=TRIALS_SCHEMA, orient="row")
    best = frame.sort("value", nulls_last=True, descending=True).row(0, named=True)
    return TuningResult(
        trials=frame,
        best=json.loads(best["parameters"]),
        best_trial=best["trial"],
        best_value=best["value"],
        objective=Objective("auroc", Direction.MAXIMIZE),
    )


def _lineage(*, restricted: bool, markup: bool) -> tuple[LineageEntry, ...]:
    nodes = (
        ("extract", "synthetic", {}, ("mimic3",)),
        ("preprocess", "", {"extract": "aaaaaaaaaaaa"}, ()),
        ("train", "lstm", {"preprocess": "bbbbbbbbbbbb"}, ("lstm",)),
        ("attack", "proximal", {"preprocess": "bbbbbbbbbbbb", "train": "cccccccccccc"}, ("sun2018", "beck2009")),
        ("analyse", "", {"attack": "dddddddddddd"}, ()),
    )
    asked = [{node: {"seed": 1}} for node, *_ in nodes]
    asked[0] = {"source": {"name": MARKUP if markup else "synthetic"}}
    return tuple(
        LineageEntry(
            name=node,
            node=node,
            id=letter * 12,
            upstream=upstream,
            options=options,
            requested=options,
            plugin=plugin,
            citations=citations,
            restricted=restricted,
            warnings=(f"set {MARKUP}",) if markup and node == "extract" else (),
        )
        for letter, (node, plugin, upstream, citations), options in zip("abcde", nodes, asked, strict=True)
    )


def _table_lineage(*, restricted: bool) -> tuple[LineageEntry, ...]:
    made: list[tuple[str, str, str, tuple[str, ...]]] = []
    for data, suffix in (("main", ""), ("elsewhere", "/elsewhere")):
        made += [(f"extract/{data}", "extract", "synthetic", ()), (f"preprocess/{data}", "preprocess", "", ())]
        made += [(f"train/{model}", "train", "lstm", ("lstm",)) for model in ("lstm", "summary") if not suffix]
        for model in ("lstm", "summary"):
            made += [(f"attack/{model}/{name}{suffix}", "attack", name, ()) for name in ("one_value", "fewest")]
    return tuple(
        LineageEntry(
            name=name,
            node=node,
            id=f"{place:012x}",
            upstream={} if node == "extract" else {"preprocess": f"{1:012x}"},
            options={node: {"seed": 1}},
            requested={node: {"seed": 1}},
            plugin=plugin,
            citations=citations,
            restricted=restricted,
        )
        for place, (name, node, plugin, citations) in enumerate(made)
    )
