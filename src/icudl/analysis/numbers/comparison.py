"""Models side by side and attacks side by side: the numbers of the first pages of a study of several."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.numbers.models.quality import model_names
from icudl.artifacts import AttackResult, GridDataset, SusceptibilityResult
from icudl.artifacts.files.stored import ROW_GROUP
from icudl.training.scores.evaluation import compare

COMPARED = ("auroc", "auprc", "brier", "ece")
"""Scores that stand side by side."""

FEWEST_DEATHS = 10
"""The summary leaves out a score that rests on fewer deaths than this."""

FEWEST_ATTACKED = 10
"""The summary leaves out a share of fewer attacked stays than this."""

BOOTSTRAP_SAMPLES = 1000
"""Resamples of the patients behind the interval of a difference."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; None where it, or its interval, does not exist."""

    value: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class JudgedOn:
    """A model, or a baseline, judged on one group of stays.

    Attributes:
        model: Name of the model in the study; of a baseline, the name of its plug-in.
        baseline: Whether it is a baseline, fitted beside a model.
        beside: Name of the model that a baseline was fitted beside; "" for a model.
        data: Name of the data set.
        split: ``"out-of-fold"`` or ``"test"``; ``"external"`` for a data set that nothing was fitted on.
        predictions: ``PREDICTIONS_SCHEMA``, each stay once.
        metrics: ``METRICS_SCHEMA``, of all stays together.
    """

    model: str
    baseline: bool
    beside: str
    data: str
    split: str
    predictions: pl.DataFrame
    metrics: pl.DataFrame


