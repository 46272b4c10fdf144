"""The file of rules as it meets a real box: cut off, emptied, closed to us, full of faults, changed under a sender."""

import os
import threading
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.association import rulebook as rulebook_module
from edge.association import waiting
from edge.association.admission import PeerCertificate, Rejection
from edge.association.doubts import Box, covers, doubts
from edge.association.rulebook import Rulebook
from edge.association.rules import END_LINE, Rule, judge, title_fits
from edge.association.rules_file import RulesFault, read_rules
from edge.association.terms import Terms, Usage
from tests.association.memory_sink import MemorySink
from tests.association.test_rules import CALLING, CERTIFICATE, Clock, applicant, book, verdict, whole
from tests.association.wire import RELEASE_RQ, Peer, associate_rq, listening, p_data, pdv, store_rq
from tests.waiting import until

GOOD = whole(
    '# Room 3 only.\n[CT03]\naddress = "10.1.2.3"\nassociations = 2\n\n'
    '# endoscopy\n["ENDO*"]\naddress = "10.1.3.0/24"\nservices = ["store"]'
)


# Cut off, emptied, unreadable


def test_fault_22_no_beginning_of_a_file_lifts_a_restriction(tmp_path):
    """Cut at any byte, as by a full disk or a broken copy, or emptied: told, and the rules before hold."""
    path, kept = tmp_path / "rules.toml", tmp_path / "kept.toml"
    rulebook = book(tmp_path, GOOD.removesuffix(f"\n{END_LINE}\n"), promiscuous=True, last_good=kept)
    good = kept.read_bytes()
    assert good == GOOD.encode()
    for cut in range(len(GOOD)):
        path.write_text(GOOD[:cut])
        rulebook.refresh(force=True)
        assert isinstance(rulebook(applicant(address="10.9.9.9")), Rejection), cut
        assert isinstance(rulebook(applicant("ENDO1", address="10.9.9.9")), Rejection), cut
        assert rulebook.broken is not None, cut
        assert kept.read_bytes() == good, cut
    again = Rulebook(path, promiscuous=True, last_good=kept)
    assert isinstance(again(applicant(address="10.9.9.9")), Rejection)
    path.write_text(GOOD)
    assert isinstance(again(applicant()), Terms)
    assert again.broken is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty; if no AE is to have a rule, write the one line # end"),
        (" \n\n", "is empty"),
        ("[CT03]\n", "its last line must be # end"),
        (f"[CT03]\n{END_LINE}", "with a line break behind it"),
        ("[CT03]\n# endoscopy\n", "its last line must be # end"),
        ("[CT03]\n# ends here\n", "its last line must be # end"),
        (f'{END_LINE}\n[CT03]\naddress = "10.1.2.3"\n', "line 1 is # end, and more follows"),
        (f"[CT03]\n{END_LINE}\n[CT04]\n{END_LINE}\n", "line 2 is # end, and more follows"),
    ],
)
def test_fault_22_a_file_that_may_be_cut_off_is_told_with_the_way_out(tmp_path, text, says):
    """What is missing or in the wrong place, and what to write."""
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(RulesFault) as caught:
        Rulebook(path, promiscuous=True)
    assert says in str(caught.value)


def test_fault_22_a_box_is_opened_by_saying_so(tmp_path):
    """The one line that ends a file, alone, is a whole file without rules; CR LF and a BOM are no fault."""
    rulebook = book(tmp_path, '[CT03]\naddress = "10.1.2.3"', promiscuous=True)
    (tmp_path / "rules.toml").write_bytes(b"\xef\xbb\xbf# end\r\n\r\n")
    assert isinstance(rulebook(applicant(address="10.9.9.9")), Terms)
    assert rulebook.broken is None


