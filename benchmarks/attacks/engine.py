"""How fast is one iteration of an attack: our pass, the library's with autograd, the matrix products alone?

    OMP_NUM_THREADS=1 python benchmarks/attacks/engine.py [--stays 128] [--hidden 128] [--json FILE]
    OMP_NUM_THREADS=1 python benchmarks/attacks/engine.py --ensemble [--cell gru]
    OMP_NUM_THREADS=1 python benchmarks/attacks/engine.py --grid FOLDER --training FOLDER [--sweep]

One iteration is the margin of every stay and its gradient with respect to 48 x 19 inputs. "Products" times nothing but
the recurrent and input products of both passes, through ``torch.mm`` at the same shapes: what no torch code can beat.
Best of several rounds of CPU time, one thread, with the allocator as it comes and as ``icudl`` tunes it.

``--ensemble`` times three members of the size of the published networks (configs/physionet2012.toml) through our pass
and autograd, in turns: margins of variants of known stays by the number of their changed cells, and margins with whole
gradients of known stays.

``--grid`` and ``--training``, the folders of two artifacts of a store, time whole greedy attacks on test stays through
our pass and autograd, in turns, and count the stays whose examples differ. With ``--sweep`` it is one sweep of the
charted values, each tried at nine places, after a sweep of two stays that warms both up.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from attack_case import bind

from icudl.artifacts import GridDataset, TrainingResult
from icudl.attacks.base import make_attack
from icudl.attacks.engine import AutogradEngine, make_engine
from icudl.attacks.engine.known import Known
from icudl.attacks.options import GreedyOptions, SweepOptions
from icudl.attacks.run.shards import Shard, bind_shard
from icudl.execution.threads import tune_process
from icudl.models.build import GROUP, build_model
from icudl.plugins import options_of
from icudl.preprocessing.scaling import InputOptions, select_statics

N_HOURS, N_INPUTS = 48, 19


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Return the best CPU time of one call."""
    run()
    best = float("inf")
    for _ in range(rounds):
        before = time.process_time()
        run()
        run()
        best = min(best, (time.process_time() - before) / 2)
    return best


def products(n_stays: int, hidden: int, readout: str) -> Callable[[], None]:
    """Return the matrix products of one iteration; ``last_hour`` needs one hour only of the backward direction."""
    width = hidden + N_INPUTS + 1
    rows, weights = torch.randn(n_stays, width), torch.randn(width, 4 * hidden)
    blocks, back = torch.empty(n_stays, 4 * hidden), torch.randn(4 * hidden, width)
    n_steps = N_HOURS + 1 if readout == "last_hour" else 2 * N_HOURS

    def run() -> None:
        for _ in range(n_steps):
            torch.mm(rows, weights, out=blocks)
            torch.mm(blocks, back)

    return run


