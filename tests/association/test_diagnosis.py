"""What never became an association and every refused context, in plain words, bounded whatever comes."""

import gc
import json
import logging
import os
import socket
import ssl
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.association.negotiation import negotiate
from edge.association.recognise import ENOUGH, stranger
from edge.association.refusals import MOST_KEPT, MOST_OF_A_PEER, Kind, Refusals
from edge.association.request import decode_associate_rq
from edge.association.rules import Rule
from edge.association.rules_file import read_rules
from edge.association.wording import refused_contexts
from edge.contract.loglines import JsonFormatter
from edge.events import Event
from tests.association.memory_sink import MemorySink
from tests.association.test_rules import book, whole
from tests.association.wire import (
    CT,
    EXPLICIT,
    IMPLICIT,
    VERIFICATION,
    Peer,
    associate_rq,
    context,
    item,
    listening,
    p_data,
    pdv,
    store_rq,
    user_information,
)
from tests.waiting import until


def hello(version: ssl.TLSVersion | None = None, server: str | None = "name.example.org") -> bytes:
    """The ClientHello of Python's own TLS."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.check_hostname, settings.verify_mode = False, ssl.CERT_NONE
    if version is not None:
        settings.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        settings.wrap_bio(incoming, outgoing, server_hostname=server).do_handshake()
    return outgoing.read()


STRANGERS = {
    "HTTP": (b"GET /health?patient=Doe^Jane HTTP/1.1\r\nHost: edge\r\n\r\n", "HTTP request on the DICOM port (GET)"),
    "load balancer": (
        b"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n",
        "HTTP request on the DICOM port (GET): the health check of an AWS load balancer",
    ),
    "probe": (b"HEAD /x HTTP/1.0\r\nuser-agent: kube-probe/1.30\r\n\r\n", "(HEAD): a Kubernetes probe"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP request on the DICOM port (PRI)"),
    "SIP": (b"OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm\r\n\r\n", "SIP or RTSP request"),
    "TLS 1.3": (hello(), "TLS hello on the plain port, offers up to TLS 1.3"),
    "TLS 1.2": (hello(ssl.TLSVersion.TLSv1_2), "TLS hello on the plain port, offers up to TLS 1.2"),
    "old SSL": (b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", "TLS hello on the plain port"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SSH client"),
    "SMB": (b"\0\0\0\x54\xffSMBr\0\0\0\0", "Windows file sharing (SMB) client"),
    "RDP": (b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0", "RDP client"),
    "telnet": (b"\xff\xfb\x1f\xff\xfb\x20", "telnet client"),
    "PROXY 1": (b"PROXY TCP4 10.0.0.9 10.0.0.1 5001 11112\r\n", "PROXY protocol header (version 1)"),
    "PROXY 2": (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12), "PROXY protocol header (version 2)"),
    "HL7": (b"\x0bMSH|^~\\&|RIS|||||Doe^Jane", "HL7 (MLLP) message"),
    "PostgreSQL": (b"\0\0\0\x08\x04\xd2\x16\x2f", "PostgreSQL client"),
    "SMTP": (b"EHLO scanner\r\n", "mail (SMTP) client"),
    "SOCKS 5": (b"\x05\x01\0\0\0\0", "SOCKS proxy client"),
    "empty lines": (b"\r\n\r\n", "empty lines"),
    "random": (b"\xa5\x5a\x13\x37\xc0\xde\xff\xff", "not a DICOM PDU, and no protocol that is known here"),
}


@pytest.mark.door("socket")
@pytest.mark.parametrize(("first", "text"), STRANGERS.values(), ids=STRANGERS)
def test_D10_what_speaks_on_the_port_is_named(first, text, caplog):
    """In the log and in the list of refusals, with what to do, and nothing of its own words but the method."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink()) as listener:
        with Peer(listener) as peer:
            peer.send(first)
            peer.sock.shutdown(socket.SHUT_WR)
            assert peer.read()[0] in (0, 7)
        until(lambda: listener.counters().refusals, "it is counted")
        (refusal,) = listener.counters().refusals
    assert text in refusal.text
    assert (refusal.kind, refusal.count, refusal.peer) == (Kind.STRANGER, 1, "127.0.0.1")
    assert refusal.hint
    lines = [JsonFormatter().format(r) for r in caplog.records]
    assert any(text in json.loads(line)["text"] for line in lines)
    assert not any("Doe" in line or "health?" in line or "example.org" in line for line in lines)


