"""Real senders and hand-made PDUs: what is sent arrives, byte for byte, and is answered."""

import hashlib
import selectors
import struct
import subprocess
import warnings
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import Verification

from edge.wire import WireTap
from tests.association.memory_sink import MemorySink
from tests.association.wire import (
    ABORT,
    CT,
    EXPLICIT,
    RELEASE_RQ,
    Peer,
    associate_rq,
    context,
    echo_rq,
    element,
    item,
    listening,
    p_data,
    pdu,
    pdv,
    store_rq,
    us,
)
from tests.parts import program

pytestmark = pytest.mark.door("socket")

SAMPLES = Path(__file__).parents[2] / "dcmdata"
BOTH, BOTH_LAST = 1, 3
DATA, DATA_LAST = 0, 2


@pytest.fixture
def sink():
    """A sink that keeps all."""
    return MemorySink()


@pytest.fixture
def listener(sink):
    """A listener as shipped, on a free port."""
    with listening(sink) as listener:
        yield listener


def test_E001_E004_E008_storescu_gets_Success_for_each_under_any_title(sink):
    """Debian's storescu, with an AE title never seen before, sends all samples; the wire's digests are the sink's."""
    files = sorted(str(f) for f in SAMPLES.glob("*.dcm"))
    with listening(sink) as listener, WireTap("127.0.0.1", *listener.address) as tap:
        command = [program("storescu"), "-v", "-aec", "NOBODY_KNOWS_ME", "-aet", "CLIENT_AE", "127.0.0.1"]
        done = subprocess.run(
            [*command, str(tap.port), *files], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Received Store Response (Success)") == len(files)
    sent = {s.sop_instance_uid: s.sha256 for s in tap.ledger}
    assert {uid: hashlib.sha256(data).hexdigest() for uid, data in sink.data().items()} == sent
    assert len(sent) == len(files)
    assert {k.request.called_ae_title for k in sink.kept} == {"NOBODY_KNOWS_ME"}
    assert {k.request.calling_ae_title for k in sink.kept} == {"CLIENT_AE"}
    assert {k.request.peer for k in sink.kept} == {"127.0.0.1"}


def test_fault_22_echoscu_is_answered(listener):
    """C-ECHO, which the sample lacks, gets Success from dcmtk's echoscu."""
    port = str(listener.address[1])
    done = subprocess.run(
        [program("echoscu"), "-v", "127.0.0.1", port], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0
    assert "Received Echo Response (Success)" in done.stderr


def test_E005_pynetdicom_sends_what_it_encoded(sink, listener):
    """The SCU of pynetdicom echoes and stores on one association; the bytes kept are the bytes it encoded."""
    datasets = [pydicom.dcmread(get_testdata_file(name)) for name in ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm")]
    ae = AE("PYNETDICOM")
    ae.add_requested_context(Verification)
    for ds in datasets:
        ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    association = ae.associate(*listener.address, max_pdu=4096)
    assert association.is_established
    assert association.send_c_echo().Status == 0
    assert [association.send_c_store(ds).Status for ds in datasets] == [0, 0, 0]
    association.release()
    expected = {str(ds.SOPInstanceUID): encode(ds, ds.original_encoding[0], True) for ds in datasets}
    assert sink.data() == expected
    assert {k.request.transfer_syntax_uid for k in sink.kept} == {str(d.file_meta.TransferSyntaxUID) for d in datasets}


def test_E009_I5_each_association_has_its_own_id_and_a_release_completes_nothing(sink, listener):
    """Two associations, two ids of 32 hex digits; ending one by abort loses nothing that was acknowledged."""
    for uid, end in ((b"1.2.1", RELEASE_RQ), (b"1.2.2", ABORT)):
        with Peer(listener) as peer:
            peer.associate()
            assert peer.store(uid, b"dataset!") == 0
            peer.send(end)
    assert sink.data() == {"1.2.1": b"dataset!", "1.2.2": b"dataset!"}
    ids = {k.request.association_id for k in sink.kept}
    assert len(ids) == 2
    assert all(len(i) == 32 and int(i, 16) >= 0 for i in ids)


def test_I2_command_and_dataset_in_one_pdu_and_in_single_bytes(sink, listener):
    """However the message is cut into PDVs and PDUs, empty ones among them, the dataset's bytes are the same."""
    data = bytes(range(256)) * 3
    command = store_rq(b"1.2.9\0")
    with Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, BOTH_LAST, command), pdv(1, DATA_LAST, data)))
        assert peer.status() == 0
        peer.send(p_data(*(pdv(1, BOTH, bytes((b,))) for b in command), pdv(1, BOTH_LAST, b"")))
        peer.send(*(p_data(pdv(1, DATA, bytes((b,)))) for b in data), p_data(pdv(1, DATA, b""), pdv(1, DATA_LAST, b"")))
        assert peer.status() == 0
    assert [k.data for k in sink.kept] == [data, data]
    assert {k.request.sop_instance_uid for k in sink.kept} == {"1.2.9"}, "a UI's padding is no part of it"


