"""Opening the database: PostgreSQL by URL, SQLite for a laptop; the same locks from both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

BUSY_SECONDS = 30


def open_engine(url: str, *, read_only: bool = False, renew: Callable[[], str] | None = None) -> sa.Engine:
    """Return an engine for ``url`` (``postgresql://…`` or ``sqlite:///file``).

    A writer's transaction on SQLite takes the write lock when it begins, so that what PostgreSQL does with row
    locks holds there too; a ``read_only`` engine's never waits for a writer. Nothing is connected yet.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        # READ COMMITTED: the counts after a row lock see what the holder before us committed.
        engine = sa.create_engine(parsed, isolation_level="READ COMMITTED", pool_pre_ping=True, hide_parameters=True)
        if renew is not None:
            _ask_again(engine, renew)
        return engine
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _ask_again(engine: sa.Engine, renew: Callable[[], str]) -> None:
    """Where a connection is refused, ask once for a newer URL: a secret is rotated while functions stay warm."""
    latest: dict[str, Any] = {}

    @sa.event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, _record: Any, arguments: Any, named: dict[str, Any]) -> Any:
        known = {**named, **latest}
        try:
            return dialect.connect(*arguments, **known)
        except dialect.loaded_dbapi.OperationalError:
            newer = dialect.create_connect_args(sa.make_url(renew()))[1]
            if newer.items() <= known.items():
                raise
            latest.update(newer)
            return dialect.connect(*arguments, **{**known, **newer})
