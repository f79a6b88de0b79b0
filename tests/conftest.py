"""Fixtures shared by the whole suite."""

from __future__ import annotations

import os

# Before torch or polars are imported anywhere: one thread a process (docs/decisions), xdist gives the parallelism.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

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
