"""Deflated objects through the real edge: tagged and readable, what was received beside it and provable (D5)."""

import hashlib
import io
import itertools
import json
import shutil
import signal
import sqlite3
import subprocess
import zlib
from contextlib import closing
from pathlib import Path

import pydicom
import pynetdicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pynetdicom import AE

from edge.contract.edits import Edit
from edge.contract.keys import instance_key
from edge.contract.local_store import DirectoryStore
from edge.contract.manifest import load_manifest
from edge.contract.tag.walk import Reason
from edge.contract.tagging import Tagging
from edge.demo.check import losses
from edge.wire import WireTap
from tests.e2e.edge_process import EdgeProcess, running, scan
from tests.parts import program
from tests.seaweed import Seaweed, make_bucket

pytestmark = pytest.mark.door("socket", "file")

DEFLATED = "1.2.840.10008.1.2.1.99"
JPIP = ("1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
FILES = {
    "pydicom": Path(str(get_testdata_file("image_dfl.dcm"))),  # which ends with a gzip trailer
    "ours": Path(__file__).parents[1] / "data" / "deflated_mr.dcm",
}
#: A store that is away, so that an object waits between tag and upload.
AWAY = {
    "STORE_DIR": "", "BUCKETNAME": "bucket", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY": "AKIAEXAMPLE", "AWS_SECRET_KEY": "very-secret-value",
}  # fmt: skip
#: Another zlib: Python reads this module at its start, wherever PYTHONPATH names its folder.
OTHER_ZLIB = """
import itertools, zlib
levels, made = itertools.cycle({levels}), zlib.compressobj
zlib.compressobj = lambda level, *more: made(next(levels), *more)
"""


@pytest.fixture(autouse=True)
def _bytes_as_they_lie(monkeypatch):
    monkeypatch.setattr(pynetdicom._config, "STORE_SEND_CHUNKED_DATASET", True)


def store(port: int, path: Path) -> int:
    """Send the file's dataset as it lies there."""
    meta = pydicom.filereader.read_file_meta_info(path)
    ae = AE(ae_title="CT03")
    ae.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", port)
    assert association.is_established
    try:
        return int(association.send_c_store(path).Status)
    finally:
        association.release()


def write(folder: Path, syntax: str, ds: pydicom.Dataset, more: bytes = b"") -> Path:
    """Write a Part 10 file whose dataset, and ``more``, is deflated."""
    plain, meta = DicomBytesIO(), DicomBytesIO()
    plain.is_little_endian = meta.is_little_endian = True
    plain.is_implicit_VR = False
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    write_file_meta_info(meta, ds.file_meta, enforce_standard=True)
    write_dataset(plain, ds)
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = engine.compress(plain.getvalue() + more) + engine.flush()
    path = folder / "sent.dcm"
    path.write_bytes(bytes(128) + b"DICM" + meta.getvalue() + data + b"\0" * (len(data) % 2))
    return path


def dataset_bytes(path: Path) -> bytes:
    """Return a file's bytes after its File Meta."""
    raw = path.read_bytes()
    return raw[144 + int.from_bytes(raw[140:144], "little") :]


def listed(edge: EdgeProcess):
    """Return the one instance of the one manifest."""
    (raw,) = edge.manifests()
    (instance,) = load_manifest(json.dumps(raw).encode()).instances
    return instance


def proven(edge: EdgeProcess, sent: bytes):
    """Return (manifest's instance, tagged object) after holding all that is stored against the sent dataset."""
    i = listed(edge)
    root = edge.folder / "store"
    tagged, original = ((root / key).read_bytes() for key in (i.key, i.original.key))
    assert not i.has_error
    assert hashlib.sha256(tagged).hexdigest() == i.sha256
    assert (hashlib.sha256(original).hexdigest(), len(original)) == (i.original.sha256, i.original.size)
    assert original[i.dataset_offset :] == sent
    assert hashlib.sha256(sent).hexdigest() == i.received_sha256
    untagged = b"".join(i.tagging.read_untagged(io.BytesIO(tagged)))[i.dataset_offset :]
    assert untagged == zlib.decompressobj(-15).decompress(sent)
    assert hashlib.sha256(untagged).hexdigest() == i.original.inflated_sha256
    assert sorted(p.relative_to(root).as_posix() for p in (root / "trial-edge").rglob("*.dcm")) == [i.key]
    return i, tagged


@pytest.mark.parametrize("name", FILES)
def test_D5_E006_P028_a_deflated_object_is_tagged_and_its_original_lies_beside_it(tmp_path, name):
    """Pydicom and dcmtk read the ATRIUID and the same pixels; the sender's exact bytes lie there too, not imported."""
    before = pydicom.dcmread(FILES[name])
    with running(tmp_path) as edge:
        assert store(edge.port, FILES[name]) == 0
        edge.until_states(ANNOUNCED=1)
        i, tagged = proven(edge, dataset_bytes(FILES[name]))
        assert i.original.key == f"originals/trial-edge/{edge.rows('SELECT ulid FROM instance')[0][0]}.dcm"
    after = pydicom.dcmread(io.BytesIO(tagged))
    assert after.file_meta.TransferSyntaxUID == DEFLATED
    assert str(after.private_block(0x0013, "ATRI EDGE 1.0")[1].value) == i.atriuid
    assert after.PixelData == before.PixelData
    pixels = []
    for n, raw in enumerate((FILES[name].read_bytes(), tagged)):
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / "o.dcm").write_bytes(raw)
        done = subprocess.run(
            [program("dcmdump"), "-Un", "+W", folder, folder / "o.dcm"], capture_output=True, text=True, check=True
        )
        pixels.append([p.read_bytes() for p in sorted(folder.glob("*.raw"))])
    assert i.atriuid in done.stdout
    assert pixels[0] == pixels[1] != []


