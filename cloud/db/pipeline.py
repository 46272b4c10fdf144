"""The image pipeline's tables beside P040-P043 (``models``): runs' errors, ECAT headers, uploads, and who may call."""

import sqlalchemy as sa

from cloud.db.models import METADATA
from cloud.db.types import RowId, UtcDateTime


def _file(name: str = "edcpipelinefileid") -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), sa.ForeignKey("edcpipelinefile.id"), nullable=False, index=True)


fileidcounter = sa.Table(
    "fileidcounter",  # the last FileID given under an edge's number; only the cloud's own, 0, is counted here
    METADATA,
    sa.Column("edgenumber", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("last", sa.BigInteger(), nullable=False),
)

edcpipelinefileerrorlog = sa.Table(
    "edcpipelinefileerrorlog",
    METADATA,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    _file(),
    sa.Column("error_code", sa.Text(), nullable=False),  # P044
    sa.Column("error", sa.Text(), nullable=False),
    sa.Column("raised_by", sa.Text(), nullable=False),  # the part, by its final name
    sa.Column("hint", sa.Text()),
    sa.Column("ts_create", UtcDateTime(), nullable=False),
)

edcpipelinefileecat = sa.Table(
    "edcpipelinefileecat",  # P164: what the main header of an ECAT file says, without its patient
    METADATA,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    _file(),
    sa.Column("magic", sa.Text(), nullable=False),
    sa.Column("sw_version", sa.BigInteger(), nullable=False),
    sa.Column("system_type", sa.BigInteger(), nullable=False),
    sa.Column("file_type", sa.BigInteger(), nullable=False),
    sa.Column("scan_start_time", UtcDateTime()),
    sa.Column("isotope_name", sa.Text(), nullable=False),
    sa.Column("num_planes", sa.BigInteger(), nullable=False),
    sa.Column("num_frames", sa.BigInteger(), nullable=False),
    sa.Column("num_gates", sa.BigInteger(), nullable=False),
    sa.Column("num_bed_pos", sa.BigInteger(), nullable=False),
    sa.Column("number_of_files", sa.BigInteger(), nullable=False),
)

apiuser = sa.Table(
    "apiuser",
    METADATA,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text(), nullable=False),
    sa.UniqueConstraint("name"),
)

apiusergroup = sa.Table(
    "apiusergroup",
    METADATA,
    sa.Column("apiuser_id", RowId, sa.ForeignKey("apiuser.id"), primary_key=True),
    sa.Column("groupname", sa.Text(), primary_key=True),
)

apitoken = sa.Table(
    "apitoken",
    METADATA,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("apiuser_id", RowId, sa.ForeignKey("apiuser.id"), nullable=False, index=True),
    sa.Column("digest", sa.Text(), nullable=False),  # SHA-256 of the token, which is 256 bits of chance
    sa.Column("createdat", UtcDateTime(), nullable=False),
    sa.Column("expiresat", UtcDateTime()),
    sa.Column("revokedat", UtcDateTime()),
    sa.UniqueConstraint("digest"),
)

directupload = sa.Table(
    "directupload",  # P169: one file that a browser sends straight to S3 in parts
    METADATA,
    sa.Column("id", sa.Text(), primary_key=True),  # also the file's version code
    sa.Column("apiuser_id", RowId, sa.ForeignKey("apiuser.id"), nullable=False, index=True),
    sa.Column("key", sa.Text(), nullable=False),
    sa.Column("uploadid", sa.Text(), nullable=False),  # S3's own
    sa.Column("size", sa.BigInteger(), nullable=False),
    sa.Column("partsize", sa.BigInteger(), nullable=False),
    sa.Column("state", sa.Text(), nullable=False),  # cloud.pipeline.api.uploads.UploadState
    sa.Column("subjecteventcrffileid", sa.BigInteger()),  # once it was completed
    sa.Column("createdat", UtcDateTime(), nullable=False),
    sa.Column("endedat", UtcDateTime()),
    sa.UniqueConstraint("key"),
)
