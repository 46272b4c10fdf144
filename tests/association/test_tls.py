"""TLS of the listener (PS3.15 B.12): who gets in, what is refused and named, and what does not disturb others."""

import contextlib
import hashlib
import logging
import os
import shutil
import socket
import ssl
import threading
import time

import pytest

from edge.association.admission import PeerCertificate
from edge.association.certificates import TlsFiles
from edge.association.guard import broken_off
from edge.association.terms import admit_all
from edge.association.tls import CIPHERS_1_2, CIPHERS_1_3, ServerTls, load
from tests.association import tls_wire as t
from tests.association.memory_sink import MemorySink
from tests.association.tls_senders import BAD, bad_senders
from tests.association.wire import (
    RELEASE_RQ,
    Peer,
    associate_rq,
    echo_rq,
    item,
    listening,
    p_data,
    pdv,
    store_rq,
    user_information,
)
from tests.certificates import SERVER, authority, rsa_key
from tests.process_memory import resident_kib
from tests.waiting import until

pytestmark = pytest.mark.door("socket")
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A CA, an edge and a scanner."""
    return t.Site(tmp_path_factory.mktemp("tls"))


def said(caplog) -> list[str]:
    """What the log says of connections that came to nothing."""
    return [r.getMessage() for r in caplog.records if getattr(r, "event", "") == "connection.broken"]


def until_said(caplog, text: str) -> None:
    """Wait until the log names it."""
    until(lambda: any(text in line for line in said(caplog)), f"{text!r} in {said(caplog)}")


def refusals(listener) -> dict[str, tuple[int, str]]:
    """How often each cause came, and its last hint, by its text."""
    return {r.text: (r.count, r.hint) for r in listener.counters().refusals}


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("mutual", [False, True])
def test_D10_instances_come_through_tls_as_sent(site, version, mutual):
    """TLS 1.2 and 1.3, server only and mutual: what arrives is what was sent, also in pieces that no record fits."""
    sink = MemorySink()
    data = bytes(range(256)) * 4000
    context = t.client_context(site.ca, site.scanner if mutual else None, version=version)
    with listening(sink, tls=site.tls(mutual=mutual)) as listener, t.TlsPeer(listener, context) as peer:
        assert peer.sock.version() == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]
        peer.associate()
        peer.send(p_data(pdv(1, 3, store_rq(b"1.2.3"))))
        for at in range(0, len(data), 10007):
            peer.send(p_data(pdv(1, 2 if at + 10007 >= len(data) else 0, data[at : at + 10007])))
        assert peer.status() == 0
        assert peer.store(b"1.2.4", b"small") == 0
        peer.send(RELEASE_RQ)
        assert peer.read()[0] == 6
        assert peer.read() == (0, b"")
    assert sink.data() == {"1.2.3": data, "1.2.4": b"small"}


def test_D10_the_best_of_both_is_taken_and_nothing_weaker_is_offered(site):
    """TLS 1.3 is preferred; every cipher of 1.2 that the edge takes has forward secrecy and is authenticated."""
    with listening(MemorySink(), tls=site.tls()) as listener:
        with t.TlsPeer(listener, t.client_context(site.ca)) as peer:
            assert peer.sock.version() == "TLSv1.3"
            assert peer.sock.compression() is None
        taken = set()
        for cipher in t.client_context(site.ca).get_ciphers():
            context = t.client_context(site.ca, version=V12)
            if cipher["protocol"] == "TLSv1.3" or "PSK" in cipher["name"] or "SRP" in cipher["name"]:
                continue
            context.set_ciphers(f"{cipher['name']}:@SECLEVEL=0")
            try:
                with t.TlsPeer(listener, context) as peer:
                    taken.add(peer.sock.cipher()[0])
            except OSError:
                continue
    ours = load(site.files())[0].get_ciphers()
    assert {c["name"] for c in ours} == {*CIPHERS_1_2, *CIPHERS_1_3}
    assert taken == {name for name in CIPHERS_1_2 if "ECDSA" in name}, "the edge's key here is an EC key"


@pytest.fixture(scope="module")
def shown(site):
    """Certificates of senders, each bad in one way."""
    return bad_senders(site)


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("bad", BAD)
def test_D10_a_sender_without_a_good_certificate_is_refused_and_told(site, shown, version, bad, caplog):
    """Mutual: the alert reaches the sender, no association comes about, and the log says what is wrong."""
    sink = MemorySink()
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(sink, tls=site.tls(mutual=True)) as listener:
        # With TLS 1.3 the sender learns of it with its first read.
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            ask(listener, t.client_context(site.ca, shown[bad], version=version))
        until_said(caplog, BAD[bad])
        assert listener.counters().accepted == 0
        with t.TlsPeer(listener, t.client_context(site.ca, site.scanner, version=version)) as good:
            good.associate()


def ask(listener, context) -> None:
    """Ask for an association and look for an answer."""
    with t.TlsPeer(listener, context) as peer:
        peer.send(associate_rq())
        peer.sock.recv(1)


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("kind", ["RSA of 2048 bits", "below a CA in between", "any usage"])
def test_D10_other_good_certificates_are_taken(site, tmp_path, version, kind):
    """An RSA key, a chain with an intermediate CA, no extended key usage: all of them are usual."""
    made = {
        "RSA of 2048 bits": lambda: site.ca.issue("rsa", key=rsa_key(2048)),
        "below a CA in between": lambda: authority(tmp_path, "Radiology CA", site.ca).issue("leaf"),
        "any usage": lambda: site.ca.issue("plain", usage=None),
    }[kind]()
    with (
        listening(MemorySink(), tls=site.tls(mutual=True)) as listener,
        t.TlsPeer(listener, t.client_context(site.ca, made, version=version)) as peer,
    ):
        peer.associate()
        assert peer.store(b"1.2.3", b"x") == 0


def test_D10_a_CA_below_another_can_be_the_only_one_that_is_trusted(site, tmp_path):
    """TLS_CLIENT_CA names radiology's CA: its scanners come in, others of the house's CA above it do not."""
    radiology = authority(tmp_path, "Radiology CA", site.ca)
    files = TlsFiles(certificate=site.edge.certificate, key=site.edge.key, client_ca=radiology.path)
    with listening(MemorySink(), tls=ServerTls(files)) as listener:
        with t.TlsPeer(listener, t.client_context(site.ca, radiology.issue("ct"))) as peer:
            peer.associate()
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            ask(listener, t.client_context(site.ca, site.scanner))


def test_D10_the_certificate_is_given_to_the_rules(site):
    """Who asks is told with fingerprint, common name and names of its certificate; plain and server-only have none."""
    seen = []

    def admit(applicant):
        seen.append((applicant.tls, applicant.certificate))
        return admit_all(applicant)

    with listening(MemorySink(), admit, tls=site.tls(mutual=True)) as listener:
        with t.TlsPeer(listener, t.client_context(site.ca, site.scanner)) as peer:
            peer.associate()
        with Peer(listener) as peer:
            peer.associate()
    with (
        listening(MemorySink(), admit, tls=site.tls()) as listener,
        t.TlsPeer(listener, t.client_context(site.ca, site.scanner)) as peer,
    ):
        peer.associate()
    der = ssl.PEM_cert_to_DER_cert(site.scanner.certificate.read_text())
    fingerprint = hashlib.sha256(der).hexdigest()
    of_scanner = PeerCertificate(sha256=fingerprint, common_name="CT Room 3", dns_names=("ct3.example",))
    assert seen == [(True, of_scanner), (False, None), (True, None)]


# Versions and downgrades


@pytest.mark.parametrize(
    ("version", "alert"),
    [(0x0300, t.HANDSHAKE_FAILURE), (0x0301, t.PROTOCOL_VERSION), (0x0302, t.PROTOCOL_VERSION)],
    ids=["SSL 3.0", "TLS 1.0", "TLS 1.1"],
)
def test_D10_versions_before_TLS_1_2_are_refused(site, version, alert, caplog):
    """SSL 3.0 to TLS 1.1 (RFC 8996): the sender gets an alert, and the log names it."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), tls=site.tls()) as listener:
        with t.bare(listener) as sock:
            sock.sendall(t.hello(version, t.ECDHE_ECDSA_AES128_GCM, 0xC009, 0x002F, 0x000A))
            kind, body = t.record(sock)
            assert (kind, body[1]) == (t.ALERT, alert)
        until_said(caplog, "no TLS newer than 1.1")


