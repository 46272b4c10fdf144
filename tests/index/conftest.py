"""The index under test, on both databases."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from edge.index.writer import IndexWriter
from tests.parts import program
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def index_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give a fresh database's URL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'index.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def writer(index_url: str) -> Iterator[IndexWriter]:
    """Give the index of the site SITE, its tables made."""
    writer = IndexWriter(index_url, "SITE")
    writer.ensure_schema()
    yield writer
    writer.close()


Sql = Callable[[str], list[list[str]]]


@pytest.fixture
def sql(index_url: str) -> Sql:
    """Give what a person would use: the psql or sqlite3 prompt, a query as typed to the header and its rows."""
    url = sa.make_url(index_url)
    if url.get_backend_name() == "sqlite":
        command = [program("sqlite3"), "-header", "-separator", "\x1f", str(url.database)]
    else:
        command = [program("psql"), "-X", "-A", "-F", "\x1f", "-P", "footer=off", index_url]

    def run(query: str) -> list[list[str]]:
        done = subprocess.run(command, input=query, capture_output=True, text=True, check=True, env=dict(os.environ))
        assert done.stderr == ""
        return [line.split("\x1f") for line in done.stdout.splitlines()]

    return run
