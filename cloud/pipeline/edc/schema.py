"""An EDC of our own, for where there is no study portal: the tables that the pipeline reads, and their first rows.

Not part of the index's history: in production these tables are the portal's, and we never change them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from cloud.db.types import RowId
from cloud.db.upsert import insert_or_keep
from cloud.errors import SeedFault
from cloud.pipeline.edc.names import TABLES

EDC_METADATA: Final = sa.MetaData()


def _table(name: str, *columns: sa.Column[Any], unique: Sequence[str] = ()) -> sa.Table:
    key = sa.Column("id", RowId, primary_key=True, autoincrement=True)
    constraints = [sa.UniqueConstraint(*unique)] if unique else []
    return sa.Table(name, EDC_METADATA, key, *columns, *constraints)


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def _to(table: str) -> sa.Column[Any]:
    return sa.Column(f"{table}_id", RowId, sa.ForeignKey(f"{table}.id"), nullable=False)


_table("subject", _text("code"), unique=("code",))
_table("event", _text("code"), unique=("code",))
_table("ddcrf", _text("name"), unique=("name",))
_table("ddfile", _to("ddcrf"), _text("name"), unique=("ddcrf_id", "name"))
_table("subjecteventcrf", _to("subject"), _to("event"), _to("ddcrf"), unique=("subject_id", "event_id", "ddcrf_id"))
_table(
    "subjecteventcrffile",
    _to("subjecteventcrf"),
    _to("ddfile"),
    _text("versioncode"),
    _text("extension"),
    sa.Column("revisionnumber", sa.BigInteger(), nullable=False),
    unique=("subjecteventcrf_id", "ddfile_id", "revisionnumber"),
)

#: Invented: one participant's two visits, two upload forms.
DEMO: Final[Mapping[str, list[dict[str, Any]]]] = {
    "subject": [{"id": 1, "code": "TRC001"}, {"id": 2, "code": "TRC002"}],
    "event": [{"id": 1, "code": "bl"}, {"id": 2, "code": "m06"}],
    "ddcrf": [{"id": 1, "name": "amypet"}, {"id": 2, "name": "mri"}],
    "ddfile": [{"id": 1, "ddcrf_id": 1, "name": "scan"}, {"id": 2, "ddcrf_id": 2, "name": "scan"}],
    "subjecteventcrf": [
        {"id": 11, "subject_id": 1, "event_id": 1, "ddcrf_id": 1},
        {"id": 12, "subject_id": 1, "event_id": 2, "ddcrf_id": 1},
        {"id": 21, "subject_id": 2, "event_id": 1, "ddcrf_id": 2},
    ],
    "subjecteventcrffile": [],
}


def seed(engine: sa.Engine, rows: object) -> dict[str, int]:
    """Make the tables that are missing and insert the rows that are; returns how many each table holds now.

    ``rows`` is ``{"subject": [{"id": 1, "code": "TRC001"}], …}``, in any order. Raises SeedFault, and then nothing
    was written.
    """
    wanted = _checked(rows)
    try:
        with engine.begin() as connection:
            EDC_METADATA.create_all(connection)
            for name in TABLES:
                insert_or_keep(connection, EDC_METADATA.tables[name], wanted.get(name, []))
            if connection.dialect.name == "postgresql":
                _number_on(connection)
            return {
                name: connection.execute(sa.select(sa.func.count()).select_from(EDC_METADATA.tables[name])).scalar_one()
                for name in TABLES
            }
    except sa.exc.IntegrityError as e:
        raise SeedFault("a row points to one that is not there", hint="nothing was written; see the *_id values") from e


def _number_on(connection: sa.Connection) -> None:
    """Let PostgreSQL number its own rows behind those that were given with an id."""
    for name in TABLES:
        connection.execute(
            sa.text(
                f"SELECT setval(pg_get_serial_sequence('{name}', 'id'),"  # noqa: S608 - our own names
                f" greatest((SELECT coalesce(max(id), 1) FROM {name}), 1))"
            )
        )


def _checked(rows: object) -> Mapping[str, list[dict[str, Any]]]:
    if not isinstance(rows, Mapping):
        raise SeedFault("the rows are no mapping of tables to lists")
    faults = [f"{name}: none of {', '.join(TABLES)}" for name in rows if name not in TABLES]
    for name in TABLES:
        listed = rows.get(name, [])
        if not isinstance(listed, list):
            faults.append(f"{name}: no list of rows")
            continue
        for number, row in enumerate(listed, start=1):
            if not isinstance(row, Mapping) or set(row) != set(TABLES[name]):
                faults.append(f"{name}, row {number}: expected exactly {', '.join(TABLES[name])}")
                continue
            for column, value in row.items():
                is_number = column == "id" or column.endswith("_id") or column == "revisionnumber"
                if is_number != (isinstance(value, int) and not isinstance(value, bool)) or (
                    not is_number and not isinstance(value, str)
                ):
                    faults.append(f"{name}, row {number}: {column} is no {'number' if is_number else 'text'}")
    if faults:
        raise SeedFault("\n".join(faults), hint="correct every line above; nothing was written")
    return rows