def judged_on(
    model: str, own: Sequence[str], predictions: pl.DataFrame, metrics: pl.DataFrame, data: str, split: str
) -> list[JudgedOn]:
    """Return a model, and the baselines beside it, on one group of stays; nothing where no stay is predicted.

    Args:
        model: Name of the model in the study.
        own: Names under which the model itself, as opposed to a baseline, has predictions.
        predictions: ``PREDICTIONS_SCHEMA``, of these stays.
        metrics: ``METRICS_SCHEMA``, of these stays.
        data: Name of the data set.
        split: ``"out-of-fold"``, ``"test"`` or ``"external"``.
    """
    return [
        JudgedOn(
            model=name if name not in own else model,
            baseline=name not in own,
            beside="" if name in own else model,
            data=data,
            split=split,
            predictions=predictions.filter(pl.col("model") == name),
            metrics=metrics.filter(pl.col("model") == name),
        )
        for name in model_names(predictions, tuple(own))
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelLine:
    """One line of the comparison of models.

    Attributes:
        model: Name of the model, or of the baseline.
        baseline: Whether it is a baseline.
        beside: Model that the baseline was fitted beside, where baselines differ between models; else "".
        data: Name of the data set.
        split: ``"out-of-fold"``, ``"test"`` or ``"external"``.
        stays: Number of stays.
        deaths: How many of them died.
        scores: By name of the score (``COMPARED``).
        difference: AUROC minus that of the first model on the same stays; None for the first model itself, and where
            the stays are not the same.
    """

    model: str
    baseline: bool
    beside: str
    data: str
    split: str
    stays: int
    deaths: int
    scores: Mapping[str, Estimate]
    difference: Estimate | None


def models_side_by_side(
    judged: Sequence[JudgedOn], stays: Mapping[str, pl.DataFrame], seed: int
) -> tuple[ModelLine, ...]:
    """Return a line a model and group of stays; baselines with equal predictions stand there once.

    Args:
        judged: What to compare, in the order of the models; the first of each data set and split is what the others
            are compared with.
        stays: Stays (``STAYS_SCHEMA``) by data set.
        seed: Of the resamples.
    """
    groups: dict[tuple[str, str], list[JudgedOn]] = {}
    for each in judged:
        groups.setdefault((each.data, each.split), []).append(each)
    lines: list[ModelLine] = []
    for group in groups.values():
        models = [each for each in group if not each.baseline]
        baselines = _distinct([each for each in group if each.baseline])
        names = [each.model for each in baselines]
        for each in (*models, *baselines):
            alone = names.count(each.model) < 2
            first = models[0] if models and each is not models[0] else None
            lines.append(_line(each, first, stays[each.data], seed, "" if alone else each.beside))
    return tuple(lines)


def telling_models(lines: Sequence[ModelLine], data: str) -> tuple[ModelLine, ...]:
    """Return the models, without baselines, whose AUROC on a data set rests on enough deaths; the worst comes first.

    All are judged on the same kind of stays: the held-out test where it holds enough deaths, else out of fold; an
    external data set has one kind only.

    Args:
        lines: Of ``models_side_by_side``.
        data: Name of the data set.
    """
    for split in ("test", "out-of-fold", "external"):
        found = [
            (line.scores["auroc"].value, line)
            for line in lines
            if (line.data, line.split, line.baseline) == (data, split, False)
            and line.deaths >= FEWEST_DEATHS
            and "auroc" in line.scores
        ]
        known = sorted(((value, line) for value, line in found if value is not None), key=lambda each: each[0])
        if known:
            return tuple(line for _, line in known)
    return ()


def _distinct(baselines: Sequence[JudgedOn]) -> list[JudgedOn]:
    kept: list[JudgedOn] = []
    for each in baselines:
        risks = _risks(each)
        if not any(other.model == each.model and _risks(other).equals(risks) for other in kept):
            kept.append(each)
    return kept


def _risks(each: JudgedOn) -> pl.DataFrame:
    return each.predictions.select("stay_id", "label", "probability").sort("stay_id")


def _line(each: JudgedOn, first: JudgedOn | None, stays: pl.DataFrame, seed: int, beside: str) -> ModelLine:
    whole = each.metrics.filter(pl.col("subgroup") == "all")
    found = {row["metric"]: row for row in whole.iter_rows(named=True)}
    return ModelLine(
        model=each.model,
        baseline=each.baseline,
        beside=beside,
        data=each.data,
        split=each.split,
        stays=each.predictions.height,
        deaths=int((each.predictions["label"] == 1).sum()),
        scores={
            name: Estimate(found[name]["value"], found[name]["low"], found[name]["high"])
            for name in COMPARED
            if name in found
        },
        difference=None if first is None else _difference(each, first, stays, seed),
    )


def _difference(each: JudgedOn, first: JudgedOn, stays: pl.DataFrame, seed: int) -> Estimate | None:
    ours, theirs = _risks(each), _risks(first)
    if not ours.height or not ours.select("stay_id", "label").equals(theirs.select("stay_id", "label")):
        return None
    table = compare(each.predictions, first.predictions, stays, BOOTSTRAP_SAMPLES, seed)
    row = table.row(by_predicate=pl.col("metric") == "auroc", named=True)
    return Estimate(row["difference"], row["low"], row["high"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flips:
    """Stays of one direction of the flip.

    Attributes:
        attacked: How many were attacked.
        flipped: How many of them were flipped.
        share: With Wilson's interval; None where no stay was attacked.
    """

    attacked: int
    flipped: int
    share: Estimate


def overlap(first: Estimate, second: Estimate) -> bool:
    """Whether two 95 % intervals share a value; an interval that does not exist overlaps with every other."""
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return True
    return first.low <= second.high and second.low <= first.high


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackLine:
    """One line of the comparison of attacks.

    Attributes:
        model: Name of the model.
        attack: Name of the attack.
        data: Name of the data set.
        plugin: Name of the attack's plug-in.
        threat_model: Its name.
        flips: By direction of the flip, and ``"both"``.
        fewest: Median, over the flipped stays, of the fewest values changed; None where none was flipped.
        charted: Share of the changed cells that were charted; None where nothing was changed.
    """

    model: str
    attack: str
    data: str
    plugin: str
    threat_model: str
    flips: Mapping[str, Flips]
    fewest: float | None
    charted: float | None


def attack_line(
    model: str, attack: str, data: str, result: AttackResult, analysis: SusceptibilityResult, grid: GridDataset
) -> AttackLine:
    """Return the line of one attack on one model and data set."""
    return AttackLine(
        model=model,
        attack=attack,
        data=data,
        plugin=str(result.options.get("name", "")),
        threat_model=result.threat_model,
        flips={condition: _flips(analysis, condition) for condition in (*CONDITIONS, "both")},
        fewest=fewest_changes(analysis),
        charted=charted_share(result, grid),
    )


def telling_attacks(lines: Sequence[AttackLine], attack: str, data: str) -> tuple[AttackLine, ...]:
    """Return an attack's lines that rest on enough attacked stays; the least fragile model comes first.

    Args:
        lines: Of all attacks.
        attack: Name of the attack.
        data: Name of the data set.
    """
    found = [
        (line.flips["both"].share.value, line)
        for line in lines
        if (line.attack, line.data) == (attack, data) and line.flips["both"].attacked >= FEWEST_ATTACKED
    ]
    known = sorted(((share, line) for share, line in found if share is not None), key=lambda each: each[0])
    return tuple(line for _, line in known)


def _flips(analysis: SusceptibilityResult, condition: str) -> Flips:
    line = analysis.tables["summary"].filter(pl.col("condition") == condition, pl.col("example") == "best")
    row = line.row(0, named=True)
    share = Estimate(row["success"], row["success_low"], row["success_high"])
    return Flips(attacked=row["attacked"], flipped=row["flipped"], share=share)


def fewest_changes(analysis: SusceptibilityResult) -> float | None:
    """Return the median, over the flipped stays, of the fewest values changed; None where none was flipped."""
    table = analysis.tables["smallest_change"]
    fewest = np.repeat(table["changed"].to_numpy(), table["stays"].to_numpy())
    return float(np.median(fewest)) if len(fewest) else None


def charted_share(result: AttackResult, grid: GridDataset) -> float | None:
    """Return the share of the best examples' changed cells in which something was charted; None where none is changed.

    Args:
        result: The attack; its changes are read some thousand at a time.
        grid: The data set that was attacked.
    """
    order = np.argsort(grid.stay_ids, kind="stable")
    ordered = grid.stay_ids[order]
    changed = charted = 0
    for stay, hour, variable in _best_cells(result):
        rows = order[np.searchsorted(ordered, stay)]
        changed += len(rows)
        charted += int((~np.isnan(grid.values[rows, hour, variable])).sum())
    return charted / changed if changed else None


def _best_cells(result: AttackResult) -> Iterator[tuple[npt.NDArray[np.int64], ...]]:
    total = int(result.ask("perturbations", lambda table: table.select(pl.len())).item())
    for start in range(0, total, ROW_GROUP):
        block = result.ask("perturbations", lambda table, start=start: table.slice(start, ROW_GROUP))  # type: ignore[misc]
        best = block.filter(pl.col("example") == "best")
        yield tuple(best[name].to_numpy().astype(np.int64) for name in ("stay_id", "hour", "variable"))
