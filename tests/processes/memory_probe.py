"""Peak memory of one piece of work in a process of its own.

    python tests/processes/memory_probe.py WORK SIZE [FOLDER]

Prints the bytes by which the peak of the resident memory rose above what the process held when the work began.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# A script has the folder of its own file only.
sys.path += [str(Path(__file__).resolve().parents[1] / "made" / room) for room in ("cases", "tables")]

import numpy as np
import polars as pl

from icudl.analysis.options import AnalysisOptions
from icudl.analysis.susceptibility import analyse_attack
from icudl.artifacts import ATTACKED_SCHEMA, PERTURBATIONS_SCHEMA, AttackResult, GridDataset
from icudl.attacks.options import ProximalOptions
from icudl.attacks.run.runner import run_attack
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.preprocessing.cohort import CohortOptions
from icudl.preprocessing.splits import SplitOptions
from icudl.sources.base import WindowOptions
from icudl.sources.mimic3.files import Mimic3Files
from icudl.sources.mimic3.options import Mimic3Options
from icudl.stages.preprocess import preprocess
from icudl.variables import STUDY_VARIABLES

N_VARIABLES = len(STUDY_VARIABLES)


def _resident(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    assert found is not None
    return int(found[1]) * 1024


def rise(work: Callable[[], object]) -> int:
    """Run ``work`` and return by how many bytes the peak rose above the memory held before."""
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # the peak starts anew
    before = _resident("VmRSS")
    work()
    return _resident("VmHWM") - before


def _context() -> RunContext:
    scratch = Path(tempfile.mkdtemp(prefix="icudl-memory-"))
    return RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=1)


def extraction(_size: int, folder: Path) -> Callable[[], object]:
    """Read the MIMIC-III tables of a folder."""
    source = Mimic3Files(Mimic3Options(path=str(folder)), seed=0)
    return lambda: source.extract(STUDY_VARIABLES, WindowOptions(), _context())


def preparation(size: int, _folder: Path) -> Callable[[], object]:
    """Make the grid of so many stays."""
    from tables_by_hand import stay, tables

    stays = [stay(number, died=number % 5 == 0) for number in range(size)]
    source = tables(stays, variables=STUDY_VARIABLES)
    return lambda: preprocess(source, CohortOptions(), SplitOptions(), _context())


def write_attack(size: int, changed: int, folder: Path) -> None:
    """Write an attack on so many stays, all flipped, with so many changed cells in each of two examples."""
    rng = np.random.default_rng(0)
    stays = np.arange(size)
    cells = np.repeat(stays, changed)
    numbers = {name: np.ones(size) for name, dtype in ATTACKED_SCHEMA.items() if dtype.is_numeric()}
    attacked = numbers | {
        "stay_id": stays, "label": stays % 2, "member": ["final"] * size, "split": ["test"] * size,
        "length": [48] * size, "status": ["success"] * size, "probability_before": np.where(stays % 2, 0.9, 0.1),
    }  # fmt: skip
    changes = {
        "stay_id": cells, "hour": np.tile(np.arange(changed) // N_VARIABLES, size),
        "variable": np.tile(np.arange(changed) % N_VARIABLES, size), "before": rng.random(len(cells)),
        "change": rng.random(len(cells)), "before_clinical": rng.random(len(cells)),
        "after_clinical": rng.random(len(cells)),
    }  # fmt: skip
    best = pl.DataFrame(changes).with_columns(example=pl.lit("best"))
    both = pl.concat([best, best.with_columns(example=pl.lit("first"))]).sort("stay_id", maintain_order=True)
    perturbations = both.select(pl.col(name).cast(dtype) for name, dtype in PERTURBATIONS_SCHEMA.items())
    AttackResult(
        stays=pl.DataFrame(attacked, schema=dict(ATTACKED_SCHEMA), strict=False),
        perturbations=perturbations,
        curves={},
        variables=STUDY_VARIABLES,
        n_hours=48,
        threat_model="grid",
        options={},
    ).write(folder)


def analysis(_size: int, folder: Path) -> Callable[[], object]:
    """Analyse the attack in a folder."""
    attack, options = AttackResult.read(folder), AnalysisOptions(bootstrap_samples=50)
    return lambda: analyse_attack(attack, options, lambda condition, example: np.random.default_rng(1))


def attack(_size: int, folder: Path) -> Callable[[], object]:
    """Attack all stays of the data set in a folder, with a search cut short, and read a table of the result."""
    from attack_cases import make_checkpoint
    from training_grids import make_grid

    few = make_grid(200, n_hours=48, n_variables=N_VARIABLES)
    members = ("final", *(f"fold-{fold}" for fold in range(few.n_folds)))
    checkpoints = {member: make_checkpoint(few, member) for member in members}
    options = ProximalOptions(iterations=3, learning_rate=1.0, refine=False, attack_misclassified=True)

    def work() -> None:
        grid, target = GridDataset.read(folder), folder / "result"
        result = run_attack(checkpoints, grid, np.arange(len(grid.labels)), options, _context())
        target.mkdir()
        result.write(target)
        AttackResult.read(target).ask("perturbations", lambda table: table.group_by("variable").len())

    return work


WORK = {"attack": attack, "extraction": extraction, "preparation": preparation, "analysis": analysis}

if __name__ == "__main__":
    name, size, *folder = sys.argv[1:]
    print(rise(WORK[name](int(size), Path(*folder))))  # noqa: T201