@given(st.binary(max_size=ENOUGH))
def test_D10_any_first_bytes_are_named_or_not(first):
    """Naming never raises, and says nothing but printable ASCII."""
    for data in (first, b"\x16\x03\x01" + first, b"GET " + first):
        found = stranger(data)
        assert found is None or (found.text.isascii() and found.text.isprintable())


@given(cut=st.integers(0, 600), noise=st.binary(max_size=8), at=st.integers(0, 500))
def test_D10_a_damaged_hello_is_still_a_hello(cut, noise, at):
    """Cut anywhere, or with bytes overwritten: named as TLS all the same."""
    whole = bytearray(hello())
    whole[6 + at : 6 + at + len(noise)] = noise
    found = stranger(bytes(whole[: max(6, cut)]))
    assert found is not None
    assert found.text.startswith("TLS hello on the plain port")


@pytest.mark.door("socket")
def test_D10_scanners_health_checks_and_wrong_versions_are_told_apart():
    """Closed without a word, closed inside the request, silent to the end, and version 2 of a protocol that has one."""
    with listening(MemorySink(), artim_seconds=0.3) as listener:
        for _ in range(3):
            Peer(listener).sock.close()
        with Peer(listener) as peer:
            peer.send(associate_rq()[:50])
        with Peer(listener) as peer:
            assert peer.read()[0] == 0
        with Peer(listener) as peer:
            peer.send(associate_rq(version=2))
            assert peer.read() == (3, bytes((0, 1, 2, 2)))
        until(lambda: sum(r.count for r in listener.counters().refusals) == 6, "all are counted")
        found = {(r.kind, r.text): r.count for r in listener.counters().refusals}
    assert found == {
        (Kind.SILENT, "closed without a word"): 3,
        (Kind.STRANGER, "the connection ended inside the association request"): 1,
        (Kind.STRANGER, "connected, and said nothing in time"): 1,
        (Kind.REJECTED, "protocol version not supported"): 1,
    }
    assert [r for r in listener.counters().last_refusals if r.kind is Kind.SILENT] == []


@pytest.mark.door("socket")
def test_fault_22_an_unknown_title_is_told_with_the_lines_that_let_it_in(tmp_path, caplog):
    """The hint is the file's own language: put into it as it is, the next association is accepted."""
    rulebook = book(tmp_path, "[CT04]\n")
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), rulebook) as listener:
        with Peer(listener) as peer:
            peer.send(associate_rq(calling=b"CT03"))
            assert peer.read() == (3, bytes((0, 1, 1, 3)))
        (refusal,) = listener.counters().refusals
        assert refusal.text == "calling title 'CT03' not listed"
        assert refusal.calling_ae_title == "CT03"
        _, _, lines = refusal.hint.partition("\n")
        assert [rule.name for rule in read_rules(lines)] == ["CT03"]
        (tmp_path / "rules.toml").write_text(whole(lines))
        with Peer(listener) as peer:
            peer.associate(calling=b"CT03")
    line = json.loads(JsonFormatter().format(next(r for r in caplog.records if r.event == "association.rejected")))
    assert (line["text"], line["hint"], line["reason"]) == (refusal.text, refusal.hint, [1, 1, 3])


EVIL = [b"\x1b[2J\r\nroot", b"<script>1</scr", b"'; DROP TABLE", b"\xe2\x80\xae\xff\x00x", b"${jndi:ldap:", b'"]\nx=1']


