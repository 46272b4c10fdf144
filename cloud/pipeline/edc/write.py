"""Writes the record of a file that was uploaded directly (P169): a new revision of its field."""

from dataclasses import dataclass

import sqlalchemy as sa

from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.edc.names import EdcNames
from cloud.pipeline.names import SourceKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Where a file belongs: one field of one form of one participant's event."""

    subject_event_crf_id: int
    subject_id: int
    ddfile_id: int
    ddfile_name: str


def find_field(connection: sa.Connection, record_id: int, ddfile_name: str, names: EdcNames | None = None) -> Field:
    """Return the field of this record; raises ErrorMessage with ERRL1003 if the EDC knows none."""
    names = names or EdcNames()
    record, field = names.table("subjecteventcrf"), names.table("ddfile")
    row = connection.execute(
        sa.select(record["subject_id"].label("subject_id"), field["id"].label("ddfile_id"))
        .select_from(record.made.join(field.made, field["ddcrf_id"] == record["ddcrf_id"]))
        .where(record["id"] == record_id, field["name"] == ddfile_name)
    ).one_or_none()
    if row is None:
        raise ErrorMessage(Code.ERRL1003, hint="see subjecteventcrf.id, and the name of the upload field in its form")
    return Field(
        subject_event_crf_id=record_id,
        subject_id=int(row.subject_id),
        ddfile_id=int(row.ddfile_id),
        ddfile_name=ddfile_name,
    )


def ensure_upload(connection: sa.Connection, key: SourceKey, names: EdcNames | None = None) -> int:
    """Insert the row of this file unless it is there, and return its id; the revision is one above the last."""
    names = names or EdcNames()
    file, record = names.table("subjecteventcrffile"), names.table("subjecteventcrf")
    field = find_field(connection, key.subject_event_crf_id, key.ddfile_name, names)
    # Two uploads of one field at once: the second waits for the first, and its revision counts on.
    connection.execute(sa.select(record["id"]).where(record["id"] == key.subject_event_crf_id).with_for_update())
    mine = sa.and_(file["subjecteventcrf_id"] == key.subject_event_crf_id, file["ddfile_id"] == field.ddfile_id)
    version = sa.select(file["id"]).where(mine, file["versioncode"] == key.version_code)
    there = connection.execute(version).scalar_one_or_none()
    if there is not None:
        return int(there)
    last = connection.execute(sa.select(sa.func.max(file["revisionnumber"])).where(mine)).scalar_one()
    connection.execute(
        sa.insert(file.made).values(
            file.values(
                subjecteventcrf_id=key.subject_event_crf_id,
                ddfile_id=field.ddfile_id,
                versioncode=key.version_code,
                extension=key.extension,
                revisionnumber=(last or 0) + 1,
            )
        )
    )
    return int(connection.execute(version).scalar_one())
