"""What the API takes and gives (P050-P053); the mistyped names of the original are taken, and never given."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from cloud.pipeline.codes import Code
from edge.contract.states import PipelineStatus

BIGGEST = 2**63 - 1
#: Series in one call: the largest uploads seen have some hundred.
MOST_SERIES = 20_000


def _whole(value: Any) -> Any:
    """A number may come as text, because a command line and a state machine carry texts."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        return int(value)
    return value


def _storable(text: str) -> str:
    if "\0" in text or not text.isprintable():
        raise ValueError("holds a character that is not printable")
    return text


RecordId = Annotated[
    int,
    Field(strict=True, ge=1, le=BIGGEST),
    BeforeValidator(_whole),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": BIGGEST},
                {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"},
            ]
        }
    ),
]
Count = Annotated[int, Field(strict=True, ge=0, le=BIGGEST)]
Number = Annotated[int, Field(strict=True, ge=-BIGGEST, le=BIGGEST)]
PipelineCode = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
#: Devices write UIDs that are none, so a value only has to be one that a database holds and an address shows.
Uid = Annotated[str, Field(strict=True, pattern=r"^[!-~]{1,128}$")]
Line = Annotated[str, Field(strict=True, max_length=1000), AfterValidator(_storable)]


class Body(BaseModel):
    """What comes in: unknown fields are refused, so that a mistyped one is not silently without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _also(*names: str, **more: Any) -> Any:
    return Field(validation_alias=AliasChoices(*names), **more)


class Named(Body):
    """What every call on a run names."""

    pipeline_code: PipelineCode
    subject_event_crf_file_id: RecordId


class FileBody(Named):
    """Create a run's record, or, with ``edc_pipeline_file_id``, update it (P050)."""

    edc_pipeline_file_id: RecordId | None = _also(
        "edc_pipeline_file_id", "edc_pipieline_file_id", default=None, description="which record to update"
    )
    file_name: Line | None = Field(None, description="on creation; the EDC's own name of the file if left out")
    execution: Line | None = Field(None, description="on creation: the run; asked again, the same record is given")
    status: PipelineStatus | None = Field(None, description="on update")
    has_error: Annotated[bool, Field(strict=True)] | None = Field(None, description="on update; once set it stays")


class ErrorBody(Named):
    """Record what went wrong in a run (P044); the run's has_error is set."""

    edc_pipeline_file_id: RecordId = _also("edc_pipeline_file_id", "edc_pipieline_file_id")
    error_code: Code
    error: Annotated[str, Field(strict=True, min_length=1, max_length=2000), AfterValidator(_storable)]
    hint: Line = ""


class SeriesIn(Body):
    """One series of one study, as found in the file."""

    series_uid: Uid = _also("series_uid", "seriesuid", "serie_uid", "serieuid")
    series_number: Number | None = _also("series_number", "serienum", "series_num", default=None)
    number_of_instance: Count = _also("number_of_instance", "number_of_instances", default=0)


class StudyIn(Body):
    """One study, as found in the file."""

    study_uid: Uid = _also("study_uid", "studyuid")
    series: Annotated[list[SeriesIn], Field(max_length=MOST_SERIES)]


class EcatIn(Body):
    """What the main headers of ECAT files say (P164), and how many said so."""

    magic: Line
    sw_version: Number
    system_type: Number
    file_type: Number
    scan_start_time: datetime | None = None
    isotope_name: Line
    num_planes: Number
    num_frames: Number
    num_gates: Number
    num_bed_pos: Number
    number_of_files: Count = 1


class ScanInfoBody(Named):
    """Ask for the ATRIUIDs of all series that a run found, once (P052)."""

    edc_pipeline_file_id: RecordId = _also("edc_pipeline_file_id", "edc_pipieline_file_id")
    scans: Annotated[list[StudyIn], Field(max_length=MOST_SERIES)]
    ecat: Annotated[list[EcatIn], Field(max_length=1000)] = []


class UploadBody(Body):
    """Begin a direct upload (P169) for one upload field of one record."""

    subject_event_crf_id: RecordId
    ddfile_name: Annotated[str, Field(strict=True, min_length=1, max_length=255), AfterValidator(_storable)]
    file_name: Annotated[str, Field(strict=True, min_length=1, max_length=255), AfterValidator(_storable)]
    size: Annotated[int, Field(strict=True, ge=1, le=5 << 40)]


