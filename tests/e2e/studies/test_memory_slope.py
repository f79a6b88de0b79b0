"""Memory on growing inputs, each in a process of its own, as a slope: bytes for each further row or stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

TESTS = Path(__file__).resolve().parents[2]
sys.path.append(str(TESTS / "unit"))

from mimic3_tables import Hospital, chart, write_table

from icudl.variables import STUDY_VARIABLES
from memory_probe import write_attack
from training_grids import make_grid

pytestmark = pytest.mark.slow


def rise(work: str, size: int, folder: Path) -> int:
    done = subprocess.run(
        [sys.executable, TESTS / "processes" / "memory_probe.py", work, str(size), folder],
        capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    return int(done.stdout)


def slope(work: str, sizes: tuple[int, int], folder: Path) -> float:
    small, large = (rise(work, size, folder) for size in sizes)
    return (large - small) / (sizes[1] - sizes[0])


def hospital(folder: Path, rows: int) -> Path:
    """A hospital whose CHARTEVENTS has so many rows, of which a thousand are of an item that is read."""
    Hospital().write(folder)
    few = Hospital(charts=[chart(k % 48, 211, 60 + k % 40, seconds=k) for k in range(1000)]).frames()["CHARTEVENTS"]
    many = pl.concat([few, few.with_columns(pl.lit("1").alias("ITEMID")).sample(rows - 1000, with_replacement=True)])
    (folder / "CHARTEVENTS.csv").unlink()
    write_table(folder, "CHARTEVENTS", many, ending="csv.gz")
    return folder


def test_extraction_is_flat_in_the_size_of_a_table(tmp_path: Path) -> None:
    """A row of a table takes about a hundred bytes of text; what is not kept of it must not stay in memory."""
    sizes = (500_000, 3_000_000)
    risen = [rise("extraction", size, hospital(tmp_path / str(size), size)) for size in sizes]
    assert (risen[1] - risen[0]) / (sizes[1] - sizes[0]) < 16


def test_a_stay_of_the_grid_takes_little_more_than_its_cells(tmp_path: Path) -> None:
    cells = 48 * 19
    assert slope("preparation", (2_000, 20_000), tmp_path) < 12 * cells


@pytest.mark.exhaustive  # it attacks 50,000 stays, which takes four minutes
def test_an_attack_holds_neither_the_data_nor_the_results(tmp_path: Path) -> None:
    """A stay has 5.5 kB of hourly values and counts; its row of the table of stays is what is held."""
    sizes = (10_000, 40_000)
    risen = []
    for size in sizes:
        folder = tmp_path / str(size)
        folder.mkdir()
        make_grid(size, n_hours=48, n_variables=len(STUDY_VARIABLES)).write(folder)
        risen.append(rise("attack", size, folder))
    assert (risen[1] - risen[0]) / (sizes[1] - sizes[0]) < 1_000


def rise_of_analysis(stays: int, changed: int, folder: Path) -> int:
    folder.mkdir()
    write_attack(stays, changed, folder)
    return rise("analysis", stays, folder)


def test_analysis_does_not_hold_what_is_changed(tmp_path: Path) -> None:
    """Two examples of every cell of a stay: 1,824 rows of 40 bytes."""
    sizes = (1_000, 4_000)
    risen = [rise_of_analysis(size, 48 * 19, tmp_path / str(size)) for size in sizes]
    assert (risen[1] - risen[0]) / (sizes[1] - sizes[0]) < 8_000


def test_analysis_holds_a_few_rows_of_a_stay(tmp_path: Path) -> None:
    """A stay of the attack, of its examples and of two tables has some seven hundred bytes."""
    sizes = (20_000, 100_000)
    risen = [rise_of_analysis(size, 5, tmp_path / str(size)) for size in sizes]
    assert (risen[1] - risen[0]) / (sizes[1] - sizes[0]) < 2_000
