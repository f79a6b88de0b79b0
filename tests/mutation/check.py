"""Which share of small changes to the science do the tests notice?

    python tests/mutation/check.py [--sample 25 | --draw 150] [--seed 1] [--without 33] [--module training/teacher.py]

Changes one place of a module at a time and runs the module's tests on the changed copy. ``--sample`` draws as many
mutants of each module (0 takes all), ``--draw`` as many of all modules together; ``--without`` leaves out those that
``--draw`` drew with another seed, for which tests may have been written since.

A process loads the package and collects the module's tests once. For each mutant a process is forked from it, gives
the changed functions their changed code, and runs the tests. Mutants that survive this, and changes of what runs while
the module is imported, are tried once more in a process that imports the changed module: only those survive that did
so there. Prints them, the share of those noticed for each module, and that of all.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest
from hypothesis import HealthCheck, Phase, settings
from in_place import change, changed_functions, unchanged_functions
from mutants import Mutant, mutants

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "icudl"
LIBRARIES = ("numpy", "torch", "scipy.stats", "sklearn.metrics", "hypothesis.extra.numpy", "pandas")
"""Loaded before the first fork. Not polars: a process that has used its threads cannot be forked."""

TESTS: dict[str, tuple[str, ...]] = {
    "preprocessing/cohort.py": ("unit/preprocessing/test_cohort.py", "unit/preprocessing/test_outcome.py"),
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
        "unit/training/scores/test_training_calibration.py",
        "unit/training/test_outside_training.py",
    ),
    "training/pretraining/fitting.py": ("unit/training/pretraining/test_pretraining.py",),
    "training/pretraining/hiding.py": ("unit/training/pretraining/test_pretraining_hiding.py",),
    "training/pretraining/unlabelled.py": ("unit/training/pretraining/test_unlabelled_stays.py",),
    "training/scores/calibration.py": (
        "unit/training/scores/test_training_calibration.py",
        "unit/training/test_held_out_choices.py",
    ),
    "training/scores/evaluation.py": ("unit/training/scores/test_metrics.py", "unit/stages/test_score_stage.py"),
    "training/scores/metrics.py": ("unit/training/scores/test_metrics.py",),
    "training/scores/risk_curve.py": ("unit/training/scores/test_risk_curve.py",),
    "training/teacher.py": ("unit/training/test_training_teacher.py", "unit/training/test_held_out_choices.py"),
    "analysis/numbers/comparison.py": (
        "unit/analysis/numbers/test_numbers.py",
        "unit/report/test_answer.py",
        "unit/report/test_report_of_a_table.py",
    ),
    "report/sections/answer/notes.py": ("unit/report/test_answer.py",),
    "training/judged.py": ("unit/training/test_judged.py",),
    "sources/mimic/sql.py": (
        "unit/sources/mimic3/test_mimic3_postgres.py",
        "unit/sources/mimic3/test_mimic3_engines.py",
        "unit/sources/mimic3/test_mimic3_column_types.py",
        "unit/sources/mimic4/test_mimic4_postgres.py",
    ),
    "sources/mimic/stays.py": (
        "unit/sources/mimic3/test_mimic3_golden.py",
        "unit/sources/mimic3/test_mimic3_files.py",
        "unit/sources/mimic3/test_mimic3_odd_stays.py",
        "unit/sources/mimic4/test_mimic4_files.py",
    ),
    "preprocessing/outcome.py": ("unit/preprocessing/test_outcome.py",),
    "preprocessing/leaks.py": ("unit/preprocessing/test_leaks.py",),
    "sources/rules.py": ("unit/sources/test_rules.py",),
    "attacks/distances.py": ("unit/attacks/test_attack_distances.py",),
    "attacks/target/threat.py": ("unit/attacks/test_attack_entries.py",),
    "preprocessing/charted.py": ("unit/preprocessing/test_imputation.py", "unit/attacks/test_attack_entries.py"),
    "preprocessing/mistakes.py": ("unit/attacks/test_attack_entries.py",),
    "attacks/refinement.py": ("unit/attacks/test_attack_refinement.py", "unit/attacks/test_attack_entries.py"),
    "attacks/methods/entry_errors.py": ("unit/attacks/test_attack_entries.py",),
    "attacks/target/verification.py": (
        "unit/attacks/target/test_attack_verification.py",
        "unit/attacks/target/test_charted_target.py",
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

SERVED = ("sources/mimic/sql.py",)
"""Modules whose tests need a PostgreSQL server. They share one."""

CPU_SECONDS, WALL_SECONDS = 300, 900
"""Time of a mutant's tests. A mutant that takes longer hangs, and counts as noticed."""


def is_noticed(copy: Path, tests: tuple[str, ...]) -> bool:
    """Whether the tests fail on the package under ``copy``, imported anew."""
    return _forked(lambda: _pytest(copy, tests, [])) != 0


def noticed_in_place(copy: Path, module: str, before: str, chosen: Sequence[Mutant]) -> set[int]:
    """Return the places in ``chosen`` of the mutants that tests notice where the functions are changed after import.

    Raises:
        SystemExit: The tests of the unchanged module fail.
    """
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        trial = _InPlace(str(copy / "icudl" / module), before, chosen, results)
        _forked(lambda: _pytest(copy, TESTS[module], [trial]), limited=False)
        lines = results.read_text("utf-8").splitlines() if results.exists() else []
    if lines[:2] != ["0", "0"] or len(lines) < len(chosen) + 2:
        sys.exit(f"the tests of {module} fail as it is, or with each function in place of itself")
    # Tests that fail, and a signal that ends them; anything else is no verdict.
    return {place for place, line in enumerate(lines[2:]) if line == "1" or int(line) < 0}


_NOT_CHANGED = 75