@pytest.mark.door("socket")
@pytest.mark.parametrize("title", EVIL)
def test_D10_a_hostile_title_makes_no_line_and_moves_no_cursor(tmp_path, title, caplog):
    """Control characters, quotes and markup in a title: escaped and cut in text and hint, which stay what they are."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), book(tmp_path, "")) as listener:
        with Peer(listener) as peer:
            peer.send(associate_rq(calling=title))
            assert peer.read()[0] == 3
        (refusal,) = listener.counters().refusals
    assert refusal.text.isascii()
    assert refusal.text.isprintable()
    assert all(line.isprintable() for line in refusal.hint.splitlines())
    assert refusal.hint.count("\n[") == 1, "one table, whatever the title holds"
    for record in caplog.records:
        assert JsonFormatter().format(record).isprintable()


# Contexts


def said(contexts: bytes, rule: Rule, **more) -> list[tuple[str, str]]:
    """What is said of a request's refused contexts."""
    request = decode_associate_rq(memoryview(associate_rq(contexts, **more)[6:]), 128)
    return [(s.text, s.hint) for s in refused_contexts(negotiate(request, 16384, rule).refused, rule)]


ROLE = user_information(extra=item(0x54, len(CT).to_bytes(2, "big") + CT.encode() + b"\0\1"))
JPEG_LS, RLE = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5"
CONTEXTS = {
    "a query": (context(1, "1.2.840.10008.5.1.4.1.2.2.1", IMPLICIT), {}, {}, "Study Root Query/Retrieve", "archive"),
    "commitment": (context(1, "1.2.840.10008.1.20.1", IMPLICIT), {}, {}, "Storage Commitment Push", "commitment off"),
    "worklist": (context(1, "1.2.840.10008.5.1.4.31", IMPLICIT), {}, {}, "Modality Worklist", "RIS"),
    "print": (context(1, "1.2.840.10008.5.1.1.9", IMPLICIT), {}, {}, "Print Management", "printer"),
    "no class": (context(1, "not a uid", IMPLICIT), {}, {}, "a class without a UID: its SOP class is no UID", "vendor"),
    "no syntax": (context(1, CT), {}, {}, "CT Image Storage: no transfer syntax", "Explicit VR Little Endian"),
    "role": (context(1, CT, IMPLICIT), {}, {"user": ROLE}, "CT Image Storage: the sender will not be SCU", "SCU role"),
    "syntax": (
        context(1, CT, JPEG_LS, RLE) + context(3, CT, JPEG_LS),
        {"transfer_syntaxes": (EXPLICIT,)}, {},
        "CT Image Storage: only JPEG-LS Lossless Image Compression, RLE Lossless proposed",
        "[CT03] grants Explicit VR Little Endian",
    ),
    "service": (
        context(1, VERIFICATION, IMPLICIT), {"services": frozenset()}, {}, "Verification SOP Class: the rule", "[CT03]",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("contexts", "rule", "more", "text", "hint"), CONTEXTS.values(), ids=CONTEXTS)
def test_D10_a_refused_context_is_told_by_names(contexts, rule, more, text, hint):
    """Class and syntaxes by the standard's names, why not, and what to do."""
    ((told, advice),) = said(contexts, Rule(name="CT03", **rule), **more)
    assert text in told
    assert hint in advice


def test_D10_a_hundred_refused_contexts_are_one_line():
    """Four names, and how many more."""
    from pydicom._uid_dict import UID_dictionary

    known = [u for u, (name, kind, *_) in UID_dictionary.items() if kind == "SOP Class" and "- FIND" in name]
    proposed = b"".join(context(2 * n + 1, known[n % len(known)], IMPLICIT) for n in range(100))
    ((text, _),) = said(proposed, Rule(name=""))
    assert f"and {len(set(known)) - 4} more" in text
    assert len(text) < 400


# Bounds


def test_D10_a_hundred_thousand_probes_fill_neither_log_nor_memory(caplog):
    """One peer, one cause: 18 lines; a peer of many titles: some more; 50,000 addresses: bounded by the budget."""
    refusals = Refusals()

    def tell(peer: str, text: str, title: str = "") -> None:
        refusals.tell(
            Event.CONNECTION_BROKEN, Kind.STRANGER, text, hint="see", peer=peer, level=logging.WARNING,
            calling_ae_title=title,
        )  # fmt: skip

    with caplog.at_level(logging.INFO, "dicom-edge"):
        for _ in range(100_000):
            tell("10.0.0.1", "HTTP request")
        assert len(caplog.records) <= 18
        (one,) = refusals.kept()
        assert one.count == 100_000
        for n in range(20_000):
            tell("10.0.0.2", f"title {n}", f"T{n}")
        assert len(refusals.kept()) == 1 + MOST_OF_A_PEER + 1
        lines = len(caplog.records)
        for n in range(50_000):
            tell(f"10.1.{n // 256}.{n % 256}", "HTTP request")
        assert len(caplog.records) - lines < 150
        assert len(refusals.kept()) == MOST_KEPT
    told = sum(r.count for r in refusals.kept()) + refusals.forgotten
    assert told == 170_000, "none is lost from the count"
    assert len(refusals._told) <= MOST_KEPT
    assert len(refusals._of_peer) <= MOST_KEPT


def test_D10_a_cause_that_comes_every_day_is_told_every_day(caplog):
    """The count doubles ever more rarely; an hour after its last line the next case has one again."""
    clock = [0.0]
    refusals = Refusals(monotonic=lambda: clock[0])
    with caplog.at_level(logging.INFO, "dicom-edge"):
        for _ in range(48):
            refusals.tell(Event.ASSOCIATION_REJECTED, Kind.REJECTED, "not listed", hint="allow", peer="10.0.0.1")
            clock[0] += 1801
    assert 24 <= len(caplog.records) <= 30
    assert "(48 times since" in caplog.records[-1].getMessage()


@pytest.mark.full
@pytest.mark.door("socket")
@pytest.mark.timeout(300)
def test_D10_thirty_thousand_probes_on_the_socket_leave_no_memory(caplog):
    """HTTP, TLS, silence and foreign titles from eight threads: memory flat after the first third, log short."""
    first = [
        b"GET / HTTP/1.1\r\n\r\n",
        hello(),
        b"",
        b"SSH-2.0-x\r\n",
        associate_rq(version=2),
        b"\xff\xfb\x1f\xff\xfb\x20",
    ]

    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def probe(count: int) -> None:
        for n in range(count):
            with socket.create_connection(listener.address, timeout=30) as sock:
                sock.sendall(first[n % len(first)])

    def probes(count: int) -> None:
        threads = [threading.Thread(target=probe, args=(count // 8,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: listener.counters().waiting == 0, "all are gone", 60)

    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), linger_seconds=0.05) as listener:
        probes(10_000)
        before = resident()
        probes(20_000)
        assert resident() - before < 4 << 20
        with Peer(listener) as peer:
            peer.associate()
            peer.send(p_data(pdv(1, 3, store_rq()), pdv(1, 2, b"x")))
            assert peer.status() == 0
        assert sum(r.count for r in listener.counters().refusals) == 30_000
    assert len([r for r in caplog.records if r.event == "connection.broken"]) < 500


@pytest.mark.door("socket")
def test_D10_connections_that_are_cut_for_others_are_a_few_lines(caplog):
    """Three hundred silent connections with room for ten: counted each, told in ten lines at the most."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), max_waiting=10) as listener:
        peers = [Peer(listener) for _ in range(300)]
        until(lambda: listener.counters().waiting <= 10, "no more than ten wait")
        text = "cut: it waited longest and too many wait"
        until(lambda: {r.text: r.count for r in listener.counters().refusals}.get(text) == 290, "each is counted")
        for peer in peers:
            peer.sock.close()
    assert len([r for r in caplog.records if r.event == "connection.refused"]) <= 10
