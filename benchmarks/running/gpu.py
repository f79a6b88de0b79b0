"""What does a GPU do for attacks and training? One table.

    python benchmarks/running/gpu.py [--device cuda] [--json FILE]
    python benchmarks/running/gpu.py --device cpu --quick

Rows: one iteration of an attack (margins of every stay and their gradient) in several ways (``WAYS``); whole attacks on
random stays, also on one core of the same machine; epochs of training beside a plain loop. Stays a second by the wall
clock, best of several rounds; the device is idle before and after each, and a first round does not count. The first
rows are no rates: how far margins and gradients of the project's engine lie from those of autograd in float64. After
the time limit no further row is begun, and the rows left out are named. ``--quick`` takes small sizes: it checks the
script, not the machine.
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
from icudl.attacks.engine import AutogradEngine, Engine, make_engine
from icudl.attacks.engine.choice import device_engine, engine_by_hours
from icudl.attacks.engine.known import Known
from icudl.attacks.options import AttackOptions, GreedyOptions, ProximalOptions
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.threat import StayTensors, grid_cells
from icudl.execution.recording import Rerun
from icudl.models.base import SequenceClassifier, whole_stays
from icudl.models.build import GROUP, build_model
from icudl.models.options import ModelOptions
from icudl.models.recurrent.classifier import RecurrentClassifier
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
WAYS: dict[str, str] = {
    "engine": "the project's, as attacks use it",
    "not recorded": "the same without graphs",
    "by hours": "the project's passes for CPUs",
    "autograd": "the library's module, cuDNN off",
    "module": "the library's module in train mode, float32",
    "graph": "the same as a CUDA graph",
    "graph, TF32": "the same with products in TF32",
}
"""What the names of the rows mean."""

ATTACKS: dict[str, AttackOptions] = {"greedy": GreedyOptions(), "proximal": ProximalOptions()}

Row = tuple[str, Callable[[], float]]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much each row does."""

    batches: tuple[int, ...]
    ragged: int
    attacked: tuple[int, ...]
    trained: int
    steps: tuple[int, ...]
    rounds: int


FULL = Sizes(batches=(128, 1024, 8192), ragged=1024, attacked=(128, 1024), trained=8000, steps=(128, 1024), rounds=3)
QUICK = Sizes(batches=(16,), ragged=16, attacked=(8,), trained=256, steps=(128,), rounds=1)

EPOCHS = 3
"""Of a training that is timed."""

LEAST_SECONDS = 0.05
"""A round repeats what is faster."""


def rate(run: Callable[[], object], n_stays: int, rounds: int, device: str) -> float:
    """Return stays a second: the best round."""
    run()
    best, repeats = 0.0, 1
    for _ in range(rounds + 1):
        wait(device)
        before = time.perf_counter()
        for _ in range(repeats):
            run()
        wait(device)
        each = (time.perf_counter() - before) / repeats
        best, repeats = max(best, n_stays / each), max(1, round(LEAST_SECONDS / each))
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


def random_stays(n_stays: int, device: str, *, ragged: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(n_stays, N_HOURS, N_VARIABLES, generator=generator)
    shortest = N_HOURS // 2 if ragged else N_HOURS
    lengths = torch.randint(shortest, N_HOURS + 1, (n_stays,), generator=generator)
    return values.to(device), lengths.to(device)


def difference_rows(sizes: Sizes, device: str) -> Iterator[Row]:
    for name in MODELS:
        for what, ragged in (("", False), (", ragged stays", True)):
            title = f"largest difference from float64, {name}{what} (no rate)"
            yield title, partial(difference, name, sizes.batches[0], device, ragged=ragged)


def difference(name: str, n_stays: int, device: str, *, ragged: bool) -> float:
    """Return how far margins and gradients are from autograd's, as a share of the largest."""
    model, (values, lengths) = frozen(name, device), random_stays(n_stays, device, ragged=ragged)
    found = make_engine(model).difference_and_gradient(values, lengths)
    exact = AutogradEngine(frozen(name, device).double()).difference_and_gradient(values.double(), lengths)
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in zip(found, exact, strict=True))


def engine_rows(sizes: Sizes, device: str) -> Iterator[Row]:
    for name in MODELS:
        for n_stays in sizes.batches:
            for way in WAYS:
                if device == "cpu" and way.startswith("graph"):
                    continue
                if name == "three lstm_summary" and way.startswith(("module", "graph")):
                    continue
                title = f"iteration, {name}, batch {n_stays}, {way}"
                yield title, partial(iteration, name, n_stays, way, sizes.rounds, device)
        title = f"iteration, {name}, batch {sizes.ragged} of ragged stays, "
        for way in ("engine", "by hours"):
            yield title + way, partial(iteration, name, sizes.ragged, way, sizes.rounds, device, ragged=True)


