"""Asks the API for the ATRIUIDs of a run, once, and judges the answer (P052, P053, P098-P102)."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import urllib3

from cloud.pipeline.codes import Code, ErrorMessage
from edge.contract.atriuid import Atriuid

_SECONDS: Final = 30.0
_MOST_BYTES: Final = 64 << 20
#: Seconds between tries, while the API does not answer.
WAITS: Final = (1.0, 4.0, 10.0)


@dataclass(frozen=True, slots=True)
class Run:
    """Which run this is (P073)."""

    pipeline_code: str
    subject_event_crf_file_id: int
    edc_pipeline_file_id: int

    def to_json(self) -> dict[str, Any]:
        """Return it as every call of the API names it."""
        return {
            "pipeline_code": self.pipeline_code,
            "subject_event_crf_file_id": self.subject_event_crf_file_id,
            "edc_pipeline_file_id": self.edc_pipeline_file_id,
        }


class RunApi:
    """The API's calls for one run; the token is in a header, never in an address, a log or an error."""

    def __init__(self, run: Run, token: str, sleep: Callable[[float], None], waits: Sequence[float] = WAITS) -> None:
        self._run = run
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._sleep = sleep
        self._waits = tuple(waits)
        self._pool = urllib3.PoolManager(timeout=_SECONDS, retries=False)

    def add_scan_info(self, url: str, scans: list[dict[str, Any]], ecat: list[dict[str, Any]]) -> Any:
        """Return the answer's scans; raises ErrorMessage: ERRS1004, ERRS1005 or ERRS1003."""
        asked = self._run.to_json() | {"scans": scans}
        return judged(self._run, self._call(url, asked | ({"ecat": ecat} if ecat else {})))

    def log_error(self, url: str, e: ErrorMessage) -> None:
        """Enter an error into the run's log; raises ErrorMessage with ERRS1004 or ERRS1005."""
        said = {"error_code": e.code.value, "error": e.error[:2000], "hint": e.hint[:1000]}
        self._call(url, self._run.to_json() | said)

    def _call(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        said = ""
        for wait in (*self._waits, None):
            try:
                answer = self._pool.request(
                    "POST",
                    url,
                    body=json.dumps(body),
                    headers=self._headers,
                    redirect=False,  # a redirect would carry the token elsewhere
                    preload_content=False,
                )
                text = answer.read(_MOST_BYTES)
                status = answer.status
                answer.release_conn()
                if status < 500 and status != 429:
                    return _read(status, text)
                said = f"it answered with status {status}"
            except (urllib3.exceptions.HTTPError, ValueError) as e:
                said = type(e).__name__
            if wait is not None:
                self._sleep(wait)
        raise ErrorMessage(Code.ERRS1004, said, hint="see --apiurldicom, and whether the API runs")


def _read(status: int, text: bytes) -> dict[str, Any]:
    try:
        doc = json.loads(text)
        success = doc["success"]
    except (ValueError, KeyError, TypeError):
        raise ErrorMessage(
            Code.ERRS1004, f"status {status}, and no answer of this API", hint="see --apiurldicom"
        ) from None
    if success is not True:
        said = f"{doc.get('error_code', '')}: {doc.get('error', '')}"[:300]
        raise ErrorMessage(Code.ERRS1005, "".join(c if c.isprintable() else "?" for c in said))
    return dict(doc)


def judged(run: Run, doc: Mapping[str, Any]) -> Any:
    """Return the scans of an answer that is about this run; raises ErrorMessage with ERRS1003 for another's."""
    data = doc.get("data")
    if not isinstance(data, Mapping):
        raise ErrorMessage(Code.ERRS1005, "the answer has no data")
    names = ("subject_event_crf_file_id", "pipeline_code")
    returned, sent = ([str(said.get(name)) for name in names] for said in (data, run.to_json()))
    if returned != sent:
        shown = " / ".join(returned)[:100]
        raise ErrorMessage(
            Code.ERRS1003,
            returned="".join(c if c.isprintable() else "?" for c in shown),
            sent=" / ".join(sent),
            hint="see whether --apiurldicom is this study portal's",
        )
    return data.get("scans")


def atriuid_in(scans: Any, study_uid: str, series_uid: str, run: Run) -> Atriuid:
    """Return the ATRIUID that an answer has for a series; raises ErrorMessage with ERRS1006, ERRS1007 or ERRS1008."""
    for scan in scans if isinstance(scans, list) else ():
        if not isinstance(scan, Mapping) or scan.get("study_uid") != study_uid:
            continue
        for series in scan.get("series") or ():
            if not isinstance(series, Mapping) or series.get("series_uid") != series_uid:
                continue
            if "atri_uid" not in series:
                break
            if series["atri_uid"] == "":
                raise ErrorMessage(Code.ERRS1006)
            try:
                found = Atriuid.parse(str(series["atri_uid"]))
            except ValueError:
                found = None
            if found is None or found.file_id != run.edc_pipeline_file_id:
                raise ErrorMessage(
                    Code.ERRS1008, "the API's ATRIUID is none of this run", study_uid=study_uid, series_uid=series_uid
                )
            return found
    raise ErrorMessage(Code.ERRS1007, study_uid=study_uid, series_uid=series_uid)
