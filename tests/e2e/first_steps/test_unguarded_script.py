"""A script that starts work as soon as it is imported: its workers import it too, and it ends instead of hanging."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = """
import icudl

settings = ["source.patients=140", "split.folds=2", "training.max_epochs=1", "training.bootstrap_samples=10"]
settings += ["model.hidden_size=4", "model.fc_size=4", "execution.workers=2", "execution.executor=EXECUTOR"]
pipeline = icudl.Pipeline(icudl.load_config(settings=settings), "runs")
training = pipeline.run("train")
print(training.metrics.height)
"""


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a user does; a hang ends the test."""
    (folder / "study.py").write_text(text)
    command = [sys.executable, "study.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow  # three interpreters that import torch
@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_a_script_without_the_guard_ends_with_a_sentence_and_no_hang(executor: str, tmp_path: Path) -> None:
    if executor == "dask" and find_spec("distributed") is None:
        pytest.skip("needs dask")
    done = run_script(tmp_path, SCRIPT.replace("EXECUTOR", executor))
    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("icudl.errors.ConfigError: A worker process ended before it could begin.")
    assert 'if __name__ == "__main__":' in last
    assert "execution.executor to serial" in last


@pytest.mark.slow  # it trains, with and without workers; tests/faults/runs/test_workers.py runs scripts with the guard
@pytest.mark.parametrize("cure", ["guard", "serial"])
def test_either_cure_that_the_sentence_names_works(cure: str, tmp_path: Path) -> None:
    if cure == "serial":
        done = run_script(tmp_path, SCRIPT.replace("EXECUTOR", "serial"))
    else:
        body = SCRIPT.replace("EXECUTOR", "processes").replace("\n", "\n    ")
        done = run_script(tmp_path, f'if __name__ == "__main__":{body}')
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
