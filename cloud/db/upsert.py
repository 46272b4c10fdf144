"""Insert-or-keep and insert-or-fill, the same on PostgreSQL and SQLite (fault 17)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

#: Rows a statement: 500 rows of 40 columns stay under the parameter limits of both databases.
ROWS = 500

Item = TypeVar("Item")
Row = Mapping[str, Any]


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def chunks(items: Sequence[Item], size: int = ROWS) -> Iterator[Sequence[Item]]:
    """Yield ``items`` in pieces of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def insert_or_keep(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert the rows that violate no unique constraint; the others stand as they were."""
    for some in chunks(rows):
        connection.execute(_insert(connection, table).values(list(some)).on_conflict_do_nothing())


def insert_or_fill(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Row],
    *,
    unique: Iterable[str],
    fill: Iterable[str],
) -> None:
    """Insert the rows; where one stands already, lock it and fill its empty ``fill`` columns, changing no value."""
    unique, fill = list(unique), list(fill)
    for some in chunks(rows):
        statement = _insert(connection, table).values(list(some))
        new = {name: sa.func.coalesce(table.c[name], statement.excluded[name]) for name in fill}
        # With nothing to fill, the first unique column is set to itself: that locks the row.
        new = new or {unique[0]: statement.excluded[unique[0]]}
        connection.execute(statement.on_conflict_do_update(index_elements=unique, set_=new))


def insert_or_set(
    connection: sa.Connection, table: sa.Table, row: Row, *, unique: Iterable[str], new: Mapping[str, Any]
) -> None:
    """Insert one row, or set ``new`` on the one that stands already."""
    statement = _insert(connection, table).values(dict(row))
    connection.execute(statement.on_conflict_do_update(index_elements=list(unique), set_=dict(new)))
