"""Column types that mean the same on PostgreSQL and on SQLite."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from edge.contract.attributes import SqlType

#: A row's own number: BIGINT, but SQLite numbers rows by itself only for INTEGER.
RowId = sa.BigInteger().with_variant(sa.Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware instant; SQLite keeps it as UTC without a zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's
        """Return UTC; raises ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times are timezone-aware")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's
        """Return an aware time in UTC."""
        if value is None:
            return None
        at: datetime = value
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def attribute_type(kind: SqlType) -> Any:
    """Return the SQLAlchemy type for one row of the shared attribute table."""
    # JSON None is SQL NULL: an absent sequence is absent, not the JSON word null.
    types: dict[SqlType, Any] = {
        SqlType.TEXT: sa.Text(),
        SqlType.INTEGER: sa.BigInteger(),
        SqlType.FLOAT: sa.Double(),
        SqlType.JSON: sa.JSON(none_as_null=True),
    }
    return types[kind]
