"""The blocks of every page run as they stand, in order, in an empty folder; studies are cut small, nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fenced_blocks import DOCS, PAGES, REPOSITORY, Block, blocks

HERE = Path(__file__).resolve().parent
FIRST_READ = {"README.md", "docs/howto/install.md"}
"""Pages of the default suite; the others are slow."""


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.is_run]


NAMES = {str(page.relative_to(REPOSITORY)): page for page in PAGES if runnable(page)}


def run_by_another(page: Path) -> bool:
    """Whether another page, in an empty folder as well, begins with all blocks of this one; of two alike one is run."""
    own = [block.text for block in runnable(page)]
    for other in NAMES.values():
        theirs = [block.text for block in runnable(other)]
        if theirs[: len(own)] == own and (len(theirs) > len(own) or other < page):
            return True
    return False


PARAMETERS = [
    pytest.param(page, id=name, marks=[] if name in FIRST_READ else [pytest.mark.slow])
    for name, page in NAMES.items()
    if name in FIRST_READ or not run_by_another(page)
]


def script_of(page: Path, folder: Path) -> str:
    """Return one script for the whole page, so that variables last from block to block, those of Python as well."""
    found = runnable(page)
    lines = ["set -euo pipefail"]
    if any(block.language == "python" for block in found):
        lines.append(f'coproc PYTHON {{ "{sys.executable}" "{HERE / "small_python.py"}" blocks; }}')
    for block in found:
        lines.append(f"echo '--- {block.name}' >&2")
        if block.language == "python":
            path = folder / f"block_{block.line}.py"
            path.write_text(block.text, "utf-8")
            lines.append(f"echo '{path}' >&${{PYTHON[1]}}; read -r answer <&${{PYTHON[0]}}; [ \"$answer\" = done ]")
        else:
            lines.append(block.text)
    return "\n".join(lines) + "\n"


def make_icudl(folder: Path, server: str = "") -> None:
    """Put a command ``icudl`` into ``folder``: one that imports for itself, or one that asks a server."""
    command = folder / "icudl"
    own, asking = f'"{HERE / "small_python.py"}" icudl', f'-S "{HERE / "command_call.py"}" "{server}"'
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {asking if server else own} "$@"\n', "utf-8")
    command.chmod(0o755)


@pytest.fixture(scope="session")
def command_server() -> Iterator[str]:
    """Address of a server of the command ``icudl``."""
    # Not below pytest's own folder: the address of a socket has hundred characters at most.
    folder = tempfile.mkdtemp(prefix="icudl-pages-")
    address = f"{folder}/socket"
    words = [sys.executable, str(HERE / "command_server.py"), address]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield address
        server.terminate()
    shutil.rmtree(folder)


@pytest.mark.parametrize("page", PARAMETERS)
def test_the_blocks_of_a_page_run(page: Path, plugins: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The pages read first start an interpreter for each call, as their readers do."""
    programs, work = tmp_path / "programs", tmp_path / "work"
    programs.mkdir()
    work.mkdir()
    is_first = str(page.relative_to(REPOSITORY)) in FIRST_READ
    make_icudl(programs, "" if is_first else request.getfixturevalue("command_server"))
    shutil.copytree(REPOSITORY / "configs", work / "configs")
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(plugins),
        "HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-c", script_of(page, programs)],
        cwd=work, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stderr


def test_a_page_that_does_not_run_is_found(tmp_path: Path) -> None:
    page = DOCS / "x.md"
    bad = Block(page, 1, "bash", "icudl rnu\n", "", "")
    make_icudl(tmp_path)
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{bad.text}"],
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "No such command" in done.stderr


def test_the_pages_read_first_have_blocks_that_run() -> None:
    assert set(NAMES) >= FIRST_READ
