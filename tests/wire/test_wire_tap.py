"""The wire tap is the judge of what was sent, so it is itself judged: against real senders and real receivers."""

import hashlib
import socket
import subprocess
import tracemalloc
from io import BytesIO

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pynetdicom import AE, evt
from pynetdicom.dsutils import encode

from edge.wire import WireTap
from tests.crash import sender as raw
from tests.parts import program

CT, MR = get_testdata_file("CT_small.dcm"), get_testdata_file("MR_small.dcm")


class Receiver:
    """A pynetdicom SCP that hashes the bytes of each dataset as pynetdicom got them."""

    def __init__(self, status=0x0000):
        self.digests, self.status = [], status
        ae = AE(ae_title="RECEIVER")
        ae.maximum_pdu_size = 4096  # so that datasets come in many fragments
        for uid in ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", raw.SECONDARY_CAPTURE):
            ae.add_supported_context(uid, ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
        self.server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        self.port = self.server.socket.getsockname()[1]

    def _store(self, event):
        self.digests.append(hashlib.sha256(event.request.DataSet.getvalue()).hexdigest())
        return self.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def send(port, *paths, title="SENDER"):
    """Send with pynetdicom's SCU; return the statuses and the SHA-256 of what it encoded."""
    datasets = [pydicom.dcmread(path) for path in paths]
    ae = AE(ae_title=title)
    for ds in datasets:
        ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", port, ae_title="RECEIVER")
    statuses = [association.send_c_store(ds).Status for ds in datasets]
    association.release()
    return statuses, [hashlib.sha256(encode(ds, ds.original_encoding[0], True)).hexdigest() for ds in datasets]


@pytest.mark.door("socket")
def test_the_tap_writes_down_what_a_sender_sent_and_what_was_answered():
    """UID, class, syntax, titles, digest and status of each store are in the ledger when the sender has its answer."""
    with Receiver() as receiver, WireTap("127.0.0.1", "127.0.0.1", receiver.port) as tap:
        statuses, digests = send(tap.port, CT, MR)
        assert statuses == [0, 0]
        assert [e.sha256 for e in tap.ledger] == digests == receiver.digests
        assert [e.sop_instance_uid for e in tap.ledger] == [pydicom.dcmread(p).SOPInstanceUID for p in (CT, MR)]
        assert {(e.calling_ae_title, e.called_ae_title) for e in tap.ledger} == {("SENDER", "RECEIVER")}
        assert tap.ledger[0].transfer_syntax_uid == "1.2.840.10008.1.2.1"
        assert tap.ledger[0].sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"
        assert tap.faults == []


@pytest.mark.door("socket")
def test_the_tap_tells_a_refusal_from_a_success():
    """The status in the ledger is the receiver's own."""
    with Receiver(status=0xA700) as receiver, WireTap("127.0.0.1", "127.0.0.1", receiver.port) as tap:
        assert send(tap.port, CT)[0] == [0xA700]
        assert [e.status for e in tap.ledger] == [0xA700]


@pytest.mark.door("command")
def test_the_tap_reads_dcmtk_on_both_sides(tmp_path):
    """Storescu sends, storescp receives bit by bit: each stored dataset has the digest that the tap saw."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    scp = subprocess.Popen([program("storescp"), "+B", "-od", tmp_path, str(port)])
    try:
        wait_for_port(port)
        with WireTap("127.0.0.1", "127.0.0.1", port) as tap:
            command = [program("storescu"), "127.0.0.1", str(tap.port), CT, MR]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            seen = {e.sha256 for e in tap.ledger}
            assert len(seen) == 2
            assert tap.faults == []
    finally:
        scp.terminate()
        scp.wait(10)
    assert {hashlib.sha256(dataset_bytes(path)).hexdigest() for path in tmp_path.iterdir()} == seen


@pytest.mark.door("socket")
def test_an_unanswered_store_is_in_the_ledger_without_a_status():
    """A sender that goes away in the middle leaves an entry with status None: it was promised nothing."""
    with Receiver() as receiver, WireTap("127.0.0.1", "127.0.0.1", receiver.port) as tap:
        association = raw.Association("127.0.0.1", tap.port, "CUT")
        command = raw._command("2.25.1", 1)
        association._socket.sendall(raw._p_data(3, command) + raw._p_data(0, b"half"))
        association._socket.close()
    assert [(e.sop_instance_uid, e.length, e.status) for e in tap.ledger] == [("2.25.1", 4, None)]


@pytest.mark.door("socket")
def test_the_tap_relays_what_it_cannot_read():
    """Bytes that are no DICOM pass unchanged, and the tap says that it could not judge them."""
    with socket.create_server(("127.0.0.1", 0)) as server, WireTap("127.0.0.1", *server.getsockname()) as tap:
        client = socket.create_connection(("127.0.0.1", tap.port))
        upstream, _ = server.accept()
        client.sendall(b"\x04\0\0\0\0\x08\0\0\0\x63\x01\x03GET / HTTP/1.1")
        with upstream.makefile("rb") as file:
            assert file.read(26) == b"\x04\0\0\0\0\x08\0\0\0\x63\x01\x03GET / HTTP/1.1"
        upstream.sendall(b"answer")
        with client.makefile("rb") as file:
            assert file.read(6) == b"answer"
        client.close()
        upstream.close()
    assert tap.faults[0] == "the sender's bytes cannot be decoded: a PDV item does not fit its PDU"
    assert tap.ledger == []


@pytest.mark.door("socket")
def test_the_tap_never_holds_a_dataset():
    """64 MiB pass while less than 8 MiB are held at any moment."""
    with socket.create_server(("127.0.0.1", 0)) as sink, WireTap("127.0.0.1", *sink.getsockname()) as tap:
        client = socket.create_connection(("127.0.0.1", tap.port))
        upstream, _ = sink.accept()
        piece = raw._p_data(0, bytes(1 << 16))
        client.sendall(raw._p_data(3, raw._command("2.25.2", 1)))
        buffer = bytearray(1 << 20)
        tracemalloc.start()
        for _ in range(1024):
            client.sendall(piece)
            left = len(piece)
            while left > 0:
                left -= upstream.recv_into(buffer)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        client.close()
        upstream.close()
    assert tap.ledger[0].length == 64 << 20
    assert peak < 8 << 20


def dataset_bytes(path):
    """Return what follows the File Meta."""
    raw_file = BytesIO(path.read_bytes())
    pydicom.filereader.read_preamble(raw_file, False)
    pydicom.filereader._read_file_meta_info(raw_file)
    return raw_file.read()


def wait_for_port(port):
    """Return when the port answers; dcmtk's storescp says nothing when it is ready."""
    for _ in range(2000):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            continue
    raise AssertionError("storescp does not answer")