PartNumber = Annotated[int, Field(strict=True, ge=1, le=10_000)]


class PartsBody(Body):
    """Ask for addresses of parts, at most a hundred at once: each holds 300 s."""

    numbers: Annotated[list[PartNumber], Field(min_length=1, max_length=100)]


class PartDone(Body):
    """One part that S3 took, and what it answered."""

    number: PartNumber
    etag: Annotated[str, Field(strict=True, pattern=r"^[!-~]{1,200}$")]


class CompleteBody(Body):
    """Complete a direct upload."""

    parts: Annotated[list[PartDone], Field(min_length=1, max_length=10_000)]


class UploadData(BaseModel):
    """An upload that was begun."""

    id: str
    key: str
    part_size: int
    parts: int


class UploadAnswer(BaseModel):
    """An upload that was begun."""

    success: Literal[True] = True
    data: UploadData


class HeldPart(BaseModel):
    """One part that S3 holds whole."""

    number: int
    etag: str


class ResumedData(UploadData):
    """Where an upload stands: OPEN, COMPLETED (then with the EDC's number), or ABORTED."""

    state: str
    held: list[HeldPart]
    subject_event_crf_file_id: int | None


class ResumedAnswer(BaseModel):
    """Where an upload stands."""

    success: Literal[True] = True
    data: ResumedData


class PartUrl(BaseModel):
    """Where one part is PUT."""

    number: int
    url: str


class PartsAnswer(BaseModel):
    """Where parts are PUT."""

    success: Literal[True] = True
    data: list[PartUrl]


class CompletedData(BaseModel):
    """What was recorded."""

    key: str
    subject_event_crf_file_id: int


class CompletedAnswer(BaseModel):
    """An upload that is whole, in S3 and in the EDC."""

    success: Literal[True] = True
    data: CompletedData


class DoneAnswer(BaseModel):
    """It was done."""

    success: Literal[True] = True


class PipelineBody(Body):
    """Register a pipeline (P040, P047)."""

    code: PipelineCode
    label: Annotated[str, Field(strict=True, min_length=1, max_length=200), AfterValidator(_storable)]
    ddfiles: Line | None = Field(None, description="upload fields that it takes, comma separated")


class Failure(BaseModel):
    """What every refusal looks like (P051)."""

    success: Literal[False] = False
    error_code: Code
    error: str


class FileData(BaseModel):
    """An EDCPipelineFile (P041)."""

    id: int
    pipeline_code: str
    subject_event_crf_file_id: int | None
    file_name: str
    status: PipelineStatus
    has_error: bool
    ts_create: datetime


class FileAnswer(BaseModel):
    """A run's record."""

    success: Literal[True] = True
    data: FileData


class SeriesOut(BaseModel):
    """One series and the ATRIUID that it has in this run."""

    series_uid: str
    atri_uid: str


class StudyOut(BaseModel):
    """One study."""

    study_uid: str
    series: list[SeriesOut]


class ScanInfoData(BaseModel):
    """What was asked, with ATRIUIDs (P053)."""

    edc_pipeline_file_id: int
    pipeline_code: str
    subject_event_crf_file_id: int
    scans: list[StudyOut]


class ScanInfoAnswer(BaseModel):
    """The ATRIUIDs of a run's series."""

    success: Literal[True] = True
    data: ScanInfoData


class ErrorRow(BaseModel):
    """One entry of a run's error log."""

    error_code: str
    error: str
    raised_by: str
    hint: str | None
    ts_create: datetime


class ScanRow(BaseModel):
    """One series of a run (P043)."""

    atri_uid: str
    study_uid: str
    series_uid: str
    series_number: int | None
    number_of_instances: int


class RunData(FileData):
    """A run's record with its series and errors."""

    scans: list[ScanRow]
    errors: list[ErrorRow]


class RunAnswer(BaseModel):
    """One run, whole."""

    success: Literal[True] = True
    data: RunData


class PipelineData(BaseModel):
    """An EDCPipeline (P040)."""

    id: int
    code: str
    label: str
    ddfiles: str | None


class PipelineAnswer(BaseModel):
    """One pipeline."""

    success: Literal[True] = True
    data: PipelineData


class PipelinesAnswer(BaseModel):
    """Every pipeline."""

    success: Literal[True] = True
    data: list[PipelineData]
