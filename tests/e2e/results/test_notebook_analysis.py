"""The notebooks: each runs from top to bottom, stays small, and names no machine."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[3] / "notebooks"
PICTURES = {"icu_deep_learning": 10, "default_study": 1, "audit_your_model": 0}
"""Notebooks, and how many pictures each shows at least."""


def code_cells(name: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells if cell.cell_type == "code"]


def test_every_notebook_is_tested():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == PICTURES.keys()


@pytest.mark.parametrize("name", PICTURES)
def test_notebook_is_committed_with_small_outputs_and_without_errors(name: str):
    file = FOLDER / f"{name}.ipynb"
    assert file.stat().st_size < 1_500_000
    assert "/tmp/" not in file.read_text("utf-8")
    cells = code_cells(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) >= PICTURES[name]


@pytest.mark.parametrize("name", PICTURES)
def test_every_cell_is_valid_python(name: str):
    for cell in code_cells(name):
        ast.parse(cell.source)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", PICTURES)
def test_notebook_runs_from_top_to_bottom_in_under_five_minutes(name: str, tmp_path: Path):
    from nbclient import NotebookClient

    if name == "audit_your_model":
        pytest.importorskip("xgboost", reason="the extra outside is not installed")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    started = time.monotonic()
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert time.monotonic() - started < 300
    assert list((tmp_path / "runs" / "report").glob("*/index.html"))
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