@pytest.mark.parametrize("syntax", JPIP)
def test_D5_jpip_deflate_is_tagged_like_any_other(tmp_path, syntax):
    """An object with a URL in place of its pixel data: tagged inside the deflated stream, the URL untouched."""
    sent = scan(PixelData=None)
    sent.PixelDataProviderURL = "https://jpip.example/1.2.3.1.1"
    path = write(tmp_path, syntax, sent)
    with running(tmp_path) as edge:
        assert store(edge.port, path) == 0
        edge.until_states(ANNOUNCED=1)
        i, tagged = proven(edge, dataset_bytes(path))
    plain = zlib.decompressobj(-15).decompress(tagged[i.dataset_offset :])
    after = pydicom.dcmread(io.BytesIO(plain), force=True)
    assert str(after.private_block(0x0013, "ATRI EDGE 1.0")[1].value) == i.atriuid
    assert after.PixelDataProviderURL == sent.PixelDataProviderURL


@pytest.mark.full
def test_D5_D6_on_a_real_s3_both_objects_are_versions_that_the_server_confirmed(tmp_path):
    """Released from a real S3: key, version and checksum of both are in the manifest, and their bytes are right."""
    server = Seaweed(tmp_path)
    try:
        server.start()
        bucket, client = make_bucket(server.endpoint), server.endpoint.client()
        at = server.endpoint
        aws = {
            "STORE_DIR": "", "BUCKETNAME": bucket, "AWS_REGION": at.region, "AWS_ENDPOINT_URL": at.url,
            "AWS_ACCESS_KEY": at.access_key, "AWS_SECRET_KEY": at.secret_key,
        }  # fmt: skip
        with running(tmp_path, RETAIN_HOURS="0", **aws) as edge:
            assert store(edge.port, FILES["pydicom"]) == 0
            edge.until_states(RELEASED=1)
        keys = [o["Key"] for o in client.list_objects_v2(Bucket=bucket, Prefix="manifests/")["Contents"]]
        (i,) = load_manifest(client.get_object(Bucket=bucket, Key=keys[0])["Body"].read()).instances
        for part in (i, i.original):
            held = client.get_object(Bucket=bucket, Key=part.key, VersionId=part.version_id, ChecksumMode="ENABLED")
            raw = held["Body"].read()
            assert (len(raw), hashlib.sha256(raw).hexdigest()) == (part.size, part.sha256)
            assert held["ChecksumCRC64NVME"] == part.crc64nvme
            assert held["Metadata"]["received-sha256"] == i.received_sha256
        assert raw[i.dataset_offset :] == dataset_bytes(FILES["pydicom"])
    finally:
        server.kill()


