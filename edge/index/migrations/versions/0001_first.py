"""The first tables: patient, study, series, instance, instancelocation."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _key() -> TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "patient",
        sa.Column("id", _key(), nullable=False),
        sa.Column("identityissuer", sa.Text(), nullable=False),
        sa.Column("identityid", sa.Text(), nullable=False),
        sa.Column("patientname", sa.Text()),
        sa.Column("patientid", sa.Text()),
        sa.Column("issuerofpatientid", sa.Text()),
        sa.Column("patientbirthdate", sa.Text()),
        sa.Column("patientsex", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_patient"),
        sa.UniqueConstraint("identityissuer", "identityid", name="uq_patient_identityissuer_identityid"),
    )
    op.create_table(
        "study",
        sa.Column("id", _key(), nullable=False),
        sa.Column("patient_id", _key(), nullable=False),
        sa.Column("studyinstanceuid", sa.Text(), nullable=False),
        sa.Column("modalitiesinstudy", sa.Text()),
        sa.Column("accessionnumber", sa.Text()),
        sa.Column("nameofphysiciansreadingstudy", sa.Text()),
        sa.Column("studydate", sa.Text()),
        sa.Column("studytime", sa.Text()),
        sa.Column("referringphysicianname", sa.Text()),
        sa.Column("consultingphysicianname", sa.Text()),
        sa.Column("studydescription", sa.Text()),
        sa.Column("specificcharacterset", sa.Text()),
        sa.Column("issuerofaccessionnumbersequence", sa.JSON(none_as_null=True)),
        sa.Column("procedurecodesequence", sa.JSON(none_as_null=True)),
        sa.Column("requestingservice", sa.Text()),
        sa.Column("seriescount", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("totalimagecount", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name="fk_study_patient_id"),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("studyinstanceuid", name="uq_study_studyinstanceuid"),
    )
    op.create_index("ix_study_patient_id", "study", ["patient_id"], unique=False)
    op.create_table(
        "series",
        sa.Column("id", _key(), nullable=False),
        sa.Column("study_id", _key(), nullable=False),
        sa.Column("seriesinstanceuid", sa.Text(), nullable=False),
        sa.Column("seriesdate", sa.Text()),
        sa.Column("seriestime", sa.Text()),
        sa.Column("seriesdescription", sa.Text()),
        sa.Column("seriesdescriptioncodesequence", sa.JSON(none_as_null=True)),
        sa.Column("seriesnumber", sa.BigInteger()),
        sa.Column("instancecoerciondatetime", sa.Text()),
        sa.Column("modality", sa.Text()),
        sa.Column("performingphysicianname", sa.Text()),
        sa.Column("performingphysicianidentificationsequence", sa.JSON(none_as_null=True)),
        sa.Column("anatomicalorientationtype", sa.Text()),
        sa.Column("bodypartexamined", sa.Text()),
        sa.Column("protocolname", sa.Text()),
        sa.Column("patientposition", sa.Text()),
        sa.Column("imagecount", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_series_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
        sa.UniqueConstraint("study_id", "seriesinstanceuid", name="uq_series_study_id_seriesinstanceuid"),
    )
    op.create_index("ix_series_seriesinstanceuid", "series", ["seriesinstanceuid"], unique=False)
    op.create_table(
        "instance",
        sa.Column("id", _key(), nullable=False),
        sa.Column("series_id", _key(), nullable=False),
        sa.Column("sopinstanceuid", sa.Text(), nullable=False),
        sa.Column("sopclassuid", sa.Text()),
        sa.Column("instancecreationdate", sa.Text()),
        sa.Column("instancecreationtime", sa.Text()),
        sa.Column("imagetype", sa.Text()),
        sa.Column("instancenumber", sa.BigInteger()),
        sa.Column("imageorientationpatient", sa.Text()),
        sa.Column("imagepositionpatient", sa.Text()),
        sa.Column("acquisitiondate", sa.Text()),
        sa.Column("acquisitiontime", sa.Text()),
        sa.Column("contentdate", sa.Text()),
        sa.Column("anatomicregionsequence", sa.JSON(none_as_null=True)),
        sa.Column("acquisitionnumber", sa.BigInteger()),
        sa.Column("patientorientation", sa.Text()),
        sa.Column("imagecomments", sa.Text()),
        sa.Column("presentationlutshape", sa.Text()),
        sa.Column("samplesperpixel", sa.BigInteger()),
        sa.Column("photometricinterpretation", sa.Text()),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("columns", sa.BigInteger()),
        sa.Column("bitsallocated", sa.BigInteger()),
        sa.Column("highbit", sa.BigInteger()),
        sa.Column("pixelrepresentation", sa.BigInteger()),
        sa.Column("rescaleintercept", sa.Double()),
        sa.Column("rescaleslope", sa.Double()),
        sa.Column("transfersyntaxuid", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("ulid", sa.Text(), nullable=False),
        sa.Column("callingaetitle", sa.Text(), nullable=False),
        sa.Column("calledaetitle", sa.Text(), nullable=False),
        sa.Column("receivedat", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="fk_instance_series_id"),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
        sa.UniqueConstraint("sopinstanceuid", name="uq_instance_sopinstanceuid"),
        sa.UniqueConstraint("ulid", name="uq_instance_ulid"),
    )
    op.create_index("ix_instance_series_id", "instance", ["series_id"], unique=False)
    op.create_table(
        "instancelocation",
        sa.Column("id", _key(), nullable=False),
        sa.Column("ulid", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text()),
        sa.Column("region", sa.Text()),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("versionid", sa.Text()),
        sa.ForeignKeyConstraint(["ulid"], ["instance.ulid"], name="fk_instancelocation_ulid"),
        sa.PrimaryKeyConstraint("id", name="pk_instancelocation"),
        sa.UniqueConstraint("ulid", "kind", name="uq_instancelocation_ulid_kind"),
    )