def test_D10_SSL_2_is_named(site, caplog):
    """A hello of SSL 2.0 is no TLS at all."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), tls=site.tls()) as listener:
        with t.bare(listener) as sock:
            sock.sendall(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37))
            assert sock.recv(1) != bytes((t.HANDSHAKE,))
        until(lambda: said(caplog) != [], "a line in the log")


def test_D10_a_downgrade_is_refused(site, caplog):
    """A hello that says it fell back (RFC 7507) although the edge can do more: somebody between makes it."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), tls=site.tls()) as listener:
        with t.bare(listener) as sock:
            sock.sendall(t.hello(0x0303, t.ECDHE_ECDSA_AES128_GCM, t.FALLBACK_SCSV))
            kind, body = t.record(sock)
            assert (kind, body[1]) == (t.ALERT, t.INAPPROPRIATE_FALLBACK)
        until_said(caplog, "a downgrade")


def test_D10_TLS_1_2_carries_the_sign_of_a_server_that_can_1_3(site):
    """The server's random ends with DOWNGRD 01 (RFC 8446 4.1.3), by which a 1.3 sender sees that it was downgraded."""
    with listening(MemorySink(), tls=site.tls()) as listener, t.bare(listener) as sock:
        sock.sendall(t.hello(0x0303, t.ECDHE_ECDSA_AES128_GCM))
        kind, body = t.record(sock)
        assert (kind, body[0]) == (t.HANDSHAKE, 2)
        assert body[6 + 24 : 6 + 32] == b"DOWNGRD\x01"