def iteration(name: str, n_stays: int, way: str, rounds: int, device: str, *, ragged: bool = False) -> float:
    """Time margins and gradient of one batch."""
    model, (values, lengths) = frozen(name, device), random_stays(n_stays, device, ragged=ragged)
    if way.startswith(("module", "graph")):
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=way.endswith("TF32")):
            return rate(library_pass(model, values, graph=way != "module"), n_stays, rounds, device)
    engine = engine_of(model, way)
    memory = engine.remember(values, lengths, N_VARIABLES)
    known = None if memory is None else Known(memory, torch.arange(n_stays, device=device))
    # Another batch of the same stays, as attacks score them: no hour is that of the stays remembered.
    changed = values * 0.9 + 0.01
    return rate(partial(engine.difference_and_gradient, changed, lengths, known), n_stays, rounds, device)


def engine_of(model: SequenceClassifier, way: str) -> Engine:
    if way == "engine":
        return make_engine(model)
    if way == "not recorded":
        return device_engine(model, Rerun())
    return engine_by_hours(model) if way == "by hours" else AutogradEngine(model)


def library_pass(model: SequenceClassifier, values: Tensor, *, graph: bool) -> Callable[[], object]:
    """Return forward and backward pass through the layers as one would write them, for stays of all hours.

    cuDNN's recurrent layers have a backward pass in train mode only. Nothing asks the device for lengths.
    """
    assert isinstance(model, RecurrentClassifier)
    size, readout = model.options.hidden_size, model.options.readout
    model.rnn.train()
    leaf = values.clone().requires_grad_()

    def both() -> Tensor:
        outputs = model.rnn(leaf)[0]
        read = outputs[:, -1] if readout == "last_hour" else torch.cat([outputs[:, -1, :size], outputs[:, 0, size:]], 1)
        logits = model.head(read)
        return torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), leaf)[0]

    if not graph:
        return both
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            both()
    torch.cuda.current_stream().wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        both()
    return recorded.replay


def attack_rows(sizes: Sizes, device: str) -> Iterator[Row]:
    for place in dict.fromkeys((device, "cpu")):
        for n_stays in sizes.attacked if place != "cpu" else sizes.attacked[:1]:
            for name in MODELS:
                for attack in ATTACKS:
                    title = f"{attack}, {name}, batch {n_stays}, on {place}"
                    yield title, partial(whole_attack, name, attack, n_stays, place)


def whole_attack(name: str, attack: str, n_stays: int, device: str) -> float:
    """Time an attack; half of the stays lie on each side of the threshold. On a GPU, a first run records the passes."""
    target = bound(frozen(name, device), *random_stays(n_stays, device))
    run = partial(make_attack(ATTACKS[attack]), target, range(n_stays))
    if device != "cpu":
        run()
        wait(device)
    return once(run, n_stays, device)


def once(run: Callable[[], object], n_stays: int, device: str) -> float:
    """Return stays a second of a single round of what takes long enough."""
    before = time.perf_counter()
    run()
    wait(device)
    return n_stays / (time.perf_counter() - before)


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
    for batch_size in sizes.steps:
        for name in ("lstm last_hour", "lstm final"):
            for precision in ("float32", "bfloat16"):
                for way in ("recorded", "not recorded") if device != "cpu" else ("not recorded",):
                    title = f"training, {name}, batch {batch_size}, {precision}, {way}"
                    yield title, partial(trained, name, batch_size, precision, way, sizes, device)
        title = f"training, plain loop over nn.LSTM, batch {batch_size}"
        yield title, partial(plain_epoch, batch_size, sizes, device)


def training_stays(n_stays: int, device: str) -> Stays:
    values, lengths = random_stays(n_stays, device)
    return Stays(values, lengths, (torch.arange(n_stays, device=device) % 8 == 0).long())


def trained(name: str, batch_size: int, precision: str, way: str, sizes: Sizes, device: str) -> float:
    """Time a training of few epochs by the project's loop; to record the steps is part of it."""
    stays = training_stays(sizes.trained, device)
    training = TrainingOptions(batch_size=batch_size, class_balance="none", precision=precision)
    options, recorder = options_of_model(name), Rerun() if way == "not recorded" and device != "cpu" else None

    def run() -> None:
        fit(options, training, stays, None, seed=0, epochs=EPOCHS, device=device, recorder=recorder)

    return rate(run, sizes.trained * EPOCHS, 1, device)


def plain_epoch(batch_size: int, sizes: Sizes, device: str) -> float:
    """Time an epoch of a loop as one would write it for stays of all hours: nothing asks the device for lengths."""
    stays, model = training_stays(sizes.trained, device), frozen("lstm last_hour", device)
    model.train().requires_grad_(requires_grad=True)
    optimizer = torch.optim.Adam(model.parameters())

    def run() -> None:
        with whole_stays():
            for rows in torch.randperm(len(stays), device=device).split(batch_size):
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
    print(f"torch {torch.__version__}, {card}\n")
    print("\n".join(f"* {way}: {meaning}" for way, meaning in WAYS.items()))
    print("\n| what | stays / s |\n|---|---|")
    every = (
        *difference_rows(sizes, device),
        *engine_rows(sizes, device),
        *training_rows(sizes, device),
        *attack_rows(sizes, device),
    )
    for title, measure in every:
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
