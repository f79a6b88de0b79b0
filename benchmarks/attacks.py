"""How do the attacks of icudl compare with those of the attack libraries, on one model and the same stays?

    benchmarks/peers.sh ENVIRONMENT
    OMP_NUM_THREADS=1 ENVIRONMENT/bin/python benchmarks/attacks.py FOLDER [--stays 64] [--readout last_hour]

FOLDER keeps the synthetic case (benchmarks/attack_case.py). Or give ``--grid`` and ``--training``, the folders of two
artifacts of a store, to compare on your own model. Peers attack the library's module through autograd, in eval mode,
with their defaults unless the name says otherwise; their examples are clipped to the bounds and judged, like ours, by a
forward pass of the module. Rates are stays per second of CPU time in one process with one thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from attack_case import bind, load_case
from torch import Tensor, nn

from icudl.artifacts import GridDataset, TrainingResult
from icudl.attacks import distances
from icudl.attacks.base import make_attack
from icudl.attacks.options import AttackOptions
from icudl.attacks.target import CheckpointTarget
from icudl.execution.runtime import tune_process

Run = Callable[[], Tensor]
OURS: dict[str, AttackOptions] = {
    "icudl greedy (prune, shrink)": AttackOptions(name="greedy"),
    "icudl greedy, as found": AttackOptions(name="greedy", refine=False),
    "icudl proximal (fista; prune, polish, shrink)": AttackOptions(),
    "icudl proximal, as found": AttackOptions(refine=False),
    "icudl proximal ista 200 (prune, polish, shrink)": AttackOptions(optimizer="ista", iterations=200, lambda_1=0.02),
    "the original: adam, 200 iterations": AttackOptions(
        optimizer="adam", iterations=200, lambda_1=0.003, learning_rate=0.02, refine=False, patience=0
    ),
}


class TwoLogits(nn.Module):
    """The library's module as peers want it: features in, two logits out whose larger one is the decision."""

    def __init__(self, model: nn.Module, target: CheckpointTarget) -> None:
        super().__init__()
        self.model, self.length, self.shift = model, int(target.stays.lengths[0]), target.shift

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, 2) logits of (B, T, C) features."""
        logits = self.model(features, torch.full((len(features),), self.length))
        return logits - torch.tensor([0.0, self.shift])


def peers(model: nn.Module, target: CheckpointTarget) -> dict[str, Run]:
    cells, labels = target.values, (target.sign > 0).long()
    return {**_foolbox(model, cells, labels), **_advlib(model, cells, labels), **_others(model, cells, labels)}


def _foolbox(model: nn.Module, cells: Tensor, labels: Tensor) -> dict[str, Run]:
    import foolbox
    from foolbox import attacks

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")

    def run(attack: object) -> Tensor:
        return attack(wrapped, cells, labels, epsilons=None)[0]

    start = attacks.SaltAndPepperNoiseAttack()
    return {
        "Foolbox EAD (L1 rule, 9 x 200)": partial(run, attacks.EADAttack(9, 200, decision_rule="L1")),
        "Foolbox FMN-L0, 200": partial(run, attacks.L0FMNAttack(steps=200)),
        "Foolbox Brendel-Bethge L0": partial(run, attacks.L0BrendelBethgeAttack(start)),
        "Foolbox Brendel-Bethge L1": partial(run, attacks.L1BrendelBethgeAttack(start)),
    }


def _advlib(model: nn.Module, cells: Tensor, labels: Tensor) -> dict[str, Run]:
    # The package's __init__ imports torchvision for attacks on images; the modules wanted here do not need it.
    spec = importlib.util.find_spec("adv_lib")
    package = types.ModuleType("adv_lib.attacks")
    package.__path__ = [str(Path(spec.origin).parent / "attacks")]
    sys.modules["adv_lib.attacks"] = package
    from adv_lib.attacks.fast_minimum_norm import fmn
    from adv_lib.attacks.sigma_zero import sigma_zero
    from adv_lib.attacks.stochastic_sparse_attacks import vfga

    return {
        "adv-lib sigma-zero, 200": lambda: sigma_zero(model, cells.clone(), labels, num_steps=200),
        "adv-lib sigma-zero, 1000": lambda: sigma_zero(model, cells.clone(), labels, num_steps=1000),
        "adv-lib FMN-L0, 200": lambda: fmn(model, cells.clone(), labels, norm=0, steps=200),
        "adv-lib VFGA": lambda: vfga(model, cells.clone(), labels, targeted=False),
    }


def _others(model: nn.Module, cells: Tensor, labels: Tensor) -> dict[str, Run]:
    import torchattacks
    from art.attacks.evasion import ElasticNet, SaliencyMapMethod
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(model, nn.CrossEntropyLoss(), tuple(cells.shape[1:]), 2, clip_values=(0, 1))
    array = cells.numpy()
    flipped = torch.nn.functional.one_hot(1 - labels, 2).numpy()
    elastic = partial(ElasticNet, classifier, decision_rule="L1", batch_size=256, verbose=False)
    saliency = SaliencyMapMethod(classifier, theta=0.3, batch_size=256, verbose=False)
    return {
        "ART EAD (L1 rule, beta .01)": lambda: torch.from_numpy(elastic(beta=0.01).generate(array)),
        "ART JSMA (theta .3)": lambda: torch.from_numpy(saliency.generate(array, y=flipped)),
        "torchattacks SparseFool": lambda: torchattacks.SparseFool(model)(cells.clone(), labels),
    }


def measure(name: str, run: Run, model: nn.Module, target: CheckpointTarget) -> dict[str, object]:
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
        "attack": name,
        "success": float(flips.double().mean()),
        "l0_median": float(distances.l0(change).double().median()),
        **sizes,
        "stays_per_cpu_second": len(flips) / seconds,
    }


def ours(options: AttackOptions, target: CheckpointTarget) -> Tensor:
    found = make_attack(options)(target, range(len(target.values)))
    return target.values + found.best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stays", type=int, default=64)
    parser.add_argument("--readout", default="last_hour")
    parser.add_argument("--grid", type=Path)
    parser.add_argument("--training", type=Path)
    parser.add_argument("--only", default="", help="part of the names of the attacks to run")
    arguments = parser.parse_args()
    tune_process()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if arguments.grid and arguments.training:
        grid, training = GridDataset.read(arguments.grid), TrainingResult.read(arguments.training)
    else:
        grid, training = load_case(arguments.folder, arguments.readout)
    module, target = bind(grid, training.checkpoints["final"], arguments.stays)
    model = TwoLogits(module, target).eval()
    runs: dict[str, Run] = {name: partial(ours, options, target) for name, options in OURS.items()}
    try:
        runs |= peers(model, target)
    except ImportError as error:
        print(f"without peers: {error} (benchmarks/peers.sh installs them)", file=sys.stderr)
    # What a process does only once is not an attack's: oneDNN's and torch's first calls.
    for options in OURS.values():
        ours(options, target.select(torch.arange(4)))
    rows = []
    for name, run in runs.items():
        if arguments.only not in name:
            continue
        try:
            row = measure(name, run, model, target)
        except Exception as error:
            print(f"| {name} | failed: {type(error).__name__}: {str(error)[:80]} |", flush=True)
            continue
        rows.append(row)
        print(
            "| {attack} | {success:.2f} | {l0_mean:.2f} / {l0_median:.0f} | {l1_mean:.3f} | {l2_mean:.3f} | "
            "{linf_mean:.3f} | {stays_per_cpu_second:.2f} |".format(**row),
            flush=True,
        )
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "attacks.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