@pytest.mark.full
def test_I3_an_original_that_is_gone_keeps_the_scan_on_the_box(tmp_path):
    """Released is what the store proves to hold, both objects of it; with one gone the scan is parked, not deleted."""
    with running(tmp_path) as edge:
        assert store(edge.port, FILES["ours"]) == 0
        edge.until_states(ANNOUNCED=1)
        i = listed(edge)
        kept = shutil.move(tmp_path / "store" / i.original.key, tmp_path / "kept")
        edge.settings["RETAIN_HOURS"] = "0"
        edge.stop()
        edge.start()
        edge.until_states(PARKED=1)
        assert len(list((tmp_path / "spool/in").rglob("*.dcm"))) == 1
        shutil.move(kept, tmp_path / "store" / i.original.key)
        assert edge.command("retry", "--all").returncode == 0
        edge.until_states(RELEASED=1)
        (proof,) = edge.rows("SELECT body FROM entry WHERE kind = 'RELEASED'")
        assert json.loads(proof[0])["original"]["key"] == i.original.key


def test_D5_the_demos_check_judges_by_both_objects(tmp_path):
    """The original is held against the bytes on the wire, the tagged object against its way back: damage is told."""
    with running(tmp_path) as edge, WireTap("127.0.0.1", "127.0.0.1", edge.port) as tap:
        assert store(tap.port, FILES["ours"]) == 0
        edge.until_states(ANNOUNCED=1)
        i = listed(edge)
        ledger = tap.ledger
    with closing(sqlite3.connect(tmp_path / "index.db")) as index:  # stands for the cloud's, which is not at stake here
        index.execute("CREATE TABLE instance (sopinstanceuid)")
        index.execute("INSERT INTO instance VALUES (?)", (i.sop_instance_uid,))
        index.commit()

    def told() -> str:
        return "".join(losses(ledger, DirectoryStore(tmp_path / "store"), tmp_path / "index.db", "trial-edge"))

    assert told() == ""
    for key, words in ((i.key, "is not the announced one"), (i.original.key, "not the bytes on the wire")):
        path = tmp_path / "store" / key
        raw = path.read_bytes()
        path.write_bytes(raw[:-3] + bytes([raw[-3] ^ 1]) + raw[-2:])
        assert words in told()
        path.write_bytes(raw)


