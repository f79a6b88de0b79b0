"""Fixtures of the tests that need a PostgreSQL server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql


@pytest.fixture
def schema(database: str) -> Iterator[str]:
    name = f"test {uuid.uuid4().hex[:8]}"
    yield name
    with psycopg.connect(database) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))
