"""Which share of small changes to the science do the tests notice?

    python tests/mutation/check.py [--sample 25] [--seed 1] [--module training/scores/metrics.py]

Changes one place of a module at a time and runs the module's tests on the changed copy, each in a process forked from
one that has the heavy libraries loaded. Prints every mutant that no test noticed, and the share of those noticed for
each module. ``--sample 0`` tries all mutants.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest
from mutants import Mutant, mutants

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "icudl"
LIBRARIES = ("numpy", "torch", "scipy.stats", "sklearn.metrics", "hypothesis.extra.numpy", "pandas")
"""Loaded before forking. polars is left out, because its threads do not survive a fork."""

TESTS: dict[str, tuple[str, ...]] = {
    "preprocessing/cohort.py": ("unit/preprocessing/test_cohort.py",),
    "preprocessing/features.py": (
        "unit/preprocessing/test_scaling.py",
        "unit/models/test_window_summaries.py",
        "unit/attacks/engine/test_attack_engine.py",
    ),
    "preprocessing/grid.py": (
        "unit/preprocessing/test_grid.py",
        "unit/stages/test_preprocess_stage.py",
    ),
    "preprocessing/imputation.py": ("unit/preprocessing/test_imputation.py", "property/test_imputation_properties.py"),
    "preprocessing/scaling.py": (
        "unit/preprocessing/test_scaling.py",
        "property/test_imputation_properties.py",
    ),
    "preprocessing/splits.py": (
        "unit/preprocessing/test_splits.py",
        "property/test_splits_properties.py",
    ),
    "training/external.py": ("unit/training/test_external_data.py", "unit/stages/test_score_stage.py"),
    "training/fold_ensemble.py": (
        "unit/training/test_fold_ensemble.py",
        "unit/training/test_held_out_choices.py",
    ),
    "training/members.py": (
        "unit/training/test_held_out_choices.py",
        "unit/training/test_training_fit_again.py",
        "unit/stages/test_training_stage.py",
    ),
    "training/scores/calibration.py": (
        "unit/training/scores/test_training_calibration.py",
        "unit/training/test_held_out_choices.py",
    ),
    "training/scores/evaluation.py": ("unit/training/scores/test_metrics.py", "unit/stages/test_score_stage.py"),
    "training/scores/metrics.py": ("unit/training/scores/test_metrics.py",),
    "training/scores/risk_curve.py": ("unit/training/scores/test_risk_curve.py",),
    "training/teacher.py": ("unit/training/test_training_teacher.py", "unit/training/test_held_out_choices.py"),
    "analysis/numbers/comparison.py": ("unit/report/test_answer.py", "unit/report/test_report_of_a_table.py"),
    "report/sections/answer/notes.py": ("unit/report/test_answer.py",),
    "training/judged.py": ("unit/training/test_judged.py",),
    "sources/mimic/sql.py": (
        "unit/sources/mimic3/test_mimic3_postgres.py",
        "unit/sources/mimic3/test_mimic3_engines.py",
        "unit/sources/mimic3/test_mimic3_column_types.py",
        "unit/sources/mimic4/test_mimic4_postgres.py",
    ),
    "sources/mimic/stays.py": ("unit/sources/mimic3/test_mimic3_golden.py", "unit/sources/mimic3/test_mimic3_files.py"),
    "preprocessing/outcome.py": ("unit/preprocessing/test_outcome.py",),
    "preprocessing/leaks.py": ("unit/preprocessing/test_leaks.py",),
    "sources/rules.py": ("unit/sources/test_rules.py",),
    "attacks/distances.py": ("unit/attacks/test_attack_distances.py",),
    "attacks/target/threat.py": ("unit/attacks/test_attack_entries.py",),
    "preprocessing/charted.py": ("unit/preprocessing/test_imputation.py", "unit/attacks/test_attack_entries.py"),
    "preprocessing/mistakes.py": ("unit/attacks/test_attack_entries.py",),
    "attacks/refinement.py": ("unit/attacks/test_attack_refinement.py",),
    "attacks/methods/entry_errors.py": ("unit/attacks/test_attack_entries.py",),
    "attacks/target/verification.py": (
        "unit/attacks/target/test_attack_verification.py",
        "unit/attacks/run/test_attack_runner.py",
    ),
    "analysis/intervals.py": ("unit/analysis/test_intervals.py", "unit/analysis/test_susceptibility.py"),
    "analysis/conditions.py": ("unit/analysis/test_susceptibility.py",),
    "analysis/examples.py": ("unit/analysis/test_susceptibility.py",),
    "analysis/resampled.py": ("unit/analysis/test_analysis_blocks.py", "unit/analysis/test_susceptibility.py"),
    "analysis/measures.py": (
        "unit/analysis/test_measures.py",
        "unit/analysis/test_susceptibility.py",
        "property/test_susceptibility_properties.py",
    ),
}
"""The tests that are to notice a change of each module."""

SECONDS = 300
"""Processor time of a mutant's tests. A mutant that takes longer hangs, and counts as noticed."""


