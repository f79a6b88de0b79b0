"""The outcome of a shard: what is proved of its stays, as tables."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from icudl.artifacts import Checkpoint
from icudl.artifacts.attacks.certificates import (
    FLIPS_SCHEMA,
    NEARBY_SCHEMA,
    PIECES_SCHEMA,
    VALUES_SCHEMA,
    WHOLE_RANGE,
    CertificateStatus,
    PieceVerdict,
)
from icudl.attacks.methods.sweep import entry_interval
from icudl.attacks.run.shards import Shard, bind_charted_shard, bind_shard
from icudl.attacks.target.charted import PiecewiseChartedTarget
from icudl.attacks.target.verification import CheckedTarget, Model, Scores, score
from icudl.errors import StageError
from icudl.files import write_atomically
from icudl.models.base import SequenceClassifier
from icudl.models.charted.base import RiskModel
from icudl.models.charted.parts import PartsModel
from icudl.proofs.charted.pairs import Pairs
from icudl.proofs.charted.walk import Walk
from icudl.proofs.forms.nearby import THREATS, Nearby
from icudl.proofs.forms.networks import Network
from icudl.proofs.forms.passes import Track
from icudl.proofs.forms.search import Search
from icudl.proofs.forms.values import NetworkValues
from icudl.proofs.options import CertifyOptions
from icudl.proofs.parts.search import search_parts
from icudl.proofs.pieces import Found, Verdict
from icudl.proofs.values import Values, changeable
from icudl.training.scores.risk_curve import risks_at

NAMES = {
    Verdict.HOLDS: PieceVerdict.HOLDS,
    Verdict.FLIPS: PieceVerdict.FLIPS,
    Verdict.EDGE: PieceVerdict.EDGE,
    Verdict.OPEN: PieceVerdict.OPEN,
}
OTHERS = ("values", "pieces", "flips", "nearby")
"""The tables beside that of the stays."""

_KEY = ("row", "hour", "variable")


@dataclasses.dataclass(frozen=True, eq=False)
class ShardProofs:
    """What is proved of the stays of a shard; the column ``row`` is a stay's position in its data set.

    Attributes:
        stays: Row, status, probability_before, and counts of values and boxes.
        values: As ``VALUES_SCHEMA``, with ``row``.
        pieces: As ``PIECES_SCHEMA``, with ``row``.
        flips: As ``FLIPS_SCHEMA``, with ``row``.
        nearby: As ``NEARBY_SCHEMA``, with ``row``.
    """

    stays: pl.DataFrame
    values: pl.DataFrame
    pieces: pl.DataFrame
    flips: pl.DataFrame
    nearby: pl.DataFrame

    def write(self, path: Path) -> None:
        """Write each table beside ``path``, the stays last and under that very name."""
        for name in OTHERS:
            write_atomically(path.with_suffix(f".{name}"), getattr(self, name).write_parquet)
        write_atomically(path, self.stays.write_parquet)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote."""
        others = (pl.read_parquet(path.with_suffix(f".{name}")) for name in OTHERS)
        return cls(pl.read_parquet(path), *others)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of all shards."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(pl.concat([getattr(part, name) for part in parts]) for name in names))


class Threat(NamedTuple):
    """Errors of several values.

    Attributes:
        most: Values that may be wrong at once; 0 for all.
        within: By which share of the range between the winsor limits.
        least: The least lead of the present class of a stay, given its position and both numbers.
    """

    most: int
    within: float
    least: Callable[[int, int, float], float]


