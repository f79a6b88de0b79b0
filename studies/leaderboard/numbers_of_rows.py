"""The numbers of a row, with intervals over the same resamples of the same stays for every row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from rows import DRAWN, Row

from icudl.analysis.intervals import resamples, wilson
from icudl.analysis.numbers.models.responsiveness import RISE
from icudl.artifacts import AttackResult, AttackStatus, GridDataset, Probes
from icudl.training.scores.evaluation import bootstrap_weights
from icudl.training.scores.metrics import Scored, all_scores

Float64s = npt.NDArray[np.float64]

SAMPLES = 400
ACCURACY = ("auroc", "auprc", "min_se_ppv", "ece")
PER = 1000


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Number:
    """A number and its resamples.

    Attributes:
        value: Of all stays, mean over seeds.
        draws: (SAMPLES,) of resampled stays.
        stays: How many stay behind it.
        hits: Stays and seeds that count, of a share; None for other numbers.
        tried: Of how many.
    """

    value: float
    draws: Float64s
    stays: int
    hits: int | None = None
    tried: int = 0

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval; of a share that is 0 or 1, Wilson's."""
        if self.hits is not None and self.hits in (0, self.tried):
            _, low, high = wilson(self.hits, self.tried)
            return low, high
        known = self.draws[~np.isnan(self.draws)]
        low, high = np.percentile(known, [2.5, 97.5], method="nearest")
        return float(low), float(high)

    def minus(self, other: Number) -> tuple[float, float, float]:
        """Return the paired difference to the same number of another row, with its interval."""
        change = self.draws - other.draws
        low, high = np.nanpercentile(change, [2.5, 97.5])
        return self.value - other.value, float(low), float(high)


def accuracy(grid: GridDataset, rows: Sequence[Row]) -> dict[str, Number]:
    """Return the scores on set B; a resample draws patients, deaths and survivors apart."""
    found: dict[str, list[tuple[float, Float64s]]] = {name: [] for name in ACCURACY}
    stays = 0
    for row in rows:
        own = row.finished
        scored = Scored(
            grid.labels[own.scored],
            own.probabilities,
            np.full(len(own.scored), own.threshold),
            grid.patient_ids[own.scored],
        )
        values = all_scores(scored)
        weights = bootstrap_weights(scored, SAMPLES, np.random.default_rng(DRAWN))
        draws = all_scores(scored, weights)
        stays = len(own.scored)
        for name in ACCURACY:
            found[name].append((float(values[name][0]), draws[name]))
    return {
        name: Number(
            value=float(np.mean([value for value, _ in parts])),
            draws=np.mean([draws for _, draws in parts], axis=0),
            stays=stays,
        )
        for name, parts in found.items()
    }


def flips_of(result: AttackResult) -> pl.DataFrame:
    """Return, for each attacked stay that the model has right, whether it was flipped."""
    return result.stays.filter(pl.col("status") != AttackStatus.MISCLASSIFIED).select(
        "stay_id", hit=(pl.col("status") == AttackStatus.SUCCESS).cast(pl.Float64), of=pl.lit(1.0)
    )


def slips_of(probes: Probes) -> pl.DataFrame:
    """Return, for each probed stay that the model has right, whether one error of entry can reverse the verdict."""
    slips = probes.slips.group_by("stay_id").agg(hit=(pl.col("reversing").sum() > 0).cast(pl.Float64))
    right = (pl.col("probability") >= pl.col("threshold")) == (pl.col("label") == 1)
    return (
        probes.stays.filter(right)
        .join(slips, on="stay_id", how="left")
        .select("stay_id", pl.col("hit").fill_null(0.0), of=pl.lit(1.0))
    )


def responses_of(probes: Probes) -> pl.DataFrame:
    """Return how many held derangements concern each stay, and at how many its risk rises by ``RISE`` or more."""
    ends = (
        probes.responses.filter(pl.col("course") == "held")
        .group_by("stay_id", "derangement")
        .agg(
            change=pl.col("probability").sort_by("level").last() - pl.col("probability").sort_by("level").first(),
        )
    )
    return ends.group_by("stay_id").agg(
        hit=(pl.col("change") >= RISE).sum().cast(pl.Float64), of=pl.len().cast(pl.Float64)
    )


