"""Objects that S3 told of and that no manifest listed yet."""

import sqlalchemy as sa
from alembic import op

from cloud.db.types import RowId, UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "unannounced",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("seenat", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unannounced")),
        sa.UniqueConstraint("bucket", "key", name=op.f("uq_unannounced_bucket_key")),
    )


def downgrade() -> None:
    """Refuse: the history only goes forward."""
    raise NotImplementedError("the history only goes forward")