@pytest.mark.parametrize("suite", [0x002F, 0x000A, 0x0005, 0xC009, 0xC023, 0x0000, 0x009E], ids=hex)
def test_D10_no_weak_cipher_is_taken(site, suite):
    """RSA key exchange, 3DES, RC4, CBC, NULL, finite-field DHE: handshake failure (RFC 9325 4.1)."""
    with listening(MemorySink(), tls=site.tls()) as listener, t.bare(listener) as sock:
        sock.sendall(t.hello(0x0303, suite))
        kind, body = t.record(sock)
        assert (kind, body[1]) == (t.ALERT, t.HANDSHAKE_FAILURE)


def test_D10_nothing_is_resumed_by_ticket(site):
    """No session ticket is given, for its key would have to be changed regularly (RFC 9325 3.4)."""
    with listening(MemorySink(), tls=site.tls()) as listener:
        for version in (V12, V13):
            with t.TlsPeer(listener, t.client_context(site.ca, version=version)) as peer:
                peer.associate()
                session = peer.sock.session
                assert session is None or not session.has_ticket


@pytest.mark.parametrize("version", [V12, V13])
def test_D10_nothing_is_resumed_by_session_id(site, version):
    """A sender that offers its last session shakes hands anew, so that its certificate is judged each time."""
    context = t.client_context(site.ca, site.scanner, version=version)
    context.options |= ssl.OP_NO_TICKET
    with listening(MemorySink(), tls=site.tls(mutual=True)) as listener:
        with t.TlsPeer(listener, context) as peer:
            peer.associate()
            session = peer.sock.session
            peer.send(RELEASE_RQ)
            assert peer.read()[0] == 6
        with (
            socket.create_connection(listener.tls_address, timeout=20) as raw,
            context.wrap_socket(raw, session=session) as again,
        ):
            assert not again.session_reused
            again.sendall(associate_rq())
            assert again.recv(1) == b"\x02"


