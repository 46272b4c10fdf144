"""Every ERRS code by its real fault: bad calls, an API that is away or answers wrongly, damaged files."""

import http.server
import json
import re
import struct
import threading
from collections.abc import Callable
from contextlib import contextmanager

import httpx
import pydicom
import pytest

from tests.pipeline.processing import DCMDATA
from tests.pipeline.test_process import FILES, packed

pytestmark = pytest.mark.door("command", "HTTP")


@contextmanager
def meddling(api, change: Callable[[dict], object], status: int | None = None):
    """A server in front of the real API that changes its answer's JSON; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {"Authorization": self.headers["Authorization"], "Content-Type": "application/json"}
            answer = httpx.post(api.url + self.path, content=body, headers=headers, timeout=30)
            changed = change(answer.json())
            text = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
            self.send_response(status or answer.status_code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


def refused(done, code):
    """The run failed with one code, said on standard error and in the report, and left no result."""
    assert done.status == 1
    assert [row["error_code"] for row in done.err] == done.codes == [code]
    assert not done.result.exists()
    assert list((done.folder / "work").iterdir()) == []
    return done.err[0]["error"]


@pytest.mark.parametrize(
    ("missing", "arguments", "environment"),
    [
        ("--pipelinecode", {"pipelinecode": ""}, {}),
        ("--subjecteventcrffileid (no number)", {"subjecteventcrffileid": "x"}, {}),
        ("--edcpipelinefileid", {"edcpipelinefileid": "-"}, {}),
        ("--apiurldicom", {"apiurldicom": ""}, {}),
        ("--apitoken", {"apitoken": "-"}, {}),
        ("INPUT_S3_IN", {}, {"INPUT_S3_IN": ""}),
        ("OUT_NAME", {}, {"OUT_NAME": "../x"}),
        ("MAX_MEMBERS", {}, {"MAX_MEMBERS": "many"}),
    ],
)
def test_P073_P096_ERRS1001_a_missing_input_is_named(container, missing, arguments, environment):
    """Each parameter and variable that is missing or unusable is named."""
    container.environment |= environment
    container.put("a1", FILES[0])
    done = container.process(extension="", **arguments)
    assert done.status == 1
    (row,) = done.err
    assert row["error_code"] == "ERRS1001"
    assert missing in row["error"]
    assert not (container.folder / "out").exists()


def test_P097_ERRS1002_a_damaged_file_is_copied_with_its_error(container):
    """A DICOM file that is cut short inside an element goes on as it is."""
    cut = FILES[0].read_bytes()[:400]
    container.put("a1.dcm", cut)
    done = container.process(extension=".dcm")
    assert (done.status, done.codes, done.result.read_bytes()) == (0, ["ERRS1002"], cut)
    assert "ends inside an element" in done.err[0]["error"]


def test_P098_ERRS1003_an_answer_about_another_file_is_refused(container, api):
    """The API answers for another file: both are named, nothing is tagged."""
    container.put("a1", FILES[0])

    def change(doc):
        doc["data"]["subject_event_crf_file_id"] = 999
        return doc

    with meddling(api, change) as url:
        words = refused(container.process(extension="", url=url), "ERRS1003")
    assert "999 / amypet" in words
    assert "101 / amypet" in words


@pytest.mark.parametrize(
    ("status", "change"),
    [(503, lambda doc: doc), (200, lambda _: b"<html>a proxy's page</html>"), (200, lambda _: [1])],
)
def test_P099_ERRS1004_an_api_that_cannot_be_used(container, api, status, change):
    """Answers of 500 and above after all tries, and answers that are not the API's, end the run."""
    container.put("a1", FILES[0])
    with meddling(api, change, status) as url:
        refused(container.process(extension="", url=url), "ERRS1004")


def test_P099_ERRS1004_an_api_that_does_not_answer(container):
    """Nobody listens at the address; the token is in no line."""
    container.put("a1", FILES[0])
    done = container.process(extension="", url="http://127.0.0.1:1")
    refused(done, "ERRS1004")
    assert container.api.token not in json.dumps(done.err + done.out)


def test_P100_ERRS1005_the_apis_refusal_is_told(container, api):
    """The API's own code and words stand in the error."""
    container.put("a1", FILES[0])
    words = refused(container.process(extension="", run=77), "ERRS1005")
    assert "ERRL1003" in words


