"""Every weakness of pynetdicom by name: the real edge stands what, where it can be shown, pynetdicom's own AE does not.

The edge is a pynetdicom SCP whose sockets are read by us (design D10); a control that no longer fails says that
pynetdicom has been mended, and that this part of our own reading may be looked at again.
"""

import contextlib
import json
import socket
import ssl
import struct
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from tests.association.wire import (
    ABORT,
    EXPLICIT,
    RELEASE_RQ,
    Peer,
    associate_rq,
    context,
    echo_rq,
    item,
    p_data,
    pdu,
    pdv,
    store_rq,
    user_information,
)
from tests.attacks.vitals import assert_alive, assert_clean, at_rest, growth, vitals
from tests.attacks.wire import exchange, words
from tests.certificates import SERVER, authority
from tests.e2e.edge_process import raw_peer, running
from tests.e2e.raw_sender import CONTEXTS, SC, LogSince, RawSender, image, pdus
from tests.waiting import comes

pytestmark = [pytest.mark.door("socket", "file"), pytest.mark.timeout(120)]

MOST = 5  # associations at once, as the control has
SHORT = {"ARTIM_SECONDS": "2", "PDU_SECONDS": "2", "IDLE_SECONDS": "5"}
MB = 1 << 20


@pytest.fixture(scope="module")
def sender(tmp_path_factory):
    """One edge for all of this module, with few associations and little patience; judged at the end."""
    folder = tmp_path_factory.mktemp("strong")
    ours = authority(folder / "ca").issue("edge", dns=("edge.example",), usage=SERVER)
    settings = {
        "MAX_ASSOCIATIONS": str(MOST), "MAX_OBJECT_MB": "1", "TLS_PORT": "0",
        "TLS_CERTIFICATE": str(ours.certificate), "TLS_KEY": str(ours.key), **SHORT,
    }  # fmt: skip
    with running(folder / "edge", **settings) as edge:
        one = RawSender(edge)
        one.files = ours
        assert_alive(one, "1.4.0")
        edge.until(one.at_rest, "the first instance went all the way: every part of the edge is up")
        yield one
        assert one.verdict().faults == []
        assert_clean(edge)


@contextlib.contextmanager
def pynetdicom(folder, handler="forget", *tls):
    """Run pynetdicom's own receiver; yields its port and process id."""
    command = [sys.executable, "-m", "tests.attacks.pynetdicom_peer", str(folder / "peer"), handler, *map(str, tls)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            port = json.loads(process.stdout.readline())
            yield SimpleNamespace(port=port, pid=process.pid, folder=folder / "peer")
        finally:
            process.kill()


def _echoed(port, seconds=5.0):
    """Whether a C-ECHO is answered in time."""
    try:
        with Peer(SimpleNamespace(address=("127.0.0.1", port)), timeout=seconds) as peer:
            peer.associate(CONTEXTS)
            peer.send(p_data(pdv(3, 3, echo_rq())))
            return peer.status() == 0
    except (OSError, AssertionError, struct.error):
        return False


# -- what is believed before anybody is known ----------------------------------------------------------------------


def _pour(target, megabytes=64):
    """Claim 2 GiB before any association and send some of it; return by how much the process grew at most."""
    grown = growth(target.pid)
    with socket.create_connection(("127.0.0.1", target.port), timeout=10) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(struct.pack(">BxI", 1, 0x7FFFFFFF))
            for _ in range(megabytes):
                sock.sendall(bytes(MB))
        comes(lambda: grown() > megabytes * MB * 3 // 4, 2)
        return grown()


def _of(sender):
    return SimpleNamespace(port=sender.edge.port, pid=sender.edge.process.pid)


def test_D10_length_before_authentication_is_not_believed(sender, tmp_path):
    """64 MB behind a header of 2 GiB stay in pynetdicom's memory (#1086), and not in ours."""
    assert _pour(_of(sender)) < 4 * MB
    assert_alive(sender, "1.4.1")
    with pynetdicom(tmp_path) as peer:
        assert _pour(peer) > 48 * MB


@pytest.mark.full
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x01", id="one byte"),
        pytest.param(struct.pack(">BxI", 1, 200) + b"abc", id="half a PDU"),
    ],
)
def test_D10_connections_of_one_byte_or_half_a_pdu_take_no_ones_place_and_end(sender, tmp_path, sent):
    """As many as there may be associations, silent for ever: they end at the deadline here, and hold pynetdicom."""

    def held(port):
        peers = [Peer(SimpleNamespace(address=("127.0.0.1", port))) for _ in range(2 * MOST)]
        for peer in peers:
            peer.send(sent)
        return peers

    peers = held(sender.edge.port)
    assert _echoed(sender.edge.port)
    assert [peer.read()[0] for peer in peers] == [0] * len(peers)
    with pynetdicom(tmp_path) as peer:
        assert _echoed(peer.port)
        silent = held(peer.port)
        assert not comes(lambda: _echoed(peer.port, 1.0), 4), "pynetdicom times half a PDU out"
        for one in (*peers, *silent):
            one.sock.close()


