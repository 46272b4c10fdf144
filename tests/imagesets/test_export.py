"""The way back: DICOM files from image sets, their attributes and pixels those that were sent, and by C-STORE."""

import re
import shutil
import socket
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.tag import Tag
from pynetdicom import AE, evt

from cloud.errors import AddressFault
from cloud.imagesets.part10 import load_picture
from cloud.imagesets.proof import prove_series
from cloud.imagesets.send import Destination
from cloud.imagesets.service import HealthImaging
from tests.imagesets.pictures import write_picture
from tests.imagesets.site import ROOT, bare
from tests.parts import program
from tests.ports import free_port
from tests.waiting import until

#: What describes how pixels lie in the file, and may change with the transfer syntax.
LAYOUT = {"PixelData", "PlanarConfiguration", "PhotometricInterpretation", "ExtendedOffsetTable",
          "ExtendedOffsetTableLengths"}  # fmt: skip


@pytest.fixture
def every_syntax(tmp_path):
    """All of dcmdata/ and one object of each compressed syntax, in one folder."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for path in [*(ROOT / "dcmdata").glob("*.dcm"), *(ROOT / "tests" / "data").glob("*.dcm")]:
        shutil.copy(path, folder / path.name)
    return folder


def by_uid(folder):
    return {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in folder.rglob("*.dcm")}


def said(ds):
    """Return a dataset's elements as text by tag, without the layout of pixels, group lengths and padding."""
    return {
        element.tag: (element.VR, _text(element))
        for element in ds
        if element.keyword not in LAYOUT and element.tag.element != 0
    }


def _text(element):
    if element.VR == "SQ":
        return [said(item) for item in element.value]
    values = element.value if element.VM > 1 else [element.value]
    if element.VR in ("DS", "IS", "FD", "FL"):
        return [None if v in (None, "") else float(v) for v in values]
    return ["" if v is None else v.rstrip(b"\0") if isinstance(v, bytes) else str(v).strip() for v in values]


@pytest.mark.full
@pytest.mark.door("command", "file")
def test_F018_F019_every_transfer_syntax_comes_back_with_its_pixels_and_attributes(site, every_syntax):
    """Dcmdata and all compressed objects: exported as stored and explicit, each equal to the file that was sent."""
    job_id = site.imported(every_syntax)
    sent = by_uid(every_syntax)
    for syntax in ("stored", "explicit"):
        done = site.run("export", *site.job(job_id), "--syntax", syntax, "--against", every_syntax, "--output", syntax)
        assert done.returncode == 0, bare(done)
        assert f"{len(sent)} DICOM files were written" in done.stdout
        assert f"{len(sent)} of them have the pixels of the files that were sent." in done.stdout
        came = by_uid(site.folder / syntax)
        assert came.keys() == sent.keys()
        for uid, path in came.items():
            original, back = pydicom.dcmread(sent[uid]), pydicom.dcmread(path)
            assert said(back) == said(original), sent[uid].name
            assert back.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1" or syntax == "stored"
            assert len(load_picture(path).frames) == len(load_picture(sent[uid]).frames)
            # pydicom decodes what is native itself: an eye that is not ours.
            is_native = "PixelData" in original and not original.file_meta.TransferSyntaxUID.is_compressed
            if is_native and syntax == "explicit":
                assert np.array_equal(back.pixel_array, original.pixel_array), sent[uid].name


