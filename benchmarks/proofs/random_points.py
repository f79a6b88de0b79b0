"""Does any random number inside a proven piece flip a prediction? Millions of them, scored by the model itself.

    OMP_NUM_THREADS=1 python benchmarks/proofs/random_points.py --config study.toml --model lstm --store runs

Reads the proofs of ``icudl run --to certify/MODEL`` from the store. Each point is drawn from a piece, and each piece is
as likely as any other of the same stay; stays get points in proportion to their pieces. A tenth of the points are ends
of pieces.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

import numpy as np
import polars as pl
import torch

from icudl import Pipeline, load_config
from icudl.artifacts import Certificates, Checkpoint, GridDataset, PieceVerdict
from icudl.attacks.run.shards import ShardJobs, bind_shard, divide
from icudl.attacks.target.verification import score
from icudl.models.build import load_model
from icudl.preprocessing.scaling import InputOptions, static_columns
from icudl.proofs.forms.values import NetworkValues

ENDS = 0.1


def points_of(pieces: pl.DataFrame, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the pieces of ``count`` points and where these lie."""
    which = rng.integers(pieces.height, size=count)
    share = rng.random(count)
    share = np.where(rng.random(count) < ENDS, np.round(share), share)
    low, high = (pieces[name].to_numpy()[which] for name in ("low", "high"))
    return which, low * (1 - share) + high * share


def margins(
    grid: GridDataset, checkpoint: Checkpoint, row: int, threat_model: str, cells: np.ndarray, at: np.ndarray
) -> torch.Tensor:
    """Return the leads of the present class of one stay, with one value changed in each.

    Args:
        grid: The stays.
        checkpoint: The model.
        row: Of the stay.
        threat_model: What may be wrong.
        cells: (n, 2) hour and variable of the values.
        at: (n,) what takes their place, in unit coordinates.
    """
    statics = {"final": static_columns(grid, InputOptions.from_dict(checkpoint.inputs))}
    rows = np.array([row])
    shard = ShardJobs(grid, divide(grid, rows, 1), statics, 0)[0]
    model = load_model(checkpoint, "cpu")
    target = bind_shard(checkpoint, model, shard, threat_model, (), "cpu")
    values = NetworkValues.of(target, score(model, target, target.values).says_death)
    number = {tuple(cell): index for index, cell in enumerate(values.cell[1:].T.tolist())}
    which = torch.tensor([number[tuple(cell)] for cell in cells.tolist()])
    return values.margins(model, which, torch.from_numpy(at))


def wrong_of(proofs: Certificates, grid: GridDataset, checkpoint: Checkpoint, points: int) -> Mapping[str, str]:
    """Return, by verdict, how many points were tried in how many pieces, and how many of them contradict it."""
    rng, found = np.random.default_rng(0), {}
    row_of = {int(stay): row for row, stay in enumerate(grid.stay_ids)}
    for verdict, wanted in ((PieceVerdict.HOLDS, points), (PieceVerdict.FLIPS, points // 100)):
        pieces = proofs.pieces.filter(verdict=verdict.value)
        tried = wrong = 0
        begun = time.process_time()
        for (stay,), own in pieces.group_by("stay_id", maintain_order=True):
            count = max(1, round(wanted * own.height / pieces.height))
            which, at = points_of(own, count, rng)
            cells = own.select("hour", "variable").to_numpy()[which]
            lead = margins(grid, checkpoint, row_of[int(stay)], proofs.threat_model, cells, at)
            tried += count
            wrong += int(((lead < 0) != (verdict is PieceVerdict.FLIPS)).sum())
            rate = tried / (time.process_time() - begun)
            print(f"{verdict.value}: {tried:,} points, {wrong} wrong, {rate:,.0f} a second of one core", flush=True)
        stays = pieces["stay_id"].n_unique()
        found[verdict.value] = f"{tried:,} points of {pieces.height:,} pieces of {stays} stays: {wrong} wrong"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--set", action="append", default=[], help="A setting of the study.")
    parser.add_argument("--model", default="", help="Of a study with several models.")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--points", type=int, default=10_000_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = Pipeline(load_config(args.config, args.set), args.store)
    suffix = f"/{args.model}" if args.model else ""
    proofs, grid = pipeline.run(f"certify{suffix}"), pipeline.run("preprocess")
    checkpoint = pipeline.run(f"train{suffix}").checkpoints["final"]
    for verdict, line in wrong_of(proofs, grid, checkpoint, args.points).items():
        print(f"{verdict}: {line}")


if __name__ == "__main__":
    main()
