"""What the audit of the dependencies makes of each answer of pip-audit; an answer about nothing is no clean bill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).resolve().parents[2] / "scripts" / "audit"
CLEAN = {"name": "click", "version": "8.1.3", "vulns": []}
SKIPPED = {"name": "jinja2", "skip_reason": "Dependency not found"}
VULNERABLE = {"name": "idna", "version": "3.6", "vulns": [{"id": "PYSEC-2024-60", "fix_versions": ["3.7"]}]}
UNMENDED = {"name": "mpmath", "version": "1.2", "vulns": [{"id": "PYSEC-2021-427", "fix_versions": []}]}


@pytest.mark.parametrize(
    ("dependencies", "code", "ends", "words"),
    [
        ([CLEAN], 0, 0, ["1 distributions asked, 0 known"]),
        ([CLEAN, SKIPPED], 0, 0, ["not asked: jinja2: Dependency not found", "1 distributions asked"]),
        ([SKIPPED], 0, 75, ["not asked: jinja2", "no distribution could be asked"]),
        ([], 0, 75, ["no distribution could be asked"]),
        (None, 1, 75, ["gave no report: no route to the service"]),
        ([VULNERABLE, SKIPPED, CLEAN], 1, 1, ["idna 3.6: PYSEC-2024-60, fixed in 3.7", "2 distributions", "1 known"]),
        ([UNMENDED], 1, 1, ["PYSEC-2021-427, fixed in no version yet"]),
    ],
)
def test_each_answer(dependencies: list | None, code: int, ends: int, words: list[str], tmp_path: Path) -> None:
    report = "" if dependencies is None else json.dumps({"dependencies": dependencies, "fixes": []})
    stand_in = f"import sys\nprint({report!r})\nprint('no route to the service', file=sys.stderr)\n"
    stand_in += f"sys.exit(0 if '--version' in sys.argv else {code})\n"
    (tmp_path / "pip_audit.py").write_text(stand_in, "utf-8")
    done = subprocess.run(
        [sys.executable, str(AUDIT)], env=os.environ | {"PYTHONPATH": str(tmp_path)}, cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == ends, said
    assert all(word in said for word in words), said
