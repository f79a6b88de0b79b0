"""Verdicts that one wrong value reverses, of 1,000 stays with one wrong value each, as far as proofs decide it.

A proof knows of every number in the range of a value whether it flips the prediction. So two figures need no kinds of
error: what happens where the wrong number is anywhere in the range alike, and the most that can happen whatever the
wrong number is. What a proof left open counts as holding in the first bound and as flipping in the second.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from icudl.analysis.numbers.models.responsiveness import SAMPLES, mean_interval
from icudl.analysis.numbers.proofs.certificates import looked_at
from icudl.artifacts import Certificates, CertificateStatus
from icudl.artifacts.attacks.certificates import PieceVerdict

PER = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReversedByOne:
    """Verdicts reversed, of 1,000 stays with one wrong value each, any of its values alike.

    Attributes:
        stays: Stays looked at.
        least: Verdicts reversed where the wrong number is anywhere in its range alike; what is open counts as holding.
        most: The same; what is open counts as flipping.
        low: Lower bound of the 95 % interval of ``least`` over stays.
        high: Upper bound of that of ``most``.
        worst: Verdicts reversed if every wrong number were the worst one: no kind of error reverses more.
        worst_high: Upper bound of its 95 % interval.
    """

    stays: int
    least: float
    most: float
    low: float
    high: float
    worst: float
    worst_high: float


def reversed_by_one(proofs: Certificates) -> ReversedByOne | None:
    """Return what one wrong value does; None where no stay with a value was looked at.

    Args:
        proofs: About one model and data set.
    """
    table = _by_stay(proofs).filter(pl.col("values") > 0)
    if not table.height:
        return None
    values, stays = table["values"].to_numpy().astype(np.float64), table["stay_id"].to_numpy()
    least = table["flips"].to_numpy() / values
    most = least + table["open"].to_numpy() / values
    worst = table["worst"].to_numpy() / values
    low, high, worst_high = (
        mean_interval(numbers, stays, SAMPLES, np.random.default_rng(0))[side]
        for numbers, side in ((least, 0), (most, 1), (worst, 1))
    )
    return ReversedByOne(
        stays=table.height,
        least=PER * float(least.mean()),
        most=PER * float(most.mean()),
        low=PER * max(low, 0.0),
        high=PER * high,
        worst=PER * float(worst.mean()),
        worst_high=PER * worst_high,
    )


def _by_stay(proofs: Certificates) -> pl.DataFrame:
    """Return ``stay_id, values, flips, open, worst`` of each stay looked at.

    ``flips`` and ``open`` are sums over its values of the share of the range that flips and that is open, and ``worst``
    is the number of values that may flip.
    """
    key = ["stay_id", "hour", "variable"]
    width, verdict = pl.col("high") - pl.col("low"), pl.col("verdict")
    holds, flips = PieceVerdict.HOLDS.value, PieceVerdict.FLIPS.value
    shares = proofs.pieces.group_by(key).agg(
        flips=width.filter(verdict == flips).sum() / width.sum(),
        open=width.filter(~verdict.is_in([holds, flips])).sum() / width.sum(),
    )
    # Of a value that cannot move nothing can be wrong.
    shares = shares.with_columns(pl.col("flips", "open").fill_nan(0.0))
    nothing_known = (pl.col("flips").fill_null(0.0), pl.col("open").fill_null(1.0))
    may_flip = pl.col("verdict") != CertificateStatus.PROVEN.value
    sums = (
        proofs.values.join(shares, on=key, how="left")
        .with_columns(nothing_known)
        .group_by("stay_id")
        .agg(pl.col("flips", "open").sum(), worst=may_flip.sum())
    )
    return looked_at(proofs).select("stay_id", "values").join(sums, on="stay_id", how="inner").sort("stay_id")
