"""What an import into HealthImaging would refuse of an instance, for whoever asks the index (D7)."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instance", sa.Column("importwarnings", sa.JSON(none_as_null=True), nullable=True))
