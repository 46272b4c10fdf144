"""Every storage instance of pydicom and pydicom-data goes through the real edge; the wire tap is the judge."""

import hashlib
import subprocess
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pynetdicom
import pytest
from pydicom.data.data_manager import external_data_sources
from pynetdicom import AE

from edge.wire import WireTap
from tests.crash.box import Box
from tests.crash.checker import check
from tests.crash.evidence import received_sha256
from tests.crash.ledger import Sent, book
from tests.nursery import Nursery
from tests.parts import program
from tests.waiting import until

pytestmark = [
    pytest.mark.door("socket", "command", "file"),
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning"),  # some files are odd on purpose
]

DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory: no storage SOP class (PS3.4 B.5)
#: What storescu must be told to propose; it proposes the uncompressed syntaxes by itself.
PROPOSALS = {
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}


@dataclass(frozen=True)
class Instance:
    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str
    sha256: str  # of the dataset as it lies in the file


def storage_instances():
    """Return every file of pydicom and pydicom-data that holds a storage instance with its File Meta."""
    folders = [Path(pydicom.__file__).parent / "data" / "test_files"]
    folders += [Path(source.data_path) for source in external_data_sources().values()]
    found = []
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.is_file()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with path.open("rb") as file:
                    pydicom.filereader.read_preamble(file, force=False)
                    meta = pydicom.filereader._read_file_meta_info(file)
                    data = file.read()
                sop_class, syntax = meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID
            except (pydicom.errors.InvalidDicomError, AttributeError, EOFError):
                continue
        if sop_class and syntax and sop_class != DIRECTORY and meta.get("MediaStorageSOPInstanceUID"):
            found.append(Instance(path, sop_class, syntax, hashlib.sha256(data).hexdigest()))
    return found


@pytest.fixture
def box(tmp_path):
    """The real edge; announced files stay on its shelf, so that spool and store can both be compared."""
    with Nursery() as nursery:
        one = Box(nursery, tmp_path / "box", RETAIN_HOURS="24")
        one.start()
        yield one
        one.kill()


@pytest.fixture
def tap(box):
    """The witness between sender and edge."""
    with WireTap("127.0.0.1", "127.0.0.1", box.port) as one:
        yield one


def send_with_pynetdicom(port, instance):
    """Send the file's dataset as it lies there, one association a file; return the status."""
    ae = AE(ae_title="PYNETDICOM")
    ae.add_requested_context(instance.sop_class_uid, instance.transfer_syntax_uid)
    association = ae.associate("127.0.0.1", port, ae_title="EDGE_AE")
    assert association.is_established, f"{instance.path.name}: the association was refused"
    try:
        return association.send_c_store(instance.path).get("Status")
    finally:
        association.release()


def send_with_storescu(port, instance):
    """Send with dcmtk; returns whether it could (it cannot read some of pydicom's deliberately odd files)."""
    proposal = [PROPOSALS[instance.transfer_syntax_uid]] if instance.transfer_syntax_uid in PROPOSALS else []
    command = [program("storescu"), "-aet", "STORESCU", "-aec", "EDGE_AE", *proposal, "127.0.0.1", str(port)]
    return subprocess.run([*command, instance.path], check=False, capture_output=True, timeout=60).returncode == 0


def judge(box, tap):
    """Hold what the edge kept against what was on the wire, byte for byte, in the spool and in the store."""
    assert tap.faults == []
    answered = [entry for entry in tap.ledger if entry.status is not None]
    assert {entry.status for entry in answered} == {0x0000}
    lines = [Sent(e.sop_instance_uid, e.sha256, status, 0.0) for e in answered for status in (None, e.status)]
    until(lambda: box.is_settled("ANNOUNCED"), "every instance is in the store", 120)
    evidence = box.evidence()
    assert check(evidence, book(lines), settled=True, may_park=True).faults == []
    on_the_wire = {(entry.sop_instance_uid, entry.sha256) for entry in answered}
    assert {file.pair for file in evidence.files if file.whole} == on_the_wire
    uploaded = {(row["sop_instance_uid"], received_sha256(evidence.objects, o)) for row, o in evidence.stored()}
    parked = {(r["sop_instance_uid"], r["received_sha256"]) for r in evidence.instances if r["state"] == "PARKED"}
    assert uploaded | parked == on_the_wire
    return evidence


@pytest.mark.full
def test_E005_E006_I2_all_of_pydicoms_storage_instances_are_kept_byte_for_byte(box, tap, monkeypatch):
    """Sent by pynetdicom as they lie in their files: the kept bytes are those of the wire, and those of the file."""
    monkeypatch.setattr(pynetdicom._config, "STORE_SEND_CHUNKED_DATASET", True)
    instances = storage_instances()
    assert len(instances) > 200
    for instance in instances:
        assert send_with_pynetdicom(tap.port, instance) == 0x0000, instance.path.name
    assert Counter(e.sha256 for e in tap.ledger) == Counter(i.sha256 for i in instances)
    assert {e.transfer_syntax_uid for e in tap.ledger} == {i.transfer_syntax_uid for i in instances}
    judge(box, tap)


@pytest.mark.full
def test_E004_E005_E006_I2_what_storescu_sends_of_them_is_kept_byte_for_byte(box, tap):
    """Dcmtk encodes some files anew, so the bytes to keep are those that the tap saw, whatever the file held."""
    instances = storage_instances()
    sent = sum(send_with_storescu(tap.port, instance) for instance in instances)
    print(f"\nstorescu could send {sent} of {len(instances)}")
    assert sent == len(tap.ledger)
    assert sent > 180
    judge(box, tap)
