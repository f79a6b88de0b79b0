"""What each flaw of the original protocol is worth: one row per mended flaw, with intervals. See README.md."""

# ruff: noqa: E402 - the allocator must be set before torch is imported

from __future__ import annotations

from icudl.execution.threads import tune_process

tune_process()

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from leaks import (
    balanced_copies,
    folds_that_ignore_patients,
    interpolate_whole_stays,
    scaler_of_all_stays,
    with_values,
)

from icudl.artifacts import GridDataset, write_json
from icudl.execution.base import Tick
from icudl.execution.context import RunContext, SilentProgress, seed_for
from icudl.execution.pool.executor import ProcessExecutor
from icudl.execution.serial import SerialExecutor
from icudl.execution.threads import single_thread
from icudl.models.options import LstmOptions, ModelOptions
from icudl.plugins import load_plugin, options_of
from icudl.preprocessing.cohort import CohortOptions, select_cohort
from icudl.preprocessing.grid import densify
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on
from icudl.preprocessing.splits import SplitOptions, split_patients
from icudl.search.options import ModelTuningOptions
from icudl.search.space import apply_parameters
from icudl.sources import DataSource, WindowOptions
from icudl.stages.preprocess import preprocess
from icudl.stages.tune import tune_model
from icudl.training.data import Rows, hold_out_patients, stays_of
from icudl.training.loop import fit, logits_of, probabilities_of
from icudl.training.options import TrainingOptions
from icudl.training.scores.calibration import fit_calibration
from icudl.training.scores.evaluation import intervals
from icudl.training.scores.metrics import Scored, all_scores, choose_threshold
from icudl.variables import STUDY_NAMES, select

WINDOW, LONG = 48, 120
INNER_FOLDS = 3
SHOWN = ("auroc", "auprc", "f1", "precision", "recall")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """Which flaws are mended.

    Attributes:
        name: Row of the table.
        held_out: Scored on the fold left out, not on the balanced training stays.
        window_first: Window cut before interpolation.
        own_scaler: Scaler fitted on the training folds.
        by_patient: Folds by patient.
        validated: Early stopping, calibration and threshold on validation patients.
        tuned: With the setting of a search inside the training folds.
        shuffled: Labels shuffled.
    """

    name: str
    held_out: bool = True
    window_first: bool = True
    own_scaler: bool = True
    by_patient: bool = True
    validated: bool = True
    tuned: bool = False
    shuffled: bool = False


