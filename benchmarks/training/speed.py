"""How fast is training, against a plain DataLoader and nn.LSTM loop, and where does the rest of the time go?

    python benchmarks/training/speed.py [--json FILE]

Both train the same bidirectional LSTM on the same random stays with Adam. The plain loop fetches stay after stay from a
Dataset, collates and packs them, on all threads, fold after fold (the original's way). Ours keeps the stays in memory,
takes batches by index, uses one thread a process, and trains the folds side by side. Both read the last hour, as the
original does; ours is also shown with the read-out ``final``, for which both directions have to be read to their ends.
"""

# ruff: noqa: E402 - the allocator must be set before torch is imported

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

PLAIN = "--only-plain"

if PLAIN not in sys.argv:
    from icudl.execution.threads import tune_process

    tune_process()

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from icudl.execution.base import Tick
from icudl.execution.pool.executor import ProcessExecutor
from icudl.models.options import LstmOptions
from icudl.training.data import Stays
from icudl.training.loop import fit
from icudl.training.options import TrainingOptions

N_HOURS, N_FEATURES = 48, 19


def random_stays(n_stays: int) -> Stays:
    """Draw stays; what they hold does not matter here."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(n_stays, N_HOURS, N_FEATURES, generator=generator)
    labels = (torch.arange(n_stays) % 8 == 0).long()
    return Stays(features, torch.full((n_stays,), N_HOURS), labels)


class PlainDataset(Dataset[tuple[Tensor, Tensor]]):
    """One stay at a time."""

    def __init__(self, stays: Stays) -> None:
        self.stays = stays

    def __len__(self) -> int:
        return len(self.stays)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.stays.features[index], self.stays.labels[index]


class PlainModel(nn.Module):
    """The original's network."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(N_FEATURES, hidden_size, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(
            nn.ReLU(), nn.Dropout(0.3), nn.Linear(2 * hidden_size, 64), nn.Tanh(), nn.Linear(64, 2)
        )

    def forward(self, packed: nn.utils.rnn.PackedSequence) -> Tensor:
        """Return logits at the last hour."""
        outputs, lengths = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        logits: Tensor = self.head(outputs[torch.arange(len(lengths)), lengths - 1])
        return logits


def plain_loop(stays: Stays, args: argparse.Namespace) -> None:
    """Train the folds one after another."""

    def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[nn.utils.rnn.PackedSequence, Tensor]:
        features, labels = zip(*items, strict=True)
        return nn.utils.rnn.pack_sequence(list(features), enforce_sorted=False), torch.stack(labels)

    for _ in range(args.folds):
        loader = DataLoader(PlainDataset(stays), batch_size=args.batch_size, shuffle=True, collate_fn=collate)
        model = PlainModel(args.hidden_size)
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(args.epochs):
            for packed, labels in loader:
                loss = nn.functional.cross_entropy(model(packed), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


def our_fold(job: tuple[int, argparse.Namespace], tick: Tick) -> None:
    """Train one fold."""
    seed, args = job
    torch.set_num_threads(1)
    stays = random_stays(args.stays)
    model = LstmOptions(hidden_size=args.hidden_size, readout=args.readout)
    training = TrainingOptions(
        batch_size=args.batch_size,
        max_epochs=args.epochs,
        patience=args.epochs,
        class_balance="none",
        precision=args.precision,
    )
    fit(model, training, stays, stays.select(torch.arange(64)), seed=seed)
    tick(1)


def _our_job(_shared: None, job: tuple[int, argparse.Namespace], tick: Tick) -> None:
    our_fold(job, tick)


def rate(seconds: float, args: argparse.Namespace) -> float:
    """Return stays trained per second."""
    return float(args.stays * args.epochs * args.folds / seconds)


def profile(args: argparse.Namespace) -> dict[str, float]:
    """Return the share of one step's time that each part takes."""
    stays, parts = random_stays(args.stays), {"gather": 0.0, "forward": 0.0, "backward": 0.0, "optimiser": 0.0}
    model = PlainModel(args.hidden_size).lstm
    head = nn.Linear(2 * args.hidden_size, 2)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], fused=True)
    for _ in range(20):
        marks = [time.perf_counter()]
        batch = stays.select(torch.randint(len(stays), (args.batch_size,)))
        marks.append(time.perf_counter())
        loss = nn.functional.cross_entropy(head(model(batch.features)[0][:, -1]), batch.labels)
        marks.append(time.perf_counter())
        optimizer.zero_grad()
        loss.backward()
        marks.append(time.perf_counter())
        optimizer.step()
        marks.append(time.perf_counter())
        for name, start, end in zip(parts, marks, marks[1:], strict=False):
            parts[name] += end - start
    total = sum(parts.values())
    return {name: seconds / total for name, seconds in parts.items()}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stays", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument(PLAIN, action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only_plain:
        start = time.perf_counter()
        plain_loop(random_stays(args.stays), args)
        print(time.perf_counter() - start)
        return
    # A process of its own: the allocator of this one is tuned already, and its threads are set.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "MKL_", "MALLOC_"))}
    names = ("stays", "epochs", "folds", "hidden-size", "batch-size")
    settings = [f"--{name}={getattr(args, name.replace('-', '_'))}" for name in names]
    command = [sys.executable, __file__, PLAIN, *settings]
    plain = float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    rows = {"plain DataLoader and nn.LSTM, all threads": plain}
    executor = ProcessExecutor(args.workers)
    for readout in ("last_hour", "final"):
        args.readout, args.precision = readout, "float32"
        start = time.perf_counter()
        for seed in range(args.folds):
            our_fold((seed, args), lambda _n: None)
        rows[f"`{readout}`, one process, one thread"] = time.perf_counter() - start
        for args.precision in ("float32", "bfloat16"):
            start = time.perf_counter()
            executor.map(_our_job, [(seed, args) for seed in range(args.folds)], shared=None)
            name = f"`{readout}`, folds in {executor.workers} processes (their start included), {args.precision}"
            rows[name] = time.perf_counter() - start
    result = {
        name: {"stays_per_second": rate(seconds, args), "ratio": plain / seconds} for name, seconds in rows.items()
    }
    print("| loop | stays/s | ratio |\n|---|---|---|")
    for name, row in result.items():
        print(f"| {name} | {row['stays_per_second']:.0f} | {row['ratio']:.2f} |")
    shares = profile(args)
    print("one step of ours: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    if args.json:
        args.json.write_text(json.dumps({"rows": result, "step": shares}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
