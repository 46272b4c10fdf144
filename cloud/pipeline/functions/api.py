"""The pipeline's HTTP API as its functions call it (P050, P055); the token is looked up at run time (P165)."""

import json
from collections.abc import Mapping
from typing import Any

import urllib3
from pydantic import ValidationError

from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.functions.clients import parameter
from cloud.pipeline.functions.door import Transient
from cloud.pipeline.functions.settings import ApiSettings
from cloud.pipeline.machine.document import FileRow
from cloud.pipeline.machine.failure import MetError
from edge.contract.states import PipelineStatus

_SECONDS = 20.0
_FILE = "/pipeline/edcpipeline/file"
_LONGEST_ERROR = 2000
_LONGEST_HINT = 1000


class PipelineApi:
    """Calls of one pipeline; every refusal is raised under ``failed``, Transient where waiting may help."""

    def __init__(self, url: str, token: str, pipeline_code: str, failed: Code) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._pipeline_code = pipeline_code
        self._failed = failed
        self._pool = urllib3.PoolManager(timeout=_SECONDS, retries=False)

    def create(self, subject_event_crf_file_id: int, *, run: str) -> FileRow:
        """Make the record of a run, or return the one that this run has (I4)."""
        data = self._call(_FILE, {"subject_event_crf_file_id": subject_event_crf_file_id, "execution": run})
        try:
            return FileRow.model_validate(data)
        except ValidationError as e:
            raise ErrorMessage(self._failed, "the answer holds no record with id and ts_create") from e

    def update(
        self, subject_event_crf_file_id: int, file_id: int, status: PipelineStatus, *, has_error: bool | None = None
    ) -> None:
        """Set the record's status."""
        asked: dict[str, Any] = {
            "subject_event_crf_file_id": subject_event_crf_file_id,
            "edc_pipeline_file_id": file_id,
            "status": status.value,
        }
        self._call(_FILE, asked | ({} if has_error is None else {"has_error": has_error}))

    def log_error(self, subject_event_crf_file_id: int, file_id: int, met: MetError) -> None:
        """Enter an error into the record's own log (P044), the same one once; its has_error is set."""
        asked = {
            "subject_event_crf_file_id": subject_event_crf_file_id,
            "edc_pipeline_file_id": file_id,
            "error_code": met.code,
            "error": met.error[:_LONGEST_ERROR],
            "hint": met.hint[:_LONGEST_HINT],
        }
        self._call(f"{_FILE}/log_error", asked)

    def _call(self, path: str, asked: Mapping[str, Any]) -> Any:
        try:
            answer = self._pool.request(
                "POST",
                self._url + path,
                body=json.dumps({"pipeline_code": self._pipeline_code, **asked}),
                headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            )
        except urllib3.exceptions.HTTPError as e:
            raise Transient(
                self._failed, f"the API cannot be reached ({type(e).__name__})", hint="see edc_pipeline_api_url"
            ) from e
        if answer.status >= 500 or answer.status == 429:
            raise Transient(self._failed, f"the API answered with {answer.status}")
        try:
            said = json.loads(answer.data)
            success = said["success"]
        except (ValueError, KeyError, TypeError):
            raise ErrorMessage(
                self._failed, f"status {answer.status}, and no answer of this API", hint="see edc_pipeline_api_url"
            ) from None
        if not success:
            raise ErrorMessage(self._failed, f"it answered {said.get('error_code')}: {said.get('error')}")
        return said.get("data")


def open_api(settings: ApiSettings, *, failed: Code) -> PipelineApi:
    """Return the API with the token that the parameter store holds now."""
    token = parameter(settings.edc_pipeline_api_token, settings.AWS_ENDPOINT_URL)
    return PipelineApi(settings.edc_pipeline_api_url, token, settings.edc_pipeline_code, failed)
