"""How much faster than brute force does the exact search decide about one value, and who misses what?

    OMP_NUM_THREADS=1 python benchmarks/attacks/exact_value.py [--stays 20] [--grid FOLDER --training FOLDER]

Without folders, boosted trees and logistic regression are fitted on synthetic patients. With the folders of two
artifacts of a store (preprocess and train), the final model is searched on its test stays. ``--values`` draws so many
charted values of each stay, for both searches; 0 takes all. Both searches score changed values by the same code, in
one run, in one process with one thread; times are CPU seconds. The exact search takes a stay at a time, as an attack
does; brute force scores the numbers of one value in one call. Brute force tries ``--points`` (10,000) evenly spaced
values from one end of a value's range to the other. A value counts as missed by one search where the other has a number
that flips the stay.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from icudl.artifacts import Checkpoint, GridDataset, TrainingResult
from icudl.attacks.base import PiecewiseTarget, allowed_change
from icudl.attacks.methods.exact_value import ExactValueAttack
from icudl.attacks.options import ExactValueOptions
from icudl.attacks.target.charted import bind_charted
from icudl.attacks.target.checkpoint import decision_shift
from icudl.attacks.target.threat import Entries, charted_cells
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.execution.threads import tune_process
from icudl.models.build import load_charted
from icudl.models.options import BoostedTreesOptions, LogisticOptions
from icudl.preprocessing.cohort import CohortOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.preprocessing.splits import SplitOptions
from icudl.sources import VariableOptions
from icudl.sources.base import WindowOptions
from icudl.sources.synthetic.options import SyntheticOptions
from icudl.sources.synthetic.source import SyntheticSource
from icudl.stages.extract import extract
from icudl.stages.preprocess import preprocess
from icudl.stages.train import train
from icudl.training.data import clinical_stays
from icudl.training.options import TrainingOptions


def synthetic_cases(folder: Path) -> tuple[GridDataset, list[TrainingResult]]:
    def context(name: str) -> RunContext:
        (folder / name).mkdir()
        serial, silent = SerialExecutor(), SilentProgress()
        return RunContext(executor=serial, device="cpu", progress=silent, scratch=folder / name, seed=7)

    source = SyntheticSource(SyntheticOptions(patients=600), 7)
    tables = extract(source, VariableOptions(), WindowOptions(), context("extract"))
    grid = preprocess(tables, CohortOptions(), SplitOptions(folds=2), context("preprocess"))
    training = TrainingOptions(bootstrap_samples=10)
    models = (BoostedTreesOptions(), LogisticOptions())
    return grid, [train(grid, InputOptions(), model, training, context(model.name)) for model in models]


def target_of(grid: GridDataset, checkpoint: Checkpoint, rows: np.ndarray) -> PiecewiseTarget:
    model = load_charted(checkpoint)
    if model is None:
        raise SystemExit(f"{checkpoint.model['name']} is a network, which has no break points to walk through.")
    means, counts = grid.values[rows].astype(np.float64), grid.counts[rows].astype(np.int64)
    entries = Entries(means, counts, checkpoint.scaler, checkpoint.variables, clipped=False)
    stays = clinical_stays(grid, rows, InputOptions.from_dict(checkpoint.inputs))
    shift = decision_shift(checkpoint.threshold, checkpoint.curve)
    target = bind_charted(model, stays, charted_cells(entries), entries, shift)
    if not isinstance(target, PiecewiseTarget):
        raise SystemExit(f"{checkpoint.model['name']} does not say where its score jumps or bends.")
    return target


def measure(target: PiecewiseTarget, points: int, most: int) -> dict[str, float]:
    counts = {
        "values": 0,
        "exact tried": 0,
        "flip by exact": 0,
        "flip by brute": 0,
        "missed by brute": 0,
        "missed by exact": 0,
    }
    seconds = {"exact": 0.0, "brute": 0.0}
    flipped: dict[str, set[int]] = {"exact": set(), "brute": set()}
    search = ExactValueAttack(ExactValueOptions(threat_model="measured"))
    down, up = (limit.flatten(1) for limit in allowed_change(target))
    for row in range(len(target.values)):
        cells = np.random.default_rng(row).permutation(target.attackable[row].flatten().nonzero().squeeze(1).numpy())
        chosen = torch.from_numpy(cells[: most or None])
        stays = torch.full_like(chosen, row)
        start = time.process_time()
        changes, flips = search.points(target, stays, chosen, down[stays, chosen], up[stays, chosen])
        seconds["exact"] += time.process_time() - start
        # What is short of the longest row repeats its last change.
        counts["exact tried"] += int((changes.diff(dim=1) != 0).sum()) + len(changes)
        for cell, found in zip(chosen.tolist(), flips.any(dim=1).tolist(), strict=True):
            low, high = (float(end.flatten(1)[row, cell]) for end in (target.lower, target.upper))
            start = time.process_time()
            places = torch.linspace(low, high, points, dtype=torch.float64)
            brute = bool((target.single_margins(row, cell, places) < 0).any())
            seconds["brute"] += time.process_time() - start
            counts["values"] += 1
            counts["flip by exact"] += found
            counts["flip by brute"] += brute
            counts["missed by brute"] += found and not brute
            counts["missed by exact"] += brute and not found
            for name, flipping in (("exact", found), ("brute", brute)):
                flipped[name] |= {row} if flipping else set()
    n_stays = len(target.values)
    return counts | {
        "stays": n_stays,
        "stays flipped by exact": len(flipped["exact"]),
        "stays flipped by brute": len(flipped["brute"]),
        "exact ms a value": round(1e3 * seconds["exact"] / counts["values"], 3),
        "brute ms a value": round(1e3 * seconds["brute"] / counts["values"], 3),
        "times faster": round(seconds["brute"] / seconds["exact"], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stays", type=int, default=20)
    parser.add_argument("--values", type=int, default=0)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--grid", type=Path)
    parser.add_argument("--training", type=Path)
    arguments = parser.parse_args()
    tune_process()
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.grid and arguments.training:
            grid, trainings = GridDataset.read(arguments.grid), [TrainingResult.read(arguments.training)]
        else:
            grid, trainings = synthetic_cases(Path(scratch))
        for training in trainings:
            checkpoint = training.checkpoints["final"]
            rows = np.random.default_rng(1).permutation(np.flatnonzero(grid.is_test))[: arguments.stays]
            found = measure(target_of(grid, checkpoint, np.sort(rows)), arguments.points, arguments.values)
            print(json.dumps({"model": checkpoint.model["name"], "points": arguments.points} | found), flush=True)


if __name__ == "__main__":
    main()
