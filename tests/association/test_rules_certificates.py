"""Titles by rules that name a certificate, through mutual TLS: the other 64 cells of reliability row 20."""

import hashlib
import ssl

import pytest

from tests.association import tls_wire as t
from tests.association.memory_sink import MemorySink
from tests.association.test_rules import CALLED, CALLING, TITLES, book, titled
from tests.association.wire import Peer, listening

pytestmark = pytest.mark.door("socket")

BOXES = {
    "open, no rule": ("", True),
    "its fingerprint": ('[CT03]\nfingerprint = "{fingerprint}"', False),
    "another's fingerprint": ('[CT03]\nfingerprint = "{other}"', False),
    "its DNS name, and an address": ('[CT03]\nsan = "ct3.EXAMPLE"\naddress = "::ffff:127.0.0.0/104"', False),
    "its name, from elsewhere": ('[CT03]\ncn = "CT Room 3"\naddress = "10.0.0.0/8"', False),
    "its name in another case": ('["CT*"]\ncn = "ct room 3"', False),
    "a wildcard, and its name": ('["CT*"]\ncn = "CT Room 3"', False),
    "its name, another called title": ('[CT03]\ncn = "CT Room 3"\ncalled = "OTHER"', False),
}
# A: accepted, 3: calling AE title not recognised, 7: called AE title not recognised (PS3.8 Table 9-21).
CELLS = {
    "as listed": "A A 3 A 3 3 A 7",
    "leading spaces": "A A 3 A 3 3 A 7",
    "trailing spaces": "A A 3 A 3 3 A 7",
    "padded with NUL": "A A 3 A 3 3 A 7",
    "another case": "A 3 3 3 3 3 3 3",
    "17 bytes": "A 3 3 3 3 3 A 3",
    "NUL inside": "A 3 3 3 3 3 A 3",
    "path characters": "A 3 3 3 3 3 3 3",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A CA, an edge and a scanner."""
    return t.Site(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("box", BOXES)
def test_fault_22_D10_the_64_cells_of_titles_and_certificates(tmp_path, site, box):
    """Each title with the scanner's certificate; and the same title without TLS gets in where nothing asks for it."""
    text, promiscuous = BOXES[box]
    column = list(BOXES).index(box)
    pem = site.scanner.certificate.read_text()
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    rules = book(tmp_path, text.format(fingerprint=fingerprint, other="cd" * 32), promiscuous=promiscuous)
    with listening(MemorySink(), rules, tls=site.tls(mutual=True)) as listener:
        for name, title in TITLES.items():
            with t.TlsPeer(listener, t.client_context(site.ca, site.scanner)) as peer:
                peer.send(titled(title))
                answer = peer.read()
                if answer[0] == 2:
                    assert peer.store(b"1.2.3", b"x") == 0
            got = {CALLING: "3", CALLED: "7"}.get(answer, "A" if answer[0] == 2 else str(answer))
            assert got == CELLS[name].split()[column], name
            with Peer(listener) as peer:
                peer.send(titled(title))
                assert (peer.read()[0] == 2) == promiscuous, f"{name}, plain"
