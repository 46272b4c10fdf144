"""The tables of the cloud's index (E033, E040-E046, P040-P043): names in lower case, so that SQL works as typed.

Attribute columns come from the table shared with the edge; the schema and its history are the cloud's own (D8).
Text has no length limit (fault 20); uniqueness is the database's work, never a select before an insert (fault 17).
"""

from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from cloud.db.types import RowId, UtcDateTime, attribute_type
from edge.contract.attributes import BY_LEVEL, Level

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


class GenerationState(StrEnum):
    """Where one generation stands in the cloud."""

    INCOMING = "INCOMING"  # its first object was noticed, its manifest has not come
    ANNOUNCED = "ANNOUNCED"  # its manifest came, but not everything in it could be verified yet
    VERIFIED = "VERIFIED"  # every object was found as announced; rows written, import jobs queued
    CONFLICT = "CONFLICT"  # verified, but some or all of it is held and not imported
    IMPORTING = "IMPORTING"  # at least one import job runs
    IMPORTED = "IMPORTED"  # every import job completed
    REJECTED = "REJECTED"  # an import job failed for good
    DELETED = "DELETED"  # an operator deleted its study from the index; its objects are untouched


def _id() -> sa.Column[Any]:
    return sa.Column("id", RowId, primary_key=True, autoincrement=True)


def _text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), **options)


def _number(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), **options)