def test_fault_22_a_kept_copy_that_a_power_cut_emptied_opens_nothing(tmp_path):
    """Both files are gone bad: the box does not start as if there were no rules."""
    kept = tmp_path / "kept.toml"
    book(tmp_path, "[CT03]", last_good=kept)
    kept.write_text("")
    (tmp_path / "rules.toml").write_text("")
    with pytest.raises(RulesFault):
        Rulebook(tmp_path / "rules.toml", promiscuous=True, last_good=kept)


@pytest.fixture
def open_folder():
    """A folder that other users may look into, as those of pytest may not."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def as_nobody():
    """Root reads everything: be another user meanwhile."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_fault_22_rights_alone_are_a_change(open_folder, caplog):
    """Closed to us by chmod: told, once, and the rules before hold; open again: read again. The bytes are the same."""
    rulebook = book(open_folder, "[CT03]")
    path = open_folder / "rules.toml"
    with as_nobody():
        rulebook.refresh()
    assert rulebook.broken is None
    with caplog.at_level("INFO", "dicom-edge"):
        path.chmod(0)
        for _ in range(3):
            with as_nobody():
                assert isinstance(rulebook(applicant("CT04")), Rejection)
        assert rulebook.broken is not None
        assert "cannot be read (Permission denied)" in rulebook.broken.text
        path.chmod(0o644)
        with as_nobody():
            rulebook.refresh()
    assert rulebook.broken is None
    assert [r.event for r in caplog.records] == ["rules.kept", "rules.read"]


def test_fault_22_a_file_that_is_written_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    """What was read may be of both: it does not hold, and the next peer has the file as it is then."""
    rulebook = book(tmp_path, "[CT03]")
    path = tmp_path / "rules.toml"

    def read_while_written(*args):
        found = read_rules(*args)
        monkeypatch.undo()
        path.write_text(whole("[CT05]"))
        return found

    path.write_text(whole("[CT004]"))
    monkeypatch.setattr("edge.association.rulebook.read_rules", read_while_written)
    assert isinstance(rulebook(applicant("CT004")), Rejection)
    assert isinstance(rulebook(applicant("CT05")), Terms)


# Bounds


def test_fault_22_however_many_faults_the_text_is_bounded():
    """A thousand tables of faults, and one whose key is a megabyte: some lines, each cut, and how many more."""
    with pytest.raises(RulesFault) as caught:
        read_rules("".join(f"[T{n}]\ncolour = 1\n" for n in range(1000)))
    assert caught.value.faults[-1] == "and 980 more"
    assert "line 40 [T19] colour" in caught.value.faults[19]
    with pytest.raises(RulesFault) as caught:
        read_rules("[T]\n" + "k" * 90_000 + " = 1\n[U]\naddress = [" + '"x",' * 20_000 + "]\n")
    assert len(str(caught.value)) < 20 * 300


def test_fault_22_a_thousand_rules_search_the_text_once(monkeypatch):
    """Their faults are placed by one pass over the lines, not by one for each table."""
    looked = []
    head = "edge.association.rules_file._head"
    from edge.association import rules_file

    real = rules_file._head
    monkeypatch.setattr(head, lambda line: looked.append(line) or real(line))
    text = "".join(f"[T{n}]\ncolour = 1\n" for n in range(1000))
    with pytest.raises(RulesFault):
        read_rules(text)
    assert len(looked) == 2000
    looked.clear()
    assert len(read_rules(text.replace("colour = 1", "associations = 1"))) == 1000
    assert looked == []


def test_fault_22_nobody_waits_while_the_file_is_read(tmp_path, monkeypatch):
    """One thread reads the changed file; another peer is judged meanwhile, by the rules before."""
    rulebook = book(tmp_path, "[CT03]")
    reading, go_on = threading.Event(), threading.Event()

    def read_slowly(*args):
        reading.set()
        assert go_on.wait(30)
        return read_rules(*args)

    (tmp_path / "rules.toml").write_text(whole("[CT04 ]"))
    monkeypatch.setattr("edge.association.rulebook.read_rules", read_slowly)
    thread = threading.Thread(target=rulebook.refresh)
    thread.start()
    assert reading.wait(30)
    assert isinstance(rulebook(applicant()), Terms)
    go_on.set()
    thread.join(30)
    assert isinstance(rulebook(applicant()), Rejection)


