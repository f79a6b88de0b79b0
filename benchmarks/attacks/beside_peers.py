"""How do the attacks of icudl compare with those of the attack libraries, on one model and the same stays?

    benchmarks/attacks/peers.sh ENVIRONMENT
    OMP_NUM_THREADS=1 ENVIRONMENT/bin/python benchmarks/attacks/beside_peers.py FOLDER [--stays 48] [--only greedy]

FOLDER keeps the synthetic case (attack_case.py) and the table, ``attacks.json``: attacks measured again take
the place of their rows, and rows of other stays or of another model are thrown away. Or give ``--grid`` and
``--training``, the folders of two artifacts of a store, to compare on your own model. Peers attack the library's module
through autograd, in eval mode (attack_peers.py); their examples are clipped to the bounds and judged, like
ours, by a forward pass of the module. Rates are stays per second of CPU time in one process with one thread; with
``--rounds`` every attack runs as often, in turns, and the best counts. Before, every attack runs on a few stays for up
to 30 calls of the module, so that nobody pays for first calls.

Optimality is AttackBench's (arXiv 2404.19460, local): the area between an attack's curve of robust accuracy over the
budget and the model's accuracy, as a share of the same area for the best example that any attack of the table found.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sys
import time
import warnings
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from attack_case import bind, load_case
from attack_peers import Run, all_peers, bare_package, original
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
BOTH = ("icudl greedy (prune, shrink)", "icudl proximal (fista; prune, polish, shrink)")


class TwoLogits(nn.Module):
    """The library's module as peers want it: features in, two logits out whose larger one is the decision."""

    def __init__(self, model: nn.Module, target: CheckpointTarget) -> None:
        super().__init__()
        self.model, self.length, self.shift = model, int(target.lengths[0]), target.shift

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, 2) logits of (B, T, C) features."""
        logits = self.model(features, torch.full((len(features),), self.length))
        return logits - torch.tensor([0.0, self.shift])


@dataclass(frozen=True)
class Row:
    """What one attack did to the stays; ``l0`` and ``l1`` hold a distance for each, infinite where nothing flipped."""

    success: float
    l0_median: float
    l0_mean: float
    l1_mean: float
    l2_mean: float
    linf_mean: float
    stays_per_cpu_second: float
    l0: tuple[float, ...]
    l1: tuple[float, ...]


def measure(run: Run, model: nn.Module, target: CheckpointTarget) -> Row:
    torch.manual_seed(0)
    before = time.process_time()
    found = run().detach().to(target.values)
    seconds = time.process_time() - before
    change = found.clamp(target.lower, target.upper) - target.values
    change = torch.where(change.abs() > 1e-7, change, torch.zeros_like(change))
    with torch.no_grad():
        flips = model(target.values + change).argmax(dim=1) != (target.sign > 0).long()
    l0, l1 = (norm(change).double().masked_fill(~flips, torch.inf) for norm in (distances.l0, distances.l1))
    change = change[flips]
    return Row(
        success=float(flips.double().mean()),
        l0_median=float(l0[flips].median()),
        l0_mean=float(l0[flips].mean()),
        l1_mean=float(l1[flips].mean()),
        l2_mean=float(distances.l2(change).double().mean()),
        linf_mean=float(distances.linf(change).double().mean()),
        stays_per_cpu_second=len(flips) / seconds,
        l0=tuple(l0.tolist()),
        l1=tuple(l1.tolist()),
    )


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
        print(f"without peers: {error} (benchmarks/attacks/peers.sh installs them)", file=sys.stderr)
    return runs


class WarmEnoughError(Exception):
    """An attack has called the module often enough."""


def warm_up(
    names: Collection[str], model: nn.Module, target: CheckpointTarget, stays: int = 2, calls: int = 30
) -> None:
    """Run the attacks on the last stays until each has called the module ``calls`` times: first calls are slow."""
    few, left = target.select(torch.arange(len(target.values))[-stays:]), calls

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise WarmEnoughError

    handle = model.register_forward_pre_hook(count)
    for name, run in attacks_of(model, few).items():
        if name in names:
            left = calls
            with contextlib.suppress(Exception):  # The measurement itself says what failed.
                run()
    handle.remove()


def measure_in_turns(
    runs: dict[str, Run], rounds: int, model: nn.Module, target: CheckpointTarget
) -> Iterator[tuple[str, Row]]:
    """Run the attacks in turns and give each round's rows, with the best rate so far."""
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, run in runs.items():
            try:
                row = measure(run, model, target)
            except Exception as error:
                print(f"| {name} | failed: {type(error).__name__}: {str(error)[:80]} |", flush=True)
                continue
            best[name] = max(row.stays_per_cpu_second, best.get(name, 0.0))
            yield name, replace(row, stays_per_cpu_second=best[name])


