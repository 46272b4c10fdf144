"""Imports into HealthImaging: their jobs, what became of each instance, and what the edge is told of it."""

import sqlalchemy as sa
from alembic import op

from cloud.db.types import RowId, UtcDateTime

revision = "0003"
down_revision = "0002"

SERIESIMPORT = """
CREATE VIEW seriesimport AS
SELECT st.studyinstanceuid, se.seriesinstanceuid, se.modality,
       count(i.id) + coalesce(max(c.alone), 0) AS sent,
       count(w.instance_id) AS ins3,
       sum(CASE WHEN w.best = 3 THEN 1 ELSE 0 END) AS imported,
       sum(CASE WHEN w.best = 2 THEN 1 ELSE 0 END) AS warned,
       sum(CASE WHEN w.best = 1 THEN 1 ELSE 0 END) AS waiting,
       sum(CASE WHEN w.best = 0 THEN 1 ELSE 0 END) AS failed,
       sum(CASE WHEN w.best = -1 THEN 1 ELSE 0 END) + coalesce(max(c.alone), 0) AS held,
       coalesce(max(c.conflicts), 0) AS conflicts,
       sum(CASE WHEN i.importwarnings IS NULL THEN 0 ELSE 1 END) AS preflight
  FROM series se
  JOIN study st ON st.id = se.study_id
  LEFT JOIN instance i ON i.series_id = se.id
  LEFT JOIN (SELECT l.instance_id,
                    max(CASE WHEN l.importstate = 'IMPORTED' THEN 3 WHEN l.importstate = 'WARNED' THEN 2
                             WHEN l.importstate = 'FAILED' AND NOT l.importretry THEN 0
                             WHEN j.id IS NULL THEN -1 ELSE 1 END) AS best
               FROM instancelocation l
               JOIN instance li ON li.id = l.instance_id
               JOIN series ls ON ls.id = li.series_id
               LEFT JOIN ahlijob j ON j.jobid = l.jobid AND j.seriesinstanceuid = ls.seriesinstanceuid
              GROUP BY l.instance_id) w ON w.instance_id = i.id
  LEFT JOIN (SELECT x.studyinstanceuid, x.seriesinstanceuid, count(DISTINCT x.sopinstanceuid) AS conflicts,
                    count(DISTINCT CASE WHEN xi.id IS NULL THEN x.sopinstanceuid END) AS alone
               FROM instanceconflict x
               LEFT JOIN instance xi ON xi.sopinstanceuid = x.sopinstanceuid
              GROUP BY x.studyinstanceuid, x.seriesinstanceuid) c
         ON c.studyinstanceuid = st.studyinstanceuid AND c.seriesinstanceuid = se.seriesinstanceuid
 GROUP BY se.id, st.studyinstanceuid, se.seriesinstanceuid, se.modality
"""


def upgrade() -> None:
    op.create_table(
        "ahliimport",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("jobid", sa.Text(), nullable=False),
        sa.Column("datastoreid", sa.Text(), nullable=False),
        sa.Column("importlocation", sa.Text(), nullable=False),
        sa.Column("resultlocation", sa.Text(), nullable=False),
        sa.Column("clienttoken", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ahlijobid", sa.Text(), nullable=True),
        sa.Column("outputlocation", sa.Text(), nullable=True),
        sa.Column("notbefore", UtcDateTime(), nullable=True),
        sa.Column("leaseduntil", UtcDateTime(), nullable=True),
        sa.Column("polledat", UtcDateTime(), nullable=True),
        sa.Column("submittedat", UtcDateTime(), nullable=True),
        sa.Column("endedat", UtcDateTime(), nullable=True),
        sa.Column("tries", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("insertedat", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ahliimport")),
        sa.UniqueConstraint("clienttoken", name=op.f("uq_ahliimport_clienttoken")),
    )
    op.create_index("ix_ahliimport_state", "ahliimport", ["state"], unique=False)
    op.create_index(op.f("ix_ahliimport_jobid"), "ahliimport", ["jobid"], unique=False)
    op.create_index(op.f("ix_ahliimport_ahlijobid"), "ahliimport", ["ahlijobid"], unique=False)
    op.create_table(
        "ahliimportseries",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("ahliimport_id", RowId, nullable=False),
        sa.Column("ahlijob_id", RowId, nullable=False),
        sa.ForeignKeyConstraint(
            ["ahliimport_id"], ["ahliimport.id"], name=op.f("fk_ahliimportseries_ahliimport_id")
        ),
        sa.ForeignKeyConstraint(["ahlijob_id"], ["ahlijob.id"], name=op.f("fk_ahliimportseries_ahlijob_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ahliimportseries")),
        sa.UniqueConstraint(
            "ahliimport_id", "ahlijob_id", name=op.f("uq_ahliimportseries_ahliimport_id_ahlijob_id")
        ),
    )
    op.create_index(op.f("ix_ahliimportseries_ahlijob_id"), "ahliimportseries", ["ahlijob_id"], unique=False)
    op.create_table(
        "importpace",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("nextat", UtcDateTime(), nullable=True),
        sa.Column("throttled", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_importpace")),
    )
    op.add_column("ahlijob", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("ahlijob", sa.Column("hint", sa.Text(), nullable=True))
    op.add_column("ahlijob", sa.Column("notbefore", UtcDateTime(), nullable=True))
    op.add_column("instancelocation", sa.Column("importstate", sa.Text(), nullable=True))
    op.add_column("instancelocation", sa.Column("importreason", sa.Text(), nullable=True))
    op.add_column(
        "instancelocation", sa.Column("importretry", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("instancelocation", sa.Column("imagesetid", sa.Text(), nullable=True))
    op.add_column("instancelocation", sa.Column("importedat", UtcDateTime(), nullable=True))
    op.create_index("ix_instancelocation_jobid", "instancelocation", ["jobid"], unique=False)
    op.add_column("instance", sa.Column("importwarnings", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("generation", sa.Column("receiptstate", sa.Text(), nullable=True))
    op.add_column("generation", sa.Column("receiptreason", sa.Text(), nullable=True))
    op.add_column("generation", sa.Column("receiptsentat", UtcDateTime(), nullable=True))
    op.execute(SERIESIMPORT)


def downgrade() -> None:
    """Refuse: the history only goes forward."""
    raise NotImplementedError("the history only goes forward")
