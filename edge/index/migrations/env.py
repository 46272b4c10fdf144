"""Alembic's entry: run the history on the connection that edge.index.schema hands over."""

from alembic import context

from edge.index.models import METADATA
from edge.index.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
