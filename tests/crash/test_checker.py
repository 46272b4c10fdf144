"""The checker finds each kind of damage: it is shown a real edge's box, whole and then broken in one way at a time."""

import base64
import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pynetdicom
import pytest
from pydicom.filereader import read_file_meta_info

from tests.crash.box import Box, start_sender
from tests.crash.checker import check
from tests.crash.evidence import Evidence
from tests.crash.ledger import Sent, book, load
from tests.nursery import Nursery

pytestmark = pytest.mark.door("socket", "file")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A box that took 12 images all the way; announced files stay on its shelf."""
    folder = tmp_path_factory.mktemp("checker")
    with Nursery() as nursery:
        box = Box(nursery, folder / "box", RETAIN_HOURS="24")
        box.start()
        sender = start_sender(folder / "ledger", 1, box.listening, "--limit", 12, "--largest", 9 << 10)
        assert sender.wait(60) == 0
        box.settle(60, end="ANNOUNCED")
        box.kill()
    return folder


@pytest.fixture
def box(whole, tmp_path):
    """A copy to break."""
    return shutil.copytree(whole / "box", tmp_path / "box")


def words(whole, box):
    """Return the first word of every fault that the checker reports."""
    verdict = check(Evidence(box / "spool", box / "store"), load([whole / "ledger"]), settled=True)
    return {fault.split(":")[0] for fault in verdict.faults}


def spool_file(box):
    """Return the oldest file on the shelf."""
    return next((box / "spool" / "in").rglob("*.dcm"))


def row_of(box, path):
    """Return what the journal knows of a spool file."""
    return next(r for r in Evidence(box / "spool", box / "store").instances if r["ulid"] == path.stem)


def object_of(box, path):
    """Return the stored object of a spool file."""
    return box / "store" / json.loads(row_of(box, path)["stored"])["key"]


def execute(database, *statements):
    """Change a database behind the edge's back."""
    connection = sqlite3.connect(database)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_whole_box_has_no_faults(whole, box):
    """Nothing is reported where nothing is wrong, and all twelve were acknowledged."""
    assert words(whole, box) == set()
    assert len(load([whole / "ledger"]).acked) == 12


def test_a_scan_that_is_gone_is_reported_lost(whole, box):
    """Gone from spool and store is lost; gone from the store alone is not, but it is seen."""
    path = spool_file(box)
    object_of(box, path).unlink()
    assert words(whole, box) == {"store"}
    path.unlink()
    assert {"lost", "purged"} <= words(whole, box)


def test_a_scan_whose_tagged_object_cannot_be_untagged_is_reported_lost(whole, box):
    """One wrong byte in the only copy counts as a loss."""
    path = spool_file(box)
    target = object_of(box, path)
    data = bytearray(target.read_bytes())
    data[-1] ^= 1
    target.write_bytes(data)
    path.unlink()
    assert {"lost", "store"} <= words(whole, box)


def test_a_torn_file_is_reported(whole, box):
    """A file shorter than its record says stands as complete, and is not."""
    path = spool_file(box)
    path.write_bytes(path.read_bytes()[:-2])
    assert "torn" in words(whole, box)


def test_bytes_that_nobody_sent_are_reported(whole, box):
    """A file that agrees with its own record, but not with the sender's ledger."""
    path = spool_file(box)
    data = path.read_bytes()
    offset = row_of(box, path)["dataset_offset"]
    old, other = data[offset:], data[offset:-1] + bytes([data[-1] ^ 1])
    digests = [
        subprocess.run(["sha256sum"], input=d, capture_output=True, check=True).stdout[:64] for d in (old, other)
    ]
    head = re.sub(
        rb'"head": "\w+"', b'"head": ""'.ljust(64 + len(b'"head": ""')), data[:offset]
    )  # says nothing of itself
    path.write_bytes(head.replace(digests[0], digests[1]) + other)
    assert "altered" in words(whole, box)


@pytest.mark.parametrize(
    ("word", "database", "statements"),
    [
        ("chain", "journal/journal.db", ["DROP TRIGGER entry_no_update", "UPDATE entry SET body = '{}' WHERE seq = 3"]),
        ("chain", "journal/journal.db", ["DROP TRIGGER entry_no_delete", "DELETE FROM entry WHERE seq = 3"]),
        ("unrecorded", "journal/journal.db", ["UPDATE instance SET state = 'TAGGED'"]),
        ("index", "index.db", ["DELETE FROM instance WHERE rowid = 1"]),
    ],
)
def test_damage_to_a_database_is_reported(whole, box, word, database, statements):
    """An altered or missing entry, a state without its entry, a missing index row."""
    execute(box / "spool" / database, *statements)
    assert word in words(whole, box)


