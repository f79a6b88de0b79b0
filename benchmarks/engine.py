"""How fast is one iteration of an attack: our pass, the library's with autograd, the matrix products alone?

    OMP_NUM_THREADS=1 python benchmarks/engine.py [--stays 128] [--hidden 128] [--json FILE]

One iteration is the margin of every stay and its gradient with respect to 48 x 19 inputs. "Products" times nothing but
the recurrent and input products of both passes, through ``torch.mm`` at the same shapes: what no torch code can beat.
Best of several rounds of CPU time, one thread, with the allocator as it comes and as ``icudl`` tunes it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from icudl.attacks.engine import AutogradEngine, make_engine
from icudl.execution.threads import tune_process
from icudl.models.build import GROUP, build_model
from icudl.plugins import options_of

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


def table(n_stays: int, hidden: int, rounds: int, allocator: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name in ("lstm", "gru"):
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stays", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| allocator | cell | read-out | ours | nn + autograd | ratio | products alone |  (stay-iterations/CPU-s)")
    rows = table(arguments.stays, arguments.hidden, arguments.rounds, "default")
    tune_process()
    rows += table(arguments.stays, arguments.hidden, arguments.rounds, "tuned")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
