"""What do executors cost to start, and how much faster are two workers than one, by the length of a job?

    python benchmarks/running/executors.py [--json FILE] [--scale 0.1]

Each job trains a small LSTM on stays that all jobs share: one step (about 10 ms), two epochs of 2,000 stays (about
0.3 s), or forty of them (about 5 s). A job tells when it began and ended, so that the time until the first job runs and
the time of the work are told apart. Rates are compared with the serial executor's, which runs before and after the
others of each size. What the machine itself gives is two processes without any executor, each with half of the jobs.
"""

# ruff: noqa: E402 - the allocator must be set before torch is imported

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from icudl.execution.threads import tune_process

tune_process()

import numpy as np
import torch

from icudl.execution.base import Executor, Tick
from icudl.execution.dask.executor import DaskExecutor
from icudl.execution.pool.executor import ProcessExecutor
from icudl.execution.serial import SerialExecutor
from icudl.models.options import LstmOptions
from icudl.training.data import Stays
from icudl.training.loop import fit
from icudl.training.options import TrainingOptions

N_HOURS, N_FEATURES = 48, 19


@dataclasses.dataclass(frozen=True)
class Size:
    """Jobs of one length."""

    name: str
    stays: int
    epochs: int
    jobs: int


SIZES = (Size("10 ms", 64, 1, 400), Size("0.3 s", 2000, 2, 40), Size("5 s", 2000, 40, 8))
BARE = "2 processes, no executor"
EXECUTORS: dict[str, Callable[[], Executor]] = {
    "serial": SerialExecutor,
    "processes, 2 workers": lambda: ProcessExecutor(2),
    "dask, 1 worker": lambda: DaskExecutor(workers=1),
    "dask, 2 workers": lambda: DaskExecutor(workers=2),
}

Span = tuple[float, float]


def random_features(n_stays: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).random((n_stays, N_HOURS, N_FEATURES), dtype=np.float32)


def train(features: np.ndarray[Any, np.dtype[np.float32]], job: tuple[int, int, int], tick: Tick) -> Span:
    """Train on the first stays; return when this began and ended, by the machine's clock."""
    begin = time.monotonic()
    seed, n_stays, epochs = job
    if epochs:
        torch.set_num_threads(1)
        labels = (torch.arange(n_stays) % 8 == 0).long()
        stays = Stays(torch.from_numpy(features[:n_stays].copy()), torch.full((n_stays,), N_HOURS), labels)
        options = TrainingOptions(batch_size=64, max_epochs=epochs, patience=epochs, class_balance="none")
        model = LstmOptions(hidden_size=64, readout="last_hour")
        fit(model, options, stays, stays.select(torch.arange(16)), seed=seed)
    tick(1)
    return begin, time.monotonic()


def start_up(make: Callable[[], Executor], n_stays: int) -> float:
    """Return the seconds until every worker of a fresh executor has done a job that does nothing."""
    features = random_features(n_stays)
    begin = time.monotonic()
    with make() as executor:
        executor.map(train, [(0, 0, 0)] * 2 * executor.workers, shared=features)
        return time.monotonic() - begin


def row_of(name: str, size: Size, begin: float, spans: list[Span]) -> dict[str, Any]:
    """Describe a call that began at ``begin`` and has just ended."""
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    row = {
        "executor": name,
        "size": size.name,
        "jobs": size.jobs,
        "call": time.monotonic() - begin,
        "until_first_job": first - begin,
        "work": last - first,
        "job": float(np.median([end - start for start, end in spans])),
    }
    print(json.dumps(row), flush=True)
    return row


def jobs_of(size: Size) -> list[tuple[int, int, int]]:
    return [(seed, size.stays, size.epochs) for seed in range(size.jobs)]


def measure(
    name: str, executor: Executor, size: Size, features: np.ndarray[Any, np.dtype[np.float32]]
) -> dict[str, Any]:
    begin = time.monotonic()
    return row_of(name, size, begin, executor.map(train, jobs_of(size), shared=features))


def ignore(_units: int) -> None:
    """Take no notice of progress."""


def work_alone(part: int, size: Size, barrier: Any, spans: Any) -> None:
    features = random_features(2000)
    train(features, (0, 64, 1), ignore)
    barrier.wait()
    spans.put([train(features, job, ignore) for job in jobs_of(size)[part::2]])


def measure_bare(size: Size) -> dict[str, Any]:
    spawn = multiprocessing.get_context("spawn")
    barrier, queue = spawn.Barrier(3), spawn.Queue()
    processes = [spawn.Process(target=work_alone, args=(part, size, barrier, queue)) for part in range(2)]
    for process in processes:
        process.start()
    barrier.wait()
    begin = time.monotonic()
    spans = [span for _ in processes for span in queue.get()]
    row = row_of(BARE, size, begin, spans)
    for process in processes:
        process.join()
    return row


def rows_of(size: Size, executors: dict[str, Executor]) -> list[dict[str, Any]]:
    features = random_features(2000)
    rows = [measure(name, executor, size, features) for name, executor in executors.items()]
    return [*rows, measure_bare(size), measure("serial", executors["serial"], size, features)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the jobs")
    args = parser.parse_args()
    sizes = tuple(dataclasses.replace(size, jobs=max(2, round(size.jobs * args.scale))) for size in SIZES)
    starts = {
        name: {"7 MB": start_up(make, 2000), "219 MB": start_up(make, 60_000)} for name, make in EXECUTORS.items()
    }
    with contextlib.ExitStack() as stack:
        executors = {name: stack.enter_context(make()) for name, make in EXECUTORS.items()}
        for executor in executors.values():
            # Workers that stay between calls are started, and have torch loaded.
            executor.map(train, [(0, 64, 1)] * 2 * executor.workers, shared=random_features(64))
        rows = [row for size in sizes for row in rows_of(size, executors)]

    print("\n| executor | start, 7 MB shared | start, 219 MB shared |\n|---|---|---|")
    for name, found in starts.items():
        print(f"| {name} | {found['7 MB']:.1f} s | {found['219 MB']:.1f} s |")
    print("\n| executor | job | jobs | until the first | work | jobs/s | against serial | whole call against serial |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        serial = [other for other in rows if other["executor"] == "serial" and other["size"] == row["size"]]
        work, call = (sum(other[key] for other in serial) / len(serial) for key in ("work", "call"))
        print(
            f"| {row['executor']} | {row['size']} | {row['jobs']} | {row['until_first_job']:.2f} s "
            f"| {row['work']:.1f} s | {row['jobs'] / row['work']:.2f} "
            f"| {work / row['work']:.2f} | {call / row['call']:.2f} |"
        )
    if args.json:
        args.json.write_text(json.dumps({"start": starts, "rows": rows}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
