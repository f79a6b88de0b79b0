"""Scores of predictions with bootstrap intervals, by subgroup, and paired differences between models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import METRICS_SCHEMA
from icudl.errors import StageError
from icudl.execution.context import seed_for
from icudl.training.scores.metrics import METRICS, Float64s, Scored, all_scores

AGE_BANDS: tuple[tuple[float, float, str], ...] = (
    (0, 18, "0-17"),
    (18, 40, "18-39"),
    (40, 65, "40-64"),
    (65, 80, "65-79"),
    (80, 200, "80+"),
)
"""Lower edge (inclusive), upper edge (exclusive) and name of each age band, in years."""

_MOST_CELLS = 2_000_000


def bootstrap_weights(scored: Scored, samples: int, rng: np.random.Generator) -> Float64s:
    """Return (samples, n) numbers of times each stay is drawn.

    Patients are drawn with replacement, with all their stays, in two strata: those with a death among their stays and
    those without. So every resample has as many patients of either kind as the sample, and never one class alone.
    """
    _, patient = np.unique(scored.patients, return_inverse=True)
    n_patients = int(patient.max()) + 1
    died = np.bincount(patient, weights=scored.labels, minlength=n_patients) > 0
    drawn = np.zeros((samples, n_patients))
    for stratum in (np.flatnonzero(died), np.flatnonzero(~died)):
        if len(stratum):
            picks = rng.integers(len(stratum), size=(samples, len(stratum)))
            cells = picks + len(stratum) * np.arange(samples)[:, None]
            counts = np.bincount(cells.ravel(), minlength=samples * len(stratum))
            drawn[:, stratum] = counts.reshape(samples, len(stratum))
    return drawn[:, patient]


def intervals(scored: Scored, samples: int, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Return the 95 % percentile interval of every score; NaN where fewer than half of the resamples have the score."""
    collected: dict[str, list[Float64s]] = {name: [] for name in METRICS}
    for size in chunks(samples, len(scored.labels)):
        for name, values in all_scores(scored, bootstrap_weights(scored, size, rng)).items():
            collected[name].append(values)
    return {name: _percentiles(np.concatenate(parts)) for name, parts in collected.items()}


def paired_differences(
    first: Scored, second: Scored, samples: int, rng: np.random.Generator
) -> dict[str, tuple[float, float, float]]:
    """Return (difference, low, high) of first minus second for every score, on the same resamples of the same stays.

    Args:
        first: Scores of one model.
        second: Scores of the other about the same stays, in the same order.
        samples: Bootstrap resamples.
        rng: Random stream.
    """
    differences: dict[str, list[Float64s]] = {name: [] for name in METRICS}
    for size in chunks(samples, len(first.labels)):
        weights = bootstrap_weights(first, size, rng)
        ours, theirs = all_scores(first, weights), all_scores(second, weights)
        for name in METRICS:
            differences[name].append(ours[name] - theirs[name])
    ours, theirs = all_scores(first), all_scores(second)
    return {
        name: (float((ours[name] - theirs[name])[0]), *_percentiles(np.concatenate(differences[name])))
        for name in METRICS
    }


def metric_rows(
    model: str, split: str, subgroup: str, scored: Scored, samples: int, rng: np.random.Generator
) -> pl.DataFrame:
    """Return one row per score with its interval (``METRICS_SCHEMA``); null where a score does not exist."""
    values: Mapping[str, Float64s] = all_scores(scored)
    bounds = intervals(scored, samples, rng)
    n_stays, n_deaths = len(scored.labels), int((scored.labels == 1).sum())
    rows = [
        (model, split, subgroup, name, float(values[name][0]), *bounds[name], n_stays, n_deaths) for name in METRICS
    ]
    frame = pl.DataFrame(rows, schema=dict(METRICS_SCHEMA), orient="row")
    return frame.with_columns(pl.col("value", "low", "high").fill_nan(None))


def subgroups(stays: pl.DataFrame) -> dict[str, npt.NDArray[np.bool_]]:
    """Return a mask over the rows of ``stays`` for every age band, sex and ICU type that occurs, by name."""
    age = stays["age_years"].to_numpy()
    masks = {f"age_years={name}": (age >= low) & (age < high) for low, high, name in AGE_BANDS}
    for column in ("sex", "icu_type"):
        for value in stays[column].drop_nulls().unique().sort().to_list():
            masks[f"{column}={value}"] = (stays[column] == value).fill_null(value=False).to_numpy()
    return {name: mask for name, mask in masks.items() if mask.any()}