@pytest.mark.door("command", "file")
def test_private_elements_sequences_and_every_vr_come_back(site):
    """Private blocks at any depth, binary values, numbers, tags, long and non-ASCII text are as they were sent."""
    folder = site.folder / "scans"
    folder.mkdir()
    path = write_picture(folder / "one.dcm", "u12")
    ds = pydicom.dcmread(path)
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    ds.PatientName = "Yamada^Tarou=山田^太郎"
    ds.PatientComments = "first\nsecond   "
    ds.WindowCenter, ds.WindowWidth = ["40", "400"], ["100.5", "2e3"]
    ds.FrameIncrementPointer = [Tag("FrameTime"), Tag("TriggerTime")]
    ds.SelectorFDValue = [1.5, -2.25]
    ds.SmallestImagePixelValue = 65000
    ds.AcquisitionDateTime = "20240105101500.123456+0100"
    item = Dataset()
    item.CodeValue, item.CodeMeaning = "T-1", "Ärztlich"
    item.SpecificCharacterSet = "ISO_IR 100"
    nested = item.private_block(0x0043, "DEEP 1.0", create=True)
    nested.add_new(0x01, "UN", b"\x01\x02\x00\xff")
    nested.add_new(0x02, "LO", "deep")
    ds.ProcedureCodeSequence = [item, Dataset()]
    block = ds.private_block(0x0013, "ATRI EDGE 1.0", create=True)
    block.add_new(0x01, "LO", "1000000001.1")
    block.add_new(0x10, "OB", bytes(range(256)))
    block.add_new(0x11, "SL", [-5, 7])
    block.add_new(0x12, "AT", 0x00100010)
    inner = Dataset()
    inner.add(DataElement(0x00130010, "LO", "ATRI EDGE 1.0"))
    inner.add(DataElement(0x00131021, "FD", 0.1))
    block.add_new(0x20, "SQ", [inner])
    ds.InstitutionName = None
    ds.save_as(path)
    job_id = site.imported(folder)
    done = site.run("export", *site.job(job_id), "--against", folder)
    assert done.returncode == 0, bare(done)
    (back,) = by_uid(site.folder / "output").values()
    assert said(pydicom.dcmread(back)) == said(pydicom.dcmread(path))


