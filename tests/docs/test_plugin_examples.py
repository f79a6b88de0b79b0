"""The example plug-ins keep the contracts of their seams and work from the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_packages import FOLDER, NAMES


def run(words: list[str], plugins: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(plugins)}
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow  # a pytest of its own, which imports everything once more
def test_their_own_tests_pass(plugins: Path, tmp_path: Path) -> None:
    for name in NAMES:
        for path in (FOLDER / name).glob("test_*.py"):
            shutil.copy(path, tmp_path)
    assert len(list(tmp_path.glob("test_*.py"))) == len(NAMES)
    done = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "-W", "error"], plugins, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]


def test_icudl_knows_them(plugins: Path, tmp_path: Path) -> None:
    command = "import sys; from icudl.cli import main; sys.exit(main())"
    done = run(["-c", command, "plugins", "--json"], plugins, tmp_path)
    listed = json.loads(done.stdout)
    assert listed["icudl.sources"]["ward"] == "icudl-ward-source 1.0"
    assert listed["icudl.models"]["mean"] == "icudl-mean-model 1.0"
    assert listed["icudl.attacks"]["line"] == "icudl-line-attack 1.0"
    assert listed["icudl.executors"]["forkserver"] == "icudl-forkserver-executor 1.0"