def _other_zlib(edge: EdgeProcess, levels: str) -> None:
    folder = edge.folder / "other-zlib"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(OTHER_ZLIB.format(levels=levels))
    edge.settings |= {"STORE_DIR": str(edge.folder / "store"), "PYTHONPATH": str(folder)}
    edge.settings |= dict.fromkeys(("BUCKETNAME", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"), "")


@pytest.mark.full
def test_D5_I4_a_zlib_upgraded_between_tag_and_upload_holds_nothing_up(tmp_path):
    """The digests recorded before the upload are taken again, recorded again, and hold for what is uploaded then."""
    with running(tmp_path, **AWAY) as edge:
        assert store(edge.port, FILES["ours"]) == 0
        edge.until_states(TAGGED=1)
        (recorded,) = edge.rows("SELECT json_extract(tag, '$.sha256') FROM instance")
        edge.stop()
        _other_zlib(edge, "[1]")
        edge.start()
        edge.until_states(ANNOUNCED=1)
        i, _ = proven(edge, dataset_bytes(FILES["ours"]))
        assert i.sha256 != recorded[0]
        kinds = [kind for (kind,) in edge.rows("SELECT kind FROM entry WHERE ulid IS NOT NULL ORDER BY seq")]
        assert kinds == ["RECEIVED", "INDEXED", "TAG_INPUTS", "TAGGED", "TAGGED_AGAIN", "UPLOADED", "ANNOUNCED"]
        assert len(edge.events("instance.tagged-again")) == 1


@pytest.mark.full
def test_D5_I4_what_an_older_zlib_made_is_not_made_again(tmp_path):
    """Killed after the store took the object, then upgraded: what is there is what was recorded, and no conflict."""
    with running(tmp_path, **AWAY) as edge:
        assert store(edge.port, FILES["ours"]) == 0
        edge.until_states(TAGGED=1)
        edge.stop(signal.SIGKILL)
        columns = "ulid, job_id, study_instance_uid, series_instance_uid, sop_instance_uid, dataset_offset, tag"
        (row,) = edge.rows(f"SELECT {columns} FROM instance")
        tag, spooled = json.loads(row[6]), next((tmp_path / "spool/in").rglob("*.dcm"))
        edits = tuple(Edit.from_json(edit) for edit in tag["edits"])
        made = b"".join(Tagging(DEFLATED, row[5], edits).read_tagged(io.BytesIO(spooled.read_bytes())))
        DirectoryStore(tmp_path / "store").put(
            instance_key("trial-edge", *row[1:5]), lambda: iter((made,)),
            size=tag["size"], crc64nvme=tag["crc64nvme"], metadata={},
        )  # fmt: skip
        _other_zlib(edge, "[1]")
        edge.start()
        edge.until_states(ANNOUNCED=1)
        _, tagged = proven(edge, dataset_bytes(FILES["ours"]))
        assert tagged == made
        assert not edge.events("instance.tagged-again")


@pytest.mark.full
def test_D5_I6_a_zlib_that_never_repeats_itself_does_not_hold_the_line(tmp_path):
    """After some tries the object goes up as it was received, marked has_error; the scans behind it go on."""
    with running(tmp_path, **AWAY) as edge:
        assert store(edge.port, FILES["ours"]) == 0
        edge.until_states(TAGGED=1)
        edge.stop()
        _other_zlib(edge, "range(1, 8)")
        edge.start()
        edge.until_states(ANNOUNCED=1)
        i = listed(edge)
        assert i.has_error
        assert "zlib" in i.error
        assert i.original is None
        stored = (tmp_path / "store" / i.key).read_bytes()
        assert stored[i.dataset_offset :] == dataset_bytes(FILES["ours"])


@pytest.mark.full
@pytest.mark.timeout(300)
def test_D5_fault_26_a_deflate_bomb_goes_up_as_received_with_flat_memory(tmp_path):
    """One MiB that inflates to one GiB: kept, uploaded as received, has_error; nobody's memory follows it."""
    small = scan(PixelData=None)
    head = b"\xe0\x7f\x10\x00OB\x00\x00" + (1 << 30).to_bytes(4, "little")
    path = write(tmp_path, DEFLATED, small, head + bytes(1 << 30))
    assert path.stat().st_size < 2 << 20
    with running(tmp_path, PARSE_SECONDS="100") as edge:
        assert store(edge.port, FILES["ours"]) == 0
        edge.until_states(ANNOUNCED=1)
        assert edge.process is not None
        family = [Path(f"/proc/{pid}/status") for pid in (edge.process.pid, *children(edge.process.pid))]
        assert len(family) >= 2
        for status in family:
            status.with_name("clear_refs").write_text("5")  # the peak counts from here
        before = [peak(status) for status in family]
        assert store(edge.port, path) == 0
        edge.until(lambda: edge.states() == {"ANNOUNCED": 2}, "announced", 200)
        assert all(after - first < 32 << 10 for after, first in zip(map(peak, family), before, strict=True))
        found = [load_manifest(json.dumps(m).encode()).instances for m in edge.manifests()]
        (bomb,) = [i for i in itertools.chain(*found) if i.sop_instance_uid == small.SOPInstanceUID]
        assert bomb.has_error
        assert bomb.error == Reason.INFLATE
        assert bomb.original is None
        stored = (tmp_path / "store" / bomb.key).read_bytes()
        assert stored[bomb.dataset_offset :] == dataset_bytes(path)


def children(pid: int) -> list[int]:
    """Return the process ids of the direct children of all threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def peak(status: Path) -> int:
    """Return the peak of the resident memory, in KiB."""
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
