"""Do the 95 % intervals of the measures cover? Percentiles of the bootstrap against bootstrap standard errors.

Draws many samples of N made-up adversarial examples from one distribution (late hours and few variables dominate, sizes
follow a gamma distribution), computes both intervals of each variable's measures from every sample, counts how often
they hold the mean of the estimates over all samples: what another study of the same size would find on average.

    python benchmarks/training/interval_coverage.py [--samples 200] [--resamples 200] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from icudl.analysis.intervals import around, percentiles, resamples
from icudl.analysis.measures import CellTally, along

HOURS, VARIABLES = 48, 8
SIZES = (60, 500)
MEASURES = ("s", "sensitivity", "gpp", "ganzp")

Examples = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]


def draw_examples(n_stays: int, weight: npt.NDArray[np.float64], rng: np.random.Generator) -> Examples:
    """Return stay, cell and magnitude of each change."""
    sizes = np.minimum(rng.geometric(0.2, n_stays), 30)
    cells = [rng.choice(weight.size, size, replace=False, p=weight) for size in sizes]
    magnitude = np.clip(rng.gamma(2, 0.15, sizes.sum()), 0.004, 1.0)
    return np.repeat(np.arange(n_stays), sizes), np.concatenate(cells), magnitude


def estimate(examples: Examples, n_stays: int, drawn: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float64]:
    """Return (measures, variables)."""
    stay, cell, magnitude = examples
    weight = None if drawn is None else drawn[stay]
    tally = CellTally((HOURS, VARIABLES))
    tally.add(cell // VARIABLES, cell % VARIABLES, magnitude, weight)
    values = along(tally.statistics(n_stays), 0)
    return np.stack([values[name] for name in MEASURES])


def coverage(n_stays: int, samples: int, draws: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Return the share of intervals that cover, by kind of interval and measure."""
    weight = np.outer(np.exp(np.arange(HOURS) / 9), rng.gamma(0.7, 1, VARIABLES)).ravel()
    weight /= weight.sum()
    estimates, bounds = [], {"percentiles": [], "standard errors": []}
    for _ in range(samples):
        examples = draw_examples(n_stays, weight, rng)
        value = estimate(examples, n_stays)
        resampled = np.stack([estimate(examples, n_stays, drawn) for drawn in resamples(n_stays, draws, rng)])
        estimates.append(value)
        bounds["percentiles"].append(percentiles(resampled))
        bounds["standard errors"].append(around(value, resampled, floor=0.0))
    target = np.nanmean(estimates, axis=0)
    found = {}
    for kind, pairs in bounds.items():
        low, high = np.moveaxis(np.array(pairs), 1, 0)
        covered = ((low <= target) & (target <= high)).mean(axis=(0, 2))
        found[kind] = dict(zip(MEASURES, (float(share) for share in covered), strict=True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = {}
    print(f"{'stays':>6} {'interval':16}" + "".join(f"{name:>13}" for name in MEASURES))
    for n_stays in SIZES:
        found[n_stays] = coverage(n_stays, arguments.samples, arguments.resamples, np.random.default_rng(0))
        for kind, shares in found[n_stays].items():
            print(f"{n_stays:6} {kind:16}" + "".join(f"{shares[name]:13.3f}" for name in MEASURES))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
