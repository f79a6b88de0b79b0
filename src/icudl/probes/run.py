"""Probes of many stays, in shards: each stay read by a model that was not fitted on it, resumable after a kill."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import Checkpoint, GridDataset
from icudl.artifacts.models.probes import TABLES, Probes
from icudl.attacks.base import TargetModel
from icudl.attacks.run.resuming import parts_of, readers_of, run_shards
from icudl.attacks.run.shards import Shard, bind_charted_shard, bind_shard, unseen_member
from icudl.execution.base import Tick
from icudl.execution.context import RunContext
from icudl.execution.threads import single_thread
from icudl.files import write_atomically
from icudl.models.build import load_charted, load_model
from icudl.probes.options import ProbeOptions
from icudl.probes.responses import respond
from icudl.probes.scoring import risk_function
from icudl.probes.verdicts import reversals


@dataclasses.dataclass(frozen=True, eq=False)
class ProbeData:
    """The data that all shards share.

    Attributes:
        checkpoints: By member.
        options: Of the probes.
        device: Where to compute.
    """

    checkpoints: Mapping[str, Checkpoint]
    options: ProbeOptions
    device: str


@dataclasses.dataclass(frozen=True, eq=False)
class ShardProbes:
    """What was found of the stays of a shard; the column ``row`` is a stay's position in its data set.

    Attributes:
        stays: Row, probability and threshold.
        responses: As ``RESPONSES_SCHEMA``, with ``row``.
        verdicts: As ``VERDICTS_SCHEMA``, with ``row``.
        slips: As ``SLIPS_SCHEMA``, with ``row``.
    """

    stays: pl.DataFrame
    responses: pl.DataFrame
    verdicts: pl.DataFrame
    slips: pl.DataFrame

    def write(self, path: Path) -> None:
        """Write each table beside ``path``, the stays last and under that very name."""
        for name in ("responses", "verdicts", "slips"):
            write_atomically(path.with_suffix(f".{name}"), getattr(self, name).write_parquet)
        write_atomically(path, self.stays.write_parquet)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote."""
        others = (pl.read_parquet(path.with_suffix(f".{name}")) for name in ("responses", "verdicts", "slips"))
        return cls(pl.read_parquet(path), *others)


def run_probes(
    checkpoints: Mapping[str, Checkpoint],
    grid: GridDataset,
    rows: npt.NDArray[np.int64],
    options: ProbeOptions,
    context: RunContext,
) -> Probes:
    """Probe the stays at ``rows``.

    Each finished shard is kept in ``context.scratch``; a run that was killed goes on with the others.

    Args:
        checkpoints: ``"final"`` for test stays and ``"fold-k"`` for the stays of fold k, those that ``rows`` needs.
        grid: The data set.
        rows: (M,) positions of stays in ``grid``.
        options: Derangements and rates.
        context: Executor, device, progress, scratch folder, seed.

    Raises:
        StageError: ``rows`` is empty, or a checkpoint is missing.
    """
    parts = parts_of(checkpoints, grid, rows, options)
    readers = readers_of(parts, checkpoints)
    data = ProbeData(readers, options, context.device)
    paths = run_shards(probe_shard, data, parts, readers, grid, options, context, label="probe", ending=".stays")
    return assemble([ShardProbes.read(path) for path in paths], grid, options)


def probe_shard(data: ProbeData, shard: Shard, tick: Tick) -> ShardProbes:
    """Derange the stays of a shard, and enter their values wrongly."""
    checkpoint, options = data.checkpoints[shard.member], data.options
    with single_thread():
        risk_of = risk_function(checkpoint, shard, data.device)
        probability = risk_of(shard.values)
        verdicts, slips = reversals(bind_measured(checkpoint, shard, data.device), shard.rows, shard.seeds, options)
        outcome = ShardProbes(
            stays=pl.DataFrame(
                {
                    "row": shard.rows,
                    "probability": probability,
                    "threshold": np.full(len(shard.rows), checkpoint.threshold),
                }
            ),
            responses=respond(checkpoint, risk_of, shard, options),
            verdicts=verdicts,
            slips=slips,
        )
    tick(len(shard.rows))
    return outcome


def bind_measured(checkpoint: Checkpoint, shard: Shard, device: str) -> TargetModel:
    """Bind any model to the charted values of a shard."""
    charted = load_charted(checkpoint)
    if charted is not None:
        return bind_charted_shard(checkpoint, charted, shard)
    return bind_shard(checkpoint, load_model(checkpoint, device), shard, "measured", (), device)


def assemble(parts: Sequence[ShardProbes], grid: GridDataset, options: ProbeOptions) -> Probes:
    """Put the outcomes of all shards together, sorted by stay."""
    stays = pl.concat([part.stays for part in parts])
    rows = stays["row"].to_numpy()
    stays = stays.with_columns(
        pl.Series("patient_id", grid.patient_ids[rows]),
        pl.Series("label", grid.labels[rows]),
        pl.Series("member", [unseen_member(grid, int(row)) for row in rows]),
        pl.Series("split", ["test" if grid.is_test[row] else "out-of-fold" for row in rows]),
        pl.col("probability").fill_nan(None),
    )
    whole = {"stays": stays}
    whole |= {name: pl.concat([getattr(part, name) for part in parts]) for name in TABLES if name != "stays"}
    tables = {}
    for name, schema in TABLES.items():
        table = whole[name].with_columns(stay_id=pl.Series(grid.stay_ids[whole[name]["row"].to_numpy()]))
        # The rows of a stay stand together already, in the order in which they were made.
        tables[name] = table.select(pl.col(column).cast(kind) for column, kind in schema.items()).sort(
            "stay_id", maintain_order=True
        )
    return Probes(**tables, variables=grid.variables, options=options.to_dict())
