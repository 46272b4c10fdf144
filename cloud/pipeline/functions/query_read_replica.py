"""L1, query-read-replica: what the EDC knows of an upload; not there yet is an error of its own (P060, P061)."""

import json
from typing import Any

import sqlalchemy as sa

from cloud.config import load_settings
from cloud.pipeline.codes import Code, ErrorMessage, Part
from cloud.pipeline.edc.names import EdcNames
from cloud.pipeline.edc.query import EdcUpload, edc_connection, find_upload
from cloud.pipeline.functions.clients import secret
from cloud.pipeline.functions.door import Transient, door
from cloud.pipeline.functions.settings import QuerySettings
from cloud.pipeline.machine.document import Record, Value
from cloud.pipeline.machine.trigger import Upload, uploads
from cloud.pipeline.names import NameFault, SourceKey


class EdcRecordNotFound(ErrorMessage):
    """The replica has no such record yet; its name is what the state machine tries again for (P061)."""


class Request(Value):
    """The run's document, which is what started it, and the execution's name."""

    document: dict[str, Any]
    execution: str


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Return the record (P060); its status is ``skip`` for a field that this pipeline does not take (P085)."""
    with door(Part.L1, event, missing=Code.ERRL1001, failed=Code.ERRL1004):
        request = Request.model_validate(event)
        settings = load_settings(QuerySettings)
        upload = _asked(request.document)
        try:
            key = SourceKey.parse(upload.key)
        except NameFault as e:
            raise ErrorMessage(Code.ERRL1001, str(e), hint=e.hint) from e
        found = _found(settings, key)
        record = Record(
            run=str(request.document.get("run") or request.execution),
            bucket=upload.bucket,
            key=upload.key,
            version_id=upload.version_id,
            status="found" if not settings.edc_fields or key.ddfile_name in settings.edc_fields else "skip",
            pipeline_code=settings.edc_pipeline_code,
            subject_event_crf_file_id=found.subject_event_crf_file_id,
            subject_event_crf_id=found.subject_event_crf_id,
            revision_number=found.revision_number,
            ddcrf_name=found.ddcrf_name,
            ddfile_name=found.ddfile_name,
            participant_code=found.participant_code,
            event_code=found.event_code,
        )
        return record.model_dump()


def _asked(document: dict[str, Any]) -> Upload:
    """What invoke-step-function gave, or any event by which somebody started the machine directly (P005)."""
    if "key" in document and "bucket" in document:
        version = str(document.get("version_id") or "")
        return Upload(bucket=str(document["bucket"]), key=str(document["key"]), version_id=version)
    found = uploads(document)
    if len(found) != 1:
        raise ErrorMessage(Code.ERRL1001, f"the event names {len(found)} files, and a run is of one")
    return found[0]


def _found(settings: QuerySettings, key: SourceKey) -> EdcUpload:
    names = EdcNames.read(json.loads(settings.edc_names)) if settings.edc_names else None
    try:
        with edc_connection(replica_url(settings)) as connection:
            return find_upload(connection, key, names)
    except ErrorMessage as e:
        if e.code is Code.ERRL1003:
            raise EdcRecordNotFound(e.code, e.detail, hint=e.hint) from e
        if e.code is Code.ERRL1002:
            raise Transient(e.code, e.detail, hint=e.hint) from e
        raise


def replica_url(settings: QuerySettings) -> str:
    """Return the replica's address with the password that the secret holds now (P153)."""
    if settings.rds_url is not None:
        return settings.rds_url
    text = secret(settings.rds_db_password or "", settings.AWS_ENDPOINT_URL)
    try:
        password = str(json.loads(text)["password"])
    except (ValueError, KeyError, TypeError):
        password = text
    host, _, port = (settings.rds_host or "").partition(":")
    url = sa.URL.create(
        "postgresql+psycopg",
        username=settings.rds_db_username,
        password=password,
        host=host,
        port=int(port) if port.isdigit() else 5432,
        database=settings.rds_db_name,
        query={"sslmode": "require"},
    )
    return url.render_as_string(hide_password=False)
