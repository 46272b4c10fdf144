"""`dicom-edge doctor`: every line on a box that is well, and what it says of one that is not."""

import http.server
import json
import socket
import threading
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from edge.config import load_config
from edge.contract.envelope import load_envelope
from edge.contract.local_queue import LocalQueue
from edge.doctor.box import clock
from tests.certificates import authority
from tests.e2e.edge_process import EdgeProcess, running, scan, send

pytestmark = pytest.mark.door("command")

ALL = ["settings", "disk", "flush", "clock", "certificate", "port", "queue", "store", "path"]


def findings(edge, *arguments, status=0):
    """The doctor's findings, by name."""
    done = edge.command("doctor", "--json", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    found = {}
    for row in json.loads(done.stdout):
        found.setdefault(row["name"], []).append(row)
    return found


def test_fault_27_a_box_that_is_well_is_told_so_before_it_ever_ran(tmp_path):
    """Every line is there; the synthetic study goes the whole way, and nothing of it stays on the box."""
    edge = EdgeProcess(tmp_path)
    found = findings(edge)
    assert list(found) == ALL
    assert {f["verdict"] for rows in found.values() for f in rows} <= {"good", "warning"}
    assert "no edge runs here" in found["port"][0]["text"]
    assert "released" in found["path"][0]["text"]
    assert [p.name for p in edge.spool.rglob("*")] == ["run"]
    stored = [p.relative_to(tmp_path / "store").as_posix() for p in (tmp_path / "store").rglob("*.dcm")]
    assert len(stored) == 3
    assert all(key.startswith("doctor/trial-edge/") for key in stored)
    (delivery,) = LocalQueue(tmp_path / "queue.db").receive(10)
    assert load_envelope(delivery.body).kind == "status"
    text = edge.command("doctor")
    assert text.returncode == 0
    assert "GOOD     path: 3 synthetic instances" in text.stdout


@pytest.mark.full
def test_fault_27_a_running_edge_is_asked_and_nothing_of_its_own_changes(tmp_path):
    """It starts the doctor itself; its port is heard; counts, ids and index are as they were."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        before = edge.rows("SELECT * FROM file_id"), edge.rows("SELECT * FROM Study", "spool/index.db")
        found = findings(edge)
        assert found["port"][0]["text"].startswith("the edge answers C-ECHO")
        assert found["queue"][0]["text"] == "it takes the messages of the edge that runs here"
        assert found["path"][0]["verdict"] == "good"
        assert (edge.rows("SELECT * FROM file_id"), edge.rows("SELECT * FROM Study", "spool/index.db")) == before
        assert edge.states() == {"ANNOUNCED": 1}
        assert not list((edge.spool / "run").glob("doctor-*"))
        send(edge, scan(1, study="1.5", series="1.5.1"))
        edge.until_states(ANNOUNCED=2)
        assert {i["ATRIUID"] for m in edge.manifests() for i in m["Instances"]} == {"7000000001.1", "7000000002.1"}


def test_fault_27_what_is_bad_is_named_with_the_way_out(tmp_path):
    """No disk, a taken port, a store that is away: each has its line and its hint, and none hides another."""
    spool = tmp_path / "file"
    spool.write_text("no folder")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        edge = EdgeProcess(
            tmp_path / "box", SPOOL_DIR=str(spool), SCP_PORT=str(taken.getsockname()[1]), STORE_DIR=str(spool / "no")
        )
        found = findings(edge, status=1)
    bad = {name: rows[-1] for name, rows in found.items() if rows[-1]["verdict"] == "bad"}
    assert set(bad) >= {"disk", "port", "store", "path"}
    assert all(row["hint"] for row in bad.values()), bad
    assert "cannot be listened on" in bad["port"]["text"]
    assert "not tried" in bad["path"]["text"]


def test_fault_27_names_that_nobody_knows_and_a_bucket_that_does_not_answer(tmp_path):
    """Host names are resolved one by one; the clock and the store say that they could not be asked."""
    edge = EdgeProcess(
        tmp_path, STORE_DIR="", BUCKETNAME="trial-bucket", AWS_ENDPOINT_URL="http://s3.invalid", QUEUE_FILE="",
        QUEUE_URL="http://s3.invalid/1/q", AWS_REGION="eu-west-1", AWS_ACCESS_KEY="AKIAEXAMPLE",
        AWS_SECRET_KEY="very-secret-indeed",
    )  # fmt: skip
    done = edge.command("doctor")
    assert done.returncode == 1
    assert "S3 s3.invalid has no address" in done.stdout
    assert "SQS s3.invalid has no address" in done.stdout
    assert "BAD      clock: S3 could not be asked" in done.stdout
    assert "BAD      store:" in done.stdout
    assert "BAD      queue:" in done.stdout
    assert "very-secret" not in done.stdout + done.stderr


class Dated(http.server.BaseHTTPRequestHandler):
    """Refuses everything, as S3 does what is not signed, and says what time it is."""

    def do_HEAD(self):
        self.send_response(403)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("minutes", "verdict", "said"), [(0, "good", "s "), (3, "warning", "ahead of"), (-20, "bad", "behind that of S3")]
)
def test_fault_27_the_clock_is_compared_with_the_store(tmp_path, minutes, verdict, said):
    """What S3 itself would refuse is bad, what drifts is a warning; a box that believes it is 2001 was never set."""
    with http.server.HTTPServer(("127.0.0.1", 0), Dated) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        edge = EdgeProcess(
            tmp_path, STORE_DIR="", BUCKETNAME="trial-bucket", AWS_REGION="eu-west-1",
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.server_port}",
        )  # fmt: skip
        config = load_config(edge.environ)
        (found,) = clock(config, lambda: datetime.now(UTC) + timedelta(minutes=minutes))
        assert (found.verdict, said in found.text) == (verdict, True), found
        server.shutdown()
    (found,) = clock(config, lambda: datetime(2001, 1, 1, tzinfo=UTC))
    assert "never set" in found.text


def test_fault_27_certificates_near_their_end_are_named(tmp_path):
    """The port's certificate has ten days left: a warning that says so."""
    files = authority(tmp_path).issue("edge", usage=None, ends=10)
    edge = EdgeProcess(tmp_path / "box", TLS_CERTIFICATE=str(files.certificate), TLS_KEY=str(files.key), TLS_PORT="0")
    found = findings(edge)
    assert any(f["verdict"] == "warning" and "of the port" in f["text"] for f in found["certificate"])


@pytest.mark.full
def test_fault_27_D6_on_aws_the_key_and_the_queue_are_tried_too(tmp_path, aws_endpoint):
    """A bucket and a queue of the local AWS: put under a KMS key, and a message that says how the edge stands."""
    settings = {"region_name": "us-east-1", "endpoint_url": aws_endpoint}
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    clients = {name: boto3.client(name, **settings, **keys) for name in ("s3", "sqs", "kms")}
    clients["s3"].create_bucket(Bucket="doctor-bucket")
    url = clients["sqs"].create_queue(QueueName="doctor-queue")["QueueUrl"]
    key = clients["kms"].create_key()["KeyMetadata"]["KeyId"]
    edge = EdgeProcess(
        tmp_path, STORE_DIR="", BUCKETNAME="doctor-bucket", QUEUE_FILE="", QUEUE_URL=url, AWS_REGION="us-east-1",
        AWS_ENDPOINT_URL=aws_endpoint, AWS_ACCESS_KEY="test", AWS_SECRET_KEY="test", KMS_KEY_ID=key,
    )  # fmt: skip
    found = findings(edge)
    assert [row["text"] for row in found["KMS"]] == [f"put and read under the key …{key[-12:]}"]
    assert {row["verdict"] for name in ("DNS", "clock", "store", "queue", "path") for row in found[name]} == {"good"}
    listed = clients["s3"].list_objects_v2(Bucket="doctor-bucket")["Contents"]
    assert all(row["Key"].startswith("doctor/trial-edge/") for row in listed)
    (message,) = clients["sqs"].receive_message(QueueUrl=url)["Messages"]
    assert load_envelope(message["Body"]).kind == "status"
    edge.settings["KMS_KEY_ID"] = ""
    assert found["KMS"][0]["verdict"] == "good"
    assert findings(edge)["KMS"][0]["verdict"] == "warning"
