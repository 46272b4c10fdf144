"""Databases as the tests of the ingester have them, local HealthImagings of the module, and a scene for each test."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cloud.conftest import (
    Database,
    database,
    hasty_server,
    migrated_postgres,
    migrated_sqlite,
    postgres,
    sqlite,
    store,
)
from tests.healthimaging import HealthImaging, healthimaging
from tests.imports.scene import Scene, open_store
from tests.postgres import postgres_server, postgres_url

__all__ = [
    "database", "hasty_server", "migrated_postgres", "migrated_sqlite", "postgres", "postgres_server", "postgres_url",
    "sqlite", "store",
]  # fmt: skip


class Servers:
    """Local HealthImagings over directory stores; each has as many data stores as an account may have."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._made = 0
        self._server: HealthImaging | None = None

    def scene(self, database: Database) -> Scene:
        """Give a scene with a data store of its own."""
        if self._server is None or self._made % 10 == 0:
            folder = self._folder / str(self._made)
            # Time leaps in a scene: the service's pace is the processor's to keep, and is tested in its own time.
            running = healthimaging(folder, folder / "store", HEALTHIMAGING_THROTTLE="off")
            self._server = self._stack.enter_context(running)
        self._made += 1
        server = self._server
        return Scene(database=database, server=server, store=open_store(server.folder), datastore=server.datastore())


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Give what makes scenes, and end its servers."""
    with ExitStack() as stack:
        yield Servers(tmp_path_factory.mktemp("healthimaging"), stack)


@pytest.fixture
def scene(servers: Servers, sqlite: Database) -> Scene:
    """Give a scene on SQLite."""
    return servers.scene(sqlite)


@pytest.fixture
def scene_on_both(servers: Servers, database: Database) -> Scene:
    """Give a scene on PostgreSQL, and on SQLite."""
    return servers.scene(database)
