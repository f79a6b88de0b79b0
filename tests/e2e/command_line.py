"""The command line as a process, and the settings of a small study."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SMALL = (
    "source.patients=260",
    "split.folds=2",
    "cohort.min_age_years=18",
    "model.hidden_size=8",
    "model.fc_size=8",
    "training.max_epochs=2",
    "training.bootstrap_samples=20",
    "attack.max_stays=12",
    "attack.iterations=20",
    "attack.batch_size=4",
    "analysis.bootstrap_samples=20",
)


def icudl(*words: str | Path, check: bool = True, settings: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    more = [word for setting in settings for word in ("--set", setting)]
    environment = os.environ | {"PYTHONWARNINGS": "default", "COLUMNS": "140"}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from icudl.cli import main; sys.exit(main())", *map(str, words), *more],
        capture_output=True, text=True, timeout=600, env=environment, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done