@pytest.mark.parametrize(
    ("version", "associations"),
    [(V12, 250), (V13, 250), pytest.param(V12, 2_000, marks=[pytest.mark.full, pytest.mark.timeout(300)])],
)
def test_D10_TLS_associations_leave_no_memory(site, version, associations):
    """Mutual, ended as they should be, with a sender that takes no tickets: OpenSSL keeps no session of them."""
    context = t.client_context(site.ca, site.scanner, version=version)
    context.options |= ssl.OP_NO_TICKET

    def associate(times: int) -> None:
        for _ in range(times):
            with t.TlsPeer(listener, context) as peer:
                peer.associate()
                peer.send(RELEASE_RQ)
                assert peer.read()[0] == 6
                with contextlib.suppress(OSError):
                    peer.sock.unwrap()

    with listening(MemorySink(), tls=site.tls(mutual=True)) as listener:
        associate(100)
        until(lambda: listener.counters().active == 0, "all are over")
        before = resident_kib(os.getpid())
        associate(associations)
        until(lambda: listener.counters().active == 0, "all are over")
        grown = resident_kib(os.getpid()) - before
    assert grown < 1_500, f"{grown} KiB more after {associations} associations"  # it was 9.5 KiB for each


def test_D10_TLS_1_3_is_not_held_up_by_a_delayed_acknowledgement(site):
    """Its sender's Finished and request are two writes: the second waited some 44 ms for our word of the first."""
    contexts = {v: t.client_context(site.ca, site.scanner, version=v) for v in (V12, V13)}
    took: dict[ssl.TLSVersion, list[float]] = {V12: [], V13: []}
    with listening(MemorySink(), tls=site.tls(mutual=True)) as listener:
        for _ in range(20):
            for version, context in contexts.items():
                began = time.perf_counter()
                with t.TlsPeer(listener, context) as peer:
                    peer.associate()
                    took[version].append(time.perf_counter() - began)
    fastest = {version: min(seconds) for version, seconds in took.items()}
    assert fastest[V13] < 5 * fastest[V12], fastest


# What comes to the wrong port, and what comes to nothing


def test_D10_plain_dicom_on_the_tls_port_is_named_and_aborted(site, caplog):
    """The sender gets an A-ABORT that it understands, the operator reads what to set."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), tls=site.tls()) as listener:
        with Peer(listener) as peer:
            peer.sock.close()
            peer.sock = t.bare(listener)
            peer.send(associate_rq())
            assert peer.aborted() == (0, 0)
        until_said(caplog, "plain DICOM on the TLS port")


def test_D10_tls_on_the_plain_port_is_named(site, caplog):
    """A sender that is set to TLS and knows the plain port only."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), tls=site.tls()) as listener:
        with socket.create_connection(listener.address, timeout=20) as sock:
            sock.sendall(t.hello(0x0303, t.ECDHE_ECDSA_AES128_GCM))
            sock.recv(100)
        until_said(caplog, "TLS hello on the plain port")


def test_D10_other_protocols_on_the_tls_port_are_named(site, caplog):
    """A health check by HTTP, and bytes that nobody knows."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), tls=site.tls()) as listener:
        for raw in (b"GET / HTTP/1.1\r\n\r\n", b"\xa5\xa5\xa5\xa5\xa5\xa5", b"\xc3\xc3\xc3\xc3\xc3\xc3"):
            with t.bare(listener) as sock:
                sock.sendall(raw)
                sock.recv(100)
        until_said(caplog, "HTTP request")
        until_said(caplog, "no TLS on the TLS port")
        until(lambda: refusals(listener)["no TLS on the TLS port"][0] == 2, "both are one cause")
        assert "0xC3" in refusals(listener)["no TLS on the TLS port"][1]


def test_D10_a_sender_that_distrusts_the_edge_is_named(site, tmp_path, caplog):
    """It has another CA, or none: it says so in its alert, and the log repeats it."""
    other = authority(tmp_path, "Other CA")
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), tls=site.tls()) as listener:
        with pytest.raises(ssl.SSLCertVerificationError):
            t.TlsPeer(listener, t.client_context(other))
        until_said(caplog, "unknown ca")


def test_D10_a_probe_of_the_tls_port_is_silent(site, caplog):
    """A connection that closes without a byte is nobody's trouble, as on the plain port."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), tls=site.tls()) as listener:
        t.bare(listener).close()
        until(lambda: listener.counters().ended.get("closed without a word") == 1, "the probe has ended")
    assert said(caplog) == []


