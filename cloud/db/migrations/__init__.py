"""The cloud's own Alembic history (D8); it only ever adds (fault 19)."""
