"""Fixtures shared by the whole suite."""

from __future__ import annotations

import gc
import os
import sys

# What is imported to collect the tests lives as long as the process: looking for garbage among it takes seconds.
gc.disable()

# Pytest rewrites the assertions of every test file and compiles it, ten seconds of processor time in each process.
# What was made once is kept, whatever the environment says.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Set before anything imports torch or polars: each process computes with one thread (docs/decisions/0004).
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import functools
import logging
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor

# CI draws the same examples in every run, so that a failure is due to the change. Other runs draw new ones, and fewer.
# None has a deadline: the machine may be busy.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("quick", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "quick")

REPOSITORY = Path(__file__).resolve().parents[1]


class SharedFiles(LoadScopeScheduling):
    """Deals tests out one by one; those of a file with the mark ``xdist_group`` go to one process.

    It stands in for xdist's ``--dist loadgroup``, whose groups pytest 9.2 passes over: it no longer reads the ids to
    which xdist 3.8 appends the names of groups.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if _is_shared(file) else nodeid


@functools.cache
def _is_shared(file: str) -> bool:
    return "mark.xdist_group" in (REPOSITORY / file).read_text("utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharedFiles | None:
    """Return the scheduler of ``--dist loadgroup``."""
    return SharedFiles(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_collection_finish() -> None:
    """Look for garbage from here on, among what the tests make."""
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test of the GPU where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


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
    """URL of a PostgreSQL server: the one that ICUDL_TEST_DATABASE names, else one that is started here."""
    given = os.environ.get("ICUDL_TEST_DATABASE")
    if given:
        yield given
        return
    # Loaded here, because psycopg takes as long as many a file of tests.
    from postgres_server import postgres_server

    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of an S3 server that is started here, on the loopback interface."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    _read_descriptions_of_services_once()
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _read_descriptions_of_services_once() -> None:
    """Give all S3 clients of the tests one loader: each store is a client of its own, and reads megabytes of JSON."""
    import botocore.session
    from botocore.loaders import create_loader

    botocore.session.create_loader = functools.cache(create_loader)


S3_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@pytest.fixture
def bucket(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a store in an empty bucket; the environment variables to reach it are set."""
    for name, value in (
        S3_CREDENTIALS | {"AWS_ENDPOINT_URL": s3_server, "ICUDL_CACHE": str(tmp_path / "cache")}
    ).items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    with urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{name}", method="PUT")):
        pass
    return f"s3://{name}/a/prefix"
