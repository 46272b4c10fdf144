"""Runs the steps on the connection that ``cloud.db.migrate`` opened."""

from alembic import context

from cloud.db.models import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