def test_E004_a_pdu_that_arrives_byte_by_byte_is_read(sink, listener):
    """The reader waits for the rest of a PDU wherever TCP cut it."""
    with Peer(listener) as peer:
        for byte in associate_rq():
            peer.send(bytes((byte,)))
        assert peer.read()[0] == 2
        for byte in p_data(pdv(1, BOTH_LAST, store_rq()), pdv(1, DATA_LAST, b"slow but whole")):
            peer.send(bytes((byte,)))
        assert peer.status() == 0
    assert sink.data() == {"1.2.3": b"slow but whole"}


def test_E004_several_messages_that_arrive_at_once_are_answered_in_turn(sink, listener):
    """Bytes of the next PDU read together with this one's are not lost."""
    with Peer(listener) as peer:
        peer.associate()
        messages = [
            p_data(pdv(1, BOTH_LAST, store_rq(f"1.2.{n}".encode(), n)), pdv(1, DATA_LAST, bytes(n * 1000)))
            for n in range(1, 60)
        ]
        peer.send(*messages, RELEASE_RQ)
        for n in range(1, 60):
            answer = peer.answer()
            assert (answer[0x0120], answer[0x0900]) == (us(n), us(0))
        assert peer.read() == (6, bytes(4))
        assert peer.read() == (0, b"")
    assert [len(k.data) for k in sink.kept] == [n * 1000 for n in range(1, 60)]


def test_E004_the_response_repeats_what_the_request_named(listener):
    """Message id, SOP class and instance come back, the group length is right, there is no dataset."""
    with Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, BOTH_LAST, store_rq(b"1.2.33", 999)), pdv(1, DATA_LAST, b"x")))
        answer = peer.answer()
    length = sum(8 + len(v) for k, v in answer.items() if k)
    assert answer == {
        0x0000: struct.pack("<I", length),
        0x0002: CT.encode() + b"\0",
        0x0100: us(0x8001),
        0x0120: us(999),
        0x0800: us(0x0101),
        0x0900: us(0),
        0x1000: b"1.2.33",
    }


def test_E004_a_peer_with_a_tiny_pdu_gets_its_answer_in_pieces(sink, listener):
    """No PDU of ours is longer than the peer's maximum length."""
    user = item(0x50, item(0x51, struct.pack(">I", 16)) + item(0x52, b"1.2"))
    with Peer(listener) as peer:
        peer.associate(user=user)
        peer.send(p_data(pdv(1, BOTH_LAST, store_rq()), pdv(1, DATA_LAST, b"x")))
        kind, body = peer.read()
        assert (kind, len(body)) == (4, 16)
        peer.send(RELEASE_RQ)
        rest = body[6:]
        while (pdu_ := peer.read())[0] == 4:
            assert len(pdu_[1]) <= 16
            rest += pdu_[1][6:]
    assert element(0x0900, us(0)) in rest


def test_D4_a_store_with_missing_or_hostile_uids_is_kept(sink, listener):
    """UIDs are values: none, a path, and latin-1 rubbish reach the sink as text and are answered with Success."""
    with Peer(listener) as peer:
        peer.associate()
        for uid in (b"", b"../../etc/passwd", b"\xe9\n\x1b[2J", b"1." + b"2" * 100):
            assert peer.store(uid, b"data") == 0
    assert [k.request.sop_instance_uid for k in sink.kept] == [
        "",
        "../../etc/passwd",
        "\xe9\n\x1b[2J",
        "1." + "2" * 100,
    ]


