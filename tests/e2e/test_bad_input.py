"""Bad input on the wire of the real edge: each case a clear answer, a log line with a hint, and nothing lost.

All cases share one edge; at the end every instance that it acknowledged must be where its ledger says.
"""

import hashlib
import http.client
import random
import resource
import socket
import ssl
import struct
import urllib.request

import pytest

from tests.association.wire import (
    ABORT,
    CT,
    EXPLICIT,
    RELEASE_RQ,
    Peer,
    associate_rq,
    context,
    p_data,
    pdv,
    store_rq,
    us,
)
from tests.e2e.edge_process import raw_peer, running
from tests.e2e.raw_sender import CONTEXTS, SC, LogSince, RawSender, image, pdus, without

pytestmark = pytest.mark.door("socket", "file")

CAP = 131072
CUTS = 200


@pytest.fixture(scope="module")
def sender(tmp_path_factory):
    """One edge for all of this module; what it acknowledged is judged at the end."""
    with running(tmp_path_factory.mktemp("bad"), MAX_OBJECT_MB="1") as edge:
        one = RawSender(edge)
        yield one
        assert one.verdict().faults == []
        for word in ("SYNTHETIC", "CRASH-1", "passwd", "not found"):
            assert word not in edge.log.read_text(), "values of a dataset or a command are in the log"


@pytest.fixture
def log(sender):
    """What the edge logs during the test; afterwards it must still answer, with nothing half received left."""
    yield LogSince(sender.edge)
    sender.echo()
    tmp = sender.edge.spool / "tmp"
    sender.edge.until(lambda: not list(tmp.iterdir()), "no temporary file is left")


def test_D10_http_tls_and_random_bytes_are_told_apart_and_answered_by_an_end(sender, log):
    """A browser, a sender set to TLS and noise get an end of their connection, and the log says what they were."""
    with pytest.raises((http.client.HTTPException, OSError)):
        urllib.request.urlopen(f"http://127.0.0.1:{sender.edge.port}/", timeout=10)
    log.told("connection.broken", "HTTP request on the DICOM port")
    unverified = ssl._create_unverified_context()  # noqa: S323 there is no certificate to verify
    with raw_peer(sender.edge) as peer, pytest.raises(OSError, match=r"(?i)ssl|wrong|eof|reset"):
        unverified.wrap_socket(peer.sock)
    log.told("connection.broken", "TLS hello on the plain port")
    rng = random.Random(1)
    for _ in range(20):
        with raw_peer(sender.edge) as peer:
            # Neither a request (1) nor an abort (7), nor the beginning of a protocol with a name.
            peer.send(bytes((rng.randrange(0x90, 0xFF),)) + rng.randbytes(rng.randrange(5, 3000)))
            assert peer.aborted() == (0, 0)
    log.told("connection.broken", "not a DICOM PDU")


def test_D10_no_acceptable_context_is_said_context_by_context(sender, log):
    """A worklist and a store without a transfer syntax are refused with their reasons; data in them is aborted."""
    with raw_peer(sender.edge) as peer:
        answer = peer.associate(context(1, "1.2.840.10008.5.1.4.31", EXPLICIT) + context(3, CT))
        assert bytes((0x21, 0)) in answer
        at = answer.index(b"\x21\0")
        assert (answer[at + 4], answer[at + 6]) == (1, 3), "abstract syntax not supported"
        at = answer.index(b"\x21\0", at + 4)
        assert (answer[at + 4], answer[at + 6]) == (3, 4), "transfer syntaxes not supported"
        peer.send(p_data(pdv(1, 3, store_rq())))
        assert peer.aborted() == (2, 6)
    log.told("association.context-refused", "abstract syntax not supported")
    log.told("association.context-refused", "transfer syntaxes not supported")
    log.told("connection.broken", "context that was not accepted")


def test_D10_a_pdu_over_the_cap_ends_its_association_and_nothing_else(sender, log):
    """The instance before it stays acknowledged; the PDU is refused by its header, before its bytes."""
    with raw_peer(sender.edge) as peer:
        peer.associate(CONTEXTS)
        assert sender.store(peer, "1.2.10.1") == 0
        peer.send(struct.pack(">BxI", 4, CAP + 1))
        assert peer.aborted() == (2, 6)
    log.told("connection.broken", f"P_DATA of {CAP + 1} bytes")


