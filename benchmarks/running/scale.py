"""How do throughput and memory of an attack grow with the number of stays and of workers?

    python benchmarks/running/scale.py [--stays 10000 100000 1000000] [--workers 1 2] [--search default] [--json FILE]

Random walks are written as the preprocess stage would write them and attacked as the attack stage does, each time in a
process of its own: shards, files, tables. The network is small and the search short, so that a million stays end; rates
are those of this setting and no other; `--search default` takes network and search as they are set by default. Memory
is the largest resident set of the process that runs the attack, and of its largest worker, by the kernel's count; CPU
seconds are those of all processes, of their start too.
"""

# ruff: noqa: E402 - the allocator must be set before torch is imported

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from icudl.execution.threads import tune_process

tune_process()

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from icudl.artifacts import (
    FINAL,
    FLOW_SCHEMA,
    STAYS_SCHEMA,
    AttackResult,
    AttackStatus,
    Checkpoint,
    GridDataset,
    Member,
)
from icudl.attacks.options import ProximalOptions
from icudl.attacks.run.runner import run_attack
from icudl.execution.base import Executor
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.dask.executor import DaskExecutor
from icudl.execution.pool.executor import ProcessExecutor
from icudl.models.build import build_model
from icudl.models.options import LstmOptions, ModelOptions
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on
from icudl.variables import STUDY_VARIABLES

N_HOURS, N_FOLDS, CHUNK, SEED = 48, 5, 10_000, 1
N_VARIABLES = len(STUDY_VARIABLES)
SEARCHES = {
    "short": (
        LstmOptions(hidden_size=8, fc_size=8, bidirectional=False),
        ProximalOptions(
            iterations=3, learning_rate=1.0, lambda_1=0.3, refine=False, batch_size=500, attack_misclassified=True
        ),
    ),
    "default": (LstmOptions(), ProximalOptions(attack_misclassified=True)),
}


def draw_values(chunk: int, n_stays: int) -> npt.NDArray[np.float32]:
    """Draw a random walk for each variable of each stay, a third of its hours charted."""
    rng = np.random.default_rng([SEED, chunk])
    walks = rng.standard_normal((n_stays, N_HOURS, N_VARIABLES), np.float32).cumsum(axis=1) / 4
    charted = rng.random(walks.shape, np.float32) < 1 / 3
    return np.where(charted, 50 + 10 * walks, np.float32(np.nan)).astype(np.float32)


def make_grid(n_stays: int, values: npt.NDArray[np.float32]) -> GridDataset:
    """Make a data set; one stay in eight dies, one in ten is a test stay."""
    rng, numbers = np.random.default_rng(SEED), np.arange(n_stays)
    is_test, died = numbers % 10 == 9, rng.random(n_stays) < 1 / 8
    stays = pl.DataFrame(
        {
            "stay_id": numbers,
            "patient_id": numbers,
            "admission_id": numbers,
            "age_years": rng.uniform(20, 90, n_stays),
            "sex": np.array(["F", "M"])[numbers % 2],
            "icu_type": None,
            "height_cm": None,
            "weight_kg": None,
            "source_set": "",
            "stay_number": 1,
            "stay_hours": 72.0,
            "death_hours": None,
            "died": died,
        },
        schema=dict(STAYS_SCHEMA),
    )
    return GridDataset(
        values=values,
        counts=np.isfinite(values).astype(np.uint16),
        lengths=np.full(n_stays, N_HOURS, np.int16),
        labels=died.astype(np.int8),
        statics=np.zeros((n_stays, 0), np.float32),
        static_names=(),
        stays=stays,
        is_test=is_test,
        folds=np.where(is_test, -1, numbers % N_FOLDS).astype(np.int8),
        flow=pl.DataFrame(schema=dict(FLOW_SCHEMA)),
        variables=STUDY_VARIABLES,
        population="synthetic",
    )