@dataclasses.dataclass(frozen=True, eq=False)
class Looked:
    """The stays of a shard, and those of them that something is to be proved of.

    Attributes:
        before: Scores of all stays.
        status: (B,) why a stay is not looked at, or UNDECIDED.
    """

    before: Scores
    status: npt.NDArray[np.object_]

    @classmethod
    def at(cls, model: Model, target: CheckedTarget, shard: Shard, options: CertifyOptions) -> Self:
        """Score the stays of a shard."""
        before = score(model, target, target.values)
        return cls(before, _status_before(before, shard, every=options.misclassified))

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Positions of the stays that are looked at."""
        return np.flatnonzero(self.status == CertificateStatus.UNDECIDED)


def prove_network(
    checkpoint: Checkpoint, model: SequenceClassifier, network: Network, shard: Shard, options: CertifyOptions
) -> ShardProofs:
    """Prove of each value of the stays of a shard that it cannot flip the prediction, or find the values that do.

    Args:
        checkpoint: Not fitted on any of these stays.
        model: Its model, which is tried at points and verifies the flips.
        network: Its model, which bounds intervals.
        shard: The stays.
        options: Threat model, width and budget.
    """
    target = bind_shard(checkpoint, model, shard, options.threat_model, options.variables, "cpu")
    looked = Looked.at(model, target, shard, options)
    chosen = target.select(torch.from_numpy(looked.rows))
    values = NetworkValues.of(chosen, looked.before.says_death[looked.rows])
    prepared = network.prepare(Track.exact(values.features), chosen.lengths)
    found = Search(model, prepared, values, options.width, options.boxes, network.at_once).run()
    threats = []
    if options.near:
        several = Nearby(prepared, values).least
        one = functools.partial(_one_within, found, values)
        threats = [Threat(most, within, one if most == 1 else several) for most, within in THREATS]
    return _tables(found, values, model, looked, checkpoint, shard, threats)


def prove_charted(checkpoint: Checkpoint, model: RiskModel, shard: Shard, options: CertifyOptions) -> ShardProofs:
    """Decide each value of the stays of a shard for a model of charted values, exactly.

    Args:
        checkpoint: Not fitted on any of these stays.
        model: Its model.
        shard: The stays.
        options: Threat model and width.

    Raises:
        StageError: The model does not say where its score breaks, or reads no filled-in record.
    """
    target = bind_charted_shard(checkpoint, model, shard, options.variables)
    if options.threat_model != "measured" or not isinstance(target, PiecewiseChartedTarget):
        raise StageError(
            f"certify.threat_model = {options.threat_model!r} and the model {checkpoint.model['name']!r} do not go "
            "together. Expected measured, and a model that says where its score jumps or bends."
        )
    looked = Looked.at(model, target, shard, options)
    chosen = target.select(torch.from_numpy(looked.rows))
    values = Values(chosen, *changeable(chosen))
    found = Walk(values, options.width).run()
    threats = _of_one_value(found, values, options)
    pairs = Pairs.of(values, found) if options.pairs else None
    if pairs is not None:
        threats.append(Threat(2, WHOLE_RANGE, lambda stay, most, within: pairs.least(stay)))  # noqa: ARG005
    return _tables(found, values, model, looked, checkpoint, shard, threats)


def prove_parts(
    checkpoint: Checkpoint, model: PartsModel, network: Network, shard: Shard, options: CertifyOptions
) -> ShardProofs:
    """Prove of each value of the stays of a shard that it cannot flip what a network says that reads them in parts.

    Args:
        checkpoint: Not fitted on any of these stays.
        model: Its model, which is tried at points and verifies the flips.
        network: The network, which bounds intervals.
        shard: The stays.
        options: Width and budget.
    """
    target = bind_charted_shard(checkpoint, model, shard, options.variables)
    looked = Looked.at(model, target, shard, options)
    chosen = target.select(torch.from_numpy(looked.rows))
    values = Values(chosen, *changeable(chosen))
    says_death = looked.before.says_death[looked.rows]
    found = search_parts(model, network, checkpoint, shard, values, says_death, options)
    return _tables(found, values, model, looked, checkpoint, shard, _of_one_value(found, values, options))


def _of_one_value(found: Found, values: Values[Any], options: CertifyOptions) -> list[Threat]:
    """Return the errors of one value that are asked about beside those over its whole range."""
    one = functools.partial(_one_within, found, values)
    return [Threat(most, within, one) for most, within in THREATS if most == 1 and options.near]


def _tables(
    found: Found,
    values: Values[Any],
    model: Model,
    looked: Looked,
    checkpoint: Checkpoint,
    shard: Shard,
    threats: Sequence[Threat],
) -> ShardProofs:
    before, status, rows = looked.before, looked.status, shard.rows[looked.rows]
    pieces = _pieces(found, values, rows)
    flips = _flips(pieces, values, rows)
    table = _values(found, values, rows, pieces, model, checkpoint)
    return ShardProofs(
        stays=_stays(shard, status, before, table, checkpoint),
        values=table,
        pieces=pieces.select("row", *(name for name in PIECES_SCHEMA if name != "stay_id")),
        flips=flips,
        nearby=_nearby(rows, threats),
    )


def _nearby(rows: npt.NDArray[np.int64], threats: Sequence[Threat]) -> pl.DataFrame:
    """Return what is proved against errors of several values."""
    table = []
    for stay, row in enumerate(rows.tolist()):
        for threat in threats:
            least = threat.least(stay, threat.most, threat.within)
            table.append((row, threat.most, threat.within, least > 0, least if np.isfinite(least) else None))
    kinds = {"row": pl.Int64} | {name: kind for name, kind in NEARBY_SCHEMA.items() if name != "stay_id"}
    return pl.DataFrame(table, kinds, orient="row")


def _one_within(found: Found, values: Values[Any], stay: int, most: int, within: float) -> float:  # noqa: ARG001
    """Return a least lead while any one value is wrong by up to ``within``, from the pieces that this touches."""
    pieces = found.pieces
    now = values.charted[pieces.value]
    near = (pieces.low <= now + within) & (pieces.high >= now - within)
    own = pieces.where(near & (values.stay[pieces.value] == stay))
    if not bool((own.verdict == Verdict.HOLDS).all()):
        return -np.inf
    return float(own.bound.min()) if len(own.bound) else np.inf


def _status_before(before: Scores, shard: Shard, *, every: bool) -> npt.NDArray[np.object_]:
    """Return (B,) statuses: why a stay is not looked at, or UNDECIDED."""
    invalid = ~torch.isfinite(before.difference).numpy()
    wrong = (before.says_death.numpy() != (shard.labels == 1)) & (not every)
    status = np.full(len(shard.rows), CertificateStatus.UNDECIDED, object)
    status[wrong] = CertificateStatus.MISCLASSIFIED
    status[invalid] = CertificateStatus.INVALID_OUTPUT
    return status


def _cells(values: Values[Any], which: torch.Tensor, rows: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.generic]]:
    stay, hour, variable = values.cell[:, which].numpy()
    return {"row": rows[stay], "hour": hour.astype(np.int16), "variable": variable.astype(np.uint8)}


def _pieces(found: Found, values: Values[Any], rows: npt.NDArray[np.int64]) -> pl.DataFrame:
    pieces = found.pieces
    names = pl.Series([NAMES[Verdict(code)].value for code in pieces.verdict.tolist()], dtype=pl.String)
    return pl.DataFrame(
        _cells(values, pieces.value, rows)
        | {
            "value": pieces.value.numpy(),
            "low": pieces.low.numpy(),
            "high": pieces.high.numpy(),
            "verdict": names,
            # The piece of a budget that ended early was never bounded.
            "bound": pieces.bound.nan_to_num(neginf=torch.nan, nan=torch.nan).numpy(),
            "flipped": pieces.flipped.numpy(),
        }
    ).with_columns(pl.col("bound").fill_nan(None))


def _flips(pieces: pl.DataFrame, values: Values[Any], rows: npt.NDArray[np.int64]) -> pl.DataFrame:
    """Return the intervals of flipping values: pieces in a row that do not hold, one of which flips or is an edge."""
    holds = pl.col("verdict") == PieceVerdict.HOLDS.value
    flips = pl.col("verdict") == PieceVerdict.FLIPS.value
    turns = flips | (pl.col("verdict") == PieceVerdict.EDGE.value) | pl.col("flipped")
    new = holds | holds.shift(1, fill_value=True) | (pl.col("value") != pl.col("value").shift(1))
    runs = (
        pieces.with_columns(run=new.cum_sum())
        .filter(~holds)
        .group_by("run", maintain_order=True)
        .agg(
            pl.col("value").first(),
            pl.col("low").filter(flips).min(),
            pl.col("high").filter(flips).max(),
            pl.col("low").min().alias("outer_low"),
            pl.col("high").max().alias("outer_high"),
            turns.any().alias("turns"),
        )
        .filter("turns")
    )
    which = torch.from_numpy(runs["value"].to_numpy().astype(np.int64).copy())
    ends = [
        runs.select(pl.coalesce(inner, outer))[inner].to_numpy()
        for inner, outer in (("low", "outer_low"), ("high", "outer_high"))
    ]
    entries = _in_clinical_units(values, which, ends[0], ends[1])
    table = runs.with_columns(pl.Series(name, column) for name, column in _cells(values, which, rows).items())
    table = table.with_columns(pl.Series("entry_low", entries[0]), pl.Series("entry_high", entries[1]))
    return table.select("row", *(pl.col(name).cast(kind) for name, kind in FLIPS_SCHEMA.items() if name != "stay_id"))


def _in_clinical_units(
    values: Values[Any], which: torch.Tensor, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the smallest and largest entry that take each value into its interval."""
    place = tuple(values.cell[:, which].numpy())
    entries = values.target.entries
    if entries is not None:
        return entry_interval(entries, place, low, high, values.lower[which].numpy(), values.upper[which].numpy())
    scaler, variable = values.target.scaler, place[2]
    width = (scaler.upper - scaler.lower).astype(np.float64)[variable]
    base = scaler.lower.astype(np.float64)[variable]
    return base + low * width, base + high * width


