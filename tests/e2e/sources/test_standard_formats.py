"""MEDS and CLIF through the command line: written by `icudl synth`, found by `icudl locate`, read into a grid."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import SMALL, icudl

from icudl.artifacts import GridDataset

SETTINGS = tuple(setting for setting in SMALL if not setting.startswith("source."))


def located(layout: str, place: Path) -> Path:
    """Write a hospital in a layout, look for it, and return the configuration that reads it."""
    study = place / "study.toml"
    icudl("synth", place / layout, "--patients", "260", "--layout", layout)
    icudl("locate", place, "--write", study)
    return study


@pytest.mark.parametrize("layout", ["meds", pytest.param("clif", marks=pytest.mark.slow)])
def test_from_a_layout_to_a_grid(layout: str, tmp_path: Path) -> None:
    study = located(layout, tmp_path)
    icudl("run", "--to", "preprocess", "--config", study, "--store", tmp_path / "runs", settings=("split.folds=2",))
    (path,) = (tmp_path / "runs" / "preprocess").glob("*/manifest.json")
    grid = GridDataset.read(path.parent)
    assert len(grid.stays) > 100
    assert grid.labels.sum() > 5


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "work"), [("meds", "Medical Event Data Standard"), ("clif", "CLIF")])
def test_from_a_layout_to_a_report(layout: str, work: str, tmp_path: Path) -> None:
    study = located(layout, tmp_path)
    icudl("run", "--config", study, "--store", tmp_path / "runs", settings=SETTINGS)
    page = next((tmp_path / "runs" / "report").glob("*/index.html")).read_text("utf-8")
    assert work in page


def test_a_layout_that_is_unknown_is_one_message(tmp_path: Path) -> None:
    done = icudl("synth", tmp_path / "x", "--layout", "omop", check=False)
    assert done.returncode == 2
    assert "Known: mimic3, mimic4, eicu, meds, clif, yaib, table." in done.stderr
    assert "Traceback" not in done.stderr
