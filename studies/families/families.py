"""Families of models on PhysioNet 2012: how well each predicts, beside how little flips it.

    python studies/families/families.py --path DIR --store runs --out families [--stays 200] [--models lstm xgboost]
        [--page docs/benchmarks/families.md]

The study is ``families.toml``. This script fits XGBoost and LightGBM by their own libraries on the stays that the
other models are fitted on, runs the study, and writes ``table.md``, ``table.json`` and ``families.svg`` from its
results. They lie in the store, so a study that was stopped goes on where it was.
"""

# ruff: noqa: E402 - the allocator must be set before torch is imported

from __future__ import annotations

from icudl.execution.threads import tune_process

tune_process()

import argparse
import dataclasses
import datetime as dt
from pathlib import Path

from outside import FITTED_ON, HOURS, LIGHTGBM, SUMMARIES, fit_outside
from table import write_results

import icudl
from icudl.pipeline.plan import Nobody, Step
from icudl.store.manifest import Manifest
from icudl.training.members import divide

STUDY = Path(__file__).with_name("families.toml")
FILES = {"xgboost": SUMMARIES, "xgboost_hours": HOURS, "lightgbm": LIGHTGBM}


class Printer(Nobody):
    """Prints what begins and what ends, with the time."""

    def started(self, step: Step) -> None:
        """Print the name of the step."""
        print(f"{dt.datetime.now().astimezone():%H:%M:%S} {step.name}", flush=True)

    def finished(self, step: Step, manifest: Manifest) -> None:
        """Print its end."""
        print(f"{dt.datetime.now().astimezone():%H:%M:%S} {step.name} done ({manifest.id})", flush=True)


def settings_of(args: argparse.Namespace, outside: Path) -> list[str]:
    """Return what the command adds to the file of the study."""
    files = [f"models.{name}.file={(outside / file).resolve()}" for name, file in FILES.items()]
    lists = [f"models.{name}.trained_stays={(outside / FITTED_ON).resolve()}" for name in FILES]
    stays = [f"attacks.{name}.max_stays={args.stays}" for name in icudl.load_config(STUDY).attacks]
    return [f"source.path={args.path}", *files, *lists, *stays, *args.set]


def main() -> None:
    """Run what is not in the store yet, and write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", required=True, help="folder of the challenge's archives")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--out", type=Path, default=Path("families"))
    parser.add_argument("--stays", type=int, default=200, help="stays of set B that every attack is run on")
    parser.add_argument("--models", nargs="+", default=[], help="models to take; all by default")
    parser.add_argument("--page", type=Path, help="page of the documentation to write tables and figure into")
    parser.add_argument("--set", action="append", default=[], help="a further setting, as of icudl run")
    args = parser.parse_args()
    outside = args.out / "outside"
    config = icudl.load_config(STUDY, settings=settings_of(args, outside))
    if args.models:
        config = dataclasses.replace(config, models={name: config.models[name] for name in args.models})
    pipeline = icudl.Pipeline(config, args.store, listener=Printer())
    grid = pipeline.run("preprocess")
    shared = config.shared
    division = divide(grid, -1, shared["training"].validation_fraction, config.run.seed)
    fit_outside(grid, shared["inputs"], division, outside, config.run.seed)
    pipeline.update("report")
    write_results(pipeline, args.out, args.page)


if __name__ == "__main__":
    main()
