"""``icudl audit``: a model that another library trained becomes a study of the data that another study reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import icudl

STUDY = """
[execution]
executor = "serial"
[source]
name = "synthetic"
patients = 160
[window]
hours = 8
[variables]
use = ["heartrate", "creatinine"]
[split]
folds = 2
[training]
bootstrap_samples = 20
[analysis]
bootstrap_samples = 10
"""


def train(folder: Path) -> None:
    """What a script would do that knows nothing of the project."""
    xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")
    rng = np.random.default_rng(0)
    values = rng.normal([90.0, 1.4], [15.0, 0.4], (300, 8, 2))
    values[rng.random(values.shape) < 0.3] = np.nan
    died = np.nan_to_num(np.nanmean(values[:, :, 0], axis=1), nan=90.0) + rng.normal(0, 4, 300) > 92
    model = xgboost.XGBClassifier(n_estimators=10, max_depth=2, n_jobs=1)
    model.fit(values.reshape(300, -1), died.astype(int)).save_model(folder / "theirs.json")
    (folder / "study.toml").write_text(STUDY)


@pytest.mark.slow
def test_a_file_is_audited_in_one_command(tmp_path: Path) -> None:
    train(tmp_path)
    call = ("audit", tmp_path / "theirs.json", "--store", tmp_path / "runs", "--max-stays", "8")
    refused = icudl(*call, "--data", tmp_path / "study.toml", check=False)
    assert refused.returncode == 2
    assert "trained_on (of icudl audit: --trained-on) is not said" in " ".join(refused.stderr.split())
    call = (*call, "--trained-on", "elsewhere")
    done = icudl(*call, "--data", tmp_path / "study.toml")
    page = (tmp_path / "runs" / done.stdout.strip() / "index.html").read_text("utf-8")
    for words in ("Audit of theirs.json", "one_value", "exact_value", "fewest", "entry_error", "random"):
        assert words in page
    # The study is one like any other: by the reference of its data nothing is computed again.
    fewer = ("execution.executor=serial", "training.bootstrap_samples=20", "analysis.bootstrap_samples=10")
    again = icudl(*call, "--data", "preprocess/latest", settings=fewer)
    assert again.stdout == done.stdout
    assert "nothing to do" in again.stderr


@pytest.mark.slow
def test_an_object_is_found_in_the_folder_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("NAMES = ()\n")
    (tmp_path / "study.toml").write_text(STUDY)
    # -P: Python itself does not look into the folder, as for the installed command.
    start = [sys.executable, "-P", "-c", "import sys; from icudl.cli import main; sys.exit(main())"]
    words = ["audit", "mine:model", "--data", "study.toml", "--trained-on", "elsewhere"]
    done = subprocess.run([*start, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert "'mine' has no 'model'" in done.stderr, done.stderr