def is_noticed(copy: Path, tests: tuple[str, ...]) -> bool:
    """Run the tests on the package under ``copy`` in a forked process; the mutant is noticed unless they succeed."""
    child = os.fork()
    if child == 0:
        try:
            code = _run(copy, tests)
        except BaseException:  # nothing may get past the fork
            traceback.print_exc()
            code = 70
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return status != 0


def _run(copy: Path, tests: tuple[str, ...]) -> int:
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    sys.path.insert(0, str(copy))
    os.environ["PYTHONPATH"] = str(copy)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.chdir(REPOSITORY)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*options, *(f"tests/{test}" for test in tests)]))


def survivors(module: str, sample: int, seed: int, copy: Path) -> tuple[int, list[Mutant]]:
    """Try mutants of one module; return their number, and those that no test noticed.

    Raises:
        SystemExit: The tests of the unchanged module fail.
    """
    source = (PACKAGE / module).read_text("utf-8")
    target = copy / "icudl" / module
    if is_noticed(copy, TESTS[module]):
        sys.exit(f"the tests of {module} fail as it is")
    chosen = list(mutants(source))
    if sample and len(chosen) > sample:
        chosen = sorted(random.Random(seed).sample(chosen, sample), key=lambda mutant: mutant.line)
    unnoticed = []
    for mutant in chosen:
        _replace(target, mutant.text)
        if not is_noticed(copy, TESTS[module]):
            unnoticed.append(mutant)
            print(f"{module}:{mutant.line}: {mutant.what}", flush=True)
    _replace(target, source)
    return len(chosen), unnoticed


def _replace(module: Path, text: str) -> None:
    """Write a module, and remove what was compiled from another text of the same size and second."""
    module.write_text(text, "utf-8")
    for compiled in module.parent.glob(f"__pycache__/{module.stem}.*"):
        compiled.unlink()


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """A folder with a copy of the package."""
    with tempfile.TemporaryDirectory(prefix="icudl-mutants-") as folder:
        shutil.copytree(PACKAGE, Path(folder) / "icudl", ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Which share of small changes do the tests notice?")
    parser.add_argument("--sample", type=int, default=25, help="mutants a module; 0 tries all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--module", choices=sorted(TESTS), action="append")
    words = parser.parse_args()
    for library in LIBRARIES:
        importlib.import_module(library)
    tried, missed = 0, 0
    with copied() as copy:
        for module in words.module or TESTS:
            count, unnoticed = survivors(module, words.sample, words.seed, copy)
            tried, missed = tried + count, missed + len(unnoticed)
            print(f"{module}: {count - len(unnoticed)} of {count} noticed", flush=True)
    print(json.dumps({"mutants": tried, "noticed": tried - missed, "share": round(1 - missed / tried, 3)}))


if __name__ == "__main__":
    main()
