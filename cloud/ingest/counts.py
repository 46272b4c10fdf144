"""Counters, always computed from the rows (E034); the caller holds the study's row."""

import sqlalchemy as sa

from cloud.db import models as m


def update_counts(connection: sa.Connection, study_id: int) -> None:
    """Set imagecount, seriescount, totalimagecount and ModalitiesInStudy of one study."""
    images = (
        sa.select(sa.func.count()).where(m.instance.c.series_id == m.series.c.id).scalar_subquery().correlate(m.series)
    )
    connection.execute(sa.update(m.series).where(m.series.c.study_id == study_id).values(imagecount=images))
    found = connection.execute(
        sa.select(m.series.c.modality, m.series.c.imagecount).where(m.series.c.study_id == study_id)
    ).all()
    modalities = sorted({row.modality for row in found if row.modality})
    connection.execute(
        sa.update(m.study)
        .where(m.study.c.id == study_id)
        .values(
            seriescount=len(found),
            totalimagecount=sum(row.imagecount for row in found),
            modalitiesinstudy="/".join(modalities) or None,  # E035
        )
    )


def update_pipeline_counts(connection: sa.Connection, file_id: int, study_id: int) -> None:
    """Set number_of_instances (P030) and serienum (P026) of the FileID's series."""
    dicom = m.edcpipelinefiledicom
    mine = sa.and_(m.series.c.study_id == study_id, m.series.c.seriesinstanceuid == dicom.c.serieuid)
    connection.execute(
        sa.update(dicom)
        .where(dicom.c.edcpipelinefileid == file_id)
        .values(
            number_of_instances=sa.func.coalesce(sa.select(m.series.c.imagecount).where(mine).scalar_subquery(), 0),
            serienum=sa.select(m.series.c.seriesnumber).where(mine).scalar_subquery(),
        )
    )