@pytest.mark.full
@pytest.mark.door("socket", "command")
def test_exported_files_go_to_an_archive_by_c_store(site, tmp_path):
    """A plain archive stores what is explicit; what it does not take is named, with the way out."""
    folder, inbox = site.folder / "scans", tmp_path / "inbox"
    folder.mkdir(), inbox.mkdir()
    for kind in ("u12", "i16", "colour8x5"):
        write_picture(folder / f"{kind}.dcm", kind)
    job_id, port = site.imported(folder), free_port()
    process = subprocess.Popen(
        [program("storescp"), "-aet", "ARCHIVE", "-od", str(inbox), str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: _listens(port), "storescp listens", 20)
        to = f"ARCHIVE@127.0.0.1:{port}"
        refused = site.run("export", *site.job(job_id), "--to", to)
        assert refused.returncode == 1
        assert "the receiver does not take transfer syntax 1.2.840.10008.1.2.4.202" in refused.stderr
        assert "--syntax explicit" in refused.stderr
        assert not list(inbox.iterdir())
        done = site.run("export", *site.job(job_id), "--syntax", "explicit", "--to", to)
        assert done.returncode == 0, bare(done)
        assert f"3 of 3 files were stored by {to}." in done.stdout
    finally:
        process.terminate()
        process.wait(20)
    received = {str(ds.SOPInstanceUID): ds for ds in map(pydicom.dcmread, inbox.iterdir())}
    for uid, path in by_uid(folder).items():
        assert np.array_equal(received.pop(uid).pixel_array, pydicom.dcmread(path).pixel_array)
    assert not received
    away = site.run("export", *site.job(job_id), "--syntax", "explicit", "--to", f"ARCHIVE@127.0.0.1:{free_port()}")
    assert away.returncode == 1
    assert "does not answer" in away.stderr
    bad = site.run("export", *site.job(job_id), "--to", "nobody")
    assert (bad.returncode, "AETITLE@HOST:PORT" in bad.stderr) == (1, True)


def _listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.full
@pytest.mark.door("socket", "command")
def test_stored_frames_go_to_a_receiver_that_takes_htj2k(site):
    """HTJ2K goes as it is; the status of each instance counts: a warning is stored, a refusal is named."""
    folder = site.folder / "scans"
    folder.mkdir()
    for seed in range(3):
        write_picture(folder / f"{seed}.dcm", "u12", seed)
    job_id, got, statuses = site.imported(folder), [], [0x0000, 0xB000, 0xA700]

    def handle(event):
        got.append(event.dataset)
        got[-1].file_meta = event.file_meta
        return statuses[len(got) - 1]

    ae = AE("ARCHIVE")
    ae.add_supported_context(pydicom.dcmread(folder / "0.dcm").SOPClassUID, ["1.2.840.10008.1.2.4.202"])
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    try:
        done = site.run("export", *site.job(job_id), "--to", f"ARCHIVE@127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
    assert done.returncode == 1
    assert "2 of 3 files were stored" in done.stdout
    assert "status 0xA700" in done.stderr
    assert {str(ds.file_meta.TransferSyntaxUID) for ds in got} == {"1.2.840.10008.1.2.4.202"}
    assert {str(ds.SOPInstanceUID) for ds in got} == set(by_uid(folder))


@pytest.mark.full
@pytest.mark.door("command", "HTTP", "file")
def test_what_was_sent_is_proven_series_by_series(site, every_syntax):
    """For each series that was sent, all instances are back and all pixels equal, in all syntaxes of the samples."""
    job_id = site.imported(every_syntax)
    sets = site.run("list", *site.job(job_id)).stdout.split()
    service = HealthImaging(site.imaging.client)
    files = sorted(every_syntax.iterdir())
    proofs = prove_series(service, site.datastore_id, sets, files)
    assert [proof.faults for proof in proofs] == [()] * len(proofs)
    assert all(proof.is_whole for proof in proofs)
    assert sum(proof.sent for proof in proofs) == len(files)
    assert len(set().union(*(proof.syntaxes for proof in proofs))) == 13
    wrong, missing = pydicom.dcmread(every_syntax / "ct_soft_01.dcm"), pydicom.dcmread(every_syntax / "ct_soft_02.dcm")
    pixels = bytearray(wrong.PixelData)
    pixels[1000] ^= 1
    wrong.PixelData = bytes(pixels)
    wrong.save_as(every_syntax / "ct_soft_01.dcm")
    missing.SOPInstanceUID = "2.25.1"
    missing.save_as(every_syntax / "ct_soft_02.dcm")
    proofs = prove_series(service, site.datastore_id, sets, files)
    (broken,) = [proof for proof in proofs if not proof.is_whole]
    assert (broken.sent, broken.returned) == (10, 8)
    assert sorted(fault.partition(": ")[2] for fault in broken.faults) == [
        "frame 1 has other pixels than the file that was sent",
        "is in none of the image sets",
    ]
    told = site.run("prove", *site.job(job_id), "--against", every_syntax)
    assert told.returncode == 1
    assert f"{len(proofs) - 1} of {len(proofs)} series came back whole" in told.stdout
    assert "10 sent in Explicit VR Little Endian: 8 back, pixels of 8 frames equal" in told.stdout
    assert re.search(r"^frames equal: \d+; instances by transfer syntax: .*JPEG 2000", told.stdout, re.MULTILINE)
    assert "NOT equal: instance 2.25.1: is in none of the image sets" in told.stdout
    against = site.run("export", *site.job(job_id), "--against", every_syntax)
    assert against.returncode == 1
    assert "has other pixels than the file that was sent" in against.stderr


@pytest.mark.parametrize("text", ["", "A@B", "A@h:0", "A@h:70000", "@h:1", "A" * 17 + "@h:1", "A\\B@h:1", "A@[::1:1"])
def test_a_destination_that_is_none_is_refused(text):
    """An application entity is a title of 1 to 16 characters, a host and a port."""
    with pytest.raises(AddressFault):
        Destination.parse(text)
    assert Destination.parse("A@[::1]:104") == Destination(title="A", host="::1", port=104)
