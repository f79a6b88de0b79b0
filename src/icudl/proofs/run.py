"""Proofs about many stays, in shards: each stay read by a model that was not fitted on it, resumable after a kill."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import Checkpoint, GridDataset
from icudl.artifacts.attacks.certificates import TABLES, Certificates
from icudl.attacks.run.resuming import parts_of, readers_of, run_shards
from icudl.attacks.run.shards import Shard, unseen_member
from icudl.execution.base import Tick
from icudl.execution.context import RunContext
from icudl.execution.threads import single_thread
from icudl.models.build import load_charted, load_model
from icudl.models.charted.parts import PartsModel
from icudl.proofs.forms.networks import make_network
from icudl.proofs.options import CertifyOptions
from icudl.proofs.outcome import ShardProofs, prove_charted, prove_network, prove_parts


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
    parts = parts_of(checkpoints, grid, rows, options)
    readers = readers_of(parts, checkpoints)
    for checkpoint in readers.values():
        model = load_charted(checkpoint)
        if model is None:
            make_network(load_model(checkpoint, "cpu"), options.terms)
        elif isinstance(model, PartsModel):
            make_network(model.network, options.terms)
    data = ProofData(readers, options)
    paths = run_shards(prove_shard, data, parts, readers, grid, options, context, label="certify", ending=".stays")
    return assemble([ShardProofs.read(path) for path in paths], grid, options)


def prove_shard(data: ProofData, shard: Shard, tick: Tick) -> ShardProofs:
    """Prove what no single wrong value can do to the stays of a shard."""
    checkpoint, options = data.checkpoints[shard.member], data.options
    with single_thread():
        charted = load_charted(checkpoint)
        if isinstance(charted, PartsModel):
            outcome = prove_parts(checkpoint, charted, make_network(charted.network, options.terms), shard, options)
        elif charted is not None:
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
