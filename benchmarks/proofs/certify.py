"""Measure proofs: share of values proven, intervals and CPU time a value, beside plain interval arithmetic.

    OMP_NUM_THREADS=1 python benchmarks/proofs/certify.py --store runs --values 96

Trains the demo's LSTM (or takes it from the store) and decides random charted values of test stays over their whole
plausible range. Then random points of the proven pieces are tried.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import numpy as np
import torch

from icudl import Pipeline, load_config
from icudl.artifacts import Checkpoint, GridDataset
from icudl.attacks.run.shards import ShardJobs, bind_shard, divide
from icudl.attacks.target.verification import score
from icudl.models.base import SequenceClassifier
from icudl.models.build import load_model
from icudl.preprocessing.scaling import InputOptions, static_columns
from icudl.proofs.forms.affine import AffineForm
from icudl.proofs.forms.networks import Prepared, make_network
from icudl.proofs.forms.passes import Track
from icudl.proofs.forms.search import Search
from icudl.proofs.forms.values import NetworkValues
from icudl.proofs.pieces import Verdict

SETTINGS = ("source.patients=1500", "split.folds=3", "training.max_epochs=12", "training.bootstrap_samples=50")


def sample(
    grid: GridDataset, checkpoint: Checkpoint, threat_model: str, n_stays: int, n_values: int
) -> tuple[NetworkValues, SequenceClassifier]:
    statics = {"final": static_columns(grid, InputOptions.from_dict(checkpoint.inputs))}
    rows = np.flatnonzero(grid.is_test)[:n_stays]
    shard = ShardJobs(grid, divide(grid, rows, len(rows)), statics, 0)[0]
    model = load_model(checkpoint, "cpu")
    target = bind_shard(checkpoint, model, shard, threat_model, (), "cpu")
    values = NetworkValues.of(target, score(model, target, target.values).says_death)
    chosen = torch.randperm(values.cell.shape[1], generator=torch.Generator().manual_seed(0))[:n_values]
    return (
        dataclasses.replace(
            values, cell=values.cell[:, chosen], lower=values.lower[chosen], upper=values.upper[chosen]
        ),
        model,
    )


def decided_alongside(values: NetworkValues, network: Prepared) -> tuple[float, float]:
    """Share of the whole ranges that one pass alongside the unchanged stays decides, and CPU seconds a value."""
    which, begun = torch.arange(values.cell.shape[1]), time.process_time()
    band = network.alongside(values.passes(which, values.lower, values.upper))
    lead = values.sign[values.stay] * (band.centre - values.target.shift) - band.slope[:, 0].abs() - band.rest
    return float((lead > 0).double().mean()), (time.process_time() - begun) / len(which)


def decided_at_once(values: NetworkValues, network: Prepared, *, intervals: bool) -> tuple[float, float]:
    """Share of the whole ranges that one pass of forms decides, and CPU seconds a value."""
    which = torch.arange(values.cell.shape[1])
    begun, proven = time.process_time(), 0
    for part in which.split(8):
        passes = values.passes(part, values.lower[part], values.upper[part])
        if intervals:
            track = passes.track
            wide = Track(track.centre, torch.zeros_like(track.slope), track.own + track.slope[:, 0].abs())
            passes = passes._replace(track=wide)
        band = network.band(passes)
        sign = values.sign[values.stay[part]]
        lead = sign * (band.centre - values.target.shift) - band.slope[:, 0].abs() - band.rest
        proven += int((lead > 0).sum())
    return proven / len(which), (time.process_time() - begun) / len(which)


def compare(grid: GridDataset, checkpoint: Checkpoint, threat_model: str, n_stays: int, n_values: int) -> None:
    """Decide values drawn from some stays by forms, and all values of these stays alongside the unchanged stays."""
    spent = []
    for name, count, alongside in (("forms", n_values, False), ("alongside", 10**6, True)):
        values, model = sample(grid, checkpoint, threat_model, n_stays, count)
        network, total = make_network(model, 4), values.cell.shape[1]
        begun = time.process_time()
        prepared = network.prepare(Track.exact(values.features), values.target.lengths)
        reading = time.process_time() - begun
        search = Search(model, prepared, values, 0.01, 10**6, network.at_once, alongside=alongside)
        found = search.run()
        spent.append((time.process_time() - begun - reading) / total)
        still_open = int((found.pieces.verdict == Verdict.OPEN).sum())
        print(
            f"{name}: {total} values of {n_stays} stays, {1000 * spent[-1]:.0f} ms CPU a value and "
            f"{reading / n_stays:.2f} s a stay, {int((~found.witness.isnan()).sum())} values flip, {still_open} pieces "
            f"open, {int(found.boxes.sum())} intervals bounded alone",
            flush=True,
        )
    print(f"ratio {spent[0] / spent[1]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="runs")
    parser.add_argument("--stays", type=int, default=8)
    parser.add_argument("--values", type=int, default=96)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--threat-model", choices=("measured", "grid"), default="measured")
    parser.add_argument("--set", action="append", default=[], help="A setting of the study.")
    parser.add_argument("--config", help="A study in place of the demo.")
    parser.add_argument("--model", default="", help="Of a study with several models.")
    parser.add_argument("--speed", action="store_true", help="Only compare two ways to decide the values.")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = args.set if args.config else [*SETTINGS, *args.set]
    pipeline = Pipeline(load_config(args.config, settings), args.store)
    training, grid = pipeline.run(f"train/{args.model}" if args.model else "train"), pipeline.run("preprocess")
    checkpoint = training.checkpoints["final"]
    if args.speed:
        compare(grid, checkpoint, args.threat_model, args.stays, args.values)
        return
    values, model = sample(grid, checkpoint, args.threat_model, args.stays, args.values)
    stays = Track.exact(values.features)
    network = make_network(model, 8)
    begun = time.process_time()
    prepared = network.prepare(stays, values.target.lengths)
    print(f"{checkpoint.model['name']}, {checkpoint.model['hidden_size']} units, {grid.values.shape[1:]} inputs")
    print(f"unchanged stays: {(time.process_time() - begun) / len(values.features):.2f} s CPU a stay")
    begun = time.process_time()
    found = Search(model, prepared, values, 0.01, 10**6, network.at_once).run()
    seconds = time.process_time() - begun
    n_values, boxes, pieces = values.cell.shape[1], int(found.boxes.sum()), found.pieces
    flips = int((~found.witness.isnan()).sum())
    is_open = torch.bincount(pieces.value[pieces.verdict == Verdict.OPEN], minlength=n_values) > 0
    undecided = int((is_open & found.witness.isnan()).sum())
    print(f"{n_values} values: {n_values - flips - undecided} proven, {flips} flip, {undecided} undecided")
    print(f"{boxes / n_values:.2f} intervals and {1000 * seconds / n_values:.0f} ms CPU a value")
    for verdict in (Verdict.HOLDS, Verdict.FLIPS):
        part = pieces.where(pieces.verdict == verdict)
        if not len(part.value):
            continue
        which = torch.randint(len(part.value), (args.points,), generator=torch.Generator().manual_seed(1))
        share = torch.rand(args.points, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        lead = values.margins(model, part.value[which], part.low[which] + share * (part.high - part.low)[which])
        wrong = int(((lead < 0) != (verdict is Verdict.FLIPS)).sum())
        print(f"{args.points} random points of pieces called {verdict.name.lower()}: {wrong} wrong")
    if prepared.runs_alongside:
        share, cost = decided_alongside(values, prepared)
        print(f"one pass alongside proves {share:.1%} of the whole ranges, {1000 * cost:.0f} ms CPU a value")
    share, cost = decided_at_once(values, prepared, intervals=False)
    print(f"one pass of affine forms proves {share:.1%} of the whole ranges, {1000 * cost:.0f} ms CPU a value")
    # Without shared unknowns an affine form is an interval.
    AffineForm.shared = lambda form: form  # type: ignore[method-assign]
    share, cost = decided_at_once(values, network.prepare(stays, values.target.lengths), intervals=True)
    print(f"one pass of intervals proves {share:.1%} of the whole ranges, {1000 * cost:.0f} ms CPU a value")


if __name__ == "__main__":
    main()
