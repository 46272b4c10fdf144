"""Insert-or-keep and insert-or-fill, the same on PostgreSQL and SQLite (fault 17)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

#: Values a statement looks for at once; both databases take far more parameters.
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
    """Insert the rows, in their order, that violate no unique constraint; the others stand as they were."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), list(rows))


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
    if not rows:
        return
    statement = _insert(connection, table)
    new = {name: sa.func.coalesce(table.c[name], statement.excluded[name]) for name in fill}
    # With nothing to fill, the first unique column is set to itself: that locks the row.
    new = new or {unique[0]: statement.excluded[unique[0]]}
    connection.execute(statement.on_conflict_do_update(index_elements=unique, set_=new), list(rows))


def insert_or_set(
    connection: sa.Connection, table: sa.Table, row: Row, *, unique: Iterable[str], new: Mapping[str, Any]
) -> None:
    """Insert one row, or set ``new`` on the one that stands already."""
    statement = _insert(connection, table).values(dict(row))
    connection.execute(statement.on_conflict_do_update(index_elements=list(unique), set_=dict(new)))