def optimality(rows: dict[str, Row], norm: str) -> dict[str, float]:
    """Return AttackBench's local optimality of each attack, or nothing if its library is not installed."""
    try:
        for folder in ("", "metrics"):
            bare_package("attackbench", folder)
    except ImportError:
        return {}
    from attackbench.metrics.distances import eval_optimality

    found = {name: np.array(getattr(row, norm)) for name, row in rows.items()}
    envelope = np.minimum.reduce(list(found.values()))
    # The model is right about every stay that is attacked.
    return {name: eval_optimality(values, envelope, clean_acc=1.0) for name, values in found.items()}


def show(rows: dict[str, Row]) -> None:
    """Print the table."""
    print("\n| attack | success | L0 mean / median | L1 | L2 | Linf | optimality L0 | L1 | stays / CPU-s | ours is |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    shares = {norm: optimality(rows, norm) for norm in ("l0", "l1")}
    for name, row in rows.items():
        l0, l1 = (f"{shares[norm][name]:.3f}" if name in shares[norm] else "" for norm in ("l0", "l1"))
        factors = [f"{rows[mine].stays_per_cpu_second / row.stays_per_cpu_second:.3g}" for mine in BOTH if mine in rows]
        print(
            f"| {name} | {row.success:.2f} | {row.l0_mean:.2f} / {row.l0_median:.0f} | {row.l1_mean:.3f} | "
            f"{row.l2_mean:.3f} | {row.linf_mean:.3f} | {l0} | {l1} | {row.stays_per_cpu_second:.3g} | "
            f"{' / '.join(factors)} |"
        )


def fingerprint(model: nn.Module, target: CheckpointTarget) -> str:
    """Return what tells the model and the stays of a table from others."""
    arrays = [target.values, *model.state_dict().values()]
    return hashlib.sha256(b"".join(array.contiguous().numpy().tobytes() for array in arrays)).hexdigest()


def read_table(path: Path, case: str) -> dict[str, Row]:
    if not path.exists():
        return {}
    table = json.loads(path.read_text())
    return {name: Row(**row) for name, row in table["rows"].items()} if table.get("case") == case else {}


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
    if target.features(target.values) is not target.values:
        parser.error(
            "peers know nothing but cells: the model must read the channel 'value' with scaling 'minmax' alone"
        )
    model = TwoLogits(module.requires_grad_(requires_grad=False), target).eval()
    wanted = arguments.only or [""]
    runs = attacks_of(model, target)
    chosen = {name: run for name, run in runs.items() if any(part in name for part in wanted)}
    arguments.folder.mkdir(parents=True, exist_ok=True)
    table, case = arguments.folder / "attacks.json", fingerprint(model, target)
    rows = read_table(table, case)
    warm_up(chosen.keys(), model, target)
    for name, row in measure_in_turns(chosen, arguments.rounds, model, target):
        print(f"{name}: {row.success:.2f}, {row.l0_mean:.2f} cells, L1 {row.l1_mean:.3f}", file=sys.stderr, flush=True)
        rows[name] = row
        found = {name: asdict(row) for name, row in rows.items()}
        table.write_text(json.dumps({"case": case, "rows": found}, indent=1) + "\n")
    show({name: rows[name] for name in runs if name in rows})


if __name__ == "__main__":
    main()
