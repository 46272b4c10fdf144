"""Databases to test on: a real PostgreSQL server, one database a test, and SQLite files."""

import shutil
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
from tests.postgres import fresh_database, postgres_server, postgres_url

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


@pytest.fixture(scope="session")
def migrated_postgres(hasty_server: str) -> Iterator[str]:
    """Give the name of a migrated database to copy: its steps are taken once for all tests."""
    with fresh_database(hasty_server) as url:
        _migrate(url)
        yield str(sa.make_url(url).database)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a migrated file to copy."""
    path = tmp_path_factory.mktemp("migrated") / "cloud.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def postgres(hasty_server: str, migrated_postgres: str) -> Iterator[Database]:
    """Give a migrated database on PostgreSQL."""
    with fresh_database(hasty_server, like=migrated_postgres) as url:
        yield from _opened(url)


@pytest.fixture
def sqlite(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Database]:
    """Give a migrated SQLite file."""
    yield from _opened(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path)}")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """Give a real object store."""
    return DirectoryStore(tmp_path / "store")


def _migrate(url: str) -> None:
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()


def _opened(url: str) -> Iterator[Database]:
    engine = open_engine(url)
    yield Database(url=url, engine=engine)
    engine.dispose()