def reversals_of(probes: Probes) -> pl.DataFrame:
    """Return the chance that errors of entry reverse the verdict on each stay, at the usual rate."""
    several = pl.col("several") * pl.col("several_reversed") / pl.max_horizontal(pl.col("draws"), 1)
    return probes.verdicts.filter(pl.col("level") == "usual").select(
        "stay_id", hit=pl.col("one_reversed") + several, of=pl.lit(1.0)
    )


def share(tables: Sequence[pl.DataFrame], drawn: npt.NDArray[np.int64], *, counted: bool) -> Number:
    """Return the sum of ``hit`` over the sum of ``of``, over stays and seeds.

    Args:
        tables: One a seed: stay_id, hit, of.
        drawn: Ids of the stays that were drawn for every row, whether the model has them right or not.
        counted: Whether ``hit`` is 0 or 1.
    """
    hit, of = (np.sum([_in_order(table, drawn, column) for table in tables], axis=0) for column in ("hit", "of"))
    draws = np.array(
        [
            (weights * hit).sum() / total if (total := (weights * of).sum()) > 0 else np.nan
            for weights in resamples(len(drawn), SAMPLES, np.random.default_rng(DRAWN))
        ]
    )
    return Number(
        value=float(hit.sum() / of.sum()),
        draws=draws,
        stays=int((of > 0).sum()),
        hits=int(hit.sum()) if counted else None,
        tried=int(of.sum()),
    )


def fewest(results: Sequence[AttackResult], drawn: npt.NDArray[np.int64]) -> Number:
    """Return the median number of values that flip a stay, those that nothing flips included, mean over seeds."""

    def median(values: Float64s, weights: npt.NDArray[np.int64]) -> float:
        return float(np.quantile(np.repeat(values, weights), 0.5, method="inverted_cdf"))

    columns = []
    for result in results:
        table = result.stays.filter(pl.col("status") != AttackStatus.MISCLASSIFIED).select(
            "stay_id", size=pl.col("best_l0").cast(pl.Float64).fill_null(np.inf)
        )
        columns.append(_in_order(table, drawn, "size", missing=np.nan))
    every = [(column[known], known) for column in columns if (known := ~np.isnan(column)).any()]
    whole = [median(values, np.ones(len(values), np.int64)) for values, _ in every]
    draws = [
        np.mean([median(values, weights[known]) for values, known in every])
        for weights in resamples(len(drawn), SAMPLES, np.random.default_rng(DRAWN))
    ]
    return Number(value=float(np.mean(whole)), draws=np.array(draws), stays=len(every[0][0]))


def _in_order(table: pl.DataFrame, stays: npt.NDArray[np.int64], column: str, *, missing: float = 0.0) -> Float64s:
    joined = pl.DataFrame({"stay_id": stays}).join(table, on="stay_id", how="left", maintain_order="left")
    return joined[column].fill_null(missing).to_numpy()


def numbers_of(grid: GridDataset, rows: Sequence[Row]) -> dict[str, Number]:
    """Return all numbers of a model that every one of its seeds has."""
    found = accuracy(grid, rows)
    asked: dict[str, Callable[[Row], pl.DataFrame | None]] = {
        "one_value": lambda row: flips_of(row.attacks["one_value"]) if "one_value" in row.attacks else None,
        "entry_error": lambda row: None if row.probes is None else slips_of(row.probes),
        "reversed": lambda row: None if row.probes is None else reversals_of(row.probes),
        "responds": lambda row: None if row.probes is None else responses_of(row.probes),
    }
    drawn = next(
        (row.attacks["one_value"].stays["stay_id"].to_numpy() for row in rows if "one_value" in row.attacks), None
    )
    if drawn is None:
        return found
    for name, table_of in asked.items():
        tables = [table for row in rows if (table := table_of(row)) is not None]
        if len(tables) == len(rows):
            found[name] = share(tables, drawn, counted=name in ("one_value", "entry_error"))
    searched = [row.attacks["fewest"] for row in rows if "fewest" in row.attacks]
    if len(searched) == len(rows):
        found["fewest"] = fewest(searched, drawn)
    return found
