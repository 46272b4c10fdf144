"""The image pipeline: FileIDs of the cloud's own, errors, ECAT headers, tokens, direct uploads."""

import sqlalchemy as sa
from alembic import op

from cloud.db.types import RowId, UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("edcpipelinefile", sa.Column("execution", sa.Text(), nullable=True))
    # SQLite adds no constraint to a table that stands; a unique index does the same.
    op.create_index("ix_edcpipelinefile_execution", "edcpipelinefile", ["execution"], unique=True)
    op.create_table(
        "fileidcounter",
        sa.Column("edgenumber", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("edgenumber", name=op.f("pk_fileidcounter")),
    )
    op.create_table(
        "edcpipelinefileerrorlog",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("edcpipelinefileid", sa.BigInteger(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("raised_by", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("ts_create", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edcpipelinefileid"],
            ["edcpipelinefile.id"],
            name=op.f("fk_edcpipelinefileerrorlog_edcpipelinefileid"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edcpipelinefileerrorlog")),
    )
    op.create_index(
        op.f("ix_edcpipelinefileerrorlog_edcpipelinefileid"), "edcpipelinefileerrorlog", ["edcpipelinefileid"]
    )
    op.create_table(
        "edcpipelinefileecat",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("edcpipelinefileid", sa.BigInteger(), nullable=False),
        sa.Column("magic", sa.Text(), nullable=False),
        sa.Column("sw_version", sa.BigInteger(), nullable=False),
        sa.Column("system_type", sa.BigInteger(), nullable=False),
        sa.Column("file_type", sa.BigInteger(), nullable=False),
        sa.Column("scan_start_time", UtcDateTime(), nullable=True),
        sa.Column("isotope_name", sa.Text(), nullable=False),
        sa.Column("num_planes", sa.BigInteger(), nullable=False),
        sa.Column("num_frames", sa.BigInteger(), nullable=False),
        sa.Column("num_gates", sa.BigInteger(), nullable=False),
        sa.Column("num_bed_pos", sa.BigInteger(), nullable=False),
        sa.Column("number_of_files", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edcpipelinefileid"], ["edcpipelinefile.id"], name=op.f("fk_edcpipelinefileecat_edcpipelinefileid")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edcpipelinefileecat")),
    )
    op.create_index(op.f("ix_edcpipelinefileecat_edcpipelinefileid"), "edcpipelinefileecat", ["edcpipelinefileid"])
    op.create_table(
        "apiuser",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_apiuser")),
        sa.UniqueConstraint("name", name=op.f("uq_apiuser_name")),
    )
    op.create_table(
        "apiusergroup",
        sa.Column("apiuser_id", RowId, nullable=False),
        sa.Column("groupname", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["apiuser_id"], ["apiuser.id"], name=op.f("fk_apiusergroup_apiuser_id")),
        sa.PrimaryKeyConstraint("apiuser_id", "groupname", name=op.f("pk_apiusergroup")),
    )
    op.create_table(
        "apitoken",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("apiuser_id", RowId, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("createdat", UtcDateTime(), nullable=False),
        sa.Column("expiresat", UtcDateTime(), nullable=True),
        sa.Column("revokedat", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["apiuser_id"], ["apiuser.id"], name=op.f("fk_apitoken_apiuser_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_apitoken")),
        sa.UniqueConstraint("digest", name=op.f("uq_apitoken_digest")),
    )
    op.create_index(op.f("ix_apitoken_apiuser_id"), "apitoken", ["apiuser_id"])
    op.create_table(
        "directupload",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("apiuser_id", RowId, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("uploadid", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("partsize", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("subjecteventcrffileid", sa.BigInteger(), nullable=True),
        sa.Column("createdat", UtcDateTime(), nullable=False),
        sa.Column("endedat", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["apiuser_id"], ["apiuser.id"], name=op.f("fk_directupload_apiuser_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_directupload")),
        sa.UniqueConstraint("key", name=op.f("uq_directupload_key")),
    )
    op.create_index(op.f("ix_directupload_apiuser_id"), "directupload", ["apiuser_id"])


def downgrade() -> None:
    """Refuse: the history only goes forward."""
    raise NotImplementedError("the history only goes forward")