def test_an_object_in_no_manifest_is_reported(whole, box):
    """A second copy under another generation would be imported twice."""
    source = object_of(box, spool_file(box))
    target = source.parents[2].with_name("other-generation") / source.name
    target.parent.mkdir()
    shutil.copy(source, target)
    assert words(whole, box) == {"store"}


def test_a_missing_manifest_is_reported(whole, box):
    """What no manifest lists never reaches the cloud."""
    for path in (box / "store" / "manifests").rglob("*.json"):
        path.unlink()
    assert "manifest" in words(whole, box)


def test_a_change_of_other_tags_than_ours_is_reported(whole, box):
    """An edit that can be undone, but touches the patient's name, is not allowed."""
    source = object_of(box, spool_file(box))
    key = source.relative_to(box / "store").as_posix()
    data = source.read_bytes()
    at = data.index(b"SYNTHETIC^CRASH")
    source.write_bytes(data.replace(b"SYNTHETIC^CRASH", b"SYNTHETIC^OTHER"))
    for path in (box / "store" / "manifests").rglob("*.json"):
        manifest = json.loads(path.read_text())
        for instance in manifest["Instances"]:
            if instance["Key"] == key:
                text = [base64.b64encode(b"SYNTHETIC^" + word).decode() for word in (b"OTHER", b"CRASH")]
                instance["Edits"].append({"Offset": at, "New": text[0], "Old": text[1]})
                instance["Edits"].sort(key=lambda edit: edit["Offset"])
        path.write_text(json.dumps(manifest))
    assert {"tag", "store"} == words(whole, box)


@pytest.fixture(scope="module")
def whole_deflated(tmp_path_factory):
    """A box that took one deflated object all the way, and what was sent."""
    path = Path(__file__).parents[1] / "data" / "deflated_mr.dcm"
    meta, raw = read_file_meta_info(path), path.read_bytes()
    dataset = raw[144 + int.from_bytes(raw[140:144], "little") :]
    folder = tmp_path_factory.mktemp("deflated")
    entity = pynetdicom.AE()
    entity.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    with Nursery() as nursery, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pynetdicom._config, "STORE_SEND_CHUNKED_DATASET", True)
        box = Box(nursery, folder / "box", RETAIN_HOURS="24")
        box.start()
        association = entity.associate("127.0.0.1", box.port)
        status = association.send_c_store(path).Status
        association.release()
        box.settle(60, end="ANNOUNCED")
        box.kill()
    uid, digest = meta.MediaStorageSOPInstanceUID, hashlib.sha256(dataset).hexdigest()
    return folder / "box", book([Sent(uid, digest, answer, 0.0) for answer in (None, status)])


def test_a_deflated_scan_is_judged_by_its_original(whole_deflated, tmp_path):
    """Whole is whole; with the spool's file gone, damage to the original is a loss, to the tagged object is not."""
    source, sent = whole_deflated
    for name, expected in ((None, set()), ("key", {"store"}), ("original", {"store", "lost", "altered"})):
        box = shutil.copytree(source, tmp_path / str(name))
        path = spool_file(box)
        proof = json.loads(row_of(box, path)["stored"])
        if name is not None:
            key = proof["original"]["key"] if name == "original" else proof["key"]
            data = bytearray((box / "store" / key).read_bytes())
            data[-9] ^= 1
            (box / "store" / key).write_bytes(data)
            path.unlink()
            shutil.rmtree(box / "store" / "manifests")  # the journal alone must lead to the original
        faults = check(Evidence(box / "spool", box / "store"), sent, settled=name is None).faults
        assert {fault.split(":")[0] for fault in faults} - {"purged"} == expected, faults


def test_an_original_of_no_instance_is_reported(whole_deflated, tmp_path):
    """What lies under originals/ must belong to an instance of the journal."""
    source, sent = whole_deflated
    box = shutil.copytree(source, tmp_path / "box")
    original = next((box / "store" / "originals").rglob("*.dcm"))
    shutil.copy(original, original.with_name("01ARZ3NDEKTSV4RRFFQ69G5FAV.dcm"))
    faults = check(Evidence(box / "spool", box / "store"), sent, settled=True).faults
    assert [fault.split(":")[0] for fault in faults] == ["store"]
