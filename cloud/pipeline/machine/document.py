"""What a run carries from state to state: typed at every function's door, never a secret, never a DICOM value."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cloud.pipeline.names import Destination, SourceKey
from edge.contract.states import PipelineStatus

Name = Annotated[str, Field(min_length=1)]


class Value(BaseModel):
    """A part of the document; what else stands there is another function's."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Record(Value):
    """What the EDC knows of the file (P060), and the run that asked."""

    run: Name  # the same when a run is redriven
    bucket: Name
    key: Name
    version_id: str = ""
    status: Literal["found", "skip"] = "found"  # P085
    pipeline_code: Name
    subject_event_crf_file_id: int
    subject_event_crf_id: int
    revision_number: int
    ddcrf_name: Name
    ddfile_name: Name
    participant_code: Name
    event_code: Name


class FileRow(Value):
    """The EDCPipelineFile record of the run; its id is the FileID."""

    id: int
    ts_create: AwareDatetime
    status: PipelineStatus = PipelineStatus.STARTED


class Job(Value):
    """The job that processes the file, and where its result will lie in the workspace bucket."""

    id: Name
    name: Name
    output: Name  # key of the processed file
    report: Name  # key of what the job says of its work


class Failure(Value):
    """What Step Functions keeps of an error: the exception's class, and JSON with its text."""

    Error: str = ""
    Cause: str = ""


def destination(record: Record, file: FileRow) -> Destination:
    """Return where the run's result belongs in quarantine (P009-P012)."""
    return Destination(
        ddcrf_name=record.ddcrf_name,
        ddfile_name=record.ddfile_name,
        participant_code=record.participant_code,
        event_code=record.event_code,
        subject_event_crf_id=record.subject_event_crf_id,
        revision_number=record.revision_number,
        edc_pipeline_file_id=file.id,
        ts_create=file.ts_create,
        extension=SourceKey.parse(record.key).extension,
    )