def _tls_echoed(port, seconds=4.0):
    """Whether a handshake and an association come about in time."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=seconds) as plain,
            client.wrap_socket(plain) as sock,
        ):
            sock.sendall(associate_rq(CONTEXTS))
            return sock.recv(1) == b"\x02"
    except OSError:
        return False


@pytest.mark.full
def test_D10_a_stalled_tls_hello_blocks_nobody(sender, tmp_path):
    """A connection that never says hello stops pynetdicom's accept loop (as fo-dicom #1766 was), not ours."""
    port = json.loads((sender.edge.spool / "run/listening.json").read_text())["tls_port"]
    with socket.create_connection(("127.0.0.1", port)) as stalled:
        assert _tls_echoed(port)
        stalled.settimeout(20)
        assert stalled.recv(1) == b"", "it ends at the deadline"
    with pynetdicom(tmp_path, "forget", sender.files.certificate, sender.files.key) as peer:
        assert _tls_echoed(peer.port)
        with socket.create_connection(("127.0.0.1", peer.port)):
            assert not _tls_echoed(peer.port), "pynetdicom handshakes off its accept loop"


# -- what is left behind --------------------------------------------------------------------------------------------


def _cut(port, how, times=5):
    """Break off inside a dataset."""
    for number in range(times):
        with Peer(SimpleNamespace(address=("127.0.0.1", port))) as peer:
            peer.associate(CONTEXTS)
            uid = f"1.4.2.{number + 1}".encode()
            peer.send(p_data(pdv(1, 3, store_rq(uid, sop_class=SC.encode())), pdv(1, 0, bytes(9000))))
            if how == "abort":
                peer.send(ABORT)
                peer.read()
            elif how == "reset":
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "how", ["close", pytest.param("reset", marks=pytest.mark.full), pytest.param("abort", marks=pytest.mark.full)]
)
def test_D10_E009_no_temporary_file_stays_after_a_cut(sender, tmp_path, how):
    """STORE_RECV_CHUNKED_DATASET of pynetdicom leaves its file on every cut; our folder for arrivals is empty."""
    _cut(sender.edge.port, how)
    tmp = sender.edge.spool / "tmp"
    assert comes(lambda: not list(tmp.iterdir()))
    with pynetdicom(tmp_path, "chunks") as peer:
        _cut(peer.port, how)
        assert comes(lambda: len(list((peer.folder / "temporary").iterdir())) >= 5)
        assert not comes(lambda: not list((peer.folder / "temporary").iterdir()), 3), "pynetdicom tidies up"


def test_D10_D4_path_characters_in_uids_name_no_file(sender, tmp_path):
    """CVE-2026-56445, CVE-2022-2119, CVE-2026-50003: pynetdicom's archive writes where the sender says; nobody here."""

    def store(port, uid):
        with Peer(SimpleNamespace(address=("127.0.0.1", port))) as peer:
            peer.associate(CONTEXTS)
            peer.send(*pdus(uid.encode(), image(uid, study="1.2", series="1.3", size=64)))
            with contextlib.suppress(AssertionError):  # pynetdicom's handler may fail behind its write
                assert peer.status() in (0, 0xA700, 0xC211)

    data = image("../../evil", study="1.2", series="1.3", size=64)
    for uid in ("../../evil", str(tmp_path / "evil")):
        data = image(uid, study="1.2", series="1.3", size=64)
        sender.begin(uid, data)
        with sender.associated() as peer:
            assert sender.store(peer, uid, data) == 0
    names = {p.name for p in (sender.edge.folder).rglob("*")}
    assert not any("evil" in name for name in names)
    assert list(tmp_path.rglob("*evil*")) == []
    with pynetdicom(tmp_path, "qrscp") as peer:
        store(peer.port, "../evil")
        assert comes((peer.folder / "evil").exists), "pynetdicom's archive keeps to its folder"