class _InPlace:
    """Takes the place of pytest's loop over the tests: a process for each mutant.

    Two come before them: the module as it is, and the module whose functions are given what they have already. The
    tests must succeed in both.
    """

    def __init__(self, file: str, before: str, chosen: Sequence[Mutant], results: Path) -> None:
        self.file, self.before, self.chosen, self.results = file, before, chosen, results

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Return in the children, in which the usual loop comes next; end in the process that has forked them."""
        with self.results.open("w", encoding="utf-8", buffering=1) as results:
            changes = [changed_functions(self.before, mutant.text) for mutant in self.chosen]
            for number, pairs in enumerate(([], unchanged_functions(self.before), *changes)):
                child = os.fork()
                if child == 0:
                    _limit()
                    if not change(pairs, self.file) and number > 1:
                        os._exit(_NOT_CHANGED)
                    return
                results.write(f"{_ended(child)}\n")
        os._exit(0)


def _forked(work: Callable[[], int], *, limited: bool = True) -> int:
    child = os.fork()
    if child == 0:
        try:
            if limited:
                _limit()
            code = work()
        except BaseException:  # nothing may get past the fork
            traceback.print_exc()
            code = 70
        os._exit(code)
    return _ended(child)


def _limit() -> None:
    """Let this process end by a signal when its time is over, and lead a group with all that it starts."""
    os.setpgid(0, 0)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)


def _ended(child: int) -> int:
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(status)


def _pytest(copy: Path, tests: tuple[str, ...], plugins: list[object]) -> int:
    sys.path.insert(0, str(copy))
    os.environ["PYTHONPATH"] = str(copy)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.chdir(REPOSITORY)
    # Without a memory: an example that one mutant failed by would be shown to all that come after it.
    settings.register_profile(
        "mutants",
        max_examples=30,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    options += ["--hypothesis-seed=0", "--hypothesis-profile=mutants"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = int(pytest.main([*options, *(f"tests/{test}" for test in tests)], plugins=plugins))
    sys.stdout.flush()
    os._exit(code)


def survivors(module: str, chosen: Sequence[Mutant], copy: Path) -> list[Mutant]:
    """Return the mutants of one module that no test noticed, and print them.

    Raises:
        SystemExit: The tests of the unchanged module fail.
    """
    source = (PACKAGE / module).read_text("utf-8")
    target = copy / "icudl" / module
    before = ast.unparse(ast.parse(source))  # has the lines of the mutants
    _replace(target, before)
    noticed = noticed_in_place(copy, module, before, chosen)
    unnoticed = []
    for place, mutant in enumerate(chosen):
        if place in noticed:
            continue
        _replace(target, mutant.text)
        if not is_noticed(copy, TESTS[module]):
            unnoticed.append(mutant)
            print(f"{module}:{mutant.line}: {mutant.what}", flush=True)
    _replace(target, source)
    return unnoticed


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


@contextlib.contextmanager
def _server(modules: Sequence[str]) -> Iterator[None]:
    """Name a server to the tests, where a module's tests need one."""
    if "ICUDL_TEST_DATABASE" in os.environ or not set(modules) & set(SERVED):
        yield
        return
    sys.path.append(str(REPOSITORY / "tests" / "processes"))
    from postgres_server import postgres_server

    with postgres_server() as url:
        os.environ["ICUDL_TEST_DATABASE"] = url
        yield
        del os.environ["ICUDL_TEST_DATABASE"]


def sampled(module: str, sample: int, seed: int) -> list[Mutant]:
    """Return mutants of one module, all if ``sample`` is 0, in the order of their lines."""
    there = list(mutants((PACKAGE / module).read_text("utf-8")))
    if not 0 < sample < len(there):
        return there
    return sorted(random.Random(seed).sample(there, sample), key=lambda mutant: mutant.line)


def drawn(modules: Sequence[str], count: int, seed: int, without: Sequence[int] = ()) -> dict[str, list[Mutant]]:
    """Return ``count`` mutants of all modules together, but none that ``without``, other seeds, draws."""
    there = [(module, mutant) for module in modules for mutant in mutants((PACKAGE / module).read_text("utf-8"))]
    places = set(range(len(there)))
    for other in without:
        places -= set(random.Random(other).sample(range(len(there)), count))
    chosen = random.Random(seed).sample(sorted(places), count)
    found: dict[str, list[Mutant]] = {}
    for place in sorted(chosen):
        module, mutant = there[place]
        found.setdefault(module, []).append(mutant)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Which share of small changes do the tests notice?")
    parser.add_argument("--sample", type=int, default=25, help="mutants a module; 0 tries all")
    parser.add_argument("--draw", type=int, help="mutants of all modules together, instead of --sample")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", type=int, nargs="+", default=[], help="seeds whose draws are left out")
    parser.add_argument("--module", choices=sorted(TESTS), action="append")
    words = parser.parse_args()
    modules = words.module or list(TESTS)
    if words.draw:
        chosen = drawn(modules, words.draw, words.seed, words.without)
    else:
        chosen = {module: sampled(module, words.sample, words.seed) for module in modules}
    for library in LIBRARIES:
        importlib.import_module(library)
    tried, missed, start = 0, 0, time.monotonic()
    with copied() as copy, _server(list(chosen)):
        for module, some in chosen.items():
            unnoticed = survivors(module, some, copy)
            tried, missed = tried + len(some), missed + len(unnoticed)
            seconds = time.monotonic() - start
            print(f"{module}: {len(some) - len(unnoticed)} of {len(some)} noticed ({seconds:.0f} s)", flush=True)
    print(json.dumps({"mutants": tried, "noticed": tried - missed, "share": round(1 - missed / tried, 3)}))


if __name__ == "__main__":
    main()
