"""The defects of the original study, and other wrong changes, put in one at a time: the suite must fail for each.

Each case changes a few characters in a copy of the package and runs the tests that are to notice. The numbers are those
of the list of defects in ``docs/decisions/0005``. Where a file has moved or its text has changed,
``test_every_defect_can_be_put_back`` names the entry of ``DEFECTS`` to adapt.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "icudl"


@dataclasses.dataclass(frozen=True)
class Defect:
    """One defect.

    Attributes:
        name: What it is; a defect of the original has its number in the list before it.
        file: Where the sound code stands, below ``src/icudl``.
        text: The sound code; the file holds it once.
        replacement: What brings the defect back.
        tests: Files below ``tests``. One test in them at least must fail.
    """

    name: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]

    def put_back(self, package: Path) -> str:
        """Return the file's text with the defect in it.

        Raises:
            ValueError: The file does not exist, or does not hold ``text`` exactly once; says what to adapt.
        """
        where = f"defect {self.name}: src/icudl/{self.file}"
        path = package / self.file
        if not path.is_file():
            raise ValueError(f"{where} does not exist. Name the file that holds {self.text!r} now.")
        source = path.read_text("utf-8")
        if source.count(self.text) != 1:
            raise ValueError(
                f"{where} holds {self.text!r} {source.count(self.text)} times, expected once. "
                "Give the sound code as it stands now, and a replacement with the same defect."
            )
        return source.replace(self.text, self.replacement)


DEFECTS = (
    Defect(
        "1-scores-read-on-training-stays",
        "training/members.py",
        "scored = grid.folds == fold if fold >= 0 else grid.is_test",
        "scored = own",
        ("unit/stages/test_training_stage.py",),
    ),
    Defect(
        "2-softmax-before-the-loss",
        "models/recurrent/readout.py",
        "logits: Tensor = self.out(hidden)",
        "logits: Tensor = torch.softmax(self.out(hidden), dim=1)",
        ("contract/test_model_contract.py",),
    ),
    Defect(
        "3-induced-matrix-norm",
        "attacks/distances.py",
        "return change.flatten(1).abs().sum(dim=1)",
        "return torch.linalg.matrix_norm(change, ord=1)",
        ("unit/attacks/test_attack_distances.py",),
    ),
    Defect(
        "4-batch-mates-change-an-attack",
        "attacks/methods/proximal.py",
        "largest = movable.abs().amax(dim=(1, 2), keepdim=True)",
        "largest = movable.abs().amax()",
        ("contract/test_attack_contract.py",),
    ),
    Defect(
        "5-backward-half-sees-one-hour",
        "models/recurrent/classifier.py",
        'if self.options.readout == "final":\n            return final\n',
        'if self.options.readout == "final":\n            return last_hour(outputs, lengths)\n',
        ("unit/models/test_recurrent_models.py",),
    ),
    Defect(
        "6-the-future-leaks-in",
        "sources/mimic/binning.py",
        "end = window_hours * _SECONDS_PER_HOUR",
        "end = 2 * window_hours * _SECONDS_PER_HOUR",
        ("unit/sources/mimic3/test_mimic3_golden.py",),
    ),
    Defect(
        "7-scaler-fitted-on-scored-stays",
        "training/members.py",
        "scaler = fit_scaler_on(plan.grid, division.fit, plan.inputs)",
        "scaler = fit_scaler_on(plan.grid, ~plan.grid.is_test, plan.inputs)",
        ("unit/stages/test_training_stage.py",),
    ),
    Defect(
        "8-measurements-not-assigned-by-time",
        "sources/mimic/stays.py",
        "inside = (position >= 0) & (key < self.ends[position])",
        "inside = position >= 0",
        ("unit/sources/mimic3/test_mimic3_golden.py",),
    ),
    Defect(
        "9-folds-not-by-patient",
        "preprocessing/splits.py",
        "unique, of_stay = np.unique(patient_ids, return_inverse=True)",
        "unique, of_stay = np.unique(np.arange(patient_ids.size), return_inverse=True)",
        ("unit/preprocessing/test_splits.py",),
    ),
    Defect(
        "10-options-lost-on-the-way",
        "pipeline/stages.py",
        "to_dict(identity_only=True) for name, table in tables.items()}",
        "to_dict(identity_only=True) for name, table in list(tables.items())[:1]}",
        ("meta/identity/test_identity.py",),
    ),
    Defect(
        "11-unknown-keys-pass",
        "config/load.py",
        "if key not in fields:",
        "if key in () and key not in fields:",
        ("unit/config/test_config.py",),
    ),
    Defect(
        "12-gap-is-a-scalar",
        "analysis/measures.py",
        "return _ratio(cells.total, cells.n)",
        "return _ratio(np.mean(cells.total), cells.n)",
        ("unit/analysis/test_susceptibility.py",),
    ),
    Defect(
        "13-nineteen-variables-written-into-the-attack",
        "attacks/run/shards.py",
        "InputOptions.from_dict(checkpoint.inputs), shard.values,",
        "InputOptions.from_dict(checkpoint.inputs), np.resize(shard.values, (*shard.values.shape[:2], 19)),",
        ("unit/attacks/run/test_attack_runner.py",),
    ),
)

"""The defects of the original study."""

WRONG_CHANGES = (
    Defect(
        "threshold-by-training-stays",
        "training/members.py",
        "curve, threshold = _curve_and_threshold(labels, scored(model), plan.training)",
        (
            "curve, _ = _curve_and_threshold(labels, scored(model), plan.training)\n"
            "    known = stays_of(plan.grid, division.fit, scaler, plan.inputs)\n"
            "    _, threshold = _curve_and_threshold(\n"
            "        plan.grid.labels[division.fit], logits_of(model, known), plan.training\n"
            "    )"
        ),
        ("unit/training/test_held_out_choices.py",),
    ),
    Defect(
        "curve-by-training-stays",
        "training/members.py",
        "curve, threshold = _curve_and_threshold(labels, scored(model), plan.training)",
        (
            "_, threshold = _curve_and_threshold(labels, scored(model), plan.training)\n"
            "    known = stays_of(plan.grid, division.fit, scaler, plan.inputs)\n"
            "    curve, _ = _curve_and_threshold(\n"
            "        plan.grid.labels[division.fit], logits_of(model, known), plan.training\n"
            "    )"
        ),
        ("unit/training/test_held_out_choices.py",),
    ),
    Defect(
        "ensemble-threshold-by-stays-met",
        "training/fold_ensemble.py",
        "rows = [np.flatnonzero(grid.folds == fold) for fold in range(len(folds))]",
        "rows = [np.flatnonzero((grid.folds != fold) & ~grid.is_test) for fold in range(len(folds))]",
        ("unit/training/test_held_out_choices.py",),
    ),
    Defect(
        "teacher-sees-validation-labels",
        "training/members.py",
        "lessons = _lessons(plan, division.fit, scaler, job)",
        (
            "every = np.sort(np.concatenate([division.fit, division.valid]))\n"
            "    known, lessons = (_lessons(plan, rows, scaler, job) for rows in (every, division.fit))\n"
            "    if known.targets is not None:\n"
            "        lessons = dataclasses.replace(lessons, targets=known.targets[np.isin(every, division.fit)])"
        ),
        ("unit/training/test_held_out_choices.py",),
    ),
    Defect(
        "teacher-parts-by-stay",
        "training/teacher.py",
        "split_patients(grid.patient_ids[rows], labels,",
        "split_patients(np.arange(len(rows)), labels,",
        ("unit/training/test_held_out_choices.py",),
    ),
    Defect(
        "calibration-error-of-15-bins",
        "training/scores/metrics.py",
        "CALIBRATION_BINS = 10",
        "CALIBRATION_BINS = 15",
        ("unit/training/scores/test_metrics.py",),
    ),
    Defect(
        "calibration-bins-by-rounding",
        "training/scores/metrics.py",
        "(probabilities * CALIBRATION_BINS).astype(np.int64)",
        "np.rint(probabilities * CALIBRATION_BINS).astype(np.int64)",
        ("unit/training/scores/test_metrics.py",),
    ),
    Defect(
        "subgroup-intervals-over-all-stays",
        "training/scores/evaluation.py",
        "metric_rows(str(model), str(split), name, scored.select(mask), samples, rng)",
        (
            "metric_rows(str(model), str(split), name, scored, samples, rng).with_columns(\n"
            '                metric_rows(str(model), str(split), name, scored.select(mask), 2, rng)["value"],\n'
            "                stays=pl.lit(int(mask.sum())),\n"
            "            )"
        ),
        ("unit/training/scores/test_metrics.py",),
    ),
    Defect(
        "ten-deaths-are-enough",
        "report/sections/answer/notes.py",
        "ENOUGH_DEATHS = 100",
        "ENOUGH_DEATHS = 10",
        ("unit/report/test_answer.py",),
    ),
    Defect(
        "hour-48-from-the-database",
        "sources/mimic/sql.py",
        "WHEN since >= {window} THEN",
        "WHEN since > {window} THEN",
        ("unit/sources/mimic3/test_mimic3_postgres.py",),
    ),
    Defect(
        "amounts-half-to-even",
        "sources/mimic/sql.py",
        "floor(quantity * {scale}::float8 + 0.5::float8)::bigint",
        "round(quantity * {scale}::float8)::bigint",
        ("unit/sources/mimic3/test_mimic3_postgres.py",),
    ),
    Defect(
        "a-swap-with-one-plausible-value",
        "attacks/methods/entry_errors.py",
        "charting.plausible(wrong)[:, pair].all(axis=1))",
        "charting.plausible(wrong)[:, pair].any(axis=1))",
        ("unit/attacks/test_attack_entries.py",),
    ),
    Defect(
        "caught-errors-were-not-tried",
        "attacks/methods/entry_errors.py",
        "_counts(tried + caught, caught, flipped)",
        "_counts(tried, caught, flipped)",
        ("unit/attacks/test_attack_entries.py",),
    ),
    Defect(
        "an-implausible-mean-gets-worse",
        "preprocessing/charted.py",
        "least = self.means + (np.minimum(low, self.means) - self.means) / counts",
        "least = self.means - np.abs(low - self.means) / counts",
        ("unit/attacks/test_attack_entries.py",),
    ),
    Defect(
        "restricted-only-if-all-inputs-are",
        "pipeline/run.py",
        "else any(item.restricted for item in upstream.values())",
        "else all(item.restricted for item in upstream.values())",
        ("unit/pipeline/test_restricted_marks.py",),
    ),
)
"""Wrong changes that the tests of an earlier version let pass, most of them leaks."""


def test_every_defect_can_be_put_back() -> None:
    problems = []
    for defect in (*DEFECTS, *WRONG_CHANGES):
        try:
            ast.parse(defect.put_back(PACKAGE))
        except (ValueError, SyntaxError) as error:
            problems.append(f"{defect.name}: {error}" if isinstance(error, SyntaxError) else str(error))
        problems += [
            f"defect {defect.name}: tests/{path} does not exist. Name the tests that notice the defect."
            for path in defect.tests
            if not (REPOSITORY / "tests" / path).is_file()
        ]
    assert not problems, "\n".join(problems)
    assert [int(defect.name.partition("-")[0]) for defect in DEFECTS] == list(range(1, 14))


@pytest.fixture(scope="module")
def forked_pytest() -> Iterator[subprocess.Popen[str]]:
    """A process that runs tests on a changed package."""
    script = Path(__file__).with_name("forked_pytest.py")
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


@pytest.mark.parametrize(
    "defect",
    [
        *(pytest.param(defect, marks=pytest.mark.slow, id=defect.name) for defect in DEFECTS),
        *(pytest.param(defect, marks=pytest.mark.exhaustive, id=defect.name) for defect in WRONG_CHANGES),
    ],
)
def test_the_suite_fails_when_a_defect_is_put_back(
    defect: Defect, forked_pytest: subprocess.Popen[str], tmp_path: Path
) -> None:
    package, output = tmp_path / "src" / "icudl", tmp_path / "output"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / defect.file).write_text(defect.put_back(PACKAGE), "utf-8")
    request = {"package": str(package.parent), "tests": [f"tests/{path}" for path in defect.tests]}
    assert forked_pytest.stdin is not None
    assert forked_pytest.stdout is not None
    forked_pytest.stdin.write(json.dumps(request | {"output": str(output)}) + "\n")
    forked_pytest.stdin.flush()
    answer = json.loads(forked_pytest.stdout.readline())
    said = output.read_text("utf-8")
    assert answer == {"code": 1}, f"no test noticed: {said[-2000:]}"
    assert "\nFAILED " in said, said[-2000:]