def test_D10_a_stored_file_is_no_program(sender):
    """CVE-2019-11687: a dataset that begins like a program has a preamble of zeros before it; only we may read it."""
    data = b"MZ" + bytes(126) + b"DICM" + image("1.4.3.1")
    with sender.associated() as peer:
        assert sender.store(peer, "1.4.3.1", data) == 0
    asked = "SELECT ulid FROM instance WHERE sop_instance_uid = '1.4.3.1'"
    sender.edge.until(lambda: len(sender.edge.rows(asked)) == 1, "the journal has entered it")
    ((ulid,),) = sender.edge.rows(asked)
    (path,) = (sender.edge.spool / "in").rglob(f"{ulid}.dcm")
    assert path.read_bytes()[:132] == bytes(128) + b"DICM"
    assert path.stat().st_mode & 0o177 == 0


# -- what leaks -----------------------------------------------------------------------------------------------------


def _one_by_one(sent, *answered):
    def once(port):
        assert words(exchange(port, sent)) == answered

    return once


def _cut_off(how):
    def once(port):
        until = time.monotonic() + 30
        while True:
            try:
                return _cut(port, how, 1)
            except AssertionError:  # the edge has not yet let go of the one before: its place is still taken
                if time.monotonic() > until:
                    raise

    return once


LEAKS = {
    "#669 health checks": _one_by_one(b""),
    "#328 associations": _one_by_one(
        associate_rq(CONTEXTS) + p_data(pdv(3, 3, echo_rq())) + RELEASE_RQ, "accept", "status 0000", "release"
    ),
    "#912 aborts": _cut_off("abort"),
    "#331 stuck threads": _cut_off("reset"),
    "DCMTK CVE-2026-50254, CVE-2026-35505, CVE-2022-43272 refused associations": _one_by_one(
        associate_rq(b""), "reject 1 1 1"
    ),
    "fo-dicom #327 HTTP": _one_by_one(b"GET / HTTP/1.1\r\nHost: edge\r\n\r\n", "abort 0 0"),
}


