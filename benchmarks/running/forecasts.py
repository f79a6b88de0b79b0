"""Forecasts beside what runs took: processor seconds by node, with the rates that icudl ships.

Run a study, then ask about it with the same configuration and store; what the store lacks is left out. Rates of the
store itself are not used, and the machine counts as the one on which the rates were measured unless --slowness says
otherwise.

    icudl demo --store DIR
    python benchmarks/running/forecasts.py --store DIR --config configs/default.toml --set source.patients=1500
"""

from __future__ import annotations

import argparse
from pathlib import Path

from icudl import Pipeline, load_config
from icudl.execution.base import make_executor
from icudl.pipeline.forecast import PROCESS_SECONDS, expected_stays, seconds_of, work_of


def main() -> None:
    """Print a line for each node and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True, type=Path)
    parser.add_argument("--config", required=True, type=Path)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--slowness", type=float, default=1.0)
    arguments = parser.parse_args()
    pipeline = Pipeline(load_config(arguments.config, arguments.settings), arguments.store)
    config = pipeline.config
    stays = {name: expected_stays(pipeline.source(name), entry.source) or 0 for name, entry in config.data.items()}
    told, spent = [], []
    for step in pipeline.plan():
        if not step.done:
            continue
        source = pipeline.source(step.node.key.data) if step.node.key.stage == "extract" else None
        seconds = seconds_of(work_of(step.node, config, stays, source), {}, arguments.slowness)
        took = pipeline.store.manifest(step.node.key.stage, step.id).environment["processor_seconds"]
        if seconds is None:
            print(f"{step.name:36} {'-':>8} {took:8.1f}")
            continue
        told.append(seconds)
        spent.append(took)
        print(f"{step.name:36} {seconds:8.1f} {took:8.1f}")
    # Workers load their libraries within the first stages that need them.
    loading = arguments.slowness * PROCESS_SECONDS * make_executor(config.execution).workers
    print(f"{f'{len(told)} nodes, {sum(stays.values()):,} stays':36} {sum(told) + loading:8.1f} {sum(spent):8.1f}")


if __name__ == "__main__":
    main()