LADDER = (
    Protocol(
        name="training set", held_out=False, window_first=False, own_scaler=False, by_patient=False, validated=False
    ),
    Protocol(name="+ held-out stays", window_first=False, own_scaler=False, by_patient=False, validated=False),
    Protocol(name="+ window first", own_scaler=False, by_patient=False, validated=False),
    Protocol(name="+ scaler on training stays", by_patient=False, validated=False),
    Protocol(name="+ folds by patient", validated=False),
    Protocol(name="+ validation"),
    Protocol(name="+ tuned", tuned=True),
    Protocol(name="labels shuffled", shuffled=True),
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """Data and settings of the whole ladder; ``tuned`` holds what the search of each fold found."""

    honest: GridDataset
    leaky: GridDataset
    mixed_folds: np.ndarray[tuple[int], np.dtype[np.int8]]
    tuned: tuple[dict[str, Any], ...]
    model: ModelOptions
    training: TrainingOptions
    seed: int


def run_fold(study: Study, job: tuple[Protocol, int], tick: Tick) -> tuple[Rows, Any, Any, Any]:
    """Fit one fold of one protocol; return scored rows (copies included), labels, risks, thresholds."""
    protocol, fold = job
    grid = study.honest if protocol.window_first else study.leaky
    folds = grid.folds if protocol.by_patient else study.mixed_folds
    labels = grid.labels
    if protocol.shuffled:
        labels = np.random.default_rng(seed_for(study.seed, "shuffle")).permutation(labels)
        grid = dataclasses.replace(grid, labels=labels)
    rows = np.flatnonzero(folds != fold)
    held = np.zeros(len(rows), bool)
    if protocol.validated:
        rng = np.random.default_rng(seed_for(study.seed, "validation", fold))
        held = hold_out_patients(grid.patient_ids[rows], labels[rows], 0.15, rng)
    inputs, model, training = InputOptions(), study.model, study.training
    if protocol.validated:
        training = dataclasses.replace(training, patience=6, monitor="auroc")
    if protocol.tuned:
        changed: Any = apply_parameters(study.tuned[fold], {"model": model, "training": training, "inputs": inputs})
        inputs, model, training = changed["inputs"], changed["model"], changed["training"]
    with single_thread():
        scaler = fit_scaler_on(grid, rows[~held], inputs) if protocol.own_scaler else scaler_of_all_stays(grid, inputs)
        train = stays_of(grid, rows[~held], scaler, inputs)
        # Without validation stays the training loss picks the epoch, as it did in the original.
        valid = stays_of(grid, rows[held], scaler, inputs) if protocol.validated else train
        fitted = fit(model, training, train, valid, seed=seed_for(study.seed, "fold", fold), name=f"fold {fold}")
        threshold = 0.5
        if protocol.validated:
            logits = logits_of(fitted.model, valid)
            fitted.model.absorb(*fit_calibration(labels[rows[held]], logits, "platt"))
            threshold = choose_threshold(labels[rows[held]], probabilities_of(logits_of(fitted.model, valid)), "f1")
        scored = np.flatnonzero(folds == fold) if protocol.held_out else balanced_copies(rows, labels)
        risks = probabilities_of(logits_of(fitted.model, stays_of(grid, scored, scaler, inputs)))
    tick(1)
    return scored, labels[scored], risks, np.full(len(scored), threshold)


def read(args: argparse.Namespace, context: RunContext) -> tuple[GridDataset, GridDataset]:
    """Return the honest grid, and the one whose stays were interpolated whole."""
    given = {"patients": args.patients} if args.source == "synthetic" else {"path": args.path}
    options = options_of("icudl.sources", args.source)(**given)
    source: DataSource = load_plugin("icudl.sources", args.source)(options, args.seed)
    known = source.available or STUDY_NAMES
    variables = select(tuple(name for name in STUDY_NAMES if name in known), known)
    tables = source.extract(variables, WindowOptions(hours=WINDOW), context)
    cohort = CohortOptions()
    honest = preprocess(tables, cohort, SplitOptions(test_fraction=0.0, folds=args.folds), context)
    if args.source == "physionet2012":
        return honest, honest
    stays, _ = select_cohort(tables, cohort)
    long, _ = densify(source.extract(variables, WindowOptions(hours=LONG), context), stays)
    return honest, with_values(honest, interpolate_whole_stays(long, WINDOW))


def tune_inside(
    grid: GridDataset, fold: int, model: ModelOptions, training: TrainingOptions, trials: int, context: RunContext
) -> dict[str, Any]:
    """Return what a search on the other folds alone finds, by cross-validation among their patients."""
    inner = stays_at(grid, np.flatnonzero(grid.folds != fold), INNER_FOLDS, context.rng("inner folds", fold))
    search = ModelTuningOptions(trials=trials, folds=INNER_FOLDS, startup_trials=min(8, trials))
    stopped = dataclasses.replace(training, patience=6, monitor="auroc")
    return dict(tune_model(inner, InputOptions(), model, stopped, search, context).best)


def stays_at(grid: GridDataset, rows: Rows, n_folds: int, rng: np.random.Generator) -> GridDataset:
    """Return the stays at ``rows``, divided into folds of their own."""
    options = SplitOptions(test_fraction=0.0, folds=n_folds)
    is_test, folds = split_patients(grid.patient_ids[rows], grid.labels[rows], ("",) * len(rows), options, rng)
    return dataclasses.replace(
        grid,
        values=grid.values[rows],
        counts=grid.counts[rows],
        lengths=grid.lengths[rows],
        labels=grid.labels[rows],
        statics=grid.statics[rows],
        stays=grid.stays[rows],
        is_test=is_test,
        folds=folds,
    )


def row(protocol: Protocol, parts: list[Any], grid: GridDataset, samples: int) -> dict[str, Any]:
    """Pool the folds of a protocol into one row of the table."""
    rows, labels, risks, thresholds = (np.concatenate(column) for column in zip(*parts, strict=True))
    scored = Scored(labels, risks, thresholds, grid.patient_ids[rows])
    values, bounds = all_scores(scored), intervals(scored, samples, np.random.default_rng(0))
    return {
        "rung": protocol.name,
        "stays": len(rows),
        **{name: [float(values[name][0]), *bounds[name]] for name in SHOWN},
    }


def main() -> None:
    """Climb the ladder and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="synthetic")
    parser.add_argument("--path", default="")
    parser.add_argument("--patients", type=int, default=3000)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60, help="epochs where nothing stops the training")
    parser.add_argument("--hidden-size", type=int, default=64)
    parser.add_argument("--trials", type=int, default=12, help="trials of each fold's search; 0 leaves the rung out")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=2018)
    parser.add_argument("--out", type=Path, default=Path("ladder"))
    args = parser.parse_args()
    executor = SerialExecutor() if args.workers == 1 else ProcessExecutor(args.workers)
    with tempfile.TemporaryDirectory() as scratch:
        context = RunContext(
            executor=executor, device="cpu", progress=SilentProgress(), scratch=Path(scratch), seed=args.seed
        )
        honest, leaky = read(args, context)
        model = LstmOptions(hidden_size=args.hidden_size)
        fixed = TrainingOptions(max_epochs=args.epochs, patience=args.epochs, monitor="log_loss")
        rungs = [rung for rung in LADDER if rung.name in _applicable(args)]
        searched = range(args.folds if args.trials else 0)
        tuned = tuple(tune_inside(honest, fold, model, fixed, args.trials, context) for fold in searched)
        mixed = folds_that_ignore_patients(honest.labels, args.folds, context.rng("mixed folds"))
        study = Study(
            honest=honest, leaky=leaky, mixed_folds=mixed, tuned=tuned, model=model, training=fixed, seed=args.seed
        )
        jobs = [(rung, fold) for rung in rungs for fold in range(args.folds)]
        parts = context.executor.map(run_fold, jobs, shared=study, tick=lambda _n: print(".", end="", flush=True))
    table = [row(rung, parts[k * args.folds : (k + 1) * args.folds], honest, 1000) for k, rung in enumerate(rungs)]
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {key: str(value) for key, value in vars(args).items() if key not in {"out", "path"}}
    write_json(args.out / "ladder.json", {"settings": settings, "tuned": tuned, "rows": table})
    text = _markdown(table)
    (args.out / "ladder.md").write_text(text, "utf-8")
    _figure(table, args.out / "ladder.svg")
    print("\n" + text)


def _applicable(args: argparse.Namespace) -> set[str]:
    names = {rung.name for rung in LADDER}
    if args.source == "physionet2012":
        names -= {"+ window first", "+ folds by patient"}
    return names if args.trials else names - {"+ tuned"}


def _markdown(table: list[dict[str, Any]]) -> str:
    lines = ["| protocol | " + " | ".join(SHOWN) + " | AUROC, AUPRC by this step |", "|---" * (len(SHOWN) + 2) + "|"]
    above = None
    for entry in table:
        cells = [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in (entry[name] for name in SHOWN)]
        is_step = above is not None and entry["rung"].startswith("+")
        step = [f"{entry[name][0] - above[name][0]:+.3f}" for name in ("auroc", "auprc")] if is_step else []
        lines.append(f"| {entry['rung']} | " + " | ".join(cells) + f" | {', '.join(step)} |")
        above = entry
    return "\n".join(lines) + "\n"


def _figure(table: list[dict[str, Any]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "ladder", "font.family": "sans-serif"})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.5 * len(table) + 1.2), layout="constrained")
    heights = np.arange(len(table))[::-1]
    for shift, name in zip((0.2, 0.0, -0.2), ("auroc", "auprc", "f1"), strict=True):
        value, low, high = np.array([entry[name] for entry in table]).T
        axes.errorbar(value, heights + shift, xerr=(value - low, high - value), fmt="o", capsize=2, label=name.upper())
    axes.set_yticks(heights, [entry["rung"] for entry in table])
    axes.axvline(0.5, color="0.6", linewidth=0.8, zorder=0)
    axes.set_xlim(0, 1)
    axes.set_xlabel("score, with its 95 % interval; the line is the AUROC of chance")
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
