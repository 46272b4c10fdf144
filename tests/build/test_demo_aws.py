"""make demo DEMO=aws: the same course on a local AWS, with the ingest function as a Lambda."""

import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import boto3
import psutil
import pytest

from tests.parts import ministack_python
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = len(list((ROOT / "dcmdata").glob("*.dcm")))


def command(folder, *, aws, once, ports):
    """The command that `make demo DEMO=aws` types."""
    dicom, dashboard, gateway = ports
    typed = [sys.executable, "-m", "edge", "demo", "--aws", str(aws), "--dir", str(folder)]
    typed += ["--port", str(dicom), "--dashboard-port", str(dashboard), "--aws-port", str(gateway)]
    return [*typed, "--once"] if once else typed


def free():
    """Three ports that are free now: DICOM, dashboard, local AWS."""
    return free_port(), free_port(), free_port()


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """The folder of a demo that ran once, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    typed = command(folder, aws=ministack_python(), once=True, ports=free())
    done = subprocess.run(typed, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder, done.stdout


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.door("command", "socket")
def test_E004_D12_demo_once_on_the_local_aws(first_run):
    """Every sample goes through S3 and SQS into the index, every byte is found again; the way to look is printed."""
    _, said = first_run
    for line in (
        rf"Success for {SAMPLES} of {SAMPLES} instances",
        rf"checked: all {SAMPLES} instances",
        r"objects lie in s3://dicom-edge-demo",
        r"\b1\d{9}\.\d+\b",  # an ATRIUID issued at edge number 1
        r"aws --region us-east-1 --endpoint-url http://127\.0\.0\.1:\d+ s3 ls --recursive s3://dicom-edge-demo/",
    ):
        assert re.search(line, said), f"{line} is not in:\n{said[-6000:]}"


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.door("SQL", "file")
def test_E030_the_rows_were_written_by_the_lambda(first_run):
    """No poller ran, and the function logged which generations it verified: some of those that the index holds."""
    folder, _ = first_run
    assert not (folder / "logs" / "ingester.log").exists()
    lines = [line for line in (folder / "logs" / "aws.log").read_text().splitlines() if line.startswith("{")]
    verified = [doc for doc in map(json.loads, lines) if doc["event"] == "generation.verified"]
    with closing(sqlite3.connect(folder / "cloud.db")) as cloud:
        jobs = {row[0] for row in cloud.execute("SELECT jobid FROM generation")}
        instances = cloud.execute("SELECT count(*) FROM instance").fetchone()[0]
    assert instances == SAMPLES
    # The local AWS may miss the last lines of an invocation, so not all of them are asked for.
    assert verified
    assert {doc["job"] for doc in verified} <= jobs


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.door("command", "SQL")
def test_D12_a_restart_on_the_local_aws_finds_everything(first_run):
    """On another port it holds the same objects and rows; Ctrl-C leaves no process and no busy port behind."""
    folder, _ = first_run
    ports = free()
    with closing(sqlite3.connect(folder / "cloud.db")) as cloud:
        before = set(cloud.execute("SELECT bucket, key, versionid FROM instancelocation"))
    typed = command(folder, aws=ministack_python(), once=False, ports=ports)
    with subprocess.Popen(typed, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        try:
            said = ""
            for line in demo.stdout:
                said += line
                if "stays up until Ctrl-C" in line:
                    break
            assert "stays up until Ctrl-C" in said, said[-4000:]
            client = boto3.client(
                "s3",
                endpoint_url=f"http://127.0.0.1:{ports[2]}",
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
            for bucket, key, version in before:
                client.head_object(Bucket=bucket, Key=key, VersionId=version)
            demo.send_signal(signal.SIGINT)
            demo.wait(60)
        finally:
            demo.kill()
    with closing(sqlite3.connect(folder / "cloud.db")) as cloud:
        assert set(cloud.execute("SELECT bucket, key, versionid FROM instancelocation")) == before
    assert [p.cmdline() for p in psutil.process_iter() if str(folder) in " ".join(cmdline(p))] == []
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def cmdline(process):
    """What a process was started with, nothing if it just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.door("command")
@pytest.mark.parametrize("interpreter", ["/nowhere/bin/python", sys.executable])
def test_a_missing_local_aws_is_said_in_plain_words(tmp_path, interpreter):
    """An environment without ministack: status 1, what is missing and what makes it, and nothing was started."""
    folder = tmp_path / "demo"
    typed = command(folder, aws=interpreter, once=True, ports=free())
    done = subprocess.run(typed, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "no local AWS" in done.stderr
    assert "make demo DEMO=aws makes the environment" in done.stderr
    assert "Traceback" not in done.stderr
    assert not folder.exists()


@pytest.mark.door("command")
def test_a_busy_port_of_the_local_aws_is_named(tmp_path):
    """A listener where the local AWS should be: status 1, the port and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        typed = command(tmp_path / "demo", aws=ministack_python(), once=True, ports=(free_port(), free_port(), port))
        done = subprocess.run(typed, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"port {port} (local AWS) is busy" in done.stderr
    assert f"AWS_PORT={port + 1}" in done.stderr


@pytest.mark.door("command")
def test_a_local_aws_on_another_python_is_refused(tmp_path):
    """What is compiled in the zip fits one Python: where the local AWS runs another, both are named at once."""
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 3.9\n")
    other.chmod(0o755)
    typed = command(tmp_path / "demo", aws=other, once=True, ports=free())
    done = subprocess.run(typed, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"runs Lambda on Python 3.9, but this is Python {here}" in done.stderr
    assert "Traceback" not in done.stderr
