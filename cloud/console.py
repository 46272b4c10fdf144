"""What commands do first, and how they print: the index opened, text from devices made safe for a terminal."""

from pathlib import Path

import sqlalchemy as sa

from cloud.config import DatabaseSettings, database_url, load_settings
from cloud.db.engine import open_engine
from cloud.db.migrate import refuse_newer
from cloud.events import configure_logging


def open_index(config: Path | None, *, read_only: bool = False) -> sa.Engine:
    """Return the index of the settings; raises IndexTooNew for one that newer software wrote."""
    settings = load_settings(DatabaseSettings, config)
    configure_logging(settings.LOGLEVEL)
    engine = open_engine(database_url(settings), read_only=read_only)
    if not read_only:  # what is only read is shown as far as it goes: steps add, and never rename
        with engine.connect() as connection:
            refuse_newer(connection)
    return engine


def printable(text: str) -> str:
    """Return text from a device as a terminal may show it: nothing in it steers the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
