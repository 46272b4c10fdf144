"""Every error of processing in a run of the machine: caused by its real fault, with the real process_dicom."""

import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloud.pipeline.machine.definition import Function
from cloud.pipeline.setup.batch_stack import COMMAND
from tests.pipeline.api import SCANS
from tests.pipeline.deployed.judging import assert_told, row, states
from tests.pipeline.deployed.mailbox import part
from tests.pipeline.deployed.place import Pipeline
from tests.pipeline.test_process import FILES
from tests.pipeline.test_process_errors import meddling

pytestmark = [pytest.mark.full, pytest.mark.timeout(600), pytest.mark.door("file", "SQL", "HTTP")]

WHOLE = FILES[0].read_bytes()
#: What is uploaded for each code, and whether it arrives in quarantine all the same (P045).
ERRORS = {
    "ERRS1001": (WHOLE, False),  # real_job.py leaves OUT_NAME out
    "ERRS1002": (WHOLE[:400], True),
    "ERRS1003": (WHOLE, False),
    "ERRS1004": (WHOLE, False),
    "ERRS1005": (WHOLE, False),
    "ERRS1006": (WHOLE, True),
    "ERRS1007": (WHOLE, True),
    "ERRS1008": (FILES[1].read_bytes() + struct.pack("<HH2sH", 0x0018, 0x0010, b"LO", 2) + b"x ", True),
    "ERRS1009": (WHOLE, False),
    "ERRS1010": (WHOLE, False),  # real_job.py puts a second file beside it
    "ERRS1011": (WHOLE, False),  # real_job.py deletes it
    "ERRS2001": (WHOLE, True),  # real_job.py: an additional process that fails
}


def answer_of(pipeline, codes):
    """The API's answer, changed for those uploads whose error is the API's fault."""

    def change(doc):
        code = codes.get(doc["data"]["subject_event_crf_file_id"]) if doc["success"] else None
        if code == "ERRS1003":
            doc["data"]["subject_event_crf_file_id"] = 999
        elif code == "ERRS1004":
            return b"<html>a proxy's page</html>"
        elif code == "ERRS1005":
            return {"success": False, "error_code": "ERRA1003", "error": "The image pipeline plug-in is switched off"}
        elif code == "ERRS1006":
            doc["data"]["scans"][0]["series"][0]["atri_uid"] = ""
        elif code == "ERRS1007":
            del doc["data"]["scans"][0]["series"][0]["atri_uid"]
        elif code == "ERRS1009":  # the disk changes under the run
            (path,) = (pipeline.folder / "jobs").glob(f"1_11_scan_{code}_*/process-*/input")
            path.write_bytes(path.read_bytes()[:500])
        return doc

    return change


@pytest.fixture(scope="module")
def met(aws, mails, own_code, tmp_path_factory):
    """The pipeline, and its run of each code's file, all at once."""
    job = " ".join([sys.executable, str(Path(__file__).with_name("real_job.py")), *COMMAND])
    folder = tmp_path_factory.mktemp("errors")
    pipeline = Pipeline(endpoint=aws, folder=folder, mails=mails, asset=own_code, job_command=job).start()
    keys = {code: pipeline.record(code, number) for number, code in enumerate(ERRORS, start=1)}
    with pipeline.edc.connect() as connection:
        rows = connection.exec_driver_sql("SELECT id, versioncode FROM subjecteventcrffile").all()
    api = SimpleNamespace(url=f"http://127.0.0.1:{pipeline.port}")
    with meddling(api, answer_of(pipeline, dict(map(tuple, rows)))) as url:
        client, name = pipeline.client("lambda"), pipeline.config.function(Function.SUBMIT)
        told = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        variables = {**told, "edc_pipeline_api_url_dicom": url + SCANS}
        client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        pipeline.call_as_they_are([Function.SUBMIT])
        for code, key in keys.items():
            pipeline.put(key, ERRORS[code][0])
        runs = {code: pipeline.run_of(key)[0] for code, key in keys.items()}
    yield pipeline, runs
    pipeline.end()


@pytest.mark.parametrize("code", ERRORS)
def test_P029_P068_P076_P127_an_error_of_processing_is_in_record_log_and_mail(met, code):
    """The code is in the record's own log, the log object and one mail; the file is in quarantine or not, as P045 and
    P046 have it, with the bytes of the upload where no ATRIUID was written.
    """
    pipeline, runs = met
    run, (data, arrives) = runs[code], ERRORS[code]
    _, mail = assert_told(pipeline, run, code, in_history=False)
    file_id, status, has_error, _ = row(pipeline, run)
    assert (status, bool(has_error)) == ("Completed" if arrives else "Failed", True)
    assert ("ErrorSNS" in states(pipeline, run)) is not arrives
    assert ("is in quarantine, but" if arrives else "is NOT in quarantine") in part(mail, "plain")
    rows = pipeline.rows(f"SELECT error_code FROM edcpipelinefileerrorlog WHERE edcpipelinefileid = {file_id}")
    assert rows == [(code,)]
    found = [key for key in pipeline.keys("destination", "quarantine/") if f"_{file_id}_20" in key]
    assert len(found) == arrives
    if arrives and code != "ERRS2001":
        s3 = pipeline.client("s3")
        assert s3.get_object(Bucket=pipeline.bucket("destination"), Key=found[0])["Body"].read() == data
