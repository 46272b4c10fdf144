"""Orphans: what S3 told of and no manifest lists is found, and known by its first bytes alone."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cloud.ingest.ingest import Ingester
from cloud.orphans import HEAD_BYTES, find_orphans, read_file_meta
from cloud.store import S3Reader
from edge.contract.local_store import DirectoryStore
from tests.cloud.edges import FakeEdge, put, scans
from tests.cloud.test_commands import run
from tests.seaweed import s3_bucket, s3_endpoint  # noqa: F401 - fixtures

pytestmark = pytest.mark.door("command", "SQL")


def element(number: int, vr: bytes, value: bytes) -> bytes:
    """One element of the File Meta Information."""
    long = vr == b"OB"
    length = b"\0\0" + len(value).to_bytes(4, "little") if long else len(value).to_bytes(2, "little")
    return b"\x02\0" + number.to_bytes(2, "little") + vr + length + value


PART_10 = (
    bytes(128) + b"DICM" + element(1, b"OB", b"\0\1") + element(2, b"UI", b"1.2.840.10008.5.1.4.1.1.7\0")
    + element(3, b"UI", b"1.2.3.4\0") + element(0x10, b"UI", b"1.2.840.10008.1.2\0") + b"\x08\0" + bytes(3_000_000)
)  # fmt: skip


def notice(*keys: str) -> str:
    """S3's own message."""
    records = [
        {"eventSource": "aws:s3", "s3": {"bucket": {"name": "bucket"}, "object": {"key": k, "size": 9}}} for k in keys
    ]
    return json.dumps({"Records": records})


def test_E031_D7_fault_21_orphans_are_told_by_their_first_bytes(tmp_path):
    """Of four notices one object is announced; the DICOM one is named, the text is skipped and logged, one is gone."""
    store = DirectoryStore(tmp_path / "store")
    url = f"sqlite:///{tmp_path / 'cloud.db'}"
    assert run("migrate", DATABASE_URL=url).returncode == 0
    from cloud.db.engine import open_engine

    engine = open_engine(url)
    ingester = Ingester(engine, store)
    sent = FakeEdge(store=store).announce(scans(1))
    announced = sent.manifest.instances[0].key
    put(store, "demo-edge1/x/lost.dcm", PART_10)
    put(store, "demo-edge1/x/note.dcm", b"no DICOM at all")
    ingester.handle(notice(announced, "demo-edge1/x/lost.dcm", "demo-edge1/x/note.dcm", "demo-edge1/x/gone.dcm"))
    ingester.handle(sent.completed)
    ingester.handle(notice(announced))  # S3 tells of it once more, now that it is listed: no orphan
    put(store, "demo-edge1/x/odd.dcm", bytes(128) + b"DICM" + b"\xff" * 40)  # DICOM still
    ingester.handle(notice("demo-edge1/x/odd.dcm"))
    environ = {"DATABASE_URL": url, "STORE_DIR": str(tmp_path / "store")}
    done = run("orphans", "--older-than", "0", **environ)
    assert done.returncode == 0, done.stderr
    assert "instance 1.2.3.4 of class 1.2.840.10008.5.1.4.1.1.7" in done.stdout
    assert "not DICOM: skipped" in done.stdout
    assert "no longer in the store" in done.stdout
    assert "4 objects" in done.stdout
    assert done.stdout.count("a DICOM file that no manifest lists") == 2
    assert announced not in done.stdout
    assert "object.skipped" in done.stderr
    assert "0 objects" in run("orphans", **environ).stdout  # an hour is given to the manifest
    engine.dispose()


def test_fault_21_S3_is_asked_for_the_start_only(s3_endpoint, s3_bucket, monkeypatch, tmp_path):  # noqa: F811
    """A ranged read returns so many bytes of a larger object, nothing of an empty one, and KeyError for none."""
    client = s3_endpoint.client()
    client.put_object(Bucket=s3_bucket, Key="a.dcm", Body=PART_10)
    client.put_object(Bucket=s3_bucket, Key="empty.dcm", Body=b"")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_endpoint.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_endpoint.secret_key)
    reader = S3Reader(s3_bucket, region=s3_endpoint.region, endpoint_url=s3_endpoint.url)
    assert reader.read_start("a.dcm", HEAD_BYTES) == PART_10[:HEAD_BYTES]
    assert reader.read_start("empty.dcm", HEAD_BYTES) == b""
    with pytest.raises(KeyError):
        reader.read_start("none.dcm", HEAD_BYTES)


def test_a_header_cut_anywhere_is_read_as_far_as_it_goes():
    """No length in a hostile header leads beyond what was read."""
    whole = read_file_meta(PART_10[:400])
    assert whole is not None
    for end in range(132, 260):
        found = read_file_meta(PART_10[:end])
        assert found is not None
        assert found.items() <= whole.items()
    assert read_file_meta(bytes(128) + b"DICM" + b"\x02\0\x02\0OB\0\0\xff\xff\xff\xff") == {}
    assert read_file_meta(b"") is None


def test_orphans_need_nothing_of_the_store_where_there_are_none(tmp_path):
    """Without notices the list is empty, whatever the store."""
    from cloud.db.engine import open_engine
    from cloud.db.migrate import migrate

    engine = open_engine(f"sqlite:///{tmp_path / 'c.db'}")
    migrate(engine)
    found = list(find_orphans(engine, DirectoryStore(tmp_path), before=datetime.now(UTC) + timedelta(days=1)))
    assert found == []
    engine.dispose()
