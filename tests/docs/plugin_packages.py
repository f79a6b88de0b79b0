"""The example plug-ins of the documentation, installed as a user would install them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "docs" / "examples" / "plugins"
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def install(target: Path) -> None:
    """Build every example package and install it into ``target``, from nothing but what is here."""
    sources = target.parent / "sources"
    shutil.copytree(FOLDER, sources, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
            "--disable-pip-version-check", "--target", str(target), *(str(sources / name) for name in NAMES),
        ],
        check=True, timeout=300,
    )  # fmt: skip