def test_E004_an_echo_between_stores_and_on_a_storage_context(sink, listener):
    """C-ECHO works on the same association, and also where a sender uses the context it has."""
    with Peer(listener) as peer:
        peer.associate()
        assert peer.store(b"1.1", b"a") == 0
        for context_id in (3, 1):
            peer.send(p_data(pdv(context_id, BOTH_LAST, echo_rq(11))))
            answer = peer.answer()
            assert (answer[0x0100], answer[0x0120], answer[0x0900]) == (us(0x8030), us(11), us(0))
        assert peer.store(b"1.2", b"b") == 0
    assert sink.data() == {"1.1": b"a", "1.2": b"b"}


def test_E004_move_originator_and_unknown_elements_are_ignored(sink, listener):
    """What a C-MOVE SCP adds to its sub-operations changes nothing."""
    command = store_rq() + element(0x1030, b"MOVER   ") + element(0x1031, us(3)) + element(0x9999, b"??")
    with Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, BOTH_LAST, command), pdv(1, DATA_LAST, b"moved")))
        assert peer.status() == 0
    assert sink.data() == {"1.2.3": b"moved"}


def test_E004_a_cancel_is_ignored(sink, listener):
    """A C-CANCEL has no response; the store after it is answered as ever."""
    cancel = element(0x0100, us(0x0FFF)) + element(0x0120, us(7)) + element(0x0800, us(0x0101))
    with Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, BOTH_LAST, cancel)))
        assert peer.store(b"1.2.3", b"after") == 0
    assert sink.data() == {"1.2.3": b"after"}


def test_E005_every_sample_of_pydicom_arrives_as_sent(sink):
    """All pydicom test files that are instances, their dataset bytes as they lie, in their own transfer syntax."""
    instances = {}
    for path in sorted(Path(get_testdata_file("CT_small.dcm")).parent.glob("*.dcm")):
        raw = path.read_bytes()
        if raw[128:132] != b"DICM":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meta = pydicom.filereader.read_file_meta_info(path)
        if not all(meta.get(k) for k in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")):
            continue  # it cannot be proposed
        stream = BytesIO(raw)
        stream.seek(132)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pydicom.filereader._read_file_meta_info(stream)
        uid = str(meta.MediaStorageSOPInstanceUID)
        instances.setdefault(uid, (meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID, raw[stream.tell() :]))
    assert len(instances) > 30
    assert len({syntax for _, syntax, _ in instances.values()}) > 8
    with listening(sink) as listener:
        for uid, (sop_class, syntax, data) in instances.items():
            if UID(sop_class).name == "Media Storage Directory Storage":
                continue
            with Peer(listener) as peer:
                peer.associate(context(1, sop_class, syntax))
                peer.send(p_data(pdv(1, BOTH_LAST, store_rq(uid.encode(), sop_class=sop_class.encode()))))
                for at in range(0, len(data), 131066):
                    part = data[at : at + 131066]
                    peer.send(p_data(pdv(1, DATA_LAST if at + 131066 >= len(data) else DATA, part)))
                assert peer.status() == 0
    for kept in sink.kept:
        _, syntax, data = instances[kept.request.sop_instance_uid]
        assert kept.data == data
        assert kept.request.transfer_syntax_uid == syntax
    assert len(sink.kept) > 30


def test_D10_without_the_socket_options_of_linux_it_receives_the_same(sink, monkeypatch):
    """The portable path: with TCP_QUICKACK and poll absent every byte arrives, and a drain wakes the idle."""
    monkeypatch.setattr("edge.association.waiting._QUICKACK", None)
    monkeypatch.setattr("edge.association.guard.SELECTOR", selectors.SelectSelector)
    data = bytes(300_000)
    with listening(sink) as listener, Peer(listener) as peer:
        peer.associate(context(1, CT, EXPLICIT))
        peer.send(p_data(pdv(1, BOTH_LAST, store_rq())))
        for at in range(0, len(data), 100_000):
            peer.send(pdu(4, pdv(1, DATA_LAST if at == 200_000 else DATA, data[at : at + 100_000])))
        assert peer.status() == 0
        assert listener.drain(20)
        assert peer.aborted() == (0, 0)
    assert sink.data() == {"1.2.3": data}
