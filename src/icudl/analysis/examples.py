"""Tables of examples and of success: how many stays flip, after how many iterations, by how small a change."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.changes import Changes
from icudl.analysis.conditions import CONDITIONS, EXAMPLES, ExampleSet
from icudl.analysis.intervals import wilson
from icudl.artifacts import AttackResult, AttackStatus, Schema

NORMS = ("l0", "l1", "l2", "linf")
CURVE_POINTS = 200
"""Most points of a budget curve; a curve with more is thinned out evenly."""

PROPERTIES_SCHEMA: Schema = {
    "condition": pl.String,
    "example": pl.String,
    "stay_id": pl.Int64,
    "number": pl.Int64,
    "share": pl.Float64,
    "sum": pl.Float64,
    "mean": pl.Float64,
    "largest": pl.Float64,
    "smallest": pl.Float64,
    "positive": pl.Float64,
}
DISCOVERY_SCHEMA: Schema = {
    "condition": pl.String,
    "example": pl.String,
    "iteration": pl.Int64,
    "found": pl.Int64,
    "attacked": pl.Int64,
    "share": pl.Float64,
}
BUDGET_SCHEMA: Schema = {
    "condition": pl.String,
    "example": pl.String,
    "norm": pl.String,
    "budget": pl.Float64,
    "flipped": pl.Int64,
    "attacked": pl.Int64,
    "share": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}
SMALLEST_SCHEMA: Schema = {
    "condition": pl.String,
    "changed": pl.Int64,
    "stays": pl.Int64,
    "attacked": pl.Int64,
    "share": pl.Float64,
    "cumulative": pl.Float64,
}
FRAGILITY_SCHEMA: Schema = {
    "rank": pl.Int64,
    "stay_id": pl.Int64,
    "condition": pl.String,
    "status": pl.String,
    "label": pl.Int8,
    "member": pl.String,
    "split": pl.String,
    "length": pl.Int16,
    "probability_before": pl.Float64,
    "probability_after": pl.Float64,
    "changed": pl.Int64,
    "l1": pl.Float64,
    "linf": pl.Float64,
    "best_iteration": pl.Int64,
}
STATUSES_SCHEMA: Schema = {"label": pl.Int8, "status": pl.String, "stays": pl.Int64, "share": pl.Float64}


def properties(examples: ExampleSet, changes: Changes) -> pl.DataFrame:
    """Return one row for each stay with a change, for the histograms (``PROPERTIES_SCHEMA``)."""
    changed = pl.DataFrame({"row": changes.row, "change": changes.change}).with_columns(
        magnitude=pl.col("change").abs()
    )
    first, last = int(changes.row[0]), int(changes.row[-1])
    stays = examples.stays.select("stay_id", cells=pl.col("length").cast(pl.Float64) * examples.shape[1])
    of_stay = changed.group_by("row").agg(
        number=pl.len().cast(pl.Int64),
        sum=pl.col("magnitude").sum(),
        mean=pl.col("magnitude").mean(),
        largest=pl.col("magnitude").max(),
        smallest=pl.col("magnitude").min(),
        positive=(pl.col("change") > 0).mean(),
    )
    frame = (
        stays.slice(first, last - first + 1)
        .with_row_index("row", offset=first)
        .with_columns(pl.col("row").cast(pl.Int64))
        .join(of_stay, on="row", how="inner", maintain_order="left")
        .with_columns(
            condition=pl.lit(examples.condition),
            example=pl.lit(examples.example),
            share=pl.col("number") / pl.col("cells"),
        )
    )
    return _shaped(frame, PROPERTIES_SCHEMA)


def statuses(attack: AttackResult) -> pl.DataFrame:
    """Return the number of considered stays by label and status (``STATUSES_SCHEMA``)."""
    counted = attack.ask(
        "stays",
        lambda stays: stays.group_by("label", "status").agg(stays=pl.len().cast(pl.Int64)).sort("label", "status"),
    )
    return _shaped(counted.with_columns(share=pl.col("stays") / pl.col("stays").sum().over("label")), STATUSES_SCHEMA)


def discovery(attacked: pl.DataFrame) -> pl.DataFrame:
    """Return the cumulative share of attacked stays with an example found by each iteration (``DISCOVERY_SCHEMA``)."""
    frames = [pl.DataFrame(schema=DISCOVERY_SCHEMA)]
    for condition, stays in _by_condition(attacked):
        for example in EXAMPLES:
            found = stays[f"{example}_iteration"].drop_nulls().to_numpy()
            iteration, number = np.unique(found, return_counts=True)
            frames.append(
                _shaped(
                    pl.DataFrame({"iteration": iteration, "found": np.cumsum(number)}).with_columns(
                        condition=pl.lit(condition),
                        example=pl.lit(example),
                        attacked=pl.lit(stays.height),
                        share=pl.col("found") / max(stays.height, 1),
                    ),
                    DISCOVERY_SCHEMA,
                )
            )
    return pl.concat(frames)


def success_against_budget(attacked: pl.DataFrame) -> pl.DataFrame:
    """Return the share of attacked stays flipped by a change of at most each size (``BUDGET_SCHEMA``).

    Each row counts the stays whose example is no larger than ``budget`` in ``norm``, with Wilson's interval. The
    attack minimised the number of changed cells and L1, so in the other norms smaller examples may exist.
    """
    rows: list[dict[str, Any]] = []
    for condition, stays in _by_condition(attacked):
        for example in EXAMPLES:
            for norm in NORMS:
                sizes = np.sort(stays[f"{example}_{norm}"].drop_nulls().to_numpy().astype(float))
                for budget in _thinned(np.unique(sizes)):
                    flipped = int(np.searchsorted(sizes, budget, side="right"))
                    share, low, high = wilson(flipped, stays.height)
                    values = (condition, example, norm, float(budget), flipped, stays.height, share, low, high)
                    rows.append(dict(zip(BUDGET_SCHEMA, values, strict=True)))
    return pl.DataFrame(rows, schema=BUDGET_SCHEMA)


def smallest_change(attacked: pl.DataFrame) -> pl.DataFrame:
    """Return the number of stays by the fewest changed values in either example (``SMALLEST_SCHEMA``)."""
    frames = [pl.DataFrame(schema=SMALLEST_SCHEMA)]
    for condition, stays in _by_condition(attacked):
        fewest = stays.select(fewest=pl.min_horizontal("first_l0", "best_l0"))["fewest"].drop_nulls().to_numpy()
        changed, number = np.unique(fewest, return_counts=True)
        frames.append(
            _shaped(
                pl.DataFrame({"changed": changed, "stays": number}).with_columns(
                    condition=pl.lit(condition),
                    attacked=pl.lit(stays.height),
                    share=pl.col("stays") / max(stays.height, 1),
                    cumulative=pl.col("stays").cum_sum() / max(stays.height, 1),
                ),
                SMALLEST_SCHEMA,
            )
        )
    return pl.concat(frames)


def fragility(attacked: pl.DataFrame) -> pl.DataFrame:
    """Rank the attacked stays: fewest changed cells first, then the smaller L1; never flipped last."""
    ranked = (
        attacked.lazy()  # so that only the columns of the table are sorted
        .sort("best_l0", "best_l1", "stay_id", nulls_last=True)
        .with_columns(
            rank=pl.int_range(1, pl.len() + 1),
            probability_after=pl.col("best_probability"),
            changed=pl.col("best_l0"),
            l1=pl.col("best_l1"),
            linf=pl.col("best_linf"),
        )
        .select(list(FRAGILITY_SCHEMA))
        .collect()
    )
    return _shaped(ranked, FRAGILITY_SCHEMA)


def success(stays: pl.DataFrame) -> dict[str, float | int | None]:
    """Return the number of attacked and flipped stays, and the success rate with Wilson's interval."""
    hits = int((stays["status"] == AttackStatus.SUCCESS.value).sum())
    values = [None if np.isnan(value) else value for value in wilson(hits, stays.height)]
    return {"attacked": stays.height, "flipped": hits} | dict(
        zip(("success", "success_low", "success_high"), values, strict=True)
    )


def _by_condition(attacked: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(condition, attacked.filter(pl.col("condition") == condition)) for condition in CONDITIONS]


def _thinned(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if len(values) <= CURVE_POINTS:
        return values
    kept = np.unique(np.linspace(0, len(values) - 1, CURVE_POINTS).round().astype(int))
    return np.asarray(values[kept])


def _shaped(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
