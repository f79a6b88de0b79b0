"""The notebook: runs from top to bottom, stays small, and names no machine."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "icu_deep_learning.ipynb"


def code_cells() -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]


def test_notebook_is_committed_with_small_outputs_and_without_errors():
    assert NOTEBOOK.stat().st_size < 1_500_000
    cells = code_cells()
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) >= 10


def test_every_cell_is_valid_python():
    for cell in code_cells():
        ast.parse(cell.source)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_notebook_runs_from_top_to_bottom_in_under_five_minutes(tmp_path: Path):
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    started = time.monotonic()
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert time.monotonic() - started < 300
    assert list((tmp_path / "runs" / "report").glob("*/index.html"))
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
