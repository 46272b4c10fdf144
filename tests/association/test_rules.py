"""Rules per AE: who gets in from where, for what and how much, as a table and on the wire (reliability row 20)."""

import contextlib
import hashlib
import ssl
import struct
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.association.admission import Applicant, PeerCertificate, Rejection
from edge.association.rulebook import Rulebook
from edge.association.rules import END_LINE, Rule, judge, suggestion, title_fits
from edge.association.rules_file import _KEYS, RulesFault, read_rules
from edge.association.terms import Terms, Usage
from tests.association import tls_wire
from tests.association.memory_sink import MemorySink, full
from tests.association.test_limits import TOO_MANY
from tests.association.test_negotiation import results
from tests.association.wire import (
    CT,
    EXPLICIT,
    IMPLICIT,
    RELEASE_RQ,
    VERIFICATION,
    Peer,
    associate_rq,
    context,
    echo_rq,
    listening,
    p_data,
    pdv,
    store_rq,
)
from tests.waiting import until

CALLING, CALLED = (3, bytes((0, 1, 1, 3))), (3, bytes((0, 1, 1, 7)))
JPEG_LS = "1.2.840.10008.1.2.4.80"


def whole(text: str) -> str:
    """A file of rules with the line at its end that says so."""
    return f"{text}\n{END_LINE}\n"


def book(tmp_path, text: str, *, promiscuous: bool = False, **more) -> Rulebook:
    """A rulebook over a file of this text."""
    path = tmp_path / "rules.toml"
    path.write_text(whole(text), encoding="utf-8")
    return Rulebook(path, promiscuous=promiscuous, **more)


def applicant(calling: str = "CT03", address: str = "10.1.2.3", called: str = "EDGE_AE", **more) -> Applicant:
    return Applicant(calling=calling, called=called, address=address, **more)


def verdict(text: str, one: Applicant, *, promiscuous: bool = False) -> object:
    """The name of the rule that lets the peer in, or result, source and reason."""
    found = judge(read_rules(text), one, promiscuous=promiscuous)
    return found.name if isinstance(found, Rule) else (found.result, found.source, found.reason)


# The 64 cells of reliability row 20: what stands on the wire against what the file says.

TITLES = {
    "as listed": b"CT03",
    "leading spaces": b"   CT03",
    "trailing spaces": b"CT03".ljust(16),
    "padded with NUL": b"CT03".ljust(16, b"\0"),
    "another case": b"ct03",
    "17 bytes": b"CT03-AND-MUCH-MOR",
    "NUL inside": b"CT03\0X",
    "path characters": b"../../CT03",
}


def titled(title: bytes) -> bytes:
    """A request under this calling title; what is too long runs into the reserved bytes."""
    request = bytearray(associate_rq(calling=title[:16]))
    request[42 : 42 + len(title[16:])] = title[16:]
    return bytes(request)


BOXES = {
    "open, no rule": ("", True),
    "title": ("[CT03]", False),
    "title and network": ('[CT03]\naddress = "127.0.0.0/8"', False),
    "title, another network": ('[CT03]\naddress = "10.0.0.0/8"', False),
    "wildcard": ('["CT*"]', False),
    "another called title": ('[CT03]\ncalled = "OTHER"', False),
    "TLS asked for": ("[CT03]\ntls = true", False),
    "open, but listed from elsewhere": ('[CT03]\naddress = ["10.0.0.0/8", "::1"]', True),
}
# A: accepted, 3: calling AE title not recognised, 7: called AE title not recognised (PS3.8 Table 9-21).
CELLS = {
    "as listed": "A A A 3 A 7 3 3",
    "leading spaces": "A A A 3 A 7 3 3",
    "trailing spaces": "A A A 3 A 7 3 3",
    "padded with NUL": "A A A 3 A 7 3 3",
    "another case": "A 3 3 3 3 3 3 A",
    "17 bytes": "A 3 3 3 A 3 3 A",
    "NUL inside": "A 3 3 3 A 3 3 A",
    "path characters": "A 3 3 3 3 3 3 A",
}


