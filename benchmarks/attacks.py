"""How do the attacks of icudl compare with those of the attack libraries, on one model and the same stays?

    benchmarks/peers.sh ENVIRONMENT
    OMP_NUM_THREADS=1 ENVIRONMENT/bin/python benchmarks/attacks.py FOLDER [--stays 48] [--only greedy --only VFGA]

FOLDER keeps the synthetic case (benchmarks/attack_case.py) and the table, ``attacks.json``: attacks measured again take
the place of their rows. Or give ``--grid`` and ``--training``, the folders of two artifacts of a store, to compare on
your own model. Peers attack the library's module through autograd, in eval mode (benchmarks/attack_peers.py); their
examples are clipped to the bounds and judged, like ours, by a forward pass of the module. Rates are stays per second of
CPU time in one process with one thread; with ``--rounds`` every attack runs as often, in turns, and the best counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import torch
from attack_case import bind, load_case
from attack_peers import Run, all_peers, original
from torch import Tensor, nn

from icudl.artifacts import GridDataset, TrainingResult
from icudl.attacks import distances
from icudl.attacks.base import make_attack
from icudl.attacks.options import AttackOptions, GreedyOptions, ProximalOptions
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.execution.threads import tune_process

OURS: dict[str, AttackOptions] = {
    "icudl greedy (prune, shrink)": GreedyOptions(),
    "icudl greedy, as found": GreedyOptions(refine=False),
    "icudl proximal (fista; prune, polish, shrink)": ProximalOptions(),
    "icudl proximal, as found": ProximalOptions(refine=False),
    "icudl proximal ista 200 (prune, polish, shrink)": ProximalOptions(optimizer="ista", iterations=200, lambda_1=0.02),
}


class TwoLogits(nn.Module):
    """The library's module as peers want it: features in, two logits out whose larger one is the decision."""

    def __init__(self, model: nn.Module, target: CheckpointTarget) -> None:
        super().__init__()
        self.model, self.length, self.shift = model, int(target.lengths[0]), target.shift

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, 2) logits of (B, T, C) features."""
        logits = self.model(features, torch.full((len(features),), self.length))
        return logits - torch.tensor([0.0, self.shift])


def measure(run: Run, model: nn.Module, target: CheckpointTarget) -> dict[str, float]:
    torch.manual_seed(0)
    before = time.process_time()
    found = run().detach().to(target.values)
    seconds = time.process_time() - before
    change = found.clamp(target.lower, target.upper) - target.values
    change = torch.where(change.abs() > 1e-7, change, torch.zeros_like(change))
    with torch.no_grad():
        flips = model(target.values + change).argmax(dim=1) != (target.sign > 0).long()
    change = change[flips]
    sizes = {
        f"{norm}_mean": float(getattr(distances, norm)(change).double().mean()) for norm in ("l0", "l1", "l2", "linf")
    }
    return {
        "success": float(flips.double().mean()),
        "l0_median": float(distances.l0(change).double().median()),
        **sizes,
        "stays_per_cpu_second": len(flips) / seconds,
    }


def ours(options: AttackOptions, target: CheckpointTarget) -> Tensor:
    found = make_attack(options)(target, range(len(target.values)))
    return target.values + found.best


def attacks_of(model: nn.Module, target: CheckpointTarget) -> dict[str, Run]:
    cells, labels = target.values, (target.sign > 0).long()
    runs: dict[str, Run] = {name: partial(ours, options, target) for name, options in OURS.items()}
    for iterations in (200, 1000):
        runs[f"the original's algorithm, {iterations}"] = partial(original, model, cells, labels, iterations)
    try:
        runs |= all_peers(model, cells, labels)
    except ImportError as error:
        print(f"without peers: {error} (benchmarks/peers.sh installs them)", file=sys.stderr)
    # What a process does only once is not an attack's: oneDNN's and torch's first calls.
    for options in OURS.values():
        ours(options, target)
    return runs


def measure_in_turns(
    runs: dict[str, Run], rounds: int, model: nn.Module, target: CheckpointTarget
) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for name, run in runs.items():
            try:
                row = measure(run, model, target)
            except Exception as error:
                print(f"| {name} | failed: {type(error).__name__}: {str(error)[:80]} |", flush=True)
                continue
            rate = "stays_per_cpu_second"
            row[rate] = max(row[rate], rows[name][rate] if name in rows else 0.0)
            rows[name] = row
            if rounds == 1:
                show(name, row)
    return rows


def show(name: str, row: dict[str, float]) -> None:
    print(
        f"| {name} | {row['success']:.2f} | {row['l0_mean']:.2f} / {row['l0_median']:.0f} | {row['l1_mean']:.3f} | "
        f"{row['l2_mean']:.3f} | {row['linf_mean']:.3f} | {row['stays_per_cpu_second']:.3g} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stays", type=int, default=48)
    parser.add_argument("--readout", default="last_hour")
    parser.add_argument("--grid", type=Path)
    parser.add_argument("--training", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", action="append", default=[], help="part of the names of attacks to run; repeatable")
    arguments = parser.parse_args()
    tune_process()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if arguments.grid and arguments.training:
        grid, training = GridDataset.read(arguments.grid), TrainingResult.read(arguments.training)
    else:
        grid, training = load_case(arguments.folder, arguments.readout)
    module, target = bind(grid, training.checkpoints["final"], arguments.stays)
    model = TwoLogits(module.requires_grad_(requires_grad=False), target).eval()
    wanted = arguments.only or [""]
    runs = attacks_of(model, target)
    chosen = {name: run for name, run in runs.items() if any(part in name for part in wanted)}
    arguments.folder.mkdir(parents=True, exist_ok=True)
    table = arguments.folder / "attacks.json"
    rows = json.loads(table.read_text()) if table.exists() else {}
    rows |= measure_in_turns(chosen, arguments.rounds, model, target)
    table.write_text(json.dumps(rows, indent=1) + "\n")
    print("\n| attack | success | L0 mean / median | L1 | L2 | Linf | stays / CPU-s |\n|---|---|---|---|---|---|---|")
    for name in runs:
        if name in rows:
            show(name, rows[name])


if __name__ == "__main__":
    main()
