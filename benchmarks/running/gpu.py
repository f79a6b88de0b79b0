"""What does a GPU do for attacks and training? One table.

    python benchmarks/running/gpu.py [--device cuda] [--json FILE]
    python benchmarks/running/gpu.py --device cpu --quick

Rows: one iteration of an attack (margins of every stay and their gradient) through the project's engine, through the
library's module and autograd, and through the library's module as a captured graph; whole attacks on random stays,
also on one core of the same machine; epochs of training beside a plain loop. Stays a second by the wall clock, best of
several rounds; the device is idle before and after each, and a first round does not count. After the time limit no
further row is begun, and the rows left out are named. ``--quick`` takes small sizes: it checks the script, not the
machine.
"""

# ruff: noqa: E402 - the allocator must be set before torch is imported

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from icudl.execution.threads import tune_process

tune_process()

import numpy as np
import torch
from torch import Tensor, nn

from icudl.artifacts import FeatureScaler
from icudl.attacks.base import make_attack
from icudl.attacks.engine import AutogradEngine, make_engine
from icudl.attacks.options import AttackOptions, GreedyOptions, ProximalOptions
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.threat import StayTensors, grid_cells
from icudl.models.base import SequenceClassifier
from icudl.models.build import GROUP, build_model
from icudl.models.options import ModelOptions
from icudl.plugins import options_of
from icudl.preprocessing.scaling import InputOptions
from icudl.training.data import Stays
from icudl.training.loop import fit
from icudl.training.options import TrainingOptions

N_HOURS, N_VARIABLES = 48, 19

MODELS: dict[str, tuple[str, dict[str, object]]] = {
    "lstm last_hour": ("lstm", {"readout": "last_hour", "hidden_size": 128}),
    "lstm final": ("lstm", {"readout": "final", "hidden_size": 128}),
    "three lstm_summary": (
        "lstm_summary",
        {"readout": "attention", "hidden_size": 48, "ensemble_size": 3, "activation": "identity", "fc_size": 0},
    ),
}
ATTACKS: dict[str, AttackOptions] = {"greedy": GreedyOptions(), "proximal": ProximalOptions()}