# Names, addresses


def test_D10_a_table_without_a_name_is_refused():
    """Its places and quota would be those of every peer that no rule names; the fault says what to write instead."""
    with pytest.raises(RulesFault) as caught:
        read_rules('[""]\nassociations = 1\n', "rules.toml")
    assert caught.value.faults == ('rules.toml line 1 [""] has no name: write [no-title], with calling = "" below it',)
    assert verdict('[no-title]\ncalling = ""\nassociations = 1', applicant("")) == "no-title"


@pytest.mark.parametrize(
    ("address", "from_", "fits"),
    [
        ("::ffff:10.1.2.3", "10.1.2.3", True),
        ("::ffff:10.1.2.0/120", "10.1.2.77", True),
        ("::ffff:10.1.2.0/120", "10.1.3.77", False),
        ("::ffff:0:0/96", "192.0.2.1", True),
        ("10.1.2.0/24", "::ffff:10.1.2.9", True),
        ("10.1.2.3", "::ffff:a01:203", True),
        ("::ffff:10.1.2.3", "::ffff:10.1.2.3", True),
        ("10.1.2.3", "::ffff:10.1.2.4", False),
        ("::/0", "10.1.2.3", False),
    ],
)
def test_fault_22_an_address_mapped_into_IPv6_is_the_IPv4_address(address, from_, fits):
    """Written either way in the file, and come either way through a socket of both protocols."""
    expected = "CT03" if fits else (1, 1, 3)
    assert verdict(f'[CT03]\naddress = "{address}"', applicant(address=from_)) == expected


@pytest.mark.door("socket")
def test_fault_22_a_socket_of_both_protocols_knows_a_mapped_rule(tmp_path):
    """A box that listens on :: is reached by IPv4; the rule names the address as IPv6 maps it."""
    rules = book(tmp_path, '[CT03]\naddress = "::ffff:127.0.0.0/104"')
    with listening(MemorySink(), rules, host="::") as listener:
        listener._address = ("127.0.0.1", listener.address[1])
        with Peer(listener) as peer:
            peer.associate(calling=b"CT03")


odd = st.text(st.characters(max_codepoint=255), max_size=16)
addresses = st.one_of(
    st.ip_addresses().map(str), st.sampled_from(["fe80::1%eth0", "::ffff:10.1.2.3", "10.1.2.3", "fe80::1%-\u00e9"])
)
certificates = st.none() | st.builds(
    PeerCertificate,
    sha256=st.just("ab" * 32),
    common_name=st.text(max_size=8),
    dns_names=st.just(()),
)


@given(calling=odd, called=odd, address=addresses, certificate=certificates, others=st.lists(odd, max_size=3))
def test_fault_22_what_is_suggested_parses_and_lets_that_peer_in(calling, called, address, certificate, others):
    """Whatever a peer can send: the lines go into the file above its end, and then it is let in, under any box."""
    peer = applicant(calling, address, called, certificate=certificate, tls=certificate is not None)
    rules = tuple(Rule(name=f"T{n}", calling=("A" + str(n),)) for n in range(len(others)))
    found = judge(rules, peer, promiscuous=False)
    assert isinstance(found, Rejection) or title_fits("A?", calling)
    if isinstance(found, Rejection):
        _, _, lines = found.hint.partition("\n")
        (added,) = read_rules(lines)
        assert judge((*rules, added), peer, promiscuous=False) == added