def test_E009_I1_D10_an_end_at_every_pdu_and_at_200_offsets_loses_nothing_acknowledged(sender, log):
    """Abort, close and reset between all PDUs and at 200 random bytes of a store: only what was answered counts."""
    rng = random.Random(20261120)
    template = [associate_rq(CONTEXTS), *pdus(b"1.2.20.0000", image("1.2.20.0000", size=70_000)), RELEASE_RQ]
    edges = [sum(len(p) for p in template[:n]) for n in range(len(template) + 1)]
    whole = edges[-2]  # the dataset's last byte
    ends = [(at, how) for at in edges for how in ("abort", "close", "reset")]
    ends += [(rng.randrange(edges[-1]), rng.choice(["abort", "close", "reset"])) for _ in range(CUTS)]
    acknowledged = 0
    for n, (at, how) in enumerate(ends):
        uid = f"1.2.20.{1000 + n}"
        data = image(uid, size=70_000)
        stream = b"".join([associate_rq(CONTEXTS), *pdus(uid.encode(), data), RELEASE_RQ])
        assert len(stream) == edges[-1]
        sender.begin(uid, data)
        with raw_peer(sender.edge) as peer:
            peer.send(stream[:at])
            if at >= whole and rng.random() < 0.5:
                assert peer.read()[0] == 2
                acknowledged += sender.answered(uid, data, peer.status()) == 0
            _end(peer, how, room=whole - at)
    assert acknowledged > 3
    log.told("connection.broken", "inside a message")


def _end(peer: Peer, how: str, room: int) -> None:
    """End the connection; an abort only where its ten bytes cannot complete the dataset with bytes nobody sent."""
    if how == "abort" and not 0 < room <= len(ABORT):
        peer.send(ABORT)
    elif how == "reset":
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


LONG = "1." + "2" * 63  # 65 characters
GOOD = "1.2.30.{n}"
STUDY = "malformed UID in StudyInstanceUID"
UNSENT = "the command has no such element"
# name: (UID in the command, dataset made from a good one, where it ends, what the reason says)
CASES = {
    "no uid in the command": (UNSENT, image, "PARKED", "SOP Instance UID differs"),
    "an empty uid in the command": ("", image, "PARKED", "SOP Instance UID differs"),
    "a malformed uid in the command": ("1.2.03.x", image, "PARKED", "SOP Instance UID differs"),
    "65 characters in the command": (LONG, image, "PARKED", "SOP Instance UID differs"),
    "a path in the command": ("../../../../etc/passwd", image, "PARKED", "SOP Instance UID differs"),
    "another uid than the command": ("1.2.30.999", image, "PARKED", "SOP Instance UID differs"),
    "another class than the command": (
        GOOD,
        lambda uid: image(uid).replace(SC.encode(), b"1.2.840.10008.5.1.4.1.1.4"),
        "PARKED",
        "SOP Class UID differs",
    ),
    "no study": (GOOD, lambda uid: without(image(uid), 0x20, 0x0D), "PARKED", "has no StudyInstanceUID"),
    "no series": (GOOD, lambda uid: without(image(uid), 0x20, 0x0E), "PARKED", "has no SeriesInstanceUID"),
    "no uid in the dataset": (GOOD, lambda uid: without(image(uid), 8, 0x18), "PARKED", "has no SOPInstanceUID"),
    "no class in the dataset": (GOOD, lambda uid: without(image(uid), 8, 0x16), "PARKED", "has no SOPClassUID"),
    "a malformed study": (GOOD, lambda uid: image(uid, study="1..2"), "PARKED", STUDY),
    "65 characters of study": (GOOD, lambda uid: image(uid, study=LONG), "PARKED", STUDY),
    "a path for a study": (GOOD, lambda uid: image(uid, study="../../up"), "PARKED", STUDY),
    "a path for a series": (GOOD, lambda uid: image(uid, series="/etc/x"), "PARKED", "UID in SeriesInstanceUID"),
    "a path in both": ("../../x", lambda _: image("../../x", study="1.2", series="1.3"), "PARKED", "malformed UID"),
    "noise for a dataset": (GOOD, lambda _: random.Random(3).randbytes(5000), "PARKED", ""),
    "text for a dataset": (GOOD, lambda _: b"<html>not found</html>" * 9, "PARKED", ""),
    "a dataset cut short": (GOOD, lambda uid: image(uid)[:-100], "PARKED", ""),
    "a length beyond the end": (GOOD, lambda uid: image(uid) + b"\xfc\xff\xfc\xffOB\0\0\xf0\xff\xff\xff", "PARKED", ""),
    "an empty dataset": (GOOD, lambda _: b"", "PARKED", ""),
    "an unknown character set": (GOOD, lambda uid: _charset(uid, b"KLINGON_1", b"Phantom^A "), "ANNOUNCED", ""),
    "bytes that are no UTF-8": (GOOD, lambda uid: _charset(uid, b"ISO_IR 192", b"Ph\xff\xc3^\xa0 "), "ANNOUNCED", ""),
    "an escape without end": (GOOD, lambda uid: _charset(uid, b"ISO 2022 IR 87", b"Ph^\x1b$B\x1b("), "ANNOUNCED", ""),
}  # fmt: skip


