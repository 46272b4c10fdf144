"""The index of an edge: rows in SQLite or PostgreSQL (D8), a cache that journal and spool can rebuild."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from edge.errors import ConfigError, EdgeError, IndexAway, IndexFault
from edge.index import recording
from edge.index.locations import Place
from edge.index.rows import IndexRow

__all__ = ["IndexRow", "IndexWriter"]

_T = TypeVar("_T")

_TRIES = 5
_BUSY_MS = 10_000
_STATEMENT_MS = 120_000
# SQLSTATE of what another try settles: serialisation failure, deadlock, and a key taken or gone in between.
_AGAIN = frozenset({"40001", "40P01", "23503", "23505"})
# SQLSTATE classes that speak of the row: data, constraint, and program limit exceeded.
_ROW = ("22", "23", "54")


class IndexWriter:
    """Writes the index at ``url``; ``site`` is the issuer of patient ids that come without one (D9). Thread-safe.

    Every method raises IndexAway while the database cannot be reached, is locked or full (waiting may help), and
    IndexFault if it refuses the values themselves.
    """

    def __init__(self, url: str, site: str) -> None:
        self._engine = _engine(url)
        self._site = site

    def ensure_schema(self) -> None:
        """Create or upgrade the tables; raises ConfigError if newer software wrote them."""
        from edge.index.schema import ensure_schema  # noqa: PLC0415  Alembic takes 0.1 s to load, once at start

        def work(connection: Connection) -> None:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL statement_timeout = 0"))  # a step over millions of rows takes longer
            ensure_schema(connection)

        self._transact(work)

    def record(self, rows: Sequence[IndexRow]) -> None:
        """Record instances in one transaction; any number of times gives the same index (E032).

        Of two rows of one SOP instance the later counts; one already held under another ULID is replaced. Patient,
        study and series keep their first values, later rows fill what was NULL; a study stays with the first
        patient named.
        """
        latest = {row.sop_instance_uid: row for row in rows}
        if latest:
            self._transact(lambda c: recording.record(c, list(latest.values()), self._site))

    def record_places(self, places: Sequence[Place]) -> None:
        """Record where the store holds instances; those that the index does not hold are passed over."""
        self._transact(lambda c: recording.record_places(c, places))

    def begin_anew(self) -> bool:
        """Delete every row and return True; False, and nothing, in a database that other edges may write to too."""
        if self._engine.dialect.name != "sqlite":
            return False
        self._transact(recording.empty)
        return True

    def forget_all(self, ulids: Sequence[str]) -> None:
        """Delete instances' rows in one transaction, and those of series, study and patient if they are empty then."""

        def work(connection: Connection) -> None:
            for ulid in ulids:
                recording.forget(connection, ulid)

        self._transact(work)

    def close(self) -> None:
        """Close the connections; the next call would open them again."""
        self._engine.dispose()

    def _transact(self, work: Callable[[Connection], _T]) -> _T:
        for last in [False] * (_TRIES - 1) + [True]:
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except recording.Moved:
                continue
            except (DBAPIError, sqlite3.Error) as e:
                if last or _sqlstate(e) not in _AGAIN:
                    raise _classified(e) from None  # the database's own text quotes values
        raise IndexAway("the index keeps changing under this transaction", hint="see what else writes to it")


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(parsed)
        if parsed.drivername == "postgresql+psycopg":
            return _postgresql(parsed)
    except (ArgumentError, NoSuchModuleError) as e:
        raise ConfigError("the index URL cannot be read", hint="sqlite:////path/index.db or postgresql://…") from e
    except ModuleNotFoundError as e:
        raise ConfigError("an index in PostgreSQL needs psycopg", hint="pip install 'psycopg[binary]'") from e
    raise ConfigError("the index is kept in SQLite or PostgreSQL", hint="sqlite:////path/index.db or postgresql://…")


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        # Rows are committed just before the journal says INDEXED, so they must be as durable: with NORMAL a power cut
        # took the last 64 rows of instances that the journal never hands to this stage again (found by tests/crash).
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A reader that turns writer is refused at once, without the busy timeout; so begin as one.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",  # after a lock was waited for, the next statement sees what it guarded
        connect_args={
            "connect_timeout": 10,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,  # a server that went silent in mid-statement is given up, not waited for
            "options": f"-c lock_timeout=30000 -c statement_timeout={_STATEMENT_MS}",
        },
    )


def _sqlstate(error: Exception) -> str:
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def _classified(error: Exception) -> EdgeError:
    state = _sqlstate(error)
    name = f"{type(error).__name__} {state}".strip()
    if state.startswith(_ROW) or (not state and isinstance(error, (DataError, IntegrityError))):
        return IndexFault(f"the index refuses a row ({name})", hint="the instance is kept; report this with it")
    return IndexAway(
        f"the index cannot be used now ({name})",
        hint="see whether the database runs, has room and grants the rights; receiving goes on",
    )
