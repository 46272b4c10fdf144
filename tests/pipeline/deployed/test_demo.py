"""The demo as the whole way: uploads of each kind, the real processing, quarantine, tables, logs and mails."""

import io
import mailbox
import os
import re
import signal
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import boto3
import psutil
import pydicom
import pytest
from playwright.sync_api import expect

from cloud.pipeline.setup.config_file import load_config_file
from tests.parts import ministack_python
from tests.waiting import until

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[3]
ACCOUNT = "000000000000"


def processes_of(folder):
    """The processes that name a folder."""
    return [p.pid for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A demo that has gone its course and stays up; ended with Ctrl-C, it leaves no process behind."""
    folder = tmp_path_factory.mktemp("demo") / "here"
    command = [sys.executable, "-m", "cloud", "pipeline", "demo", "--dir", str(folder), "--aws", ministack_python()]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said = ""
            for line in process.stdout:
                said += line
                if "stays up until Ctrl-C" in line:
                    break
            assert "stays up until Ctrl-C" in said, said[-6000:]
            config_file = folder / "demo-amypet.config"
            yield SimpleNamespace(folder=folder, said=said, file=config_file, config=load_config_file(config_file))
            process.send_signal(signal.SIGINT)
            assert process.wait(100) == 0
        finally:
            process.kill()
    until(
        lambda: not processes_of(folder), lambda: f"the functions' idle workers end: {processes_of(folder)}", every=0.2
    )


def client(demo, service):
    """A client of the demo's local AWS."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, region_name="us-east-1", endpoint_url=demo.config.AWS_ENDPOINT_URL, **keys)


def rows(demo, sql):
    """What the demo's index holds."""
    with closing(sqlite3.connect(demo.folder / "cloud.db")) as index:
        return index.execute(sql).fetchall()


def objects(demo, which, prefix=""):
    """The objects of a bucket: key -> bytes."""
    name = which if which == demo.config.LOG_BUCKET else demo.config.bucket(which, ACCOUNT)
    s3 = client(demo, "s3")
    found = s3.list_objects_v2(Bucket=name, Prefix=prefix).get("Contents", ())
    return {row["Key"]: s3.get_object(Bucket=name, Key=row["Key"])["Body"].read() for row in found}


def of_version(demo, version):
    """FileID, status, has_error and run of an upload's first run."""
    sql = "SELECT id, status, has_error, execution FROM edcpipelinefile WHERE execution LIKE ? ORDER BY id"
    with closing(sqlite3.connect(demo.folder / "cloud.db")) as index:
        return index.execute(sql, (f"1_11_scan_{version}_%",)).fetchall()


@pytest.mark.door("command", "file", "SQL")
def test_P001_P028_P064_P152_a_zip_of_three_series_arrives_tagged(demo):
    """Every instance of the zip in quarantine carries the ATRIUID of its series, as the tables have it."""
    file_id, status, has_error, _ = of_version(demo, "zip1")[0]
    assert (status, has_error) == ("Completed", 0)
    (packed,) = [
        data for key, data in objects(demo, "destination", "quarantine/").items() if f"_11_1_{file_id}_2" in key
    ]
    sql = f"SELECT serieuid, atriuid, number_of_instances FROM edcpipelinefiledicom WHERE edcpipelinefileid = {file_id}"
    known = {series: (atriuid, count) for series, atriuid, count in rows(demo, sql)}
    assert sorted(atriuid for atriuid, _ in known.values()) == [f"{file_id}.{n}" for n in (1, 2, 3)]
    seen = dict.fromkeys(known, 0)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for name in archive.namelist():
            ds = pydicom.dcmread(io.BytesIO(archive.read(name)))
            found = ds.private_block(0x0013, "ATRI EDGE 1.0")[0x01].value  # bytes where the syntax has no VR
            written = found.decode() if isinstance(found, bytes) else str(found)
            assert written.strip() == known[ds.SeriesInstanceUID][0]
            seen[ds.SeriesInstanceUID] += 1
    assert seen == {series: count for series, (_, count) in known.items()}


@pytest.mark.door("command", "file", "SQL")
def test_P015_P045_P164_what_is_no_dicom_arrives_as_it_was(demo):
    """A text file and a damaged one with has_error and ERRS1002, the ECAT file without; each byte as uploaded."""
    uploaded, arrived = objects(demo, "source", "subjecteventcrffile/"), objects(demo, "destination", "quarantine/")
    for version, extension, wrong in (("txt1", ".txt", 1), ("bad1", ".dcm", 1), ("pet1", ".v", 0)):
        file_id, status, has_error, run = of_version(demo, version)[0]
        assert (status, has_error) == ("Completed", wrong), version
        (data,) = [d for key, d in arrived.items() if re.search(rf"_{file_id}_\d{{8}}_\d{{6}}\{extension}$", key)]
        assert data == uploaded[f"subjecteventcrffile/1/11/scan/{version}{extension}"]
        codes = rows(demo, f"SELECT error_code FROM edcpipelinefileerrorlog WHERE edcpipelinefileid = {file_id}")
        assert [code for (code,) in codes] == ["ERRS1002"] * wrong
        logs = [text.decode() for text in objects(demo, "source", "image_pipelines/error_logs/amypet/").values()]
        assert len([text for text in logs if f"run: {run}\n" in text and "error code: ERRS1002" in text]) == wrong


@pytest.mark.door("command", "file")
def test_P029_P121_P122_P123_the_job_s_two_logs_are_apart_and_traceable(demo):
    """In the central log store: what a job said and what it complained of are two objects, each line traceable."""
    file_id, _, _, run = of_version(demo, "txt1")[0]
    folder = f"demo/edc-plugin-image-pipeline/amypet/{run}/"
    logs = objects(demo, demo.config.LOG_BUCKET, folder)
    assert sorted(logs) == [f"{folder}stderr.txt", f"{folder}stdout.txt"]
    out, err = logs[f"{folder}stdout.txt"].decode(), logs[f"{folder}stderr.txt"].decode()
    assert "ERRS1002" in err
    assert "the result is in its place" in out
    assert "ERRS1002" not in out
    for line in (out + err).splitlines():
        for word in (
            '"study": "demo"',
            '"pipeline": "amypet"',
            '"image_type": "amypet"',
            f'"file_id": "{file_id}"',
            '"time": ',
        ):
            assert word in line


@pytest.mark.door("command")
def test_P125_P127_everyone_is_told(demo):
    """The mailbox of a real SMTP server: a mail for each file to the labs, one for each error to the admins."""
    mails = demo.said.partition("mails in the mailbox:")[2].partition("in another terminal")[0]
    assert len(re.findall(r"labs@example\.org: .* arrived in quarantine$", mails, re.MULTILINE)) == 3
    assert len(re.findall(r"labs@example\.org: .* arrived in quarantine, with an error$", mails, re.MULTILINE)) == 2
    assert sorted(re.findall(r"admins@example\.org: .*(ERR\w+) file", mails)) == ["ERRL1003", "ERRS1002", "ERRS1002"]


@pytest.mark.door("command", "HTTP", "SQL", "file")
def test_P004_P169_an_upload_by_a_browser_arrives_like_any_other(demo, page, tmp_path):
    """The page sends the zip straight to S3 in parts; what follows is the same run: quarantine, ATRIUIDs, a mail."""
    address, token = re.search(r"browser: (\S+)  \(record 11, field scan, token (\S+)\)", demo.said).groups()
    path = tmp_path / "visit.zip"
    path.write_bytes(
        objects(demo, "source", "subjecteventcrffile/1/11/scan/zip1")["subjecteventcrffile/1/11/scan/zip1.zip"]
    )
    known = rows(demo, "SELECT count(*) FROM edcpipelinefile")[0][0]
    page.goto(address)
    page.fill("#token", token)
    page.fill("#record", "11")
    page.fill("#field", "scan")
    page.set_input_files("#file", path)
    page.click("#send")
    expect(page.locator("#said")).to_contain_text("Uploaded", timeout=60_000)
    newest = "SELECT id, status, has_error FROM edcpipelinefile ORDER BY id DESC LIMIT 1"

    def arrived():
        is_new = rows(demo, "SELECT count(*) FROM edcpipelinefile")[0][0] > known
        return is_new and rows(demo, newest)[0][1] == "Completed"

    until(arrived, lambda: f"the new file is completed: {rows(demo, newest)}", 150, every=0.2)
    file_id, _, has_error = rows(demo, newest)[0]
    assert has_error == 0
    assert rows(demo, f"SELECT count(*) FROM edcpipelinefiledicom WHERE edcpipelinefileid = {file_id}") == [(3,)]
    assert [key for key in objects(demo, "destination", "quarantine/") if f"_{file_id}_2" in key]
    box = demo.folder / "mails"
    until(
        lambda: any(f"file {file_id} " in str(mail["Subject"]) for mail in mailbox.Maildir(box)),
        f"a mail on file {file_id}",
        150,
    )


@pytest.mark.door("command", "SQL", "file")
def test_P002_P003_run_once_more_makes_a_second_record_and_leaves_the_first(demo):
    """`dicom-cloud pipeline run` as the demo prints it: another FileID, other ATRIUIDs, the first file untouched."""
    before, first = objects(demo, "destination", "quarantine/"), of_version(demo, "zip1")
    name = f"{demo.config.bucket('source', ACCOUNT)}/subjecteventcrffile/1/11/scan/zip1.zip"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "PIPELINE_CONFIG": str(demo.file)}
    done = subprocess.run(
        [sys.executable, "-m", "cloud", "pipeline", "run", name],
        env={**os.environ, **keys}, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 ended well" in done.stdout
    now = of_version(demo, "zip1")
    assert now[: len(first)] == first
    assert len(now) == len(first) + 1
    after = objects(demo, "destination", "quarantine/")
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 1
    assert rows(demo, f"SELECT count(*) FROM edcpipelinefiledicom WHERE edcpipelinefileid = {now[-1][0]}") == [(3,)]
