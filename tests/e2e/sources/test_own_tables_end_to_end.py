"""A hospital's own tables through the command line: from files with other names and units to a report."""

from __future__ import annotations

import html
import json
import random
from pathlib import Path

import pytest
from command_line import SMALL, icudl

SETTINGS = tuple(setting for setting in SMALL if not setting.startswith("source."))


def write_hospital(folder: Path, stays: int, seed: int, *, in_umol: bool = True) -> None:
    rng = random.Random(seed)
    folder.mkdir()
    of_stays = ["case,subject_id,age,gender,exitus,los_hours"]
    values = ["case,hours,HF,Creatinine [umol/L]" if in_umol else "case,hours,HF,Creatinine"]
    for stay in range(stays):
        died = rng.random() < 0.3
        of_stays.append(f"C{stay},P{stay},{rng.randint(20, 90)},{rng.choice('mf')},{'yes' if died else 'no'},60")
        for hour in range(0, 48, 4):
            rate, creatinine = rng.gauss(110 if died else 80, 10), abs(rng.gauss(200 if died else 90, 20))
            values.append(f"C{stay},{hour}.5,{rate:.0f},{creatinine:.0f}")
    (folder / "stays.csv").write_text("\n".join(of_stays) + "\n", "utf-8")
    (folder / "measurements.csv").write_text("\n".join(values) + "\n", "utf-8")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_hospital(tmp_path / "north", 120, 1)
    write_hospital(tmp_path / "south", 60, 2)
    tables = [
        f'[data.{name}]\nsource = "table"\npath = "{folder}"\npopulation = "{folder}"\nrole = "{role}"\n'
        "open_data = true\n"
        'stay_columns = { died = "exitus", stay_id = "case" }\nvalue_columns = { stay_id = "case" }\n'
        'names = { "HF" = "heartrate" }\n'
        for name, folder, role in (("home", "north", "main"), ("away", "south", "external"))
    ]
    file = tmp_path / "study.toml"
    file.write_text("\n".join([*tables, '[variables]\nuse = ["heartrate", "creatinine"]\n']), "utf-8")
    return file


@pytest.mark.slow
def test_from_tables_to_a_report_of_two_hospitals(study: Path, tmp_path: Path) -> None:
    done = icudl("run", "--config", study, "--store", tmp_path / "runs", settings=SETTINGS)
    assert "'los_hours' of stays.csv is stay_hours" in " ".join(done.stderr.split())
    page = html.unescape(next((tmp_path / "runs" / "report").glob("*/index.html")).read_text("utf-8"))
    assert "Names taken for those of the catalogue" in page
    manifests = [
        json.loads(path.read_text("utf-8")) for path in (tmp_path / "runs" / "extract").glob("*/manifest.json")
    ]
    assert sorted(manifest["counts"]["stays"] for manifest in manifests) == [60, 120]
    assert not any(manifest["restricted"] for manifest in manifests)
    scored = icudl("list", "--store", tmp_path / "runs").stdout
    assert "score/" in scored


def test_a_unit_that_is_not_stated_ends_with_one_sentence(tmp_path: Path) -> None:
    write_hospital(tmp_path / "hospital", 20, 3, in_umol=False)
    settings = (
        "source.name=table", f"source.path={tmp_path / 'hospital'}", 'source.names={"HF" = "heartrate"}',
        'source.stay_columns={died = "exitus", stay_id = "case"}', 'source.value_columns={stay_id = "case"}',
        "variables.use=['heartrate', 'creatinine']",
    )  # fmt: skip
    done = icudl("extract", "--store", tmp_path / "runs", check=False, settings=settings)
    assert done.returncode == 4
    assert "this looks like umol/L" in " ".join(done.stderr.split())
    done = icudl("extract", "--store", tmp_path / "runs", settings=(*settings, 'source.units={Creatinine = "umol/L"}'))
    assert "extract/" in done.stdout
