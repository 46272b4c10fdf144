"""The upload behind a key, read from the EDC (P060): its form, field, participant, event, record and revision."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from cloud.db.engine import open_engine
from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.edc.names import EdcNames
from cloud.pipeline.names import SourceKey


@dataclass(frozen=True, slots=True, kw_only=True)
class EdcUpload:
    """One row of subjecteventcrffile with what it belongs to (P060, P020)."""

    ddcrf_name: str
    ddfile_name: str
    participant_code: str
    event_code: str
    subject_event_crf_id: int
    revision_number: int
    subject_event_crf_file_id: int
    file_name: str  # version code and extension

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@contextmanager
def edc_connection(url: str | sa.Engine) -> Iterator[sa.Connection]:
    """Open the replica for reading; raises ErrorMessage: ERRL1002 without an answer, ERRL1004 for a query."""
    engine = open_engine(url, read_only=True) if isinstance(url, str) else url
    try:
        try:
            connection = engine.connect()
        except sa.exc.SQLAlchemyError as e:
            # The driver's text may quote the address with its password.
            raise ErrorMessage(
                Code.ERRL1002, type(e).__name__, hint="see the replica's address, user and password, and the network"
            ) from e
        with connection:
            try:
                yield connection
            except sa.exc.SQLAlchemyError as e:
                raise ErrorMessage(
                    Code.ERRL1004, type(e).__name__, hint="see whether the names of tables and columns are this EDC's"
                ) from e
    finally:
        if isinstance(url, str):
            engine.dispose()


def find_upload(connection: sa.Connection, key: SourceKey, names: EdcNames | None = None) -> EdcUpload:
    """Return the upload under ``key``; raises ErrorMessage with ERRL1003 if the EDC knows none, ERRL1004 if several."""
    query, file, record, field = _uploads(names or EdcNames())
    rows = connection.execute(
        query.where(
            record["id"] == key.subject_event_crf_id,
            record["subject_id"] == key.subject_id,
            field["name"] == key.ddfile_name,
            file["versioncode"] == key.version_code,
        ).limit(2)
    ).all()
    return _only(rows)


def load_upload(connection: sa.Connection, file_id: int, names: EdcNames | None = None) -> EdcUpload:
    """Return the upload of this subjecteventcrffile.id; raises ErrorMessage as :func:`find_upload` does."""
    query, file, _, _ = _uploads(names or EdcNames())
    return _only(connection.execute(query.where(file["id"] == file_id).limit(2)).all())


def _uploads(names: EdcNames) -> tuple[sa.Select[Any], Any, Any, Any]:
    subject, event, form, field, record, file = (
        names.table(t) for t in ("subject", "event", "ddcrf", "ddfile", "subjecteventcrf", "subjecteventcrffile")
    )
    joined = (
        file.made.join(record.made, record["id"] == file["subjecteventcrf_id"])
        .join(field.made, field["id"] == file["ddfile_id"])
        .join(form.made, form["id"] == field["ddcrf_id"])
        .join(subject.made, subject["id"] == record["subject_id"])
        .join(event.made, event["id"] == record["event_id"])
    )
    query = sa.select(
        form["name"].label("ddcrf_name"),
        field["name"].label("ddfile_name"),
        subject["code"].label("participant_code"),
        event["code"].label("event_code"),
        record["id"].label("subject_event_crf_id"),
        file["revisionnumber"].label("revision_number"),
        file["id"].label("subject_event_crf_file_id"),
        file["versioncode"].label("versioncode"),
        file["extension"].label("extension"),
    ).select_from(joined)
    return query, file, record, field


def _only(rows: Any) -> EdcUpload:
    if not rows:
        raise ErrorMessage(Code.ERRL1003, hint="the EDC writes the record after the file: it is looked for again")
    if len(rows) > 1:
        raise ErrorMessage(Code.ERRL1004, "several records name this file", hint="see subjecteventcrffile in the EDC")
    row = rows[0]._mapping  # noqa: SLF001 - SQLAlchemy's documented name
    return EdcUpload(
        ddcrf_name=str(row["ddcrf_name"]),
        ddfile_name=str(row["ddfile_name"]),
        participant_code=str(row["participant_code"]),
        event_code=str(row["event_code"]),
        subject_event_crf_id=int(row["subject_event_crf_id"]),
        revision_number=int(row["revision_number"]),
        subject_event_crf_file_id=int(row["subject_event_crf_file_id"]),
        file_name=f"{row['versioncode']}{row['extension'] or ''}",
    )