def write_grid(n_stays: int, folder: Path) -> None:
    """Write a data set as the preprocess stage would, its large arrays piece by piece."""
    grid = make_grid(n_stays, np.zeros((n_stays, 0, N_VARIABLES), np.float32))
    grid.write(folder)
    shape = (n_stays, N_HOURS, N_VARIABLES)
    small = {name: getattr(grid, name) for name in ("lengths", "labels", "statics", "is_test", "folds")}
    sizes = {"values": 4 * math.prod(shape), "counts": 2 * math.prod(shape)}
    header: dict[str, Any] = {}
    position = 0
    for name, dtype in (("values", "F32"), ("statics", "F32"), ("counts", "U16"), ("lengths", "I16"),
                        ("labels", "I8"), ("folds", "I8"), ("is_test", "BOOL")):  # fmt: skip
        size = sizes.get(name, small[name].nbytes if name in small else 0)
        own = list(small[name].shape) if name in small else list(shape)
        header[name] = {"dtype": dtype, "shape": own, "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path, start = folder / "grid.safetensors", 8 + len(text)
    with path.open("wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        handle.truncate(start + position)
    places = {name: start + entry["data_offsets"][0] for name, entry in header.items()}
    for first in range(0, n_stays, CHUNK):
        values = draw_values(first // CHUNK, min(CHUNK, n_stays - first))
        write_at(path, places["values"] + first * 4 * N_HOURS * N_VARIABLES, values)
        write_at(path, places["counts"] + first * 2 * N_HOURS * N_VARIABLES, np.isfinite(values).astype(np.uint16))
    for name, array in small.items():
        write_at(path, places[name], array)


def write_at(path: Path, position: int, array: npt.NDArray[Any]) -> None:
    with path.open("r+b") as handle:
        handle.seek(position)
        handle.write(np.ascontiguousarray(array).tobytes())


def make_checkpoints(model: ModelOptions) -> dict[str, Checkpoint]:
    """Make networks with random weights, large enough for predictions to differ and to be flipped."""
    grid, inputs = make_grid(1000, draw_values(0, 1000)), InputOptions()
    checkpoints: dict[str, Checkpoint] = {}
    for number, member in enumerate([FINAL, *map(Member, range(N_FOLDS))]):
        torch.manual_seed(number)
        network = build_model(model, len(grid.variables))
        checkpoints[str(member)] = Checkpoint(
            member=member,
            model=model.to_dict(),
            inputs=inputs.to_dict(),
            variables=grid.variables,
            static_names=(),
            n_hours=N_HOURS,
            scaler=fit_scaler_on(grid, np.flatnonzero(~grid.is_test), inputs),
            threshold=0.5,
            weights={name: (2.5 * tensor).numpy().copy() for name, tensor in network.state_dict().items()},
        )
    return checkpoints


def attack(folder: Path, workers: int, executor_name: str, search: str) -> dict[str, Any]:
    """Attack all stays of the data set in ``folder`` and write the artifact; report time, memory and bytes."""
    model, options = SEARCHES[search]
    grid, checkpoints = GridDataset.read(folder), make_checkpoints(model)
    scratch, target = folder / "scratch", folder / "attack"
    for path in (scratch, target):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    executor: Executor = DaskExecutor(workers=workers) if executor_name == "dask" else ProcessExecutor(workers)
    start, cpu = time.perf_counter(), cpu_seconds()
    with executor:
        context = RunContext(executor=executor, device="cpu", progress=SilentProgress(), scratch=scratch, seed=SEED)
        result = run_attack(checkpoints, grid, np.arange(len(grid.labels)), options, context)
    attacked = time.perf_counter()
    result.write(target)
    found = AttackResult.read(target)
    cells = found.ask("perturbations", lambda table: table.select(pl.len())).item()
    flipped = found.ask(
        "stays", lambda table: table.select((pl.col("status") == AttackStatus.SUCCESS.value).sum())
    ).item()
    usage = [resource.getrusage(who).ru_maxrss * 1024 / 1e6 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "stays": len(grid.labels),
        "workers": workers,
        "seconds": attacked - start,
        "seconds_writing": time.perf_counter() - attacked,
        "seconds_cpu": cpu_seconds() - cpu,
        "stays_per_second": len(grid.labels) / (attacked - start),
        "peak_mb": usage[0],
        "peak_worker_mb": usage[1] if workers > 1 else None,
        "scratch_mb": size_of(scratch),
        "artifact_mb": size_of(target),
        "grid_mb": (folder / "grid.safetensors").stat().st_size / 1e6,
        "flipped": flipped,
        "changed_cells": cells,
    }


def cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def size_of(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def in_own_process(*words: str | Path) -> str:
    """Run a step of this file in a process of its own: the peak of its memory is that of the step."""
    command = [sys.executable, __file__, *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=dict(os.environ)).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stays", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--executor", choices=("processes", "dask"), default="processes")
    parser.add_argument("--search", choices=tuple(SEARCHES), default="short")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only-write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only-attack", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only_write:
        write_grid(args.stays[0], args.only_write)
        return
    if args.only_attack:
        print(json.dumps(attack(args.only_attack, args.workers[0], args.executor, args.search)))
        return
    rows: list[dict[str, Any]] = []
    print("| stays | workers | s | stays/s | CPU s | peak MB | largest worker MB | scratch MB | artifact MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for n_stays in args.stays:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            in_own_process("--only-write", folder, "--stays", str(n_stays))
            for workers in args.workers:
                words = ["--only-attack", folder, "--workers", str(workers)]
                words += ["--executor", args.executor, "--search", args.search]
                row = json.loads(in_own_process(*words))
                rows.append(row)
                print(
                    f"| {n_stays:,} | {workers} | {row['seconds']:.0f} | {row['stays_per_second']:.0f} | "
                    f"{row['seconds_cpu']:.0f} | "
                    f"{row['peak_mb']:.0f} | {row['peak_worker_mb'] or 0:.0f} | {row['scratch_mb']:.0f} | "
                    f"{row['artifact_mb']:.0f} |",
                    flush=True,
                )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
