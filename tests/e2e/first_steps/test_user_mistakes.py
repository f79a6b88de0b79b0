"""One clear message, the exit code of the design, no traceback (``icudl`` checks that), nothing lost."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
from command_line import icudl

MIMIC = ("source.name=mimic3",)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from icudl.sources.synthetic.source import write_hospital

    folder = tmp_path_factory.mktemp("hospital") / "tables"
    write_hospital(folder, patients=30, seed=3)
    return folder


def table(folder: Path, name: str) -> Path:
    return next(path for path in folder.iterdir() if path.name.upper().startswith(name))


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("run", "--set", "attack.kapa=1"), 2, "Did you mean 'kappa'"),
        (("run", "--set", "attack.kappa=-1"), 2, "attack.kappa"),
        (("run", "--config", "nowhere.toml"), 2, "does not exist"),
        (("run", "--to", "trian"), 2, "Did you mean 'train'"),
        (("rnu",), 2, "rnu"),
        (("run", "--nonsense"), 2, "--nonsense"),
        (("run", "--set", "source.name=mimik3"), 3, "Did you mean 'mimic3'"),
        (("run", "--set", "execution.executor=nobody"), 3, "nobody"),
        (("run", "--set", "variables.use=['hartrate']"), 2, "Did you mean 'heartrate'"),
        (("show", "train/abc"), 5, "matches"),
        (("tune", "model"), 2, "tune_model.trials"),
        (("run", "--device", "cuda:99"), 8, "cuda:99"),
    ],
)
def test_wrong_words(tmp_path: Path, words: tuple[str, ...], code: int, expected: str) -> None:
    done = icudl(*words, "--store", tmp_path / "runs", check=False)
    assert done.returncode == code, done.stderr
    assert expected in done.stderr
    assert done.stdout == ""


def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    done = icudl("run", "--store", tmp_path / "runs", check=False, settings=(*MIMIC, f"source.path={tmp_path}/nowhere"))
    assert done.returncode == 4
    assert "nowhere" in done.stderr


def run_on(folder: Path, store: Path) -> tuple[int, str]:
    done = icudl("run", "--to", "preprocess", "--store", store, check=False, settings=(*MIMIC, f"source.path={folder}"))
    return done.returncode, done.stderr


def test_a_missing_table(hospital: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    shutil.copytree(hospital, folder)
    table(folder, "ICUSTAYS").unlink()
    code, errors = run_on(folder, tmp_path / "runs")
    assert code == 4
    assert "ICUSTAYS" in errors.upper()


def test_a_missing_column(hospital: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    shutil.copytree(hospital, folder)
    path = table(folder, "ICUSTAYS")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"INTIME", b"IN_TIME", 1)))
    code, errors = run_on(folder, tmp_path / "runs")
    assert code == 4
    assert "INTIME" in errors.upper()


def test_a_truncated_gz(hospital: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    shutil.copytree(hospital, folder)
    path = table(folder, "CHARTEVENTS")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    code, errors = run_on(folder, tmp_path / "runs")
    assert code == 4
    assert "CHARTEVENTS" in errors.upper()


def test_an_empty_cohort_keeps_what_was_extracted(hospital: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs"
    settings = (*MIMIC, f"source.path={hospital}", "cohort.min_age_years=119")
    done = icudl("run", "--to", "preprocess", "--store", store, check=False, settings=settings)
    assert done.returncode == 4
    assert "119" in done.stderr
    assert len(list((store / "extract").iterdir())) == 1