@given(calling=odd, called=odd, address=addresses)
def test_fault_22_each_correction_of_a_listed_title_is_one_more_thing_that_fits(calling, called, address):
    """The value that the hint quotes, put under the key that it names: the next answer is another, at last a yes."""
    peer = applicant(calling, address, called, certificate=CERTIFICATE, tls=True)
    keys = {"address": '"192.0.2.250"', "called": '"NOBODY CALLS IT"', "fingerprint": f'"{"cd" * 32}"'}
    for _ in range(4):
        text = "[X]\ncalling = '*'\n" + "\n".join(f"{k} = {v}" for k, v in keys.items())
        found = judge(read_rules(text), peer, promiscuous=False)
        if isinstance(found, Rule):
            return
        if "fingerprint = " in found.hint:
            keys["fingerprint"] = found.hint.partition("fingerprint = ")[2].partition(" in ")[0]
        else:
            value, _, key = found.hint.partition("add ")[2].rpartition(" in [X]")[0].rpartition(" to ")
            assert key in keys
            keys[key] = value
    raise AssertionError(f"not let in by {text}, {found}")


# Clock


def test_D10_a_clock_that_was_far_ahead_uses_up_one_day_only():
    """Used up under a clock of 2099: after it is set right until midnight, and no longer; nothing is given twice."""
    clock = Clock()
    right = clock.date
    clock.date += timedelta(days=365 * 70)
    terms = clock.terms(instances_per_day=1)
    assert terms.begin()
    terms.end(stored=True, size=5)
    clock.date = right
    assert terms.is_used_up, "no second quota for setting a clock"
    assert terms.usage() == Usage(day=right.date(), instances=1, received_bytes=5)
    clock.date += timedelta(days=1)
    assert terms.begin()
    kept = clock.terms(Usage(day=right.date() + timedelta(days=9999), instances=1), instances_per_day=1)
    assert kept.is_used_up
    clock.date += timedelta(days=1)
    assert not kept.is_used_up, "also what was read from the file of before"


# Under an open association


@pytest.mark.door("socket")
@pytest.mark.parametrize("now", ["[CT04]", '[CT03]\naddress = "192.0.2.1"', "[CT03]\ntls = true"])
def test_fault_22_I1_a_rule_that_is_withdrawn_ends_the_association_at_its_next_message(tmp_path, now):
    """What was begun is kept and answered; the next message is not begun: aborted, told; then rejected at the door."""
    sink, path = MemorySink(), tmp_path / "rules.toml"
    with listening(sink, book(tmp_path, "[CT03]\n[CT05]")) as listener, Peer(listener) as peer, Peer(listener) as idle:
        peer.associate(calling=b"CT03")
        idle.associate(calling=b"CT03")
        assert peer.store(b"1.2.1", b"x") == 0
        peer.send(p_data(pdv(1, 3, store_rq(b"1.2.2")), pdv(1, 0, b"half ")))
        sink.wait(lambda s: s.open_now == 1)
        path.write_text(whole(now + "\n[CT05]"))
        with Peer(listener) as other:
            other.associate(calling=b"CT05")  # whoever comes has the file read
            peer.send(p_data(pdv(1, 2, b"and half")))
            assert peer.status() == 0
            peer.send(p_data(pdv(1, 3, store_rq(b"1.2.3")), pdv(1, 2, b"late")))
            assert peer.aborted() == (0, 0)
            assert other.store(b"1.2.4", b"mine") == 0
        idle.send(RELEASE_RQ)
        assert idle.read() == (6, bytes(4)), "an end in order is not refused"
        with Peer(listener) as again:
            again.send(associate_rq(calling=b"CT03"))
            assert again.read() == CALLING
        told = [r for r in listener.counters().refusals if r.text.startswith("the rules changed: calling title 'CT03'")]
        assert [(r.calling_ae_title, r.count, bool(r.hint)) for r in told] == [("CT03", 1, True)]
    assert sink.data() == {"1.2.1": b"x", "1.2.2": b"half and half", "1.2.4": b"mine"}