def _charset(uid: str, name: bytes, person: bytes) -> bytes:
    """An image that declares a character set and has such a name."""
    name += b" " * (len(name) % 2)
    person += b" " * (len(person) % 2)
    declared = struct.pack("<HH2sH", 8, 5, b"CS", len(name)) + name
    old = struct.pack("<HH2sH", 0x10, 0x10, b"PN", 16) + b"SYNTHETIC^CRASH "
    raw = image(uid)
    assert old in raw
    return declared + raw.replace(old, struct.pack("<HH2sH", 0x10, 0x10, b"PN", len(person)) + person)


@pytest.mark.parametrize("name", CASES)
def test_fault_26_D1_D4_I6_whatever_the_command_and_dataset_say_is_kept(sender, log, name):
    """Success, for it is kept; then parked with reason and hint, or sent on where it can be; never a path."""
    n = list(CASES).index(name)
    command, make, state, words = CASES[name]
    data = make(f"1.2.30.{n}")
    uid = "" if command == UNSENT else command.format(n=n)
    digest = hashlib.sha256(data).hexdigest()
    sender.begin(uid, data)
    with sender.associated() as peer:
        first, *rest = pdus(uid.encode(), data)
        if command == UNSENT:
            first = p_data(pdv(1, 3, store_rq()[: -8 - len(b"1.2.3")]))
        peer.send(first, *rest)
        assert sender.answered(uid, data, peer.status()) == 0
    asked = f"SELECT ulid, state, reason, hint FROM instance WHERE received_sha256 = '{digest}'"
    sender.edge.until(lambda: [row[1] for row in sender.edge.rows(asked)] == [state], f"{name} is {state}")
    ((ulid, _, reason, hint),) = sender.edge.rows(asked)
    if state == "PARKED":
        assert words in reason
        assert hint
        assert log.told("instance.parked", ulid)["hint"] == hint
        copy = sender.edge.folder / "store" / "parked" / "trial-edge" / f"{ulid}.dcm"
        sender.edge.until(copy.exists, "it is copied to parked/ as received")
        assert copy.read_bytes().endswith(data)
    outside = {p.name for p in sender.edge.folder.iterdir()} - {"queue.db", "queue.db-wal", "queue.db-shm"}
    assert outside == {"spool", "store", "edge.log"}


def test_D10_a_store_request_that_announces_no_dataset_is_refused(sender, log):
    """C-STORE with Command Data Set Type 0x0101 has nothing to keep: 0xC000, and the association goes on."""
    with sender.associated() as peer:
        peer.send(p_data(pdv(1, 3, store_rq(b"1.2.40.1", sop_class=SC.encode(), dataset=0x0101))))
        answer = peer.answer()
        assert answer[0x0900] == us(0xC000)
        assert b"without a dataset" in answer[0x0902]
        assert sender.store(peer, "1.2.40.2") == 0
    log.told("store.refused", "without a dataset")


def test_D10_fault_29_an_object_over_the_limit_is_refused_and_the_association_goes_on(sender, log):
    """More than MAX_OBJECT_MB: 0xA700, nothing kept of it, and the next instance is stored."""
    with sender.associated() as peer:
        assert sender.store(peer, "1.2.50.1", image("1.2.50.1", size=1_500_000)) == 0xA700
        assert sender.store(peer, "1.2.50.2") == 0
    assert "MAX_OBJECT_MB" in log.told("store.refused", "longer than")["hint"]


def test_D10_fault_29_no_descriptor_left_is_refused_and_heals(sender, log):
    """With no descriptor to be had a store is answered 0xA700; once there are some, the same association stores."""
    process = sender.edge.process
    with sender.associated() as peer:
        assert sender.store(peer, "1.2.60.1") == 0
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, hard))
        try:
            assert sender.store(peer, "1.2.60.2") == 0xA700
        finally:
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert sender.store(peer, "1.2.60.2") == 0
    assert "LimitNOFILE" in log.told("store.refused", "EMFILE")["hint"]


def test_D10_three_hundred_half_requests_do_not_keep_a_sender_out(sender, log):
    """Connections that send a byte and fall silent give way; a sender that speaks is served at once."""
    idle = [raw_peer(sender.edge) for _ in range(300)]
    try:
        for peer in idle:
            peer.send(b"\x01")
        assert sender.send("1.2.70.1") == [0]
    finally:
        for peer in idle:
            peer.sock.close()
    log.told("connection.refused", "too many wait")


def test_D10_a_spool_folder_deleted_under_the_edge_is_refused_not_lost(sender, log):
    """Without its folder for arrivals the spool refuses with 0xA700 and says so; made again, it works again."""
    tmp = sender.edge.spool / "tmp"
    sender.edge.until(lambda: not list(tmp.iterdir()), "nothing is on its way in")
    with sender.associated() as peer:
        tmp.rmdir()
        try:
            assert sender.store(peer, "1.2.80.1") == 0xA700
        finally:
            tmp.mkdir(mode=0o700)
        assert sender.store(peer, "1.2.80.1") == 0
    assert "restart" in log.told("store.refused", "ENOENT")["hint"]
