"""The corpus of attacks against the real edge: each case its reaction, the edge alive after each group, nothing lost.

All cases share one edge; at the end what it acknowledged must be where its ledger says, and nothing may have grown.
"""

import hashlib
import json
import sys
from collections import defaultdict

import pytest

from tests.attacks import corpus
from tests.attacks.vitals import assert_alive, assert_clean, at_rest, vitals
from tests.attacks.wire import exchange, words
from tests.e2e.edge_process import running
from tests.e2e.raw_sender import RawSender

pytestmark = [pytest.mark.door("socket", "file", "SQL"), pytest.mark.timeout(240)]

GROUPS = (
    "length", "half", "foreign", "item", "many", "odd", "title", "pdu", "pdv", "command", "service", "endless",
    "uid", "dataset", "text", "charset", "bomb",
)  # fmt: skip
UID_KEPT = 1024  # bytes of a UID from the wire that a spool file names
GROWTH = 64 << 20  # reliability.md 5.2 row 18


@pytest.fixture(scope="module")
def cases():
    """All cases by their group."""
    groups = defaultdict(list)
    for case in corpus.cases():
        groups[case.group].append(case)
    return groups


@pytest.fixture(scope="module")
def sender(tmp_path_factory):
    """One edge for all of this module; judged at the end."""
    with running(tmp_path_factory.mktemp("attacked"), MAX_OBJECT_MB="1", LOGLEVEL="INFO") as edge:
        one = RawSender(edge)
        assert_alive(one, "1.8.0")
        edge.until(one.at_rest, "the first instance went all the way: every part of the edge is up")
        before = vitals(edge.process.pid)
        yield one
        after = at_rest(edge, before)
        assert after.resident - before.resident < GROWTH
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(100_000)  # pydicom, the judge's witness, recurses through nested sequences
        try:
            assert one.verdict().faults == []
        finally:
            sys.setrecursionlimit(limit)
        assert_clean(edge)
        assert edge.rows("SELECT count(*) FROM Patient", "spool/index.db") != [(0,)]
        log = edge.log.read_text()
        for word in ("onmouseover", "HYPERLINK", "Set-Cookie", "SYNTHETIC", "CRASH-1"):
            assert word not in log, "a value of a dataset is in the log"


@pytest.mark.parametrize("group", GROUPS)
def test_D10_D1_I6_each_attack_of_the_corpus_gets_its_reaction(sender, cases, group):
    """Every case of the group is answered as it says, in time; then C-ECHO and C-STORE are answered."""
    edge, wrong = sender.edge, {}
    for case in cases[group]:
        if case.state and len(case.uid) <= UID_KEPT:
            sender.begin(case.uid, case.dataset)
        answered = words(exchange(edge.port, case.sent))
        if answered != case.answered:
            wrong[case.name] = answered
        elif case.state and len(case.uid) <= UID_KEPT:
            sender.answered(case.uid, case.dataset, 0)
    assert wrong == {}
    assert_alive(sender, f"1.8.{GROUPS.index(group) + 1}")


@pytest.mark.parametrize("group", [group for group in GROUPS if group in ("uid", "dataset", "text", "charset", "bomb")])
def test_D1_D4_D5_I6_whatever_was_stored_goes_on_or_is_parked_with_its_reason(sender, cases, group):
    """Each instance of the group ends where its case says, within the time that a worker has for each."""
    edge = sender.edge
    wanted = {hashlib.sha256(case.dataset).hexdigest(): case for case in cases[group] if case.state}
    assert len(wanted) > 10

    def rows():
        return {
            digest: (state, reason, hint)
            for digest, state, reason, hint in edge.rows("SELECT received_sha256, state, reason, hint FROM instance")
            if digest in wanted
        }

    edge.until(
        lambda: (
            {state for state, *_ in rows().values()} <= {"PARKED", "ANNOUNCED", "RELEASED"}
            and len(rows()) == len(wanted)
        ),
        "all have come to rest",
        100,
    )
    wrong = {}
    for digest, (state, reason, hint) in rows().items():
        case = wanted[digest]
        if (state == "PARKED") != (case.state == "PARKED") or case.reason not in (reason or ""):
            wrong[case.name] = (state, reason)
        elif state == "PARKED" and not hint:
            wrong[case.name] = (state, "no hint")
    assert wrong == {}


def test_D10_the_corpus_is_written_as_files(tmp_path, cases):
    """Each case is a file with its reaction beside it, for whoever wants to try another receiver."""
    count = corpus.write(tmp_path)
    assert count == sum(map(len, cases.values())) >= 400
    assert set(cases) == set(GROUPS)
    reactions = json.loads((tmp_path / "reactions.json").read_text())
    assert {p.name for p in tmp_path.iterdir()} == {*reactions, "reactions.json"}
    assert all(reaction["about"] for reaction in reactions.values())