def _count(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def _time(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, UtcDateTime(), **options)


def _to(name: str, target: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, RowId, sa.ForeignKey(target), **{"nullable": False, "index": True, **options})


def _attributes(level: Level, unique: str = "") -> list[sa.Column[Any]]:
    return [sa.Column(a.column, attribute_type(a.sql_type), nullable=a.column != unique) for a in BY_LEVEL[level]]


patient = sa.Table(
    "patient",
    METADATA,
    _id(),
    _text("identityissuer", nullable=False),  # D9: IssuerOfPatientID, or the manifest's site
    _text("identityid", nullable=False),  # PatientID, or 'study:' and the StudyInstanceUID where there is none
    *_attributes(Level.PATIENT),
    _time("insertedat", nullable=False),
    sa.UniqueConstraint("identityissuer", "identityid"),  # fault 16: never the id alone
)

study = sa.Table(
    "study",
    METADATA,
    _id(),
    _to("patient_id", "patient.id"),
    *_attributes(Level.STUDY, "studyinstanceuid"),
    _number("fileid"),  # the FileID that won: every further generation of this study must carry it
    _count("seriescount"),
    _count("totalimagecount"),
    _time("insertedat", nullable=False),
    sa.UniqueConstraint("studyinstanceuid"),
)

series = sa.Table(
    "series",
    METADATA,
    _id(),
    _to("study_id", "study.id", index=False),
    *_attributes(Level.SERIES, "seriesinstanceuid"),
    _count("imagecount"),
    _time("insertedat", nullable=False),
    sa.UniqueConstraint("study_id", "seriesinstanceuid"),
)

instance = sa.Table(
    "instance",
    METADATA,
    _id(),
    _to("series_id", "series.id"),
    *_attributes(Level.INSTANCE, "sopinstanceuid"),
    _text("transfersyntaxuid", nullable=False),
    _number("size", nullable=False),  # bytes of the object as uploaded
    _text("sha256", nullable=False),  # of the object as uploaded
    _number("receivedsize", nullable=False),  # bytes of the dataset as received
    _text("receivedsha256", nullable=False),  # of the dataset as received: the identity of the content
    _text("callingaetitle"),
    _text("calledaetitle"),
    _text("associationid"),
    _time("receivedat", nullable=False),
    _flag("has_error"),
    _text("error"),
    sa.Column("importwarnings", sa.JSON(none_as_null=True)),  # the edge's pre-flight: what an import would not like
    _time("insertedat", nullable=False),
    sa.UniqueConstraint("sopinstanceuid"),
)

instancelocation = sa.Table(
    "instancelocation",
    METADATA,
    _id(),
    _to("instance_id", "instance.id"),
    _text("jobid", nullable=False),
    _text("bucket", nullable=False),
    _text("region", nullable=False),
    _text("key", nullable=False),  # fault 20: no shorter than a legal key
    _text("versionid"),
    _text("crc64nvme", nullable=False),
    _text("importstate"),  # cloud.imports.states.Outcome: IMPORTED, WARNED or FAILED; NULL: not yet
    _text("importreason"),  # why it failed, or what it was warned of; HealthImaging's words, cut
    _text("importcause"),  # the same in our words and the service's codes alone: that is told outside the index
    _flag("importretry"),  # it failed, and is tried once more
    _text("imagesetid"),
    _time("importedat"),
    sa.UniqueConstraint("bucket", "key"),
    sa.Index("ix_instancelocation_jobid", "jobid"),
)

instanceconflict = sa.Table(
    "instanceconflict",
    METADATA,
    _id(),
    _text("jobid", nullable=False),
    _text("edgeid", nullable=False),
    _text("studyinstanceuid", nullable=False, index=True),
    _text("seriesinstanceuid", nullable=False),
    _text("sopinstanceuid", nullable=False, index=True),
    _text("atriuid", nullable=False),
    _text("bucket", nullable=False),
    _text("key", nullable=False),
    _text("versionid"),
    _text("receivedsha256", nullable=False),
    _text("reason", nullable=False),
    _time("insertedat", nullable=False),
    sa.UniqueConstraint("jobid", "sopinstanceuid"),
)

unannounced = sa.Table(
    "unannounced",  # S3 told of it, no manifest listed it yet
    METADATA,
    _id(),
    _text("bucket", nullable=False),
    _text("key", nullable=False),
    _number("size", nullable=False),
    _time("seenat", nullable=False),
    sa.UniqueConstraint("bucket", "key"),
)

edge = sa.Table(
    "edge",
    METADATA,
    _id(),
    _text("edgeid", nullable=False),
    _number("edgenumber"),  # the newest given to it; all of them stand in edgenumber
    _text("site"),
    _time("lastseen"),
    _time("statusat"),  # when the queue took what stands in status
    sa.Column("status", sa.JSON(none_as_null=True)),
    sa.UniqueConstraint("edgeid"),
    sa.UniqueConstraint("edgenumber"),
)

edgenumber = sa.Table(
    "edgenumber",
    METADATA,
    sa.Column("edgenumber", sa.BigInteger(), primary_key=True, autoincrement=False),  # never given twice
    _text("edgeid", nullable=False, index=True),
    _flag("registered"),  # given by us; false: an edge announced itself with it
    _time("givenat", nullable=False),
)

generation = sa.Table(
    "generation",
    METADATA,
    _id(),
    _text("jobid", nullable=False),
    _text("edgeid", nullable=False, index=True),
    _text("studyinstanceuid", nullable=False, index=True),
    _text("state", nullable=False),
    _number("fileid"),
    _time("openedat"),
    _time("closedat"),
    _text("closereason"),
    _number("objectcount"),  # instances that the manifest lists
    _number("parkedcount"),  # received into it, but parked and not listed
    _count("indexedcount"),  # of those listed, in the index
    _count("conflictcount"),  # of those listed, held as conflicts
    _number("bytes"),
    _text("manifestbucket"),
    _text("manifestkey"),
    _text("manifestversionid"),
    _text("manifestsha256"),
    _text("datastoreid"),
    _text("reason"),  # in plain words, why it does not go on
    _text("hint"),
    _count("attempts"),  # that failed
    _time("verifiedat"),
    _flag("importsoff"),  # AHLI_ENABLED was false when it came: nothing of it was queued (E047)
    _text("receiptstate"),  # what the edge is to be told: of its import, of what was accepted, of what was healed
    _text("receiptreason"),
    _time("receiptsentat"),  # NULL while receiptstate still has to go down
    _time("insertedat", nullable=False),
    sa.UniqueConstraint("jobid"),
)

ahlijob = sa.Table(
    "ahlijob",
    METADATA,
    _id(),
    _text("jobid", nullable=False),  # the generation
    _text("ahlijobid"),  # HealthImaging's own id of the import job, once started
    _text("datastoreid"),
    _text("studyinstanceuid", nullable=False),
    _text("seriesinstanceuid", nullable=False),
    sa.Column("status", sa.SmallInteger(), nullable=False),  # 1 queue, 2 in progress, 3 completed, 4 failed
    _text("importlocation", nullable=False),
    _text("resultlocation", nullable=False),
    _time("submittedat"),
    _time("endedat"),
    _text("reason"),  # why it waits or failed, in plain words
    _text("hint"),
    _time("notbefore"),  # when it is looked at again, if it could not be planned
    _time("insertedat", nullable=False),
    sa.UniqueConstraint("jobid", "studyinstanceuid", "seriesinstanceuid"),
    sa.Index("ix_ahlijob_status", "status"),
)

ahliimport = sa.Table(
    "ahliimport",  # one job of HealthImaging: one prefix, one attempt; it may carry several rows of ahlijob
    METADATA,
    _id(),
    _text("jobid", nullable=False, index=True),  # the generation
    _text("datastoreid", nullable=False),
    _text("importlocation", nullable=False),
    _text("resultlocation", nullable=False),
    _text("clienttoken", nullable=False),  # of prefix and attempt: a start that is repeated finds the same job
    _number("attempt", nullable=False),
    _number("files", nullable=False),
    _number("bytes", nullable=False),
    _text("state", nullable=False),  # cloud.imports.states.ImportState
    _text("ahlijobid", index=True),
    _text("outputlocation"),  # the folder of its manifests
    _time("notbefore"),
    _time("leaseduntil"),
    _time("polledat"),
    _time("submittedat"),
    _time("endedat"),
    _count("tries"),  # of its present step, that failed
    _text("reason"),
    _text("hint"),
    _time("insertedat", nullable=False),
    sa.UniqueConstraint("clienttoken"),
    sa.Index("ix_ahliimport_state", "state"),
)

ahliimportseries = sa.Table(
    "ahliimportseries",  # which rows of ahlijob an import carries
    METADATA,
    _id(),
    _to("ahliimport_id", "ahliimport.id", index=False),
    _to("ahlijob_id", "ahlijob.id"),
    sa.UniqueConstraint("ahliimport_id", "ahlijob_id"),
)

importpace = sa.Table(
    "importpace",  # one row: whoever starts a job locks it, so that all together keep the service's pace
    METADATA,
    sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=False),
    _time("nextat"),
    _count("throttled"),  # times in a row
)