@pytest.mark.full
def test_D10_500_stalled_handshakes_keep_nobody_out_and_end_by_the_deadline(site):
    """Hellos that stop in the middle, whole ones, single bytes, silence: a sender is served at once all the while."""
    whole = t.hello(0x0303, t.ECDHE_ECDSA_AES128_GCM)
    sink, held = MemorySink(), []
    with listening(sink, tls=site.tls(), artim_seconds=5.0, max_waiting=600) as listener:
        try:
            for n in range(500):
                held.append(t.bare(listener))
                held[-1].sendall((whole[:1], whole[: len(whole) // 2], whole, b"")[n % 4])
            until(lambda: listener.counters().waiting == 500, "all of them wait")
            with t.TlsPeer(listener, t.client_context(site.ca)) as peer:
                peer.associate()
                assert peer.store(b"1.2.3", b"x") == 0
            with Peer(listener) as plain:
                plain.associate()
                assert plain.store(b"1.2.4", b"x") == 0
            until(lambda: listener.counters().waiting == 0, "all of them are ended", 20)
            assert listener.counters().ended["timed out"] == 500
        finally:
            for sock in held:
                sock.close()
    assert len(sink.kept) == 2


def test_D10_one_stalled_handshake_more_than_may_wait_ends_the_oldest(site):
    """Half a hello counts as waiting: whoever speaks at once is served, whoever has waited longest goes."""
    with listening(MemorySink(), tls=site.tls(), max_waiting=3) as listener:
        held = [t.bare(listener) for _ in range(4)]
        for sock in held:
            sock.sendall(t.hello(0x0303, t.ECDHE_ECDSA_AES128_GCM)[:9])
        assert held[0].recv(1) == b""
        with t.TlsPeer(listener, t.client_context(site.ca)) as peer:
            peer.associate()
        for sock in held:
            sock.close()


def test_D10_a_drip_of_bytes_does_not_extend_the_handshake(site):
    """The deadline is that of the whole: a byte now and then is as good as none."""
    whole = t.hello(0x0303, t.ECDHE_ECDSA_AES128_GCM)
    with listening(MemorySink(), tls=site.tls(), artim_seconds=0.5) as listener, t.bare(listener) as sock:
        sock.settimeout(0.05)
        for at in range(len(whole)):  # 0.05 s a byte: many times the deadline
            try:
                sock.sendall(whole[at : at + 1])
                if sock.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            pytest.fail("the whole hello was waited for")
        until(lambda: listener.counters().ended.get("timed out") == 1, "it timed out")


def test_D10_handshakes_end_at_once_when_the_edge_stops(site):
    """A shutdown does not wait for the ARTIM of connections that never were associations."""
    with listening(MemorySink(), tls=site.tls(), artim_seconds=600) as listener:
        held = [t.bare(listener) for _ in range(8)]
        for sock in held[:4]:
            sock.sendall(t.hello(0x0303, t.ECDHE_ECDSA_AES128_GCM)[:20])
        until(lambda: listener.counters().waiting == 8, "all wait")
        assert listener.drain(10)
        assert listener.counters().ended["shut down"] == 8
        for sock in held:
            sock.close()


# Bytes


def test_D10_bytes_that_TLS_holds_back_are_seen(site):
    """What is deciphered but not read yet wakes no selector, and is answered all the same."""
    echo = p_data(pdv(3, 3, echo_rq()))
    # One record, of which the reader's first buffer of 4,096 bytes takes the request and some echoes, to the byte.
    spare = (4096 - len(associate_rq()) - 4) % len(echo)
    request = associate_rq(user=user_information(extra=item(0x7F, bytes(spare))))
    assert (4096 - len(request)) % len(echo) == 0
    with listening(MemorySink(), tls=site.tls()) as listener, t.TlsPeer(listener, t.client_context(site.ca)) as peer:
        peer.send(request + echo * 100)
        assert peer.read()[0] == 2
        assert [peer.status() for _ in range(100)] == [0] * 100


def test_D10_I1_a_forged_record_is_never_data(site, caplog):
    """One bit changed on the way: bad record MAC, the association ends (B.12), nothing of it was kept."""
    sink = MemorySink()
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(sink, tls=site.tls()) as listener:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = t.client_context(site.ca, version=V12).wrap_bio(incoming, outgoing)
        with t.bare(listener) as sock:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))
            tls.write(associate_rq())
            sock.sendall(outgoing.read())
            assert t.record(sock)[0] == t.APPLICATION_DATA
            tls.write(p_data(pdv(1, 3, store_rq()), pdv(1, 0, b"first part")))
            sock.sendall(outgoing.read())
            tls.write(p_data(pdv(1, 2, b"second part")))
            forged = bytearray(outgoing.read())
            forged[-20] ^= 1
            sock.sendall(forged)
            kinds = []
            while (kind := t.record(sock)[0]) != 0:
                kinds.append(kind)
            assert t.ALERT in kinds
            assert t.APPLICATION_DATA not in kinds, "nothing was answered"
        until_said(caplog, "the TLS connection is broken")
    assert sink.kept == []
    assert sink.discarded == 1


@pytest.mark.parametrize("version", [V12, V13])
def test_D10_a_sender_that_breaks_off_by_an_alert_is_told_as_that(site, version, caplog):
    """It could not read our answer, and says so: its alert is no sign that bytes to us were changed."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), tls=site.tls()) as listener:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = t.client_context(site.ca, version=version).wrap_bio(incoming, outgoing)
        with t.bare(listener) as sock:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))
            tls.write(associate_rq())
            sock.sendall(outgoing.read())
            answer = bytearray(sock.recv(65536))
            answer[-1] ^= 1
            incoming.write(answer)
            with pytest.raises(ssl.SSLError, match=r"(?i)bad record mac"):
                tls.read(100)
            sock.sendall(outgoing.read())
            until_said(caplog, "the sender broke the TLS connection off by an alert (")
    assert not any("what changes the bytes" in r.__dict__.get("fields", {}).get("hint", "") for r in caplog.records)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (
            "SSLV3_ALERT_BAD_RECORD_MAC",
            "the sender broke the TLS connection off by an alert (sslv3 alert bad record mac)",
        ),
        ("APPLICATION_DATA_AFTER_CLOSE_NOTIFY", "the sender sent data after it had closed the TLS connection"),
        ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "the TLS connection is broken (decryption failed or bad record mac)"),
    ],
)
def test_D10_only_a_failed_integrity_check_is_told_as_changed_bytes(reason, text):
    """What ends the records of a connection, by OpenSSL's reason."""
    error = ssl.SSLError(1, "")
    error.reason = reason
    fault = broken_off(error)
    assert str(fault) == text
    assert ("what changes the bytes" in fault.hint) == ("DECRYPTION" in reason)


def test_D10_I1_a_cut_in_the_middle_never_lets_cipher_text_through(site, caplog):
    """A drain that runs out of time cuts while records wait in the kernel: nothing undeciphered becomes data."""
    sink = MemorySink()
    with listening(sink, tls=site.tls()) as listener, t.TlsPeer(listener, t.client_context(site.ca)) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, 3, store_rq()), pdv(1, 0, b"a" * 1000)))
        sink.wait(lambda s: s.written >= 1000)

        def pour() -> None:
            try:
                while True:
                    peer.send(p_data(pdv(1, 0, b"a" * 16000)))
            except OSError:
                return

        pouring = threading.Thread(target=pour)
        pouring.start()
        sink.wait(lambda s: s.written >= 1_000_000)
        assert not listener.drain(0.05)
        with contextlib.suppress(OSError):  # the kernel may let the sender wait at a closed window, or it is gone
            socket.socket.shutdown(peer.sock, socket.SHUT_RDWR)
        pouring.join()
    assert sink.kept == []
    assert sink.discarded == 1
    assert not any("not a DICOM PDU" in line for line in said(caplog))


