"""Edge and cloud end to end on a real S3 server, real SQS queues and a real PostgreSQL, and S3 killed under way."""

import hashlib
import io
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest
from pydicom import Dataset

from edge.contract.edits import read_untagged
from edge.contract.manifest import load_manifest
from edge.wire import WireTap
from tests.cloud.test_commands import run
from tests.e2e.cloud_process import cloud, index_of
from tests.e2e.edge_process import EdgeProcess, running, scan
from tests.parts import program
from tests.queue.conftest import make_sqs
from tests.seaweed import Seaweed, make_bucket
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.door("socket", "command", "SQL"), pytest.mark.full, pytest.mark.timeout(300)]

UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
LONG = 120.0


@dataclass(kw_only=True)
class Site:
    """One bucket and its queues, and what edge and cloud need to be told of them."""

    seaweed: Seaweed
    bucket: str
    sqs_url: str
    up: str
    down: str

    @cached_property
    def s3(self) -> Any:
        """Give a plain client; making one takes longer than what it is asked."""
        return self.seaweed.endpoint.client()

    @property
    def shared(self) -> dict[str, str]:
        return {
            "BUCKETNAME": self.bucket,
            "QUEUE_URL": self.up,
            "AWS_REGION": "us-east-1",
            # Two servers stand for AWS, so each service is told its own; these names are AWS's.
            "AWS_ENDPOINT_URL_S3": self.seaweed.endpoint.url,
            "AWS_ENDPOINT_URL_SQS": self.sqs_url,
        }

    @property
    def edge(self) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY": self.seaweed.endpoint.access_key, "AWS_SECRET_KEY": self.seaweed.endpoint.secret_key}
        return self.shared | keys | {"STORE_DIR": "", "QUEUE_FILE": "", "RETAIN_HOURS": "0"}

    def cloud(self, database: str) -> dict[str, str]:
        endpoint = self.seaweed.endpoint
        keys = {"AWS_ACCESS_KEY_ID": endpoint.access_key, "AWS_SECRET_ACCESS_KEY": endpoint.secret_key}
        template = self.down.replace("trial-edge", "{EdgeId}")
        return self.shared | keys | {"DATABASE_URL": database, "EDGE_QUEUE_URL": template}

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.bucket, Prefix=prefix)
        return [row["Key"] for page in found for row in page.get("Contents", ())]

    def object(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def received(self) -> dict[str, str]:
        """SHA-256 of every dataset, taken back from the objects that the manifests list, by key."""
        found: dict[str, str] = {}
        for key in self.keys("manifests/"):
            for i in load_manifest(self.object(key)).instances:
                back = b"".join(read_untagged(io.BytesIO(self.object(i.key)), i.edits))
                found[i.key] = hashlib.sha256(back[i.dataset_offset :]).hexdigest()
        return found

    def receipts(self) -> list[dict[str, Any]]:
        """Take what waits in the queue down to the edge."""
        client = boto3.session.Session().client(
            "sqs", endpoint_url=self.sqs_url, region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip
        taken: list[dict[str, Any]] = []
        while found := client.receive_message(QueueUrl=self.down, MaxNumberOfMessages=10).get("Messages"):
            taken += [json.loads(message["Body"]) for message in found]
        return taken


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A server of this module's own, because it is killed here."""
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def site(seaweed: Seaweed, aws_endpoint: str) -> Site:
    client = boto3.session.Session().client(
        "sqs", endpoint_url=aws_endpoint, region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    name = make_bucket(seaweed.endpoint)
    down = client.create_queue(QueueName=f"{name}-trial-edge")["QueueUrl"]
    return Site(seaweed=seaweed, bucket=name, sqs_url=aws_endpoint, up=make_sqs(aws_endpoint)[0], down=down)


def through(tap: WireTap, folder: Path, *scans: Dataset) -> None:
    """Send through the tap with Debian's storescu; every one is answered Success."""
    before = len(tap.ledger)
    folder.mkdir()
    for d in scans:
        d.save_as(folder / f"{d.SOPInstanceUID}.dcm", enforce_file_format=True)
    command = [program("storescu"), "+sd", "-aec", "EDGE_AE", "-aet", "CT03", "127.0.0.1", str(tap.port), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=LONG)
    assert [e.status for e in tap.ledger[before:]] == [0] * len(scans)


def two_studies() -> list[Dataset]:
    return [
        *[scan(n) for n in range(1, 6)],
        *[scan(n, series="1.2.3.2", SeriesNumber=4) for n in range(1, 4)],
        *[scan(n, study="1.5", series="1.5.1", Modality="MR") for n in range(1, 5)],
    ]


def test_E010_E011_E012_E040_E041_P030_D8_from_storage_over_S3_and_SQS_into_PostgreSQL(tmp_path, site, postgres_url):
    """What the wire saw is in the bucket under its keys, in the index row by row, acknowledged, and off the box."""
    sent = two_studies()
    with (
        running(tmp_path, **site.edge) as edge,
        WireTap("127.0.0.1", "127.0.0.1", edge.port) as tap,
        cloud(tmp_path, "ingest", **site.cloud(postgres_url)) as ingester,
        index_of(postgres_url) as rows,
    ):
        through(tap, tmp_path / "sent", *sent)
        ingester.until(lambda: rows("SELECT count(*) FROM instance") == [(len(sent),)], "all rows", LONG)
        edge.until_states(RELEASED=len(sent))
        assert not list((tmp_path / "spool/in").rglob("*.dcm"))
        where = {d.SOPInstanceUID: f"{d.StudyInstanceUID}/{d.SeriesInstanceUID}/{d.SOPInstanceUID}.dcm" for d in sent}
        keys = site.keys("trial-edge/")
        assert all(re.match(f"trial-edge/{UUID4}/", key) for key in keys)
        assert sorted(key.split("/", 2)[2] for key in keys) == sorted(where.values())
        assert rows("SELECT key FROM instancelocation ORDER BY key") == [(key,) for key in sorted(keys)]
        on_the_wire = {(e.sop_instance_uid, e.sha256) for e in tap.ledger}
        assert set(rows("SELECT sopinstanceuid, receivedsha256 FROM instance")) == on_the_wire
        assert sorted(site.received().values()) == sorted(e.sha256 for e in tap.ledger)
        jobs = rows("SELECT status, importlocation, resultlocation FROM ahlijob")
        places = {key.rsplit("/", 1)[0] + "/" for key in keys}
        base = f"s3://{site.bucket}"
        assert set(jobs) == {(1, f"{base}/{place}", f"{base}/results/{place}") for place in places}
        tags = rows("SELECT atriuid, serieuid, number_of_instances FROM edcpipelinefiledicom ORDER BY atriuid")
        counted = {(series, n) for _, series, n in tags}
        assert counted == {("1.2.3.1", 5), ("1.2.3.2", 3), ("1.5.1", 4)}
        for _, body in edge.rows("SELECT ulid, body FROM entry WHERE kind = 'RELEASED'"):
            proof = json.loads(body)
            held = site.s3.head_object(
                Bucket=site.bucket, Key=proof["key"], VersionId=proof["version_id"], ChecksumMode="ENABLED"
            )
            assert (held["ContentLength"], held["ChecksumCRC64NVME"]) == (proof["size"], proof["crc64nvme"])
        generations = {job for (job,) in rows("SELECT jobid FROM generation WHERE state = 'VERIFIED'")}
        told: list[dict[str, Any]] = []

        def all_told() -> bool:
            told.extend(site.receipts())
            return {r["Body"]["JobId"] for r in told} == generations

        ingester.until(all_told, "a receipt for each generation")
        assert {(r["Kind"], r["EdgeId"], r["Body"]["State"]) for r in told} == {("receipt", "trial-edge", "VERIFIED")}
        assert ingester.stop() == 0
    _rebuilt_alike(tmp_path, site, postgres_url)


def _rebuilt_alike(folder: Path, site: Site, postgres_url: str) -> None:
    """D8: from the bucket alone comes the same index."""
    again = f"sqlite:///{folder / 'again.db'}"
    done = run("rebuild", **(site.cloud(again)))
    assert done.returncode == 0, done.stderr
    sql = (
        "SELECT i.sopinstanceuid, i.receivedsha256, l.key, l.versionid, l.jobid, s.fileid, d.atriuid FROM instance i"
        " JOIN instancelocation l ON l.instance_id = i.id JOIN series r ON r.id = i.series_id"
        " JOIN study s ON s.id = r.study_id JOIN edcpipelinefiledicom d ON d.serieuid = r.seriesinstanceuid ORDER BY 1"
    )
    with index_of(postgres_url) as before, index_of(again) as after:
        assert after(sql) == before(sql) != []


def test_E011_I3_fault_03_nothing_leaves_the_box_before_the_queue_took_the_manifest(tmp_path, site):
    """Confirmed by S3 alone, the copies stay; once SQS has the message they go, without anybody's doing."""
    sent = two_studies()
    with TcpProxy(site.sqs_url) as proxy:
        proxy.up = lambda _: None
        queue = site.up.replace(site.sqs_url, proxy.url)
        settings = site.edge | {"AWS_ENDPOINT_URL_SQS": proxy.url, "QUEUE_URL": queue}
        with running(tmp_path, **settings) as edge:
            with WireTap("127.0.0.1", "127.0.0.1", edge.port) as tap:
                through(tap, tmp_path / "sent", *sent)
            unlisted = "SELECT count(*) FROM instance JOIN generation USING (job_id) WHERE manifest_at IS NULL"
            edge.until(lambda: edge.states() == {"UPLOADED": len(sent)}, "all are in S3", LONG)
            edge.until(lambda: edge.rows(unlisted) == [(0,)], "every manifest is stored", LONG)
            edge.until(lambda: proxy.cuts > 2, "it has tried the queue", LONG)
            assert edge.states() == {"UPLOADED": len(sent)}
            assert len(list((tmp_path / "spool/in").rglob("*.dcm"))) == len(sent)
            proxy.up = lambda data: data
            edge.until(lambda: edge.states() == {"RELEASED": len(sent)}, "released", LONG)
            order = edge.rows("SELECT kind, body FROM entry WHERE kind IN ('MESSAGE_SENT', 'RELEASED') ORDER BY seq")
            kinds = [
                kind for kind, body in order if kind == "RELEASED" or json.loads(body)["message_kind"] == "completed"
            ]
            assert kinds[0] == "MESSAGE_SENT"


def test_fault_01_E011_I3_S3_killed_in_the_middle_of_a_backlog(tmp_path, site, postgres_url):
    """S3 is killed twice: senders get Success, nothing unproven leaves the box, and all drains once it is back."""
    first = [scan(n, size=128) for n in range(1, 151)]
    second = [scan(n, study="1.5", series="1.5.1", size=128) for n in range(1, 31)]
    with (
        running(tmp_path, THREADCOUNT="1", **site.edge) as edge,
        WireTap("127.0.0.1", "127.0.0.1", edge.port) as tap,
        cloud(tmp_path, "ingest", **site.cloud(postgres_url)) as ingester,
        index_of(postgres_url) as rows,
    ):
        try:
            site.seaweed.kill()
            through(tap, tmp_path / "first", *first)
            edge.until(lambda: edge.states() == {"TAGGED": len(first)}, "all wait for the store", LONG)
            site.seaweed.start()
            edge.until(lambda: edge.states().get("UPLOADED", 0) >= 5, "it drains", LONG)
            site.seaweed.kill()
            done = sum(edge.states().get(s, 0) for s in ("UPLOADED", "ANNOUNCED", "RELEASED"))
            assert 5 <= done < len(first), "the kill was not in the middle"
            through(tap, tmp_path / "second", *second)
            _nothing_unproven_is_gone(edge)
            edge.until(lambda: bool(edge.events("stage.waiting")), "it says that it waits")
            edge.until(lambda: edge.states().get("TAGGED", 0) >= len(second), "the second study waits too", LONG)
            assert edge.stop(signal.SIGKILL) == -signal.SIGKILL  # and the box loses power meanwhile
            edge.start()
            _nothing_unproven_is_gone(edge)
        finally:
            site.seaweed.kill()
            site.seaweed.start()
        whole = len(first) + len(second)
        edge.until(lambda: edge.states() == {"RELEASED": whole}, "all drained by itself", LONG)
        assert [e.status for e in tap.ledger] == [0] * whole
        assert sorted(site.received().values()) == sorted(e.sha256 for e in tap.ledger)
        ingester.until(lambda: rows("SELECT count(*) FROM instance") == [(whole,)], "all rows", LONG)
        on_the_wire = {(e.sop_instance_uid, e.sha256) for e in tap.ledger}
        assert set(rows("SELECT sopinstanceuid, receivedsha256 FROM instance")) == on_the_wire


def _nothing_unproven_is_gone(edge: EdgeProcess) -> None:
    """Every instance that was not released after proof lies in the spool."""
    held = {path.stem for path in (edge.folder / "spool/in").rglob("*.dcm")}
    known = dict(edge.rows("SELECT ulid, state FROM instance"))
    assert {ulid for ulid, state in known.items() if state != "RELEASED"} <= held
