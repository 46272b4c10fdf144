"""The index's own Alembic history (D8): devices upgrade later than the cloud."""
