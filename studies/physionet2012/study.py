"""Networks and baselines on PhysioNet 2012: cross-validation on sets A and B, and train on A, test on B.

    python studies/physionet2012/study.py --path DIR --out physionet2012 [--lists study all] [--models lstm gru]
        [--fitted-once] [--summary-share 0.5] [--part b]

Every fitted member is kept in the output folder, so a study that was stopped goes on where it was. Writes ``table.md``
and ``table.json``: each score with its 95 % interval, and paired differences to ``--against``.
"""

# ruff: noqa: E402 - the allocator must be set before torch is imported

from __future__ import annotations

from icudl.execution.threads import tune_process

tune_process()

import argparse
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from settings import CONTENDERS, STATICS, Contender, variables_of

from icudl.artifacts import GridDataset, write_json
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.pool.executor import ProcessExecutor
from icudl.execution.serial import SerialExecutor
from icudl.preprocessing.cohort import CohortOptions
from icudl.preprocessing.splits import SplitOptions
from icudl.sources.base import WindowOptions
from icudl.sources.physionet2012.options import PhysioNet2012Options
from icudl.sources.physionet2012.source import PhysioNet2012
from icudl.stages.preprocess import preprocess
from icudl.training.members import MemberJob, Plan, run_member
from icudl.training.scores.evaluation import intervals, paired_differences
from icudl.training.scores.metrics import Scored, all_scores
from icudl.variables import select

SHOWN = ("auroc", "auprc", "f1", "min_se_ppv", "brier", "ece")
SAMPLES = 1000


def grids(args: argparse.Namespace, names: tuple[str, ...], context: RunContext) -> dict[str, GridDataset]:
    """Return the cross-validation grid and the grid whose test stays are set B."""
    source = PhysioNet2012(PhysioNet2012Options(path=args.path), args.seed)
    tables = source.extract(select(names, source.available), WindowOptions(), context)
    cohort = CohortOptions()
    return {
        "cv": preprocess(tables, cohort, SplitOptions(test_fraction=0.0, folds=args.folds), context),
        "a-to-b": preprocess(tables, cohort, SplitOptions(test_sets=("b",), folds=2), context),
    }


def score(
    grid: GridDataset, folds: list[int], contender: Contender, variables: str, scratch: Path, args: Any
) -> Scored:
    """Fit the members and pool what they predict about the stays (``args.part``) that they were not fitted on."""
    scratch.mkdir(parents=True, exist_ok=True)
    training = dataclasses.replace(contender.training, fit_again=contender.training.fit_again and not args.fitted_once)
    model = contender.model_for(variables)
    if args.summary_share is not None and hasattr(model, "summary_share"):
        model = dataclasses.replace(model, summary_share=args.summary_share)
    if contender.first:
        _take_over(scratch.with_name(contender.first), scratch)
    plan = Plan(
        grid=grid,
        inputs=dataclasses.replace(contender.inputs, statics=STATICS[variables]),
        model=model,
        training=training,
        seed=args.seed,
        device="cpu",
        scratch=scratch,
        pretrain=contender.pretrain,
    )
    executor = SerialExecutor() if args.workers == 1 else ProcessExecutor(args.workers)
    jobs = [MemberJob(fold=fold, baseline=contender.baseline) for fold in folds]
    finished = executor.map(run_member, jobs, shared=plan)
    rows = np.concatenate([member.scored for member in finished])
    order = np.argsort(rows)
    if args.part:
        order = order[grid.stays["source_set"].to_numpy()[rows[order]] == args.part]
    return Scored(
        grid.labels[rows[order]],
        np.concatenate([member.probabilities for member in finished])[order],
        np.concatenate([np.full(len(member.scored), member.threshold) for member in finished])[order],
        grid.patient_ids[rows[order]],
    )


def _take_over(single: Path, ensemble: Path) -> None:
    """Copy the epochs of single networks: an ensemble's first network has the same seed and is not fitted again."""
    for epochs in single.glob("*.0*.safetensors"):
        if not (ensemble / epochs.name).exists():
            shutil.copy(epochs, ensemble)


def main() -> None:
    """Fit, score, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", required=True, help="folder of the challenge's sets")
    parser.add_argument("--out", type=Path, default=Path("physionet2012"))
    parser.add_argument("--lists", nargs="+", choices=STATICS, default=list(STATICS))
    usual = [name for name, contender in CONTENDERS.items() if not contender.pretrain.active]
    parser.add_argument("--models", nargs="+", choices=CONTENDERS, default=usual, help="without it all but pretrained")
    parser.add_argument("--protocols", nargs="+", choices=("cv", "a-to-b"), default=["cv", "a-to-b"])
    parser.add_argument("--against", nargs="+", choices=CONTENDERS, default=["study2018", "boosted_trees"])
    parser.add_argument("--fitted-once", action="store_true", help="no model is fitted again on its validation stays")
    parser.add_argument("--summary-share", type=float, help="weight of the window summaries, for all lists")
    parser.add_argument("--part", choices=("a", "b"), default="", help="score the stays of this set only")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=2018)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    context = RunContext(
        executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=args.out, seed=args.seed
    )
    rows: list[dict[str, Any]] = []
    for name in args.lists:
        data = grids(args, variables_of(name, PhysioNet2012.available), context)
        for protocol in args.protocols:
            folds = list(range(args.folds)) if protocol == "cv" else [-1]
            scored: dict[str, Scored] = {}
            for model in args.models:
                settings = ("-once" if args.fitted_once else "") + (
                    f"-{args.summary_share}" if args.summary_share else ""
                )
                scratch = args.out / f"members{settings}" / name / protocol / model
                scored[model] = score(data[protocol], folds, CONTENDERS[model], name, scratch, args)
                rows.append(_row(name, protocol, model, scored, args.against))
                print(_line(rows[-1]), flush=True)
    write_json(args.out / "table.json", rows)
    header = ("variables", "protocol", "model", *SHOWN, *(f"AUROC, AUPRC against {other}" for other in args.against))
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|", *map(_line, rows)]
    (args.out / "table.md").write_text("\n".join(lines) + "\n", "utf-8")


def _row(name: str, protocol: str, model: str, scored: dict[str, Scored], against: list[str]) -> dict[str, Any]:
    ours = scored[model]
    values, bounds = all_scores(ours), intervals(ours, SAMPLES, np.random.default_rng(0))
    row: dict[str, Any] = {"variables": name, "protocol": protocol, "model": model}
    row |= {metric: [float(values[metric][0]), *bounds[metric]] for metric in SHOWN}
    for other in against:
        if other in scored and other != model:
            differences = paired_differences(ours, scored[other], SAMPLES, np.random.default_rng(0))
            row[f"against {other}"] = {metric: list(differences[metric]) for metric in ("auroc", "auprc")}
        else:
            row[f"against {other}"] = None
    return row


def _line(row: dict[str, Any]) -> str:
    cells = [row["variables"], row["protocol"], row["model"]]
    cells += ["{:.3f} ({:.3f} to {:.3f})".format(*row[metric]) for metric in SHOWN]
    for key, difference in row.items():
        if key.startswith("against "):
            parts = [] if difference is None else difference.values()
            cells.append(", ".join("{:+.3f} ({:+.3f} to {:+.3f})".format(*part) for part in parts))
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