def table(cells: Sequence[str], n_stays: int, hidden: int, rounds: int, allocator: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name in cells:
        for readout in ("last_hour", "final"):
            model = build_model(options_of(GROUP, name)(readout=readout, hidden_size=hidden), N_INPUTS).eval()
            model.requires_grad_(requires_grad=False)
            features, lengths = torch.rand(n_stays, N_HOURS, N_INPUTS), torch.full((n_stays,), N_HOURS)
            ours, library = make_engine(model), AutogradEngine(model)
            times = {
                "ours": seconds(partial(ours.difference_and_gradient, features, lengths), rounds),
                "autograd": seconds(partial(library.difference_and_gradient, features, lengths), rounds),
                "products": seconds(products(n_stays, hidden, readout), rounds),
            }
            rates = {key: n_stays / value for key, value in times.items()}
            ratio = rates["ours"] / rates["autograd"]
            rows.append({"allocator": allocator, "cell": name, "readout": readout, "ratio": ratio, **rates})
            print(
                f"| {allocator} | {name} | {readout} | {rates['ours']:.0f} | {rates['autograd']:.0f} | {ratio:.2f} | "
                f"{rates['products']:.0f} |",
                flush=True,
            )
    return rows


def in_turns(ours: Callable[[], object], library: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the best CPU times of one call of each."""
    best = [float("inf")] * 2
    for number in range(rounds + 1):
        for place, run in enumerate((ours, library)):
            before = time.process_time()
            run()
            if number:
                best[place] = min(best[place], time.process_time() - before)
    return best[0], best[1]


def ensemble(cell: str, n_stays: int, rounds: int) -> None:
    """Print the table of ``--ensemble``."""
    values, statics = 37, 8
    n_features = 3 * values + statics
    options = {"readout": "attention", "hidden_size": 48, "ensemble_size": 3, "activation": "identity", "fc_size": 0}
    model = build_model(options_of(GROUP, f"{cell}_summary")(**options), n_features).eval()
    model.requires_grad_(requires_grad=False)
    features, lengths = torch.rand(n_stays, N_HOURS, n_features), torch.full((n_stays,), N_HOURS)
    features[..., values : 2 * values] = (features[..., values : 2 * values] > 0.6).float()
    columns = {"value": range(values), "observed": range(values, 2 * values), "statics": range(3 * values, n_features)}
    for network in model.networks:
        network.prepare(features, lengths, columns)
    engine, library = make_engine(model), AutogradEngine(model)
    memory = engine.remember(features, lengths, values)
    print("| what | ours | autograd | ratio |  (stays / CPU-s)\n|---|---|---|---|")
    stays = torch.arange(n_stays).repeat_interleave(8)
    hours, every = lengths[stays], torch.arange(len(stays))[:, None]
    for n_cells in (1, 5):
        changed = features[stays]
        where = torch.randint(N_HOURS, (len(stays), n_cells)), torch.randint(values, (len(stays), n_cells))
        changed[every, where[0], where[1]] += 0.5
        moving, known = changed[..., :values].contiguous(), Known(memory, stays)
        pair = in_turns(
            partial(engine.difference, moving, hours, known), partial(library.difference, changed, hours), rounds
        )
        show(f"margins, {n_cells} changed cells", len(stays), pair)
    moving, known = features[..., :values].contiguous(), Known(memory, torch.arange(n_stays))
    pair = in_turns(
        partial(engine.survey, moving, lengths, 0.05, known),
        partial(library.difference_and_gradient, features, lengths),
        rounds,
    )
    show("margins and gradients", n_stays, pair)


def whole_attacks(grid: Path, training: Path, n_stays: int, rounds: int) -> None:
    """Print how fast greedy is through both, and where its examples differ."""
    checkpoint = TrainingResult.read(training).checkpoints["final"]
    model, ours = bind(GridDataset.read(grid), checkpoint, n_stays)
    library = dataclasses.replace(ours, engine=AutogradEngine(model), memory=None)
    attack, stays = make_attack(GreedyOptions()), range(len(ours.values))
    found = {}

    def run(name: str) -> None:
        found[name] = attack(ours if name == "ours" else library, stays).best

    print("| what | ours | autograd | ratio |  (stays / CPU-s)\n|---|---|---|---|")
    show("greedy attacks", len(stays), in_turns(partial(run, "ours"), partial(run, "library"), rounds))
    differ = ((found["ours"] - found["library"]).abs() > 1e-4).flatten(1).any(dim=1)
    cells = [float((best != 0).sum(dim=(1, 2)).double().mean()) for best in found.values()]
    print(f"{int(differ.sum())} of {len(stays)} examples differ; cells: {cells[0]:.3f}, {cells[1]:.3f}")


def sweeps(grid: GridDataset, training: TrainingResult, n_stays: int) -> None:
    """Print how fast a sweep under ``measured`` is through both, and where its tables differ."""
    checkpoint = training.checkpoints["final"]
    model, chosen = bind(grid, checkpoint, n_stays)
    rows = np.flatnonzero(grid.is_test)[chosen.rows.numpy()]
    statics = select_statics(grid, InputOptions.from_dict(checkpoint.inputs))[rows]
    shard = Shard(
        member="final",
        rows=rows,
        values=grid.values[rows],
        counts=grid.counts[rows],
        statics=statics,
        lengths=grid.lengths[rows],
        labels=grid.labels[rows],
        seeds=rows,
    )
    ours = bind_shard(checkpoint, model, shard, "measured", (), "cpu")
    library = dataclasses.replace(ours, engine=AutogradEngine(model), memory=None)
    attack = make_attack(SweepOptions(threat_model="measured", sweep_points=9))
    times, tables = [], []
    for target in (ours, library):
        attack(target.select(torch.arange(2)), range(2))
        before = time.process_time()
        found = attack(target, range(n_stays))
        times.append(time.process_time() - before)
        tables.append(found.tables)
    n_values = int(tables[0]["sweep"]["entries"].sum())
    print(f"{len(rows)} stays, {n_values} charted values, {len(tables[0]['sweep_flips']['stay'])} intervals that flip")
    print("| what | ours | autograd | ratio |  (values / CPU-s)\n|---|---|---|---|")
    show("sweep", n_values, (times[0], times[1]))
    differ = int((tables[0]["sweep"]["at_risk"] != tables[1]["sweep"]["at_risk"]).sum())
    print(f"{differ} stays with another number of values that flip; CPU seconds: {times[0]:.1f}, {times[1]:.1f}")


def show(what: str, n_stays: int, pair: tuple[float, float]) -> None:
    ours, library = pair
    print(f"| {what} | {n_stays / ours:.0f} | {n_stays / library:.0f} | {library / ours:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stays", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--grid", type=Path)
    parser.add_argument("--training", type=Path)
    parser.add_argument("--cell", choices=("lstm", "gru"))
    parser.add_argument("--sweep", action="store_true", help="a sweep instead of greedy")
    parser.add_argument("--ensemble", action="store_true", help="the published size instead of the plain networks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if arguments.grid and arguments.training:
        tune_process()
        if arguments.sweep:
            training = TrainingResult.read(arguments.training)
            sweeps(GridDataset.read(arguments.grid), training, arguments.stays)
            return
        whole_attacks(arguments.grid, arguments.training, arguments.stays, arguments.rounds)
        return
    if arguments.ensemble:
        tune_process()
        ensemble(arguments.cell or "lstm", arguments.stays, arguments.rounds)
        return
    print("| allocator | cell | read-out | ours | nn + autograd | ratio | products alone |  (stay-iterations/CPU-s)")
    cells = (arguments.cell,) if arguments.cell else ("lstm", "gru")
    rows = table(cells, arguments.stays, arguments.hidden, arguments.rounds, "default")
    tune_process()
    rows += table(cells, arguments.stays, arguments.hidden, arguments.rounds, "tuned")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