def score_predictions(predictions: pl.DataFrame, stays: pl.DataFrame, samples: int, seed: int) -> pl.DataFrame:
    """Score predictions by model, split and subgroup, with bootstrap intervals (``METRICS_SCHEMA``).

    Out-of-fold predictions are pooled over the folds. All models share the resamples of a split, so that only
    their predictions make their intervals differ.

    Args:
        predictions: ``PREDICTIONS_SCHEMA``.
        stays: The stays of the data set they were made from.
        samples: Bootstrap resamples.
        seed: Seed of the resamples.

    Raises:
        StageError: A stay is predicted twice, or is not among ``stays``.
    """
    tables = []
    for (model, split), part in predictions.group_by("model", "split", maintain_order=True):
        rows = _with_stays(part, stays)
        scored = _scored(rows)
        groups = {"all": np.ones(len(rows), bool)} | subgroups(rows)
        for name, mask in groups.items():
            rng = np.random.default_rng(seed_for(seed, "bootstrap", str(split), name))
            tables.append(metric_rows(str(model), str(split), name, scored.select(mask), samples, rng))
    return pl.concat(tables)


def compare(first: pl.DataFrame, second: pl.DataFrame, stays: pl.DataFrame, samples: int, seed: int) -> pl.DataFrame:
    """Compare two models on the stays that both predict.

    Args:
        first: Predictions of one model (``PREDICTIONS_SCHEMA``), each stay once.
        second: Predictions of the other.
        stays: Stays of the data set that ``first`` was made from.
        samples: Bootstrap resamples, the same for both.
        seed: Seed of the resamples.

    Returns:
        One row per score: metric, first, second, difference (first minus second), its 95 % interval low and high (null
        where a score does not exist), stays, deaths.

    Raises:
        StageError: No stay is predicted by both, a stay is predicted twice, or the outcome of a stay differs.
    """
    ours = _with_stays(first, stays)
    theirs = second.select("stay_id", "label", "probability", "threshold")
    both = ours.join(theirs, on="stay_id", how="inner", validate="1:1", maintain_order="left", suffix="_second")
    if both.is_empty():
        raise StageError(
            f"No stay is predicted by both models: {len(first)} are by the first, {len(second)} by the second. "
            "Compare models about stays that neither was fitted on."
        )
    if (both["label"] != both["label_second"]).any():
        raise StageError("The two data sets hold different outcomes of one stay. Compare models on the same stays.")
    here, there = (
        _scored(both),
        _scored(both.with_columns(probability="probability_second", threshold="threshold_second")),
    )
    rng = np.random.default_rng(seed_for(seed, "bootstrap", "differences"))
    differences = paired_differences(here, there, samples, rng)
    values = [all_scores(scored) for scored in (here, there)]
    counts = (len(both), int(both["label"].sum()))
    rows = [(name, *(float(scores[name][0]) for scores in values), *differences[name], *counts) for name in METRICS]
    names = ("metric", "first", "second", "difference", "low", "high", "stays", "deaths")
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.with_columns(pl.col("first", "second", "difference", "low", "high").fill_nan(None))


def _with_stays(predictions: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    rows = predictions.join(stays, on="stay_id", how="inner", validate="1:1", maintain_order="left")
    if len(rows) != len(predictions):
        model, split = predictions["model"][0], predictions["split"][0]
        raise StageError(
            f"{len(predictions) - len(rows)} of the {split} stays predicted by {model} are not in the data set. "
            "Evaluate predictions with the data set they were made from."
        )
    return rows


def _scored(rows: pl.DataFrame) -> Scored:
    columns = (rows[name].to_numpy() for name in ("label", "probability", "threshold", "patient_id"))
    return Scored(*columns)


def _percentiles(values: Float64s) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if 2 * len(known) < len(values) or len(known) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def chunks(samples: int, n_stays: int) -> list[int]:
    """Split resamples so that one chunk's weights have at most about two million cells."""
    size = max(1, min(samples, _MOST_CELLS // max(1, n_stays)))
    return [min(size, samples - start) for start in range(0, samples, size)]