@pytest.mark.door("socket")
def test_fault_22_a_title_that_becomes_listed_is_held_to_its_rule_by_an_open_box_too(tmp_path):
    """It came as anyone; now it is listed from elsewhere: its next message is not begun. Who is not listed goes on."""
    rulebook = book(tmp_path, "[CT05]", promiscuous=True)
    with listening(MemorySink(), rulebook) as listener, Peer(listener) as peer, Peer(listener) as other:
        peer.associate(calling=b"CT03")
        other.associate(calling=b"CT04")
        assert peer.store(b"1.2.1", b"x") == 0
        (tmp_path / "rules.toml").write_text(whole('[CT03]\naddress = "192.0.2.1"'))
        rulebook.refresh()
        peer.send(p_data(pdv(1, 3, store_rq(b"1.2.2")), pdv(1, 2, b"late")))
        assert peer.aborted() == (0, 0)
        assert other.store(b"1.2.3", b"x") == 0


@pytest.mark.door("socket")
def test_fault_22_an_association_goes_on_by_the_rule_that_holds_now(tmp_path):
    """Its table renamed, with fewer services: C-STORE is not authorised any more, and the quota is the new table's."""
    path = tmp_path / "rules.toml"
    rulebook = book(tmp_path, "[CT03]\n[CT05]")
    with listening(MemorySink(), rulebook) as listener, Peer(listener) as peer:
        peer.associate(calling=b"CT03")
        assert peer.store(b"1.2.1", b"x") == 0
        path.write_text(whole('[room-3]\ncalling = "CT03"\ninstances_per_day = 1'))
        rulebook.refresh()
        assert peer.store(b"1.2.2", b"x") == 0
        assert peer.store(b"1.2.3", b"x") == 0xA700
        assert rulebook(applicant("CT03", "127.0.0.1")).is_used_up
        path.write_text(whole('[room-3]\ncalling = "CT03"\nservices = ["echo"]'))
        rulebook.refresh()
        assert peer.store(b"1.2.4", b"x") == 0x0124
        assert rulebook.usage()["room-3"].instances == 1


@pytest.mark.door("socket")
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_D10_a_paced_peer_that_is_gone_gives_up_its_place(tmp_path, how):
    """Held back for an hour by its rate, it goes: its thread notices at once, and what was whole is kept."""
    sink = MemorySink()
    rules = book(tmp_path, "[CT03]\ninstances_per_second = 0.0003\nassociations = 1")
    with listening(sink, rules) as listener:
        with Peer(listener) as peer:
            peer.associate(calling=b"CT03")
            assert peer.store(b"1.2.1", b"x") == 0
            until(lambda: listener.counters().stored == 1, "it is stored, and the sender held back")
            if how == "reset":
                peer.sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER of no time: close sends a reset
            else:
                peer.send(p_data(pdv(1, 3, store_rq(b"1.2.2")), pdv(1, 2, b"sent before the end")))
        until(lambda: listener.counters().active == 0, "its place is free")
    assert sink.data()["1.2.1"] == b"x"
    assert ("1.2.2" in sink.data()) == (how == "closed")


@pytest.mark.door("socket")
def test_D10_where_the_system_tells_of_no_peer_that_is_gone_a_shutdown_still_ends_the_pause(tmp_path, monkeypatch):
    """The portable path: held back for an hour, aborted as soon as the box stops."""
    monkeypatch.setattr(waiting, "_HANGUP", None)
    rules = book(tmp_path, "[CT03]\ninstances_per_second = 0.0003")
    with listening(MemorySink(), rules) as listener, Peer(listener) as peer:
        peer.associate(calling=b"CT03")
        assert peer.store(b"1.2.1", b"x") == 0
        assert listener.drain(10)
        assert peer.aborted() == (0, 0)


# Rules that can never hold

