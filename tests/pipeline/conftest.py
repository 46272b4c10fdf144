"""The API over both databases, and over SQLite where the database makes no difference."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import browser, page
from tests.cloud.conftest import Database, database, hasty_server, migrated_postgres, migrated_sqlite, postgres, sqlite
from tests.pipeline.api import Api, open_api
from tests.pipeline.processing import Container
from tests.postgres import postgres_server, postgres_url
from tests.seaweed import s3_bucket, s3_endpoint

__all__ = [
    "browser", "database", "hasty_server", "migrated_postgres", "migrated_sqlite", "page", "postgres",
    "postgres_server", "postgres_url", "s3_bucket", "s3_endpoint", "sqlite",
]  # fmt: skip


@pytest.fixture
def api(sqlite: Database) -> Iterator[Api]:
    """Serve the API over SQLite."""
    with open_api(sqlite.engine) as served:
        yield served


@pytest.fixture
def both(database: Database) -> Iterator[Api]:
    """Serve the API over PostgreSQL and over SQLite."""
    with open_api(database.engine) as served:
        yield served


@pytest.fixture
def container(api: Api, tmp_path: Path) -> Container:
    """Give the processing container, its workspace empty."""
    return Container(folder=tmp_path, api=api)