ahliimageset = sa.Table(
    "ahliimageset",
    METADATA,
    _id(),
    _text("seriesinstanceuid", index=True),  # NULL: the service reported a series that nobody announced (E046)
    _text("imagesetid", nullable=False),
    _text("datastoreid", nullable=False),
    _number("version"),
    sa.Column("isprimary", sa.Boolean()),
    _to("ahlijob_id", "ahlijob.id", nullable=True),
    _time("insertedat", nullable=False),
    sa.UniqueConstraint("datastoreid", "imagesetid"),
)

edcpipeline = sa.Table(
    "edcpipeline",
    METADATA,
    _id(),
    _text("code", nullable=False),
    _text("label", nullable=False),
    _text("ddfiles"),
    sa.UniqueConstraint("code"),
)

edcpipelinefile = sa.Table(
    "edcpipelinefile",
    METADATA,
    sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=False),  # FileID
    _to("edcpipelineid", "edcpipeline.id"),
    _number("subjecteventcrffileid"),
    _text("file_name", nullable=False),
    _text("status", nullable=False),  # P042: Started, In Progress, Completed, Failed
    _flag("has_error"),
    _time("ts_create", nullable=False),
    _text("execution"),  # the run that asked for it: asked again, the same record (I4); NULL at an edge
    sa.Index("ix_edcpipelinefile_execution", "execution", unique=True),
)

edcpipelinefiledicom = sa.Table(
    "edcpipelinefiledicom",
    METADATA,
    _id(),
    sa.Column("edcpipelinefileid", sa.BigInteger(), sa.ForeignKey("edcpipelinefile.id"), nullable=False),
    _text("atriuid", nullable=False),
    _text("studyuid", nullable=False, index=True),
    _text("serieuid", nullable=False),
    _number("serienum"),
    _count("number_of_instances"),
    sa.UniqueConstraint("atriuid"),  # P028
    sa.UniqueConstraint("edcpipelinefileid", "studyuid", "serieuid"),  # P027
)

ingesterror = sa.Table(
    "ingesterror",
    METADATA,
    _id(),
    _text("fingerprint", nullable=False),  # of message and reason: a redelivery counts, it adds no row
    _text("edgeid"),
    _text("jobid", index=True),
    _text("messageid"),
    _text("reason", nullable=False),
    _text("hint", nullable=False),
    _count("seen"),
    _time("firstat", nullable=False),
    _time("lastat", nullable=False),
    _time("resolvedat"),
    sa.UniqueConstraint("fingerprint"),
)
