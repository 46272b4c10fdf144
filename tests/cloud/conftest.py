"""Databases to test on: a real PostgreSQL server, one database a test, and SQLite files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from cloud.db.engine import open_engine
from cloud.db.migrate import migrate
from edge.contract.local_store import DirectoryStore
from tests.browser import browser, page
from tests.postgres import postgres_server, postgres_url

__all__ = ["browser", "page", "postgres_server", "postgres_url"]


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


@pytest.fixture(scope="session")
def hasty_server(postgres_server: str) -> str:
    """Let the server flush nothing: no test here cuts the power, and a busy machine should not make them slow."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    return postgres_server


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest) -> Database:
    """Give a migrated database, on PostgreSQL and on SQLite."""
    return request.getfixturevalue("postgres" if request.param == "postgresql" else "sqlite")


@pytest.fixture
def postgres(hasty_server: str, postgres_url: str) -> Iterator[Database]:
    """Give a migrated database on PostgreSQL."""
    yield from _opened(postgres_url)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """Give a migrated SQLite file."""
    yield from _opened(f"sqlite:///{tmp_path / 'cloud.db'}")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """Give a real object store."""
    return DirectoryStore(tmp_path / "store")


def _opened(url: str) -> Iterator[Database]:
    engine = open_engine(url)
    migrate(engine)
    yield Database(url=url, engine=engine)
    engine.dispose()