@pytest.mark.door("socket")
@pytest.mark.parametrize("box", BOXES)
def test_fault_22_D10_the_64_cells_of_titles_and_rules(tmp_path, box):
    """Each title, as it stands on the wire, against each box: let in, or rejected with the right reason."""
    text, promiscuous = BOXES[box]
    column = list(BOXES).index(box)
    with listening(MemorySink(), book(tmp_path, text, promiscuous=promiscuous)) as listener:
        for name, title in TITLES.items():
            with Peer(listener) as peer:
                peer.send(titled(title))
                answer = peer.read()
                if answer[0] == 2:
                    assert peer.store(b"1.2.3", b"x") == 0
                got = {CALLING: "3", CALLED: "7"}.get(answer, "A" if answer[0] == 2 else str(answer))
            assert got == CELLS[name].split()[column], name


@pytest.mark.parametrize(
    ("address", "from_", "fits"),
    [
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.30", False),
        ("10.1.2.0/24", "10.1.2.255", True),
        ("10.1.2.0/24", "10.1.3.0", False),
        ("0.0.0.0/0", "192.0.2.9", True),
        ("0.0.0.0/0", "2001:db8::9", False),
        ("2001:db8::/32", "2001:db8:1::9", True),
        ("2001:db8::/32", "2001:db9::9", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("fe80::1%eth0", "fe80::2%eth0", False),
        ("10.1.2.3", "no address", False),
    ],
)
def test_fault_22_addresses_and_networks(address, from_, fits):
    """IPv4 and IPv6, single and as networks; a zone is no part of an address, and rubbish fits nothing."""
    expected = "CT03" if fits else (1, 1, 3)
    assert verdict(f'[CT03]\naddress = "{address}"', applicant(address=from_)) == expected


@pytest.mark.parametrize(
    ("pattern", "title", "fits"),
    [
        ("CT*", "CT", True),
        ("CT*", "CT03", True),
        ("CT*", "XCT03", False),
        ("CT?3", "CT03", True),
        ("CT?3", "CT3", False),
        ("*", "", True),
        ("", "", True),
        ("", "A", False),
        ("CT.3", "CT03", False),
        ("CT\\*", "CT*", True),
        ("CT\\*", "CT03", False),
        ("[CT]", "C", False),
        (" CT03 ", "CT03", True),
        ("CT03", " CT03", True),
        ("CT03", "CT 03", False),
        ("CT*3", "CT\n3", True),
        ("*a*a*a*a*a*a*a*b", "a" * 16, False),
    ],
)
def test_fault_22_patterns_of_titles(pattern, title, fits):
    """Star, question mark and backslash mean something, nothing else does; spaces around do not count."""
    assert title_fits(pattern, title) is fits


CERTIFICATE = PeerCertificate(sha256="ab" * 32, common_name="CT 3", dns_names=("ct3.example.org",))
SHOWS = {"tls": True, "certificate": CERTIFICATE}


@pytest.mark.parametrize(
    ("key", "peer", "fits"),
    [
        (f'fingerprint = "SHA256:{":".join(["AB"] * 32)}"', SHOWS, True),
        (f'fingerprint = "{"cd" * 32}"', SHOWS, False),
        ('san = ["other", "CT3.example.org"]', SHOWS, True),
        ('san = "ct4.example.org"', SHOWS, False),
        ('cn = "CT 3"', SHOWS, True),
        ('cn = "ct 3"', SHOWS, False),
        ('cn = "CT 3"', {"tls": True}, False),
        ('cn = "CT 3"', {}, False),
        ("tls = true", {"tls": True}, True),
        ("tls = true", {}, False),
        (f'cn = "CT 3"\nfingerprint = "{"cd" * 32}"', SHOWS, False),
    ],
)
def test_fault_22_a_title_is_bound_to_its_certificate(key, peer, fits):
    """Fingerprint, SAN and CN: all that a rule names must fit; a peer without a certificate is never that AE."""
    assert verdict(f"[CT03]\n{key}", applicant(**peer)) == ("CT03" if fits else (1, 1, 3))


def test_fault_22_the_first_rule_that_fits_holds_and_the_nearest_says_why():
    """Two tables for one title: each from its own place; from a third place the hint names what would help."""
    text = (
        '[front]\ncalling = "CT03"\naddress = "10.1.0.0/16"\nassociations = 3\n'
        '[back]\ncalling = ["CT03", "CT04"]\naddress = "10.2.0.0/16"\ncalled = "EDGE*"\n["CT*"]\ncalled = "LAST"'
    )
    assert verdict(text, applicant(address="10.1.9.9")) == "front"
    assert verdict(text, applicant(address="10.2.9.9")) == "back"
    assert verdict(text, applicant(address="10.2.9.9", called="LAST")) == "CT*"
    found = judge(read_rules(text), applicant(address="10.2.9.9", called="OTHER"), promiscuous=True)
    assert isinstance(found, Rejection)
    assert (found.reason, found.hint) == (7, 'set the sender\'s called title, or add "OTHER" to called in [back]')


titles = st.text(st.characters(max_codepoint=255), max_size=16).map(lambda t: t.strip(" \0"))


@given(title=titles, other=titles, v6=st.booleans())
def test_fault_22_the_suggested_lines_let_in_that_peer_and_nobody_else(title, other, v6):
    """Whatever the title, the lines of the hint are good TOML, one table, and name exactly this title and address."""
    peer = applicant(title, address="2001:db8::7" if v6 else "10.1.2.3")
    lines = suggestion((), peer)
    rules = read_rules(lines)
    assert isinstance(judge(rules, peer, promiscuous=False), Rule)
    assert isinstance(judge(rules, applicant(title, address="10.1.2.4"), promiscuous=False), Rejection)
    if other != title:
        assert isinstance(judge(rules, applicant(other, peer.address), promiscuous=False), Rejection)
    assert lines.isascii()
    assert all(line.isprintable() for line in lines.splitlines())


def test_fault_22_a_suggestion_can_be_added_to_the_file_as_it_is():
    """A name that a table has already gets another one."""
    text = '[CT03]\ncalling = "OTHER"\n'
    rules = read_rules(text)
    added = text + suggestion(rules, applicant()) + "\n"
    assert verdict(added, applicant()) == "CT03-2"


def test_fault_22_every_fault_of_the_file_is_told_at_once_with_its_line():
    """Nine faults, nine lines, each with the line of the file, the table and the key."""
    text = """x = 1
[CT03]
address = ["10.1.2.0/24",
  "10.1.2.3/24"]
services = ["ecko"]
["MR ROOM 1 LONG LONG"]
[B]
calling = "A\\u0007B"
colour = 1
instances_per_day = -1
"fingerprint" = "zz"
tls = "yes"
"""
    with pytest.raises(RulesFault) as caught:
        read_rules(text, "rules.toml")
    told = [fault.split(" ", 4)[:4] for fault in caught.value.faults]
    assert [f"{t[1]} {t[2]}" for t in told] == [f"line {n}" for n in (1, 3, 5, 6, 8, 9, 10, 11, 12)]
    assert '["MR ROOM 1 LONG LONG"] calling' in caught.value.faults[3]
    for fault in caught.value.faults:
        assert fault in str(caught.value)


@pytest.mark.parametrize(
    "text", ["[CT03\n", "[CT03]\n[CT03]\n", "a = " + "[" * 5000, 'a = "\x00"', "[a.b]\n", "[[a]]\n"]
)
def test_fault_22_what_is_no_file_of_rules_is_a_fault(text):
    """TOML that is none, tables twice, nested too deep or in another shape: told, never a traceback."""
    with pytest.raises(RulesFault):
        read_rules(text)


@given(
    st.dictionaries(
        st.sampled_from([
            "calling", "called", "address", "tls", "fingerprint", "san", "cn", "services", "transfer_syntaxes",
            "associations", "instances_per_second", "megabytes_per_second", "instances_per_day", "gigabytes_per_day",
        ]),
        st.sampled_from([
            '"x"', "1", "-1", "0", "0.5", "inf", "nan", "true", "[]", "[1]", '["x", "*"]', "{}", "1979-05-27", '""',
        ]),
    )
)  # fmt: skip
def test_fault_22_any_value_in_any_key_is_read_or_told(table):
    """No value of any type raises anything but the list of faults."""
    text = "[CT03]\n" + "\n".join(f"{k} = {v}" for k, v in table.items())
    try:
        rules, faults = read_rules(text), ()
    except RulesFault as e:
        rules, faults = (), e.faults
    assert all("[CT03]" in fault for fault in faults)
    judge(rules, applicant(), promiscuous=False)


# The file in use


def test_fault_22_a_changed_file_holds_from_the_next_peer_on_and_a_broken_one_changes_nothing(tmp_path, caplog):
    """Allowed, removed, allowed again; a broken file keeps the rules before, and says so once."""
    rulebook = book(tmp_path, "[CT03]")
    path = tmp_path / "rules.toml"
    assert isinstance(rulebook(applicant()), Terms)
    path.write_text(whole("[CT04]"))
    assert isinstance(rulebook(applicant()), Rejection)
    path.write_text(whole("[CT03]\n[CT05"))
    with caplog.at_level("INFO", "dicom-edge"):
        for _ in range(10):
            assert isinstance(rulebook(applicant()), Rejection)
            assert isinstance(rulebook(applicant("CT04")), Terms)
    assert [r.event for r in caplog.records] == ["rules.kept"]
    assert rulebook.broken is not None
    assert "line 2" in rulebook.broken.text
    path.unlink()
    assert isinstance(rulebook(applicant("CT04")), Terms)
    path.write_text(whole("[CT03]"))
    assert isinstance(rulebook(applicant()), Terms)
    assert rulebook.broken is None


def test_fault_22_a_box_that_starts_with_a_broken_file_has_the_rules_that_were_good_last(tmp_path):
    """After a bad edit and a power cut the box neither opens nor stays down; with no good rules it does not start."""
    kept = tmp_path / "kept.toml"
    with pytest.raises(RulesFault):
        book(tmp_path, "[CT03", last_good=kept)
    book(tmp_path, "[CT03]", last_good=kept)
    again = book(tmp_path, "[CT03", last_good=kept)
    assert again.broken is not None
    assert isinstance(again(applicant()), Terms)
    assert isinstance(again(applicant("CT04")), Rejection)


def test_fault_22_the_readmes_example_is_a_file_of_rules():
    """What a person copies from there works, and its keys are all that there are."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    section = text[text.index("### Rules per AE") : text.index("### Backup")]
    example = section[section.index("    [CT03]") : section.index("Further keys")]
    rules = read_rules(textwrap.dedent(example))
    assert [rule.name for rule in rules] == ["CT03", "MR*", "research-pacs"]
    assert all(key in section for key in _KEYS)


@pytest.mark.door("socket")
def test_fault_22_D10_a_certificate_of_another_device_is_not_that_AE(tmp_path):
    """Both show certificates of our CA; only the one of the rule is CT03, and nobody is without TLS."""
    site = tls_wire.Site(tmp_path / "ca")
    other = site.ca.issue("other", common_name="MR Room 1", dns=("mr1.example",))
    rules = book(tmp_path, '[CT03]\nsan = "ct3.example"\ncn = "CT Room 3"')
    with listening(MemorySink(), rules, tls=site.tls(mutual=True)) as listener:
        with tls_wire.TlsPeer(listener, tls_wire.client_context(site.ca, site.scanner)) as peer:
            peer.associate(calling=b"CT03")
            assert peer.store(b"1.2.3", b"x") == 0
        with tls_wire.TlsPeer(listener, tls_wire.client_context(site.ca, other)) as peer:
            peer.send(associate_rq(calling=b"CT03"))
            assert peer.read() == CALLING
        with Peer(listener) as peer:
            peer.send(associate_rq(calling=b"CT03"))
            assert peer.read() == CALLING
        plain, wrong = (r for r in reversed(listener.counters().refusals))
    assert plain.text == "calling title 'CT03' must come through TLS"
    assert wrong.text == "the certificate is not that of calling title 'CT03'"
    assert f'fingerprint = "{hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem(other))).hexdigest()}"' in wrong.hint


def pem(files) -> str:
    """The first certificate of a file."""
    text = files.certificate.read_text()
    return text[: text.index("-----END CERTIFICATE-----") + 26]


# Services, syntaxes


@pytest.mark.door("socket")
def test_fault_22_a_service_that_is_not_granted_is_refused_context_by_context(tmp_path):
    """Granted store, echo or none: user rejection of the context; C-ECHO in a storage context is not authorised."""
    text = '[A]\nservices = ["store"]\n[B]\nservices = ["echo"]\n[C]\nservices = []\n'
    both = context(1, CT, EXPLICIT) + context(3, VERIFICATION, IMPLICIT)
    with listening(MemorySink(), book(tmp_path, text)) as listener:
        for calling, expected in ((b"A", {1: 0, 3: 1}), (b"B", {1: 1, 3: 0}), (b"C", {1: 1, 3: 1})):
            with Peer(listener) as peer:
                body = peer.associate(both, calling=calling)
                assert {k: r for k, (r, _) in results(body).items()} == expected
                if calling == b"A":
                    peer.send(p_data(pdv(1, 3, echo_rq())))
                    assert peer.status() == 0x0124
                    assert peer.store(b"1.2.3", b"x") == 0
                if calling == b"B":
                    peer.send(p_data(pdv(3, 3, store_rq()), pdv(3, 2, b"x")))
                    assert peer.status() == 0x0124
                    peer.send(p_data(pdv(3, 3, echo_rq())))
                    assert peer.status() == 0


@pytest.mark.door("socket")
def test_fault_22_the_first_syntax_that_the_rule_names_is_taken(tmp_path):
    """Only JPEG-LS proposed: refused (4); JPEG-LS and explicit: explicit; Verification is not concerned."""
    proposed = (
        context(1, CT, JPEG_LS)
        + context(3, CT, JPEG_LS, EXPLICIT, IMPLICIT)
        + context(5, VERIFICATION, "1.2.840.10008.1.2")
    )
    with (
        listening(MemorySink(), book(tmp_path, f'[CT03]\ntransfer_syntaxes = "{EXPLICIT}"')) as listener,
        Peer(listener) as peer,
    ):
        got = results(peer.associate(proposed, calling=b"CT03"))
        assert {k: r for k, (r, _) in got.items()} == {1: 4, 3: 0, 5: 0}
        assert got[3][1] == EXPLICIT
        (refusal,) = listener.counters().refusals
    assert "only JPEG-LS Lossless Image Compression proposed" in refusal.text
    assert "CT Image Storage" in refusal.text


# Limits


class Clock:
    """Two clocks that stand until they are moved."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.date = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)

    def terms(self, usage: Usage | None = None, **limits) -> Terms:
        rule = Rule(name="CT03", **limits)
        return Terms(rule, usage=usage, now=lambda: self.date, monotonic=lambda: self.seconds)


def test_D10_a_rate_spaces_out_and_remembers_one_second():
    """Ten a second: the first second's worth at once, then a tenth each; bytes and instances each have their rate."""
    clock = Clock()
    terms = clock.terms(instances_per_second=10)
    waits = [terms.pace(1000, 1) for _ in range(20)]
    assert waits[:10] == [0.0] * 10
    assert waits[10:] == pytest.approx([n / 10 for n in range(1, 11)])
    clock.seconds += 1000
    assert terms.pace(1000, 1) == 0.0
    assert clock.terms(bytes_per_second=1e6).pace(3_000_000, 0) == pytest.approx(2.0)
    assert clock.terms().pace(1 << 40, 1000) == 0.0


def test_D10_a_quota_counts_what_was_stored_and_ends_at_midnight_UTC():
    """A refused instance is given back; the day after is a new one; a clock set back is none."""
    clock = Clock()
    terms = clock.terms(instances_per_day=2)
    assert terms.begin()
    terms.end(stored=False, size=10)
    assert terms.begin()
    assert terms.begin()
    assert not terms.begin(), "what is under way counts"
    terms.end(stored=True, size=10)
    terms.end(stored=True, size=10)
    assert terms.is_used_up
    assert terms.usage() == Usage(day=clock.date.date(), instances=2, received_bytes=20)
    clock.date -= timedelta(days=1)
    assert terms.is_used_up
    clock.date += timedelta(days=2)
    assert not terms.is_used_up
    assert terms.begin()
    yesterdays = clock.terms(Usage(day=clock.date.date(), instances=5), instances_per_day=5)
    assert yesterdays.is_used_up, "a restart gives no second quota"


@pytest.mark.door("socket")
def test_D10_a_rate_refuses_nothing(tmp_path):
    """Two dozen instances at ten a second from two associations of one AE: all Success, and no faster than that."""
    sink = MemorySink()
    with listening(sink, book(tmp_path, "[CT03]\ninstances_per_second = 10\nmegabytes_per_second = 50")) as listener:
        began = time.monotonic()
        with Peer(listener) as one, Peer(listener) as two:
            for peer in (one, two):
                peer.associate(calling=b"CT03")
            statuses = [peer.store(f"1.2.{n}".encode(), bytes(1000)) for n in range(12) for peer in (one, two)]
        assert time.monotonic() - began >= 1.2, "24 at ten a second, of which ten may come at once"
    assert set(statuses) == {0}
    assert len(sink.kept) == 24
    assert listener.counters().refusals == ()


@pytest.mark.door("socket")
def test_D10_a_paced_association_does_not_hold_up_a_shutdown(tmp_path):
    """Held back for minutes, between instances or inside one: the drain ends the pause, what is under way is kept."""
    sink = MemorySink()
    rules = "[CT03]\ninstances_per_second = 0.01\n[CT04]\nmegabytes_per_second = 0.001"
    with listening(sink, book(tmp_path, rules)) as listener, Peer(listener) as one, Peer(listener) as two:
        one.associate(calling=b"CT03")
        assert one.store(b"1.2.1", b"x") == 0
        two.associate(calling=b"CT04")
        two.send(p_data(pdv(1, 3, store_rq(b"1.2.2")), pdv(1, 0, bytes(100_000))))
        sink.wait(lambda s: s.written == 100_001)
        two.send(*(p_data(pdv(1, 0, bytes(100_000))) for _ in range(5)), p_data(pdv(1, 2, b"end")))
        assert listener.drain(10)
        assert one.aborted() == (0, 0)
        assert two.status() == 0
    assert len(sink.data()["1.2.2"]) == 600_003


@pytest.mark.door("socket")
def test_D10_I6_a_quota_refuses_transiently_and_loses_nothing(tmp_path, caplog):
    """Within an association 0xA700 with its comment, then (2,3,2) at the door; others go on; what was kept stays."""
    sink = MemorySink()
    with listening(sink, book(tmp_path, "[CT03]\ninstances_per_day = 3\n[CT04]")) as listener:
        with Peer(listener) as peer:
            peer.associate(calling=b"CT03")
            assert peer.store(b"1.2.1", b"a") == 0
            sink.fail_commit = full()
            assert peer.store(b"1.2.2", b"b") == 0xA700
            sink.fail_commit = None
            assert peer.store(b"1.2.2", b"b") == 0
            assert peer.store(b"1.2.3", b"c") == 0
            peer.send(p_data(pdv(1, 3, store_rq(b"1.2.4")), pdv(1, 2, b"d")))
            answer = peer.answer()
            assert answer[0x0900] == struct.pack("<H", 0xA700)
            assert b"quota" in answer[0x0902]
            assert len(answer[0x0902]) <= 64
            peer.send(p_data(pdv(3, 3, echo_rq())))
            assert peer.status() == 0, "the association goes on"
            assert {peer.store(f"1.2.4.{n}".encode(), b"x") for n in range(30)} == {0xA700}
        refusal = listener.counters().refusals[-1]
        assert (refusal.count, "0xA700" in refusal.text, "quota" in refusal.text) == (31, True, True)
        lines = [r for r in caplog.records if r.event == "store.refused" and "quota" in r.getMessage()]
        assert len(lines) == 5, "1, 2, 4, 8, 16 times"
        with Peer(listener) as peer:
            peer.send(associate_rq(calling=b"CT03"))
            assert peer.read() == TOO_MANY
        with Peer(listener) as peer:
            peer.associate(calling=b"CT04")
            assert peer.store(b"1.2.9", b"x") == 0
    assert sink.data() == {"1.2.1": b"a", "1.2.2": b"b", "1.2.3": b"c", "1.2.9": b"x"}


@pytest.mark.door("socket")
def test_D10_a_sender_that_cuts_gives_its_place_in_the_quota_back(tmp_path):
    """An instance that was begun and never ended is not counted."""
    sink = MemorySink()
    rulebook = book(tmp_path, "[CT03]\ninstances_per_day = 1")
    with listening(sink, rulebook) as listener:
        with Peer(listener) as peer:
            peer.associate(calling=b"CT03")
            peer.send(p_data(pdv(1, 3, store_rq(b"1.2.1")), pdv(1, 0, b"half")))
            sink.wait(lambda s: s.open_now == 1)
        until(lambda: listener.counters().active == 0, "the cut association has ended")
        with Peer(listener) as peer:
            peer.associate(calling=b"CT03")
            assert peer.store(b"1.2.1", b"whole") == 0
    assert rulebook.usage()["CT03"].instances == 1


@pytest.mark.door("socket")
def test_D10_an_AE_has_as_many_associations_as_its_rule_says(tmp_path):
    """Two of CT03, the third is told to come back; CT04 is let in; one that leaves makes room."""
    with contextlib.ExitStack() as stack:
        rules = book(tmp_path, "[CT03]\nassociations = 2\n[CT04]")
        listener = stack.enter_context(listening(MemorySink(), rules))
        one, two, three, other, again = (stack.enter_context(Peer(listener)) for _ in range(5))
        one.associate(calling=b"CT03")
        two.associate(calling=b"CT03")
        three.send(associate_rq(calling=b"CT03"))
        assert three.read() == TOO_MANY
        other.associate(calling=b"CT04")
        one.send(RELEASE_RQ)
        one.read()
        one.sock.close()
        until(lambda: listener.counters().active == 2, "one left")
        again.associate(calling=b"CT03")


@pytest.mark.door("socket")
def test_D10_one_flooding_AE_does_not_starve_the_rest(tmp_path):
    """An AE takes every association and sends all it can; another gets in at once, and each of its stores is answered.

    The flood is held to its rate, takes no place beyond the limit, and loses nothing: all of its stores are Success.
    """
    sink = MemorySink(keep=False)
    rules = '["FLOOD*"]\nmegabytes_per_second = 4\n[CT03]'
    ended, statuses, turned_away = threading.Event(), [], []

    def flood(n: int, ready: threading.Barrier) -> None:
        with Peer(listener) as peer:
            peer.associate(calling=b"FLOOD%d" % n)
            ready.wait(20)
            while not ended.is_set():
                statuses.append(peer.store(b"1.2.1", bytes(100_000)))

    with listening(sink, book(tmp_path, rules), max_associations=8) as listener:
        ready = threading.Barrier(9)
        threads = [threading.Thread(target=flood, args=(n, ready)) for n in range(8)]
        for thread in threads:
            thread.start()
        ready.wait(20)
        for n in range(20):
            with Peer(listener) as more:  # the flood asks for further places
                more.send(associate_rq(calling=b"FLOOD-%d" % n))
                turned_away.append(more.read())
        began, longest = time.monotonic(), 0.0
        with Peer(listener) as peer:
            peer.associate(calling=b"CT03")
            for n in range(100):
                at = time.monotonic()
                assert peer.store(f"1.3.{n}".encode(), bytes(10_000)) == 0
                longest = max(longest, time.monotonic() - at)
        took = time.monotonic() - began
        flooded = len(statuses) * 100_000
        ended.set()
        for thread in threads:
            thread.join(30)
    assert set(turned_away) == {TOO_MANY}
    assert set(statuses) == {0}
    assert took < 20, f"a hundred small stores took {took:.1f} s, the longest {longest:.1f} s"
    assert flooded < 4e6 * (took + 4) + 8 * 200_000, "the flood keeps its rate"
