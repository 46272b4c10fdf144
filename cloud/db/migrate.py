"""Bringing a database to the newest step of the history; safe to run by several at once."""

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from cloud.errors import IndexTooNew

_LOCK = 0x64696366  # any constant of ours: pg_advisory_xact_lock


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "cloud.db:migrations")
    # Alembic would split the list of version folders by its own default and warn about it.
    config.set_main_option("path_separator", "os")
    return config


def migrate(engine: sa.Engine) -> str:
    """Bring the database to the newest step, in one transaction, and return its name; raises IndexTooNew."""
    config = _config()
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        refuse_newer(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return newest()


def refuse_newer(connection: sa.Connection) -> None:
    """Raise IndexTooNew if the database is at a step that this software does not know: it would guess at its rows."""
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known_steps()
    if unknown:
        raise IndexTooNew(
            f"the index was brought to step {', '.join(sorted(unknown))} by newer software; this one knows {newest()}",
            hint="run the newer software here too; steps only go forward, and the index can be made again from the"
            " store in an empty database (dicom-cloud rebuild)",
        )


def known_steps() -> set[str]:
    """Return the names of all steps that this software knows."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def newest() -> str:
    """Return the name of the newest step that this software knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise LookupError("the package holds no migration")
    return head
