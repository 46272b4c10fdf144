"""The Pipeline Dictionary's error codes (P090-P112), and the one error that carries them (P076).

A code is ERR, the number of the part that raises it in the function dictionary, and a running number. The family
ERRA is ours: what only the HTTP API can refuse, for which the dictionary has no code.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from string import Formatter
from typing import Final

from edge.contract.errors import EdgeError


class Part(StrEnum):
    """The function dictionary (P112): each value is the function's final name (P060-P072)."""

    L1 = "query-read-replica"
    L2 = "submit-batch-job"
    L3 = "get-batch-job-status"
    L4 = "copy-to-destination"
    L5 = "update-pipeline-status"
    L6 = "notification-for-error"
    L7 = "notification-for-completion"
    L8 = "create-pipeline-job"
    L9 = "invoke-step-function"
    S1 = "process_dicom"
    S2 = "additional-process"  # ours: P075
    A1 = "api"  # ours


class Code(StrEnum):
    """Each code once; its text and where it is raised stand in :data:`TABLE`."""

    ERRL1001 = "ERRL1001"
    ERRL1002 = "ERRL1002"
    ERRL1003 = "ERRL1003"
    ERRL1004 = "ERRL1004"
    ERRL2001 = "ERRL2001"
    ERRL2002 = "ERRL2002"
    ERRS1001 = "ERRS1001"
    ERRS1002 = "ERRS1002"
    ERRS1003 = "ERRS1003"
    ERRS1004 = "ERRS1004"
    ERRS1005 = "ERRS1005"
    ERRS1006 = "ERRS1006"
    ERRS1007 = "ERRS1007"
    ERRS1008 = "ERRS1008"
    ERRS1009 = "ERRS1009"
    ERRS1010 = "ERRS1010"
    ERRS1011 = "ERRS1011"
    ERRS1012 = "ERRS1012"
    ERRS2001 = "ERRS2001"
    ERRL3001 = "ERRL3001"
    ERRL4001 = "ERRL4001"
    ERRL4002 = "ERRL4002"
    ERRL4003 = "ERRL4003"
    ERRL6001 = "ERRL6001"
    ERRL7001 = "ERRL7001"
    ERRL7002 = "ERRL7002"
    ERRL8001 = "ERRL8001"
    ERRL9001 = "ERRL9001"
    ERRL9002 = "ERRL9002"
    ERRA1001 = "ERRA1001"
    ERRA1002 = "ERRA1002"
    ERRA1003 = "ERRA1003"
    ERRA1004 = "ERRA1004"
    ERRA1005 = "ERRA1005"
    ERRA1006 = "ERRA1006"
    ERRA1007 = "ERRA1007"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says, with ``{name}`` where a value belongs, and which part raises it."""

    text: str
    part: Part

    @property
    def names(self) -> frozenset[str]:
        """The values that the text needs."""
        return frozenset(name for _, name, _, _ in Formatter().parse(self.text) if name)


#: P090-P111. The dictionary's words; its typing errors are mended, as with the API's field names.
TABLE: Final[dict[Code, Meaning]] = {
    Code.ERRL1001: Meaning("Missing expected input", Part.L1),
    Code.ERRL1002: Meaning("Failed to create db connection", Part.L1),
    Code.ERRL1003: Meaning("EDC record not found", Part.L1),
    Code.ERRL1004: Meaning("Failed to query EDC record", Part.L1),
    Code.ERRL2001: Meaning("Error submitting Batch Job.", Part.L2),
    Code.ERRL2002: Meaning("missing required input", Part.L2),
    Code.ERRS1001: Meaning("Missing expected input parameter.", Part.S1),
    Code.ERRS1002: Meaning("Failed to read DICOM file.", Part.S1),
    Code.ERRS1003: Meaning(
        "Returned subject_event_crf_file_id / pipeline_code {returned} and sent subject_event_crf_file_id /"
        " pipeline_code {sent} do not match",
        Part.S1,
    ),
    Code.ERRS1004: Meaning("Failed to call API", Part.S1),
    Code.ERRS1005: Meaning("API returned failed response.", Part.S1),
    Code.ERRS1006: Meaning("ATRIUID is empty string in the api response.", Part.S1),
    Code.ERRS1007: Meaning(
        "ATRIUID key not present in the api response for study_uid {study_uid} and series_uid {series_uid}.", Part.S1
    ),
    Code.ERRS1008: Meaning(
        "ATRIUID insert failed for image with study_uid {study_uid} and series_uid {series_uid}.", Part.S1
    ),
    Code.ERRS1009: Meaning(
        "Failed to read DICOM file during ATRIUID insert for study_uid {study_uid} and series_uid {series_uid}",
        Part.S1,
    ),
    Code.ERRS1010: Meaning("Invalid input folder location.", Part.S1),
    Code.ERRS1011: Meaning("Input files missing in input folder", Part.S1),
    Code.ERRS1012: Meaning("Processing ended without a report", Part.S1),  # ours
    Code.ERRS2001: Meaning("The additional process failed", Part.S2),  # ours
    Code.ERRL3001: Meaning("Failed to read the job status", Part.L3),
    Code.ERRL4001: Meaning("Missing required input", Part.L4),
    Code.ERRL4002: Meaning("Error copy file to destination", Part.L4),
    Code.ERRL4003: Meaning("API call failed", Part.L4),
    Code.ERRL6001: Meaning("Failed to tell people of an error", Part.L6),  # ours
    Code.ERRL7001: Meaning("Failed to tell people of a completed run", Part.L7),  # ours
    Code.ERRL7002: Meaning("Failed to send the digest", Part.L7),  # ours
    Code.ERRL8001: Meaning("Failed to call API", Part.L8),
    Code.ERRL9001: Meaning("Failed to start the run", Part.L9),  # ours
    Code.ERRL9002: Meaning("The run ended before its last state", Part.L9),  # ours
    Code.ERRA1001: Meaning("The token is missing, unknown or revoked", Part.A1),
    Code.ERRA1002: Meaning("The token's user is not in the group that may do this", Part.A1),
    Code.ERRA1003: Meaning("The image pipeline plug-in is switched off", Part.A1),
    Code.ERRA1004: Meaning("No pipeline has this code", Part.A1),
    Code.ERRA1005: Meaning("The request cannot be understood", Part.A1),
    Code.ERRA1006: Meaning("The request contradicts what is recorded", Part.A1),
    Code.ERRA1007: Meaning("The object store refused or does not answer", Part.A1),
}


class ErrorMessage(EdgeError):
    """A pipeline's error with its code (P076): raised, printed, returned, logged and sent by mail in the same words.

    ``values`` fill the text's places; ``detail`` says what exactly happened, without patient data. Raises KeyError if a
    value is missing: a fault of the program, found by its tests.
    """

    def __init__(self, code: Code, detail: str = "", *, hint: str = "", **values: str) -> None:
        self.code = code
        self.detail = detail
        self.text = TABLE[code].text.format_map(values)
        super().__init__(f"{code}: {self.text}{f' ({detail})' if detail else ''}", hint=hint)

    @property
    def error(self) -> str:
        """The text with its detail, without the code: what the API gives as ``error``."""
        return f"{self.text}{f' ({self.detail})' if self.detail else ''}"

    def to_json(self) -> dict[str, str]:
        """Return the printed form: ``error_code``, ``error``, ``raised_by``, and ``hint`` where there is one."""
        said = {"error_code": self.code.value, "error": self.error, "raised_by": TABLE[self.code].part.value}
        return said | ({"hint": self.hint} if self.hint else {})

    def to_line(self) -> str:
        """Return one line of JSON, for standard error and the log store."""
        return json.dumps(self.to_json(), ensure_ascii=True)
