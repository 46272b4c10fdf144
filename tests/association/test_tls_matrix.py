"""Version by cipher suite by certificate: each cell is one handshake with the mutual port (reliability row 19)."""

import socket
import ssl
import subprocess
import warnings

import pytest

from tests.association import tls_wire as t
from tests.association.memory_sink import MemorySink
from tests.association.tls_senders import BAD, bad_senders
from tests.association.wire import RELEASE_RQ, associate_rq, listening
from tests.parts import program
from tests.waiting import until

pytestmark = pytest.mark.door("socket")

TOO_OLD, NO_CIPHER = "no TLS newer than 1.1", "no cipher in common"
#: What every cell of a row comes to; None: the certificate decides.
ROWS: dict[tuple[str, str], str | None] = {
    ("TLSv1", "ECDHE-ECDSA-AES128-SHA"): TOO_OLD,
    ("TLSv1_1", "ECDHE-ECDSA-AES128-SHA"): TOO_OLD,
    ("TLSv1_2", "ECDHE-ECDSA-AES128-GCM-SHA256"): None,
    ("TLSv1_2", "ECDHE-ECDSA-AES256-GCM-SHA384"): None,
    ("TLSv1_2", "ECDHE-ECDSA-CHACHA20-POLY1305"): None,
    ("TLSv1_2", "ECDHE-ECDSA-AES128-SHA256"): NO_CIPHER,  # CBC
    ("TLSv1_2", "ECDHE-ECDSA-AES128-CCM8"): NO_CIPHER,
    ("TLSv1_2", "ECDHE-ECDSA-NULL-SHA"): NO_CIPHER,
    ("TLSv1_2", "AECDH-AES128-SHA"): NO_CIPHER,  # nobody proves who he is
    ("TLSv1_2", "AES128-GCM-SHA256"): NO_CIPHER,  # RSA key exchange
    ("TLSv1_3", "TLS_AES_128_GCM_SHA256"): None,
    ("TLSv1_3", "TLS_AES_256_GCM_SHA384"): None,
    ("TLSv1_3", "TLS_CHACHA20_POLY1305_SHA256"): None,
    ("TLSv1_3", "TLS_AES_128_CCM_SHA256"): NO_CIPHER,
    ("TLSv1_3", "TLS_AES_128_CCM_8_SHA256"): NO_CIPHER,
}
CERTIFICATES = ("good", *BAD)
SENT = associate_rq() + RELEASE_RQ


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A CA, an edge and a scanner."""
    return t.Site(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def shown(site):
    """What senders show."""
    return {"good": site.scanner, **bad_senders(site)}


def _by_python(listener, site, files, version, suite, source) -> bytes:
    """Handshake, ask, and return what is answered; nothing if that does not come about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that the old versions are old is the point
        context = t.client_context(site.ca, files, version=ssl.TLSVersion[version])
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    try:
        with (
            socket.create_connection(listener.tls_address, 20, (source, 0)) as sock,
            context.wrap_socket(sock) as peer,
        ):
            assert peer.cipher()[0] == suite
            peer.sendall(SENT)
            return peer.recv(1)
    except OSError:
        return b""


def _by_openssl(listener, site, files, suite, source) -> bytes:
    """The same with TLS 1.3, whose suites Python's module cannot choose."""
    host, port = listener.tls_address
    who = ["-cert", files.certificate, "-key", files.key, "-cert_chain", files.certificate] if files else []
    done = subprocess.run(
        [
            program("openssl"), "s_client", "-quiet", "-tls1_3", "-ciphersuites", suite, "-cipher", "ALL:@SECLEVEL=0",
            "-CAfile", site.ca.path, "-connect", f"{host}:{port}", "-bind", f"{source}:0", *who,
        ],
        input=SENT, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize(("version", "suite"), ROWS, ids=[" ".join(row) for row in ROWS])
def test_D10_a_handshake_comes_about_where_version_suite_and_certificate_are_good(site, shown, version, suite):
    """Let in, or refused with the first of them that is bad named for that peer; the good one is let in afterwards."""
    sink = MemorySink()
    with listening(sink, tls=site.tls(mutual=True)) as listener:

        def told(peer: str) -> list[str]:
            return [r.text for r in listener.counters().refusals if r.peer == peer]

        accepted = 0
        for number, name in enumerate(CERTIFICATES):
            source = f"127.0.2.{number + 1}"
            if version == "TLSv1_3":
                answer = _by_openssl(listener, site, shown[name], suite, source)
            else:
                answer = _by_python(listener, site, shown[name], version, suite, source)
            expected = ROWS[version, suite] or BAD.get(name)
            accepted += expected is None
            assert answer[:1] == (b"\x02" if expected is None else b""), name
            if expected is not None:
                until(lambda: told(source), f"{name} is told")  # noqa: B023  called before the next turn
                (text,) = told(source)
                assert expected in text, name
        until(lambda: listener.counters().ended.get("released", 0) == accepted, "all that were let in have ended")
        assert listener.counters().accepted == accepted


def test_D10_the_matrix_has_its_cells():
    """A hundred and twenty at least, and each verdict among them."""
    cells = [(row, name) for row in ROWS for name in CERTIFICATES]
    assert len(cells) >= 120
    assert set(ROWS.values()) == {None, TOO_OLD, NO_CIPHER}