def _values(
    found: Found,
    values: Values[Any],
    rows: npt.NDArray[np.int64],
    pieces: pl.DataFrame,
    model: Model,
    checkpoint: Checkpoint,
) -> pl.DataFrame:
    """Return one row a value; what the verification of attacks does not confirm is no flip."""
    every = torch.arange(values.cell.shape[1])
    witness, probability = found.witness.numpy().copy(), np.full(len(every), np.nan)
    claimed = (~found.witness.isnan()).nonzero()[:, 0]
    if len(claimed):
        checked = values.verified(model, claimed, found.witness[claimed])
        witness[claimed[torch.from_numpy(~checked.holds)].numpy()] = np.nan
        probability[claimed.numpy()] = np.where(checked.holds, _calibrated(checked.probability, checkpoint), np.nan)
    settled = pieces.group_by("value", maintain_order=True).agg(
        (pl.col("verdict") == PieceVerdict.HOLDS.value).all().alias("proven"),
        # Unknown if any piece was not bounded.
        pl.when(pl.col("bound").is_null().any()).then(None).otherwise(pl.col("bound").min()).alias("bound"),
    )
    flips = ~np.isnan(witness)
    proven = settled["proven"].to_numpy()
    verdict = np.select(
        [flips, proven],
        [CertificateStatus.FLIPS.value, CertificateStatus.PROVEN.value],
        CertificateStatus.UNDECIDED.value,
    )
    table = pl.DataFrame(
        _cells(values, every, rows)
        | {
            "lower": values.lower.numpy(),
            "upper": values.upper.numpy(),
            "verdict": pl.Series(verdict.tolist(), dtype=pl.String),
            "bound": settled["bound"],
            "witness": witness,
            "probability": probability,
            "boxes": found.boxes.numpy(),
        }
    )
    known = pl.col("verdict") != CertificateStatus.FLIPS.value
    table = table.with_columns(
        pl.col("witness", "probability").fill_nan(None), bound=pl.when(known).then(pl.col("bound")).otherwise(None)
    )
    return table.select("row", *(pl.col(name).cast(kind) for name, kind in VALUES_SCHEMA.items() if name != "stay_id"))