def test_D10_the_end_is_said_in_TLS_too(site):
    """After the release the sender gets a close_notify, not only the end of the connection, which anyone can forge."""
    with listening(MemorySink(), tls=site.tls()) as listener:
        context = t.client_context(site.ca)
        with socket.create_connection(listener.tls_address, timeout=20) as raw:
            sock = context.wrap_socket(raw, suppress_ragged_eofs=False)
            sock.sendall(associate_rq())
            assert sock.recv(1) == b"\x02"
            while sock.pending():
                sock.recv(1000)
            sock.sendall(RELEASE_RQ)
            assert sock.recv(100)[0] == 6
            assert sock.recv(1) == b"", "an end without close_notify would raise"
            sock.close()


# New certificates


def test_D10_a_new_certificate_is_taken_without_a_restart(site, tmp_path, caplog):
    """An association that is open goes on; the next one is shown the new certificate."""
    files = TlsFiles(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    install(site.edge, files)
    sink = MemorySink()
    context = t.client_context(site.ca)
    with (
        caplog.at_level(logging.INFO, "dicom-edge"),
        listening(sink, tls=ServerTls(files)) as listener,
        t.TlsPeer(listener, context) as old,
    ):
        old.associate()
        first = old.sock.getpeercert()["serialNumber"]
        install(site.ca.issue("edge-2", usage=SERVER), files)
        with t.TlsPeer(listener, context) as new:
            new.associate()
            assert new.sock.getpeercert()["serialNumber"] != first
            assert new.store(b"1.2.4", b"new") == 0
        assert old.store(b"1.2.3", b"old") == 0
        assert listener.troubles() == []
    assert sink.data() == {"1.2.3": b"old", "1.2.4": b"new"}
    assert [r.event for r in caplog.records].count("tls.certificate-loaded") == 1


@pytest.mark.parametrize("broken", ["half a file", "another key", "gone", "readable by all"])
def test_D10_a_broken_new_certificate_leaves_the_old_in_use(site, tmp_path, broken, caplog):
    """It is said in log and status once, senders notice nothing, and good files are taken as soon as they are there."""
    files = TlsFiles(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    install(site.edge, files)
    context = t.client_context(site.ca)
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), tls=ServerTls(files)) as listener:
        match broken:
            case "half a file":
                files.certificate.write_bytes(site.edge.certificate.read_bytes()[:300])
            case "another key":
                shutil.copy(site.scanner.key, files.key)
            case "gone":
                files.certificate.unlink()
            case _:
                files.key.chmod(0o644)
        for _ in range(3):
            with t.TlsPeer(listener, context) as peer:
                peer.associate()
        kept = [r for r in caplog.records if r.event == "tls.certificate-kept"]
        assert len(kept) == 1
        (trouble,) = listener.troubles()
        assert "the old certificate stays in use" in trouble.text
        assert "check-config" in trouble.hint
        install(site.ca.issue("edge-3", usage=SERVER), files)
        with t.TlsPeer(listener, context) as peer:
            peer.associate()
        assert listener.troubles() == []


def install(made, files) -> None:
    """Put a certificate and its key in place, as an operator or certbot would."""
    for source, target in ((made.certificate, files.certificate), (made.key, files.key)):
        part = target.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_bytes(source.read_bytes())
        part.replace(target)


def test_D10_the_plain_port_can_be_closed(site):
    """TLS_ONLY: one port, and it speaks TLS."""
    with listening(MemorySink(), tls=site.tls(), tls_only=True) as listener:
        assert listener.plain_address is None
        assert listener.address == listener.tls_address
        with t.TlsPeer(listener, t.client_context(site.ca)) as peer:
            peer.associate()


def test_D10_without_a_certificate_there_is_no_tls_port():
    """As shipped the plain port is the only one."""
    with listening(MemorySink()) as listener:
        assert listener.tls_address is None
        assert listener.troubles() == []