def test_P101_ERRS1006_an_empty_atriuid_leaves_the_file_untagged(container, api):
    """The file is in its place without ATRIUID, with has_error."""
    container.put("a1", FILES[0])

    def change(doc):
        doc["data"]["scans"][0]["series"][0]["atri_uid"] = ""
        return doc

    with meddling(api, change) as url:
        done = container.process(extension="", url=url)
    assert (done.status, done.codes) == (0, ["ERRS1006"])
    assert done.result.read_bytes() == FILES[0].read_bytes()


def test_P102_P161_atri_uid_key_not_present_in_data(container, api):
    """ERRS1007 for the one series that the answer leaves out; the other is tagged (P161: atri_uid_in_data)."""
    series = {pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID: path for path in DCMDATA.glob("*.dcm")}
    paths = list(series.values())[:2]
    container.put("a1.zip", packed(*((path.name, path.read_bytes()) for path in paths)))

    def change(doc):
        del doc["data"]["scans"][0]["series"][0]["atri_uid"]
        return doc

    with meddling(api, change) as url:
        done = container.process(url=url)
    assert (done.status, done.codes) == (0, ["ERRS1007"])
    assert re.search(r"study_uid [0-9.]+ and series_uid [0-9.]+", done.err[0]["error"])
    import io
    import zipfile

    with zipfile.ZipFile(done.result) as result:
        tagged = [
            (0x0013, 0x0010) in pydicom.dcmread(io.BytesIO(result.read(path.name)), stop_before_pixels=True)
            for path in paths
        ]
    assert sorted(tagged) == [False, True]


def test_P103_ERRS1008_what_cannot_be_tagged_safely_goes_on_as_it_is(container):
    """An element out of order behind the pixels: the series can be read, the file not tagged; the bytes stay."""
    assert pydicom.dcmread(FILES[1]).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    content = FILES[1].read_bytes() + struct.pack("<HH2sH", 0x0018, 0x0010, b"LO", 2) + b"x "
    container.put("a1.dcm", content)
    done = container.process(extension=".dcm")
    assert (done.status, done.codes) == (0, ["ERRS1008"])
    assert done.result.read_bytes() == content


def test_P104_ERRS1009_a_file_that_changes_under_the_run_ends_it(container, api):
    """The disk changes the input while the API is asked: nothing of it goes on."""
    container.put("a1", FILES[0])

    def change(doc):
        (path,) = (container.folder / "work").glob("process-*/input")
        path.write_bytes(path.read_bytes()[:500])
        return doc

    with meddling(api, change) as url:
        refused(container.process(extension="", url=url), "ERRS1009")


def test_P104_ERRS1009_an_archive_that_changes_under_the_run_ends_it(container, api):
    """The same for an archive whose bytes are no longer those of a moment ago."""
    container.put("a1.zip", packed(*((path.name, path.read_bytes()) for path in FILES[:2])))

    def change(doc):
        (path,) = (container.folder / "work").glob("process-*/input")
        content = bytearray(path.read_bytes())
        content[1000:3000] = bytes(2000)
        path.write_bytes(content)
        return doc

    with meddling(api, change) as url:
        refused(container.process(url=url), "ERRS1009")


@pytest.mark.parametrize("place", ["relative/folder", "/no/such/folder", "s3://"])
def test_P105_ERRS1010_an_input_folder_that_is_none(container, place):
    """A relative path, a folder that is not there, an address without bucket."""
    container.environment["INPUT_S3_IN"] = place
    refused(container.process(), "ERRS1010")


def test_P105_ERRS1010_more_than_one_file(container):
    """A run is of one file: two in its folder are a mistake of whoever put them there."""
    container.put("a1.zip", b"x")
    container.put("a2.zip", b"x")
    refused(container.process(), "ERRS1010")


def test_P106_ERRS1011_an_empty_input_folder(container):
    """The folder is there and holds nothing."""
    (container.folder / "in").mkdir()
    refused(container.process(), "ERRS1011")


def test_P076_P161_error_messages_are_one_line_of_json(container):
    """Standard error holds one JSON object a line: code, words, part and hint."""
    container.put("a1.txt", b"x")
    done = container.process(extension=".txt")
    (row,) = done.err
    assert {"error_code", "error", "raised_by", "hint"} <= set(row)
    assert row["raised_by"] == "process_dicom"