def _stays(
    shard: Shard, status: npt.NDArray[np.object_], before: Scores, values: pl.DataFrame, checkpoint: Checkpoint
) -> pl.DataFrame:
    """Return one row a stay."""
    verdict = pl.col("verdict")
    counts = values.group_by("row").agg(
        pl.len().alias("values"),
        *(
            (verdict == state.value).sum().alias(name)
            for name, state in (
                ("proven", CertificateStatus.PROVEN),
                ("flippable", CertificateStatus.FLIPS),
                ("undecided", CertificateStatus.UNDECIDED),
            )
        ),
        pl.col("boxes").sum(),
    )
    stays = pl.DataFrame(
        {
            "row": shard.rows,
            "status": pl.Series([str(each) for each in status], dtype=pl.String),
            "probability_before": _calibrated(before.probability, checkpoint),
        }
    ).join(counts, on="row", how="left", maintain_order="left")
    numbers = ("values", "proven", "flippable", "undecided", "boxes")
    stays = stays.with_columns(pl.col(*numbers).fill_null(0).cast(pl.Int32))
    decided = (
        pl.when(pl.col("status") != CertificateStatus.UNDECIDED.value)
        .then(pl.col("status"))
        .when(pl.col("values") == 0)
        .then(pl.lit(CertificateStatus.NOTHING_TO_CHANGE.value))
        .when(pl.col("flippable") > 0)
        .then(pl.lit(CertificateStatus.FLIPS.value))
        .when(pl.col("undecided") == 0)
        .then(pl.lit(CertificateStatus.PROVEN.value))
        .otherwise(pl.col("status"))
    )
    return stays.with_columns(status=decided, probability_before=pl.col("probability_before").fill_nan(None))


def _calibrated(probability: npt.NDArray[np.float64], checkpoint: Checkpoint) -> npt.NDArray[np.float64]:
    """Return the risks that the checkpoint's calibration makes of softmax probabilities."""
    if checkpoint.curve is None:
        return probability
    with np.errstate(divide="ignore"):
        return risks_at(checkpoint.curve, np.log(probability) - np.log1p(-probability))
