"""The index's tables (E033, D8): generated from the attribute table that edge and cloud share, in metadata of its own.

Names are lower case and need no quotes, so ``SELECT * FROM Patient;`` works as typed in psql and sqlite3. An instance
lies in one series, a series in one study, a study in one patient; a series is unique within its study only, because
two studies that (against the standard) share a Series UID must not pull each other's instances over.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import JSON, TypeEngine

from edge.contract.attributes import BY_LEVEL, Level, SqlType

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

# SQLite gives row numbers to INTEGER keys only; BIGINT elsewhere.
_KEY = BigInteger().with_variant(Integer(), "sqlite")

_TYPES: dict[SqlType, TypeEngine[Any]] = {
    SqlType.TEXT: Text(),
    SqlType.INTEGER: BigInteger(),
    SqlType.FLOAT: Double(),
    SqlType.JSON: JSON(none_as_null=True),
}


def _attribute_columns(level: Level, *, required: str = "") -> list[Column[Any]]:
    return [Column(a.column, _TYPES[a.sql_type], nullable=a.keyword != required) for a in BY_LEVEL[level]]


def _key() -> Column[int]:
    return Column("id", _KEY, primary_key=True)


def _parent(table: str, *, index: bool = True) -> Column[int]:
    # With the underscore, for patient.patientid is the sender's PatientID.
    return Column(f"{table}_id", _KEY, ForeignKey(f"{table}.id"), nullable=False, index=index)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


PATIENT = Table(
    "patient",
    METADATA,
    _key(),
    Column("identityissuer", Text, nullable=False),  # D9: the issuer, or else the site
    Column("identityid", Text, nullable=False),
    *_attribute_columns(Level.PATIENT),
    UniqueConstraint("identityissuer", "identityid"),  # fault 16: never the id alone
)

STUDY = Table(
    "study",
    METADATA,
    _key(),
    _parent("patient"),
    *_attribute_columns(Level.STUDY, required="StudyInstanceUID"),
    _count("seriescount"),
    _count("totalimagecount"),
    UniqueConstraint("studyinstanceuid"),
)

SERIES = Table(
    "series",
    METADATA,
    _key(),
    _parent("study", index=False),  # the unique key below begins with it
    *_attribute_columns(Level.SERIES, required="SeriesInstanceUID"),
    _count("imagecount"),
    UniqueConstraint("study_id", "seriesinstanceuid"),
    Index("ix_series_seriesinstanceuid", "seriesinstanceuid"),
)

INSTANCE = Table(
    "instance",
    METADATA,
    _key(),
    _parent("series"),
    *_attribute_columns(Level.INSTANCE, required="SOPInstanceUID"),
    Column("transfersyntaxuid", Text, nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes of the dataset as received
    Column("sha256", Text, nullable=False),  # hex, of the dataset as received
    Column("ulid", Text, nullable=False),
    Column("callingaetitle", Text, nullable=False),
    Column("calledaetitle", Text, nullable=False),
    Column("receivedat", DateTime(timezone=True), nullable=False),  # UTC
    Column("importwarnings", _TYPES[SqlType.JSON]),  # what an import would refuse, a list of sentences; NULL: nothing
    UniqueConstraint("sopinstanceuid"),
    UniqueConstraint("ulid"),
)

INSTANCE_LOCATION = Table(
    "instancelocation",
    METADATA,
    _key(),
    Column("ulid", Text, ForeignKey("instance.ulid"), nullable=False),
    Column("kind", Text, nullable=False),  # see edge.index.rows.LocationKind
    Column("bucket", Text),
    Column("region", Text),
    Column("key", Text, nullable=False),  # in the store, or the file's path in the spool
    Column("versionid", Text),
    UniqueConstraint("ulid", "kind"),
)
