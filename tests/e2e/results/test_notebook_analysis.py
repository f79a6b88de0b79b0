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


CUT_SMALL = {
    "default_study": {
        "source.patients=700": "source.patients=400",
        "training.max_epochs=8": "training.max_epochs=4",
        "max_stays=40": "max_stays=12",
        "bootstrap_samples=200": "bootstrap_samples=20",
        "bootstrap_samples=100": "bootstrap_samples=20",
    }
}
"""Settings of a notebook and those that the slow tests put in their place; the exhaustive ones run it as it stands."""


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


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.exhaustive if name in CUT_SMALL else pytest.mark.slow) for name in PICTURES],
)
def test_notebook_runs_from_top_to_bottom_in_under_five_minutes(name: str, tmp_path: Path):
    if name == "audit_your_model":
        pytest.importorskip("xgboost", reason="the extra outside is not installed")
    started = time.monotonic()
    execute(nbformat.read(FOLDER / f"{name}.ipynb", as_version=4), tmp_path)
    assert time.monotonic() - started < 300


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", CUT_SMALL)
def test_notebook_runs_from_top_to_bottom_on_fewer_patients(name: str, tmp_path: Path):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    (settings,) = (cell for cell in notebook.cells if cell.source.startswith("SETTINGS = ["))
    for whole, small in CUT_SMALL[name].items():
        assert whole in settings.source
        settings.source = settings.source.replace(whole, small)
    execute(notebook, tmp_path)


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run a notebook in a folder; it must end with a report, and without an error."""
    from nbclient import NotebookClient

    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    assert list((folder / "runs" / "report").glob("*/index.html"))
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
