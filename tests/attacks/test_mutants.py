"""Mutated conversations with the real edge: alive after each batch, and all that it acknowledged there at the end."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from tests.attacks.mutants import Stored, messages, mutants
from tests.attacks.vitals import assert_alive, assert_clean, at_rest, vitals
from tests.attacks.wire import exchange, words
from tests.e2e.edge_process import running
from tests.e2e.raw_sender import RawSender

pytestmark = pytest.mark.door("socket", "file")

LAST_WORDS = ("release", "abort", "reject")
GROWTH = 12 << 20  # from half to the end, at rest both times
UNDER_WAY = "SELECT count(*) FROM instance WHERE state IN ('RECEIVED', 'INDEXED', 'TAGGED', 'UPLOADED')"


def _converse(sender, raw, seen):
    """Send one, and enter into the ledger what was whole in it and what was acknowledged of that."""
    told = messages(raw)
    for message in told:
        if isinstance(message, Stored):
            sender.begin(message.uid, message.data)
    said = words(exchange(sender.edge.port, raw))
    assert not any(word.startswith(LAST_WORDS) for word in said[:-1]), said
    assert said[:1] != ("release",), said
    assert not said or said[0].startswith(("accept", *LAST_WORDS)), said
    answers = [word for word in said if word.startswith("status")]
    assert len(answers) <= len(told), (said, told)
    for message, answer in zip(told, answers, strict=False):
        if isinstance(message, Stored) and answer == "status 0000":
            sender.answered(message.uid, message.data, 0)
    seen.update(word.split()[0] + " " + word.split()[-1] if "status" in word else word for word in said or ("nothing",))


@pytest.mark.parametrize(
    ("count", "batch"),
    [
        pytest.param(500, 250, id="500"),
        pytest.param(20_000, 1_000, id="20000", marks=[pytest.mark.full, pytest.mark.timeout(1500)]),
    ],
)
def test_D10_I1_I2_I6_mutated_conversations_neither_break_the_edge_nor_its_word(tmp_path, count, batch):
    """Liveness after each batch; at the end ledger, memory, threads, descriptors, files and log are judged."""
    # A manifest is made in memory, at most one at a time: kept small, so that what is measured is the receiving.
    with running(tmp_path, LOGLEVEL="WARNING", GENERATION_FILES="200") as edge, ThreadPoolExecutor(4) as pool:
        sender, seen = RawSender(edge), Counter()
        assert_alive(sender, "1.5.0")
        edge.until(sender.at_rest, "the first instance went all the way: every part of the edge is up")
        conversations = mutants(20261120, count)

        def rested() -> bool:
            return edge.rows(UNDER_WAY) == [(0,)]

        began, before, batches = time.monotonic(), None, count // batch
        for number in range(batches):
            for _ in pool.map(lambda raw: _converse(sender, raw, seen), islice(conversations, batch)):
                pass
            assert_alive(sender, f"1.5.{number + 1}")
            if number + 1 == (batches + 1) // 2:
                # At rest at half: only by then has every stage filled what it keeps (SQLite's caches, the allocator's
                # arenas). While senders hurry, the stages stand back, and their share would be taken for growth.
                edge.until(rested, "the first half has come to rest", 100, moves=edge.states)
                before = vitals(edge.process.pid)
        print(f"{count} conversations in {time.monotonic() - began:.0f} s: {dict(seen)}")
        edge.until(rested, "all that was stored has come to rest", 100, moves=edge.states)
        assert sender.verdict().faults == []
        after = at_rest(edge, before)
        print(f"{before} to {after}, {edge.states()}")
        assert after.resident - before.resident < GROWTH
        assert_clean(edge)
        stored = sum(line.status == 0 for line in sender.lines)
        assert count / 4 < stored, "too few were good enough to be stored"
        assert seen["release"] < count * 0.7, "too few were broken"
        assert {"accept", "abort 0 0", "abort 2 1", "abort 2 2", "abort 2 6", "reject 1 2 2"} <= set(seen)