@pytest.mark.parametrize("count", [300, pytest.param(3_000, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", LEAKS)
def test_D10_nothing_leaks(sender, name, count):
    """So many of a kind after 100 of it: the same threads and descriptors, and not 30 KB for each."""
    edge, once = sender.edge, LEAKS[name]
    sender.edge.until(sender.at_rest, "nothing is under way")
    for _ in range(100):
        once(edge.port)
    before = vitals(edge.process.pid)
    for _ in range(count):
        once(edge.port)
    after = at_rest(edge, before, more=2)
    assert after.resident - before.resident < 4 * MB
    assert edge.rows("SELECT count(*) FROM instance WHERE sop_instance_uid LIKE '1.4.2.%'") == [(0,)]


@pytest.mark.full
def test_control_connections_that_say_little_keep_their_threads_in_pynetdicom(tmp_path):
    """#331: a thread for each connection that fell silent inside a header, for as long as it likes."""
    with pynetdicom(tmp_path) as peer:
        assert _echoed(peer.port)
        assert comes(lambda: psutil.Process(peer.pid).num_threads() <= 3)
        before = vitals(peer.pid).threads
        held = [Peer(SimpleNamespace(address=("127.0.0.1", peer.port))) for _ in range(MOST)]
        for one in held:
            one.send(b"\x01\0\0")
        assert comes(lambda: vitals(peer.pid).threads >= before + MOST)
        assert not comes(lambda: vitals(peer.pid).threads < before + MOST, 3), "pynetdicom ends them"
        for one in held:
            one.sock.close()


# -- arithmetic -----------------------------------------------------------------------------------------------------

UNDERFLOWS = {
    "PDV of 0 bytes (CVE-2024-34508)": pdu(4, struct.pack(">IBB", 0, 1, 3)),
    "PDV of 1 byte (CVE-2024-34509)": pdu(4, struct.pack(">IBB", 1, 1, 3) + b"x"),
    "PDV of -1 bytes (DCMTK 1549d8ccc)": pdu(4, struct.pack(">IBB", 0xFFFFFFFF, 1, 3) + b"x"),
    "PDV longer than its PDU (DCMTK 0f78a4ef6)": pdu(4, struct.pack(">IBB", 400, 1, 3) + bytes(40)),
    "a PDU of 5 bytes (DCMTK f6f40f639)": pdu(4, bytes(5)),
}


@pytest.mark.parametrize("name", UNDERFLOWS)
def test_D10_a_length_that_underflows_in_a_pdv_is_aborted(sender, name):
    """Checked before it is subtracted: source 2, reason 6, and what was stored before stays."""
    uid = f"1.4.4.{list(UNDERFLOWS).index(name) + 1}"
    with raw_peer(sender.edge) as peer:
        peer.associate(CONTEXTS)
        assert sender.store(peer, uid) == 0
        peer.send(UNDERFLOWS[name])
        assert peer.aborted() == (2, 6)
    assert_alive(sender, uid + ".1")


@pytest.mark.parametrize("kind", [0x10, 0x20, 0x50])
@pytest.mark.parametrize("length", [1, 3, 0xFFFF])
def test_D10_a_length_that_underflows_in_an_item_is_aborted(sender, kind, length):
    """CVE-2022-43272, CVE-2021-41687, CVE-2021-41689: an item whose inner lengths pass its end ends the request."""
    inner = struct.pack(">BxH", 0x51, 0xFFF0) if length == 0xFFFF else b"\x51\0\0"[:length]
    one = struct.pack(">BxH", kind, length)[: 4 if length == 0xFFFF else 3]
    sent = associate_rq(context(1, SC, EXPLICIT), user=item(0x50, inner) + one)
    assert words(exchange(sender.edge.port, sent)) == ("abort 0 0",)
    assert _echoed(sender.edge.port)


@pytest.mark.full
def test_D10_a_request_of_65_622_bytes_is_not_kept(sender, tmp_path):
    """io-dicom 35, 40, 50: thousands of items in each of five associations that stay open leave no megabyte each."""
    roles = item(0x54, b"\x00\x05" + b"1.2.3" + b"\1\0") * 4600
    sent = associate_rq(CONTEXTS, user=user_information(extra=roles))
    sent = associate_rq(CONTEXTS + item(0x77, bytes(65_622 - len(sent) - 4)), user=user_information(extra=roles))
    assert len(sent) == 65_622
    whole = associate_rq(CONTEXTS, user=user_information(extra=item(0x77, b"") * 16_000))
    before = vitals(sender.edge.process.pid)
    for _ in range(50):
        assert words(exchange(sender.edge.port, sent + RELEASE_RQ)) == ("accept", "release")
        assert words(exchange(sender.edge.port, whole + RELEASE_RQ)) == ("accept", "release")
    peers = [raw_peer(sender.edge) for _ in range(MOST)]
    for peer in peers:
        peer.send(whole)
    assert {peer.read()[0] for peer in peers} == {2}
    assert vitals(sender.edge.process.pid).resident - before.resident < 5 * MB
    for peer in peers:
        peer.send(RELEASE_RQ)
        assert peer.read()[0] == 6
        peer.sock.close()


def test_D10_a_fragment_that_is_never_the_last_does_not_grow(sender):
    """io-dicom 50: 64 MB of fragments without an end go nowhere, and are ended at twice the limit of an object."""
    fragment = p_data(pdv(1, 0, bytes(100_000)))
    grown = growth(sender.edge.process.pid)
    with raw_peer(sender.edge) as peer:
        peer.associate(CONTEXTS)
        peer.send(p_data(pdv(1, 3, store_rq(b"1.4.5.1", sop_class=SC.encode()))))
        with contextlib.suppress(OSError):  # what comes behind the abort is read and forgotten, for a moment
            for _ in range(640):
                peer.send(fragment)
        assert peer.read() == (7, bytes(4))
        assert grown() < 4 * MB
    assert_alive(sender, "1.4.5.2")


def test_D10_line_ends_and_escapes_in_titles_forge_no_log_line(sender):
    """What an AE title carries is escaped: one JSON object a line, printable ASCII only."""
    log = LogSince(sender.edge)
    title = b'A\r\n{"event":1}\x1b['
    sent = associate_rq(CONTEXTS, calling=title[:16], called=b"\xe2\x80\xae\r\nX") + RELEASE_RQ
    assert words(exchange(sender.edge.port, sent)) == ("accept", "release")
    assert comes(lambda: any("event" in str(x.get("calling_ae_title")) for x in log.lines()))
    for line in sender.edge.log.read_bytes().splitlines():
        assert line.isascii()
        assert line.decode().isprintable()
        assert json.loads(line)["event"] != 1