Row = tuple[str, Callable[[], float]]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much each row does."""

    batches: tuple[int, ...]
    attacked: int
    trained: int
    rounds: int


FULL = Sizes(batches=(128, 1024, 8192), attacked=128, trained=8000, rounds=3)
QUICK = Sizes(batches=(16,), attacked=8, trained=256, rounds=1)


def rate(run: Callable[[], object], n_stays: int, rounds: int, device: str) -> float:
    """Return stays a second: the best round."""
    best = 0.0
    for number in range(rounds + 1):
        wait(device)
        before = time.perf_counter()
        run()
        wait(device)
        if number:
            best = max(best, n_stays / (time.perf_counter() - before))
    return best


def wait(device: str) -> None:
    """Wait until the device is idle."""
    if device != "cpu":
        torch.cuda.synchronize()


def options_of_model(model: str) -> ModelOptions:
    name, options = MODELS[model]
    chosen = options_of(GROUP, name)(**options)
    assert isinstance(chosen, ModelOptions)
    return chosen


def frozen(model: str, device: str) -> SequenceClassifier:
    torch.manual_seed(0)
    return build_model(options_of_model(model), N_VARIABLES).to(device).eval().requires_grad_(requires_grad=False)


def random_stays(n_stays: int, device: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(n_stays, N_HOURS, N_VARIABLES, generator=generator)
    return values.to(device), torch.full((n_stays,), N_HOURS, device=device)


def engine_rows(sizes: Sizes, device: str) -> Iterator[Row]:
    for name in MODELS:
        for n_stays in sizes.batches:
            for way in ("engine", "autograd", "graph"):
                if way != "graph" or device != "cpu":
                    title = f"iteration, {name}, batch {n_stays}, {way}"
                    yield title, partial(iteration, name, n_stays, way, sizes.rounds, device)


def iteration(name: str, n_stays: int, way: str, rounds: int, device: str) -> float:
    """Time margins and gradient of one batch."""
    model, (values, lengths) = frozen(name, device), random_stays(n_stays, device)
    if way == "graph":
        return rate(captured(model, values, lengths), n_stays, rounds, device)
    engine = make_engine(model) if way == "engine" else AutogradEngine(model)
    return rate(partial(engine.difference_and_gradient, values, lengths), n_stays, rounds, device)


def captured(model: SequenceClassifier, values: Tensor, lengths: Tensor) -> Callable[[], None]:
    """Return a replay of the library's forward and backward pass, recorded once.

    cuDNN's recurrent layers have a backward pass in train mode only; dropout is set to zero.
    """
    model.train()
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    leaf = values.clone().requires_grad_()

    def both() -> None:
        logits = model(leaf, lengths)
        leaf.grad = None
        (logits[:, 1] - logits[:, 0]).sum().backward()

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            both()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        both()
    return graph.replay


def attack_rows(sizes: Sizes, device: str) -> Iterator[Row]:
    for name in MODELS:
        for attack in ATTACKS:
            for place in dict.fromkeys((device, "cpu")):
                title = f"{attack}, {name}, batch {sizes.attacked}, on {place}"
                yield title, partial(whole_attack, name, attack, sizes.attacked, place)


def whole_attack(name: str, attack: str, n_stays: int, device: str) -> float:
    """Time an attack; half of the stays lie on each side of the threshold."""
    target = bound(frozen(name, device), *random_stays(n_stays, device))
    run = partial(make_attack(ATTACKS[attack]), target, range(n_stays))
    return rate(run, n_stays, 1, device)


def bound(model: SequenceClassifier, values: Tensor, lengths: Tensor) -> CheckpointTarget:
    """Bind a model to random stays as the attack stage binds a checkpoint."""
    cells = values.shape[2]
    stays = StayTensors(values, torch.ones_like(values).bool(), torch.zeros_like(values), values[:, 0, :0], lengths)
    ones, zeros, none = np.ones(cells, np.float32), np.zeros(cells, np.float32), np.zeros(0, np.float32)
    engine = make_engine(model)
    difference = engine.difference(values, lengths)
    threshold = float(difference.median())
    return CheckpointTarget(
        engine=engine,
        bound=stays,
        bound_cells=grid_cells(stays),
        scaler=FeatureScaler(zeros, ones, zeros, zeros, ones, none, none, none, "forward", len(values)),
        inputs=InputOptions(),
        rows=torch.arange(len(values), device=values.device),
        sign=torch.where(difference >= threshold, 1.0, -1.0),
        shift=threshold,
        memory=engine.remember(values, lengths, cells),
    )


def training_rows(sizes: Sizes, device: str) -> Iterator[Row]:
    for name in ("lstm last_hour", "lstm final"):
        for precision in ("float32", "bfloat16"):
            yield f"training, {name}, batch 128, {precision}", partial(epoch, name, precision, sizes, device)
    yield "training, plain loop over nn.LSTM, batch 128", partial(plain_epoch, sizes, device)


def training_stays(n_stays: int, device: str) -> Stays:
    values, lengths = random_stays(n_stays, device)
    return Stays(values, lengths, (torch.arange(n_stays, device=device) % 8 == 0).long())


def epoch(name: str, precision: str, sizes: Sizes, device: str) -> float:
    """Time an epoch of the project's training loop."""
    stays = training_stays(sizes.trained, device)
    training = TrainingOptions(batch_size=128, class_balance="none", precision=precision)
    options = options_of_model(name)

    def run() -> None:
        fit(options, training, stays, None, seed=0, epochs=1, device=device)

    return rate(run, sizes.trained, sizes.rounds, device)


def plain_epoch(sizes: Sizes, device: str) -> float:
    """Time an epoch of a loop as one would write it."""
    stays, model = training_stays(sizes.trained, device), frozen("lstm last_hour", device)
    model.train().requires_grad_(requires_grad=True)
    optimizer = torch.optim.Adam(model.parameters())

    def run() -> None:
        for rows in torch.randperm(len(stays), device=device).split(128):
            batch = stays.select(rows)
            loss = nn.functional.cross_entropy(model(batch.features, batch.lengths), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return rate(run, sizes.trained, sizes.rounds, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--limit", type=float, default=200.0, help="seconds after which no further row is begun")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes, device = QUICK if arguments.quick else FULL, str(arguments.device)
    rows: dict[str, float] = {}
    begun = time.perf_counter()
    card = "cpu" if device == "cpu" else torch.cuda.get_device_name(device)
    print(f"torch {torch.__version__}, {card}\n\n| what | stays / s |\n|---|---|")
    for title, measure in (*engine_rows(sizes, device), *training_rows(sizes, device), *attack_rows(sizes, device)):
        if time.perf_counter() - begun > arguments.limit:
            print(f"| {title} | left out: time limit |", flush=True)
            continue
        try:
            rows[title] = measure()
        except RuntimeError as error:
            print(f"| {title} | failed: {str(error).splitlines()[0][:90]} |", flush=True)
            continue
        print(f"| {title} | {rows[title]:,.4g} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
