"""Proofs about many stays, in shards: each stay read by a model that was not fitted on it, resumable after a kill."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import Checkpoint, GridDataset
from icudl.artifacts.certificates import TABLES, Certificates
from icudl.attacks.run.shards import Part, Shard, ShardJobs, divide, unseen_member
from icudl.errors import StageError
from icudl.execution.base import Tick
from icudl.execution.context import RunContext
from icudl.execution.threads import single_thread
from icudl.models.build import load_charted, load_model
from icudl.preprocessing.scaling import InputOptions, static_columns
from icudl.proofs.forms.networks import make_network
from icudl.proofs.options import CertifyOptions
from icudl.proofs.outcome import ShardProofs, prove_charted, prove_network


@dataclasses.dataclass(frozen=True, eq=False)
class ProofData:
    """The data that all shards share.

    Attributes:
        checkpoints: By member.
        options: Of the proofs.
    """

    checkpoints: Mapping[str, Checkpoint]
    options: CertifyOptions


def run_proofs(
    checkpoints: Mapping[str, Checkpoint],
    grid: GridDataset,
    rows: npt.NDArray[np.int64],
    options: CertifyOptions,
    context: RunContext,
) -> Certificates:
    """Prove what no single wrong value can do to the stays at ``rows``.

    Each finished shard is kept in ``context.scratch``; a run that was killed goes on with the others. Proofs are made
    on the processor, in float64, whatever ``context.device`` is.

    Args:
        checkpoints: ``"final"`` for test stays and ``"fold-k"`` for the stays of fold k, those that ``rows`` needs.
        grid: The data set.
        rows: (M,) positions of stays in ``grid``.
        options: Threat model, width and budget.
        context: Executor, progress, scratch folder, seed.

    Raises:
        StageError: ``rows`` is empty, a checkpoint is missing, or nothing can be proved about the model.
    """
    if len(rows) == 0:
        raise StageError("No stay is left to prove. Choose another certify.split, or more stays.")
    parts = divide(grid, np.sort(rows), options.batch_size)
    members = sorted({part.member for part in parts})
    for member in members:
        if member not in checkpoints:
            raise StageError(
                f"The training result has no member {member!r}, which alone has not met some of the stays; it has "
                f"{', '.join(checkpoints)}. Train all folds, or prove the test stays only (certify.split = 'test')."
            )
        if load_charted(checkpoints[member]) is None:
            make_network(load_model(checkpoints[member], "cpu"), options.terms)
    statics = {member: static_columns(grid, InputOptions.from_dict(checkpoints[member].inputs)) for member in members}
    data = ProofData({member: checkpoints[member] for member in members}, options)
    paths = [_shard_path(context, options, grid, part) for part in parts]
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    jobs = ShardJobs(grid, [parts[index] for index in missing], statics, context.seed)

    def keep(position: int, outcome: ShardProofs) -> None:
        outcome.write(paths[missing[position]])

    with context.progress.task("certify", total=len(rows), unit="stays") as bar:
        bar.advance(len(rows) - sum(len(parts[index].rows) for index in missing))
        context.executor.run(prove_shard, jobs, shared=data, on_result=keep, tick=bar.advance)
    return assemble([ShardProofs.read(path) for path in paths], grid, options)


def prove_shard(data: ProofData, shard: Shard, tick: Tick) -> ShardProofs:
    """Prove what no single wrong value can do to the stays of a shard."""
    checkpoint, options = data.checkpoints[shard.member], data.options
    with single_thread():
        charted = load_charted(checkpoint)
        if charted is not None:
            outcome = prove_charted(checkpoint, charted, shard, options)
        else:
            model = load_model(checkpoint, "cpu")
            outcome = prove_network(checkpoint, model, make_network(model, options.terms), shard, options)
    tick(len(shard.rows))
    return outcome


def assemble(parts: Sequence[ShardProofs], grid: GridDataset, options: CertifyOptions) -> Certificates:
    """Put the outcomes of all shards together, sorted by stay."""
    whole = ShardProofs.joined(parts)
    stays = whole.stays
    rows = stays["row"].to_numpy()
    stays = stays.with_columns(
        pl.Series("label", grid.labels[rows]),
        pl.Series("member", [unseen_member(grid, int(row)) for row in rows]),
        pl.Series("split", ["test" if grid.is_test[row] else "out-of-fold" for row in rows]),
        pl.Series("length", grid.lengths[rows]),
    )
    order = {
        "values": ("hour", "variable"),
        "pieces": ("hour", "variable", "low"),
        "flips": ("hour", "variable", "low"),
        "nearby": ("most", "within"),
    }
    tables = {}
    for name, schema in TABLES.items():
        table = stays if name == "stays" else getattr(whole, name)
        table = table.with_columns(stay_id=pl.Series(grid.stay_ids[table["row"].to_numpy()]))
        tables[name] = table.select(pl.col(column).cast(kind) for column, kind in schema.items()).sort(
            "stay_id", *order.get(name, ())
        )
    return Certificates(
        **tables,
        variables=grid.variables,
        n_hours=grid.values.shape[1],
        threat_model=options.threat_model,
        options=options.to_dict(),
    )


def _shard_path(context: RunContext, options: CertifyOptions, grid: GridDataset, part: Part) -> Path:
    """Return a shard's file, whose name tells it from every other shard in the stage's scratch folder."""
    what = [options.to_dict(), context.seed, part.member, grid.stay_ids[part.rows].tolist()]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]
    return context.scratch / f"certify-{digest}.stays"