SHADOWED = {
    "the same title": ("[CT03]\n[x]\ncalling = 'CT03'", "[x] never holds: [CT03] above it"),
    "a wildcard above": ('["CT*"]\n[CT03]\naddress = "10.1.2.3"', '[CT03] never holds: ["CT*"] above it'),
    "a wider network above": (
        '["*"]\naddress = "10.0.0.0/8"\n[CT03]\naddress = ["10.1.2.3", "10.2.0.0/16"]', "[CT03] never holds",
    ),
    "question marks": ('["?T??"]\n["CT0?"]\ncalled = "X"', "never holds"),
    "called titles": ('[CT03]\ncalled = "E*"\n[x]\ncalling = "CT03"\ncalled = ["E1", "EDGE"]', "[x] never holds"),
    "TLS": ("[CT03]\ntls = true\n[x]\ncalling = 'CT03'\ncn = 'CT'", "[x] never holds"),
    "certificates": ("[CT03]\ncn = ['CT', 'MR']\n[x]\ncalling = 'CT03'\ncn = 'CT'", "[x] never holds"),
}  # fmt: skip
CLEAR = {
    "narrower above": '[CT03]\n["CT*"]',
    "another network above": '["*"]\naddress = "10.0.0.0/8"\n[CT03]\naddress = "11.1.2.3"',
    "any address below": '["*"]\naddress = "10.0.0.0/8"\n[CT03]',
    "both protocols": '["*"]\naddress = "10.0.0.0/8"\n[CT03]\naddress = "2001:db8::1"',
    "called titles": '[CT03]\ncalled = "E*"\n[x]\ncalling = "CT03"',
    "TLS": "[CT03]\ntls = true\n[x]\ncalling = 'CT03'",
    "certificates": "[CT03]\ncn = 'CT'\n[x]\ncalling = 'CT03'\ncn = ['CT', 'MR']",
    "an escaped star": "['CT\\*']\n[CT03]",
}


@pytest.mark.parametrize(("text", "says"), SHADOWED.values(), ids=SHADOWED)
def test_fault_22_a_table_that_another_hides_is_told(text, says):
    """Which one, and what to do."""
    (told,) = doubts(read_rules(text), Box())
    assert says in told
    assert "put it above, or delete it" in told


@pytest.mark.parametrize("text", CLEAR.values(), ids=CLEAR)
def test_fault_22_no_doubt_is_told_of_rules_that_can_be_met(text):
    """Nothing is said that is not certain."""
    assert doubts(read_rules(text), Box()) == []


@pytest.mark.parametrize(
    ("key", "box", "says"),
    [
        ('address = "2001:db8::/32"', Box(ipv6=False), "no sender's connection comes from 2001:db8::/32"),
        ('address = "10.0.0.0/8"', Box(ipv4=False), "no sender's connection comes from 10.0.0.0/8"),
        ('address = ["224.0.0.0/4", "0.0.0.0"]', Box(), "no sender's connection comes from"),
        ("tls = true", Box(tls=False, client_certificates=False), "TLS_CERTIFICATE is not set"),
        ('cn = "x"', Box(tls=False, client_certificates=False), "TLS_CERTIFICATE is not set"),
        ('san = "x"', Box(client_certificates=False), "TLS_CLIENT_CA is not set"),
        ('called = "OTHER*"', Box(ae_title="EDGE_AE"), 'call "OTHER*"; AE_TITLE is "EDGE_AE"'),
    ],
)
def test_fault_22_a_rule_that_this_box_cannot_meet_is_told(key, box, says):
    """By protocol, certificate or called title; and nothing of a rule that it can meet."""
    (told,) = doubts(read_rules(f"[CT03]\n{key}"), box)
    assert says in told
    assert doubts(read_rules(f"[CT03]\n{key}"), Box()) == [] or "224" in key


patterns = st.text("AB*?", max_size=5)


@given(wide=patterns, narrow=patterns, title=st.text("ABC", max_size=6))
def test_fault_22_a_pattern_that_covers_another_fits_all_its_titles(wide, narrow, title):
    """Never said of a pattern that leaves one out."""
    if covers(wide, narrow) and title_fits(narrow, title):
        assert title_fits(wide, title)


