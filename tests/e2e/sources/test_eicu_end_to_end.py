"""eICU through the command line, on small tables in the release's layout."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from command_line import SMALL, icudl

from eicu_tables import Hospital, lab, nurse, patient
from icudl.artifacts import GridDataset

SETTINGS = tuple(setting for setting in SMALL if not setting.startswith("source."))
USE = "variables.use=['heartrate', 'creatinine', 'calcium']"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = random.Random(4)
    hospital = Hospital(patient=[], lab=[], nursecharting=[])
    for stay in range(1, 121):
        died = rng.random() < 0.3
        hospital.patient.append(
            patient(stay, hospitaldischargestatus="Expired" if died else "Alive", hospitalid=stay % 4)
        )
        for hour in range(0, 48, 4):
            rate = round(rng.gauss(110 if died else 80, 10))
            hospital.nursecharting.append(nurse(60 * hour, "Heart Rate", "Heart Rate", rate, stay=stay))
            hospital.lab.append(lab(60 * hour, "creatinine", round(abs(rng.gauss(2, 0.5)), 1), stay=stay))
            hospital.lab.append(lab(60 * hour, "ionized calcium", 4.6, "mmol/L", stay=stay))
    return hospital.write(tmp_path_factory.mktemp("eicu") / "tables")


def on(folder: Path, store: Path) -> tuple[str, ...]:
    return ("--store", str(store), "--set", "source.name=eicu", "--set", f"source.path={folder}", "--set", USE)


def test_hospitals_are_held_out_whole(folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs"
    icudl("run", "--to", "preprocess", *on(folder, store), settings=("split.folds=2", "split.test_sets=['3']"))
    (path,) = (store / "preprocess").glob("*/manifest.json")
    manifest = json.loads(path.read_text("utf-8"))
    assert manifest["restricted"] is True
    grid = GridDataset.read(path.parent)
    assert set(grid.stays["source_set"].to_numpy()[grid.is_test]) == {"3"}
    assert "3" not in set(grid.stays["source_set"].to_numpy()[~grid.is_test])


@pytest.mark.slow
def test_from_tables_to_a_report(folder: Path, tmp_path: Path) -> None:
    icudl("run", *on(folder, tmp_path / "runs"), settings=SETTINGS)
    page = next((tmp_path / "runs" / "report").glob("*/index.html")).read_text("utf-8")
    assert "eICU Collaborative Research Database" in page
