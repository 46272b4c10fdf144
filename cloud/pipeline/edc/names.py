"""Tables and columns of the EDC by the specification's names, and what they are called in a real replica."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import sqlalchemy as sa

from cloud.errors import ConfigError

#: The tables that are read, and of each the columns; an upload is a row of the last.
TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "subject": ("id", "code"),  # code: the participant's
    "event": ("id", "code"),
    "ddcrf": ("id", "name"),  # upload forms
    "ddfile": ("id", "ddcrf_id", "name"),  # upload fields
    "subjecteventcrf": ("id", "subject_id", "event_id", "ddcrf_id"),  # id: the Record ID
    "subjecteventcrffile": ("id", "subjecteventcrf_id", "ddfile_id", "versioncode", "extension", "revisionnumber"),
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class EdcNames:
    """How this EDC calls its tables and columns; what is not named keeps the specification's name."""

    schema: str | None = None
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)  # of (table, column), or of (table, "table")

    @classmethod
    def read(cls, doc: object) -> Self:
        """Read ``{"schema": …, "subject": {"table": "portal_subject", "code": "participant_code"}, …}``.

        Raises ConfigError naming every fault at once.
        """
        if not isinstance(doc, Mapping):
            raise ConfigError("the names of the EDC's tables are no mapping")
        schema = doc.get("schema")
        faults = [] if schema is None or _is_name(schema) else ["schema: no name of a schema"]
        found: dict[tuple[str, str], str] = {}
        for table, named in doc.items():
            if table == "schema":
                continue
            if table not in TABLES or not isinstance(named, Mapping):
                faults.append(f"{table}: none of {', '.join(TABLES)}, or no mapping of its names")
                continue
            known = ("table", *TABLES[table])
            faults += [f"{table}.{c}: none of {', '.join(known)}" for c in named if c not in known]
            faults += [f"{table}.{c}: no name of a table or column" for c, name in named.items() if not _is_name(name)]
            found |= {(table, str(column)): str(name) for column, name in named.items()}
        if faults:
            raise ConfigError("\n".join(faults), hint="correct every line above")
        return cls(None if schema is None else str(schema), found)

    def table(self, table: str) -> "EdcTable":
        """Return a table to write statements with."""
        real = {column: self.names.get((table, column), column) for column in TABLES[table]}
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in real.values()]
        return EdcTable(sa.table(self.names.get((table, "table"), table), *columns, schema=self.schema), real)


@dataclass(frozen=True, slots=True)
class EdcTable:
    """A table of this EDC, and its columns by the specification's names."""

    made: sa.TableClause
    real: Mapping[str, str]

    def __getitem__(self, column: str) -> sa.ColumnElement[Any]:
        return self.made.c[self.real[column]]

    def values(self, **values: Any) -> dict[str, Any]:
        """Return values by the columns' real names."""
        return {self.real[column]: value for column, value in values.items()}


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None