def test_fault_22_the_first_of_two_equal_peers_is_the_rule_that_is_not_doubted():
    """Each table of a chain is hidden by the first that covers it, and the first is not."""
    told = doubts(read_rules("['*']\n['A*']\n['AB*']\n[ABC]"), Box())
    assert [line.split()[0] for line in told] == ['["A*"]', '["AB*"]', "[ABC]"]
    assert all('["*"] above it' in line for line in told)
    assert len({a for pair in pairwise(told) for a in pair}) == 3


def test_fault_22_a_peer_moved_to_a_rule_that_is_used_up_stores_by_no_earlier_one(tmp_path):
    """Its own table is deleted while it is connected; the one that fits now is used up: nothing more is stored."""
    path = tmp_path / "rules.toml"
    rulebook = book(tmp_path, '[CT03]\n[rest]\ncalling = "CT*"\ninstances_per_day = 1')
    with listening(MemorySink(), rulebook) as listener, Peer(listener) as one, Peer(listener) as peer:
        one.associate(calling=b"CT05")
        assert one.store(b"1.2.9", b"x") == 0  # the quota of [rest]
        peer.associate(calling=b"CT03")
        assert peer.store(b"1.2.1", b"x") == 0
        path.write_text(whole('[rest]\ncalling = "CT*"\ninstances_per_day = 1'))
        rulebook.refresh()
        assert peer.store(b"1.2.3", b"x") == 0xA700


def test_fault_22_rules_that_could_not_be_read_at_the_start_are_read_as_soon_as_they_can(tmp_path, monkeypatch):
    """The file itself is good and does not change: the last good copy holds only until the disk answers."""
    path, good = tmp_path / "rules.toml", tmp_path / "good.toml"
    path.write_text(whole("[NEW]"))
    good.write_text(whole("[OLD]"))
    real, tried = rulebook_module.load_text, []

    def load(asked):
        if asked == path and not tried:
            tried.append(asked)
            raise RulesFault(["the disk does not answer"], is_unread=True)
        return real(asked)

    monkeypatch.setattr(rulebook_module, "load_text", load)
    rulebook = Rulebook(path, promiscuous=False, last_good=good)
    assert not isinstance(rulebook(applicant("NEW", "127.0.0.1")), Rejection)


def test_fault_22_rules_on_a_share_that_comes_back_are_not_broken_any_more(tmp_path):
    """Away, they are told as broken and those before hold; back unchanged, nothing is told any more."""
    share, away = tmp_path / "share", tmp_path / "away"
    share.mkdir()
    (share / "rules.toml").write_text(whole("[NEW]"))
    rulebook = Rulebook(share / "rules.toml", promiscuous=False)
    share.rename(away)
    rulebook.refresh()
    assert rulebook.broken
    away.rename(share)
    rulebook.refresh()
    assert rulebook.broken is None


def test_fault_22_no_peer_waits_while_doubts_about_the_rules_are_looked_for(tmp_path):
    """The search for doubts takes as long as it likes: peers are judged meanwhile, by a file that changed twice."""
    looked_at, go_on = Queue(), threading.Event()

    def doubts_of_many(rules):
        looked_at.put([rule.name for rule in rules])
        go_on.wait(60)
        return []

    rulebook = book(tmp_path, "[CT03]", doubts=doubts_of_many)
    try:
        assert looked_at.get(timeout=60) == ["CT03"]
        for name in ("CT04", "CT05"):
            (tmp_path / "rules.toml").write_text(whole(f"[{name}]"))
            assert not isinstance(rulebook(applicant(name)), Rejection)
            assert isinstance(rulebook(applicant("CT03")), Rejection)
        assert looked_at.empty()  # one at a time
    finally:
        go_on.set()
    assert looked_at.get(timeout=60) == ["CT05"]  # of what holds by then, only
