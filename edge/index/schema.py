"""Bring the index's schema to this software's revision, or refuse; never drop a table (fault 19)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from edge.errors import ConfigError

VERSION_TABLE = "edgeindexversion"  # of its own: a database may hold other histories too
_LOCK = 0x45444745  # "EDGE"


def ensure_schema(connection: Connection) -> None:
    """Create or upgrade the tables within the caller's transaction; raises ConfigError for a revision unknown here."""
    if connection.dialect.name == "postgresql":
        # Two edges may start at once on one database.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config = _config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    held = set(MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads())
    if held - known:
        raise ConfigError(
            f"the index was written by newer software (schema revision {', '.join(sorted(held - known))})",
            hint="upgrade this edge, or name another index; it can be rebuilt from journal and spool",
        )
    command.upgrade(config, "head")


def _config(connection: Connection) -> Config:
    config = Config()
    # A '%' in the path would be taken for an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
