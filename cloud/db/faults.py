"""What a database's error means to a person: away, without our tables, or a refusal; never in the driver's words."""

import sqlalchemy as sa

_NO_SUCH_TABLE = "42P01"  # PostgreSQL's SQLSTATE for an undefined table
_NO_SUCH_COLUMN = "42703"


def fault_of(e: sa.exc.SQLAlchemyError) -> tuple[str, str]:
    """Return what is wrong and the way out; the driver's text may quote a row, or the address with its password."""
    if isinstance(e, sa.exc.DBAPIError):
        if e.statement is None:  # there was no connection to ask anything on
            return "the database does not answer, or refuses this user", "see DATABASE_URL, and that it runs"
        said = str(e.orig)
        state = getattr(e.orig, "sqlstate", None)
        if state in (_NO_SUCH_TABLE, _NO_SUCH_COLUMN) or said.startswith(("no such table", "no such column")):
            return "the database has not the tables of this version", "dicom-cloud migrate makes or updates them"
        if said == "attempt to write a readonly database":
            return "the database cannot be written", "see the file's owner, and that its disk is not full"
    return "the database refused", "see DATABASE_URL; a new or older database needs: dicom-cloud migrate"
