"""How does the cost of a proof grow with the network and its inputs?

    OMP_NUM_THREADS=1 python benchmarks/proofs/certify_curves.py --config study.toml --store runs --svg curves.svg

Trains an LSTM (read-out ``final``) for each of some sizes, windows and numbers of variables, one of the three varied at
a time, and decides every charted value of the same number of test stays over its whole plausible range. Without
``--config``, the patients are those of a small synthetic hospital. A second run reads the networks from the store.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import torch
from certify import sample

from icudl import Pipeline, load_config
from icudl.artifacts import Checkpoint, GridDataset
from icudl.proofs.forms.networks import make_network
from icudl.proofs.forms.passes import Track
from icudl.proofs.forms.search import Search
from icudl.proofs.pieces import Verdict
from icudl.variables import STUDY_NAMES

HOSPITAL = ("source.patients=800",)
TRAINING = ("model.name=lstm", "model.readout=final", "split.folds=2", "training.max_epochs=6")
BASE = {"hidden_size": 32, "hours": 48, "variables": 19}
VARIED = {"hidden_size": (16, 32, 64), "hours": (12, 24, 48), "variables": (5, 10, 19)}
EVERY = 10**6
"""More values than a stay holds."""
AXES = {"hidden_size": "units in each direction", "hours": "hours", "variables": "variables"}


@dataclasses.dataclass(frozen=True)
class Cost:
    """What the proofs of one network took."""

    hidden_size: int
    hours: int
    variables: int
    values: int
    undecided: int
    ms_a_value: float
    s_a_stay: float


def settings(hidden_size: int, hours: int, variables: int) -> list[str]:
    # The vital signs stand last in the study's order, and are charted most often.
    names = ", ".join(f'"{name}"' for name in STUDY_NAMES[-variables:])
    return [
        f"model.hidden_size={hidden_size}",
        f"window.hours={hours}",
        f"variables.use=[{names}]",
        # The same stays whatever the window.
        f"cohort.min_stay_hours={max(VARIED['hours'])}",
    ]


def decide(grid: GridDataset, checkpoint: Checkpoint, n_stays: int) -> tuple[int, int, float]:
    """Return how many values the first test stays hold, how many of them are undecided, and the CPU seconds for all."""
    values, model = sample(grid, checkpoint, "measured", n_stays, EVERY)
    network = make_network(model, 4)
    begun = time.process_time()
    prepared = network.prepare(Track.exact(values.features), values.target.lengths)
    found = Search(model, prepared, values, 0.01, 10**6, network.at_once, alongside=True).run()
    seconds = time.process_time() - begun
    pieces, n_values = found.pieces, values.cell.shape[1]
    is_open = torch.bincount(pieces.value[pieces.verdict == Verdict.OPEN], minlength=n_values) > 0
    return n_values, int((is_open & found.witness.isnan()).sum()), seconds


def measure(config: str | None, store: str, n_stays: int, case: dict[str, int]) -> Cost:
    study = [*(() if config else HOSPITAL), *TRAINING, *settings(**case)]
    pipeline = Pipeline(load_config(config, study), store)
    checkpoint = pipeline.run("train").checkpoints["final"]
    n_values, undecided, seconds = decide(pipeline.run("preprocess"), checkpoint, n_stays)
    return Cost(
        **case, values=n_values, undecided=undecided, ms_a_value=1000 * seconds / n_values, s_a_stay=seconds / n_stays
    )


def draw(costs: list[Cost], path: Path) -> None:
    """Draw one panel for each quantity that was varied; bands would need more than one network a point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    panels: Any = figure.subplots(1, len(VARIED))
    for panel, (name, points) in zip(panels, VARIED.items(), strict=True):
        row = [next(cost for cost in costs if _is(cost, {**BASE, name: point})) for point in points]
        panel.plot(points, [cost.s_a_stay for cost in row], marker="o", color="#1f6feb")
        panel.set(xlabel=AXES[name], xticks=points, ylim=(0, None))
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("CPU seconds a stay")
    figure.savefig(path, metadata={"Date": None})


def _is(cost: Cost, case: dict[str, int]) -> bool:
    return all(getattr(cost, name) == value for name, value in case.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="A study with one model in place of the synthetic hospital.")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--stays", type=int, default=4)
    parser.add_argument("--svg", type=Path, help="Where to draw the curves.")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cases = {tuple({**BASE, name: point}.items()): None for name, points in VARIED.items() for point in points}
    print("| units | hours | variables | values a stay | CPU ms a value | CPU s a stay | undecided |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    costs = []
    for case in cases:
        cost = measure(args.config, args.store, args.stays, dict(case))
        costs.append(cost)
        print(
            f"| {cost.hidden_size} | {cost.hours} | {cost.variables} | {cost.values / args.stays:.0f} | "
            f"{cost.ms_a_value:.0f} | {cost.s_a_stay:.1f} | {cost.undecided} |",
            flush=True,
        )
    if args.svg:
        draw(costs, args.svg)


if __name__ == "__main__":
    main()
