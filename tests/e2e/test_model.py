"""The whole edge against a model of ten lines: whatever is done to it, each acknowledged instance is where it must be.

Hypothesis mixes sends, re-sends, other bytes, crashes (SIGKILL of the real process), restarts, a store and a queue
that go and come, retries and releases. In the end everything comes back, and the judge of the crash tests, which
shares no code with the edge, compares spool, store, ledger, index and manifests with what was promised.
"""

import contextlib
import hashlib
import os
import random
import signal
import sqlite3
import time
from collections import defaultdict
from itertools import count
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edge.errors import JournalError
from edge.journal.journal import Journal
from tests.association.wire import Peer
from tests.crash.box import Box, Nursery, alive, wait_for
from tests.crash.checker import check, fingerprint
from tests.crash.ledger import Sent, book
from tests.crash.sender import dataset
from tests.e2e.raw_sender import CONTEXTS, pdus, without

pytestmark = pytest.mark.door("socket", "file")


SEED = 4  # of the short form: one of those that call every rule several times


class Model:
    """What must become of each (UID, SHA-256) that was acknowledged; this is all that a sender need know."""

    def __init__(self) -> None:
        self.end: dict[tuple[str, str], str] = {}

    def acknowledge(self, uid: str, sha256: str, *, fit: bool) -> None:
        """The first fit bytes of a UID go all the way; other bytes, and what is not fit, are kept and parked."""
        taken = any(known == uid and end == "RELEASED" for (known, _), end in self.end.items())
        self.end.setdefault((uid, sha256), "RELEASED" if fit and not taken else "PARKED")


class EdgeAgainstModel(RuleBasedStateMachine):
    """One box, from its first start to the judgement."""

    sent = Bundle("sent")

    def __init__(self, nursery: Nursery, folder) -> None:
        super().__init__()
        self.box = Box(nursery, folder, RETAIN_HOURS="24")
        self.model = Model()
        self.lines: list[Sent] = []
        self.queue_lock: sqlite3.Connection | None = None
        self.store_is_away = False
        self.association: Peer | None = None
        self.numbers = count(1)

    @initialize(target=sent)
    def begin(self):
        """A box is new, and gets its first instance."""
        self.box.start()
        return self._send(*self._new(1, 1))

    # -- what a sender does ------------------------------------------------------------------------------------

    @rule(
        target=sent,
        study=st.integers(1, 2),
        kilobytes=st.sampled_from([1, 150]),
        fit=st.sampled_from([True, True, False]),
    )
    def send(self, study, kilobytes, fit):
        """A new instance of one of two studies, or one without a Study Instance UID."""
        uid, data, _ = self._new(study, kilobytes)
        return self._send(uid, data, True) if fit else self._send(uid, without(data, 0x20, 0x0D), False)

    @rule(target=sent, one=sent, pixels=st.sampled_from(["same", "other", "others"]), rested=st.booleans())
    def send_once_more(self, one, pixels, rested):
        """The same bytes, or the same UID with others; while the first is on its way, or when all is at rest."""
        if rested:
            self._rest()
        if pixels == "same":
            return self._send(*one)
        uid = one[0]
        return self._send(uid, dataset(uid, "1.9.1", "1.9.1.1", 1, 1, 1000, random.Random(uid + pixels)), True)

    # -- what happens to the edge --------------------------------------------------------------------------------

    @rule(how=st.sampled_from(["at once", "after a step", "half a store", "a whole store"]))
    def crash(self, how):
        """SIGKILL: of the stages at work, under a store, or under one that was not answered yet and is sent again."""
        under = self._new(1, 150) if "store" in how else None
        if under is not None:
            self._note(under[0], under[1], None)
            stream = b"".join(pdus(under[0].encode(), under[1]))
            self._dial().send(stream[: len(stream) // (2 if how == "half a store" else 1)])
        elif how == "after a step":
            self.step()
        self._hang_up()
        self.box.kill()
        self.box.start()
        if under is not None:
            self._send(*under)

    @precondition(lambda self: self.queue_lock is None)
    @rule(retain=st.sampled_from(["0", "24"]))
    def restart(self, retain):
        """SIGTERM, and a start that releases at once or keeps for a day."""
        self._hang_up()
        os.kill(self.box.pid, signal.SIGTERM)
        self.box.await_death(60)
        self.box.configure(RETAIN_HOURS=retain)
        self.box.start()

    @rule(what=st.sampled_from(["store", "queue", "retry"]))
    def change(self, what):
        """The store's disk goes or comes; the queue takes messages or not; an operator sends the parked on again."""
        if what == "retry":
            self._retry()
        elif what == "store":
            (self._store_comes if self.store_is_away else self._store_goes)()
        else:
            (self._queue_goes if self.queue_lock is None else self._queue_comes)()

    @rule()
    def step(self):
        """Let it move on by an entry of its ledger, unless it is at rest or has to wait."""
        before = self._entries()
        self._wait(lambda: self._entries() > before, 0.4)

    def _rest(self):
        if not self.store_is_away and self.queue_lock is None:
            self._wait(lambda: self.box.is_settled("ANNOUNCED"), 5)

    def _wait(self, condition, seconds):
        """Wait for what may as well not come."""
        end = time.monotonic() + seconds
        wait_for(lambda: condition() or time.monotonic() > end, 60, "never")

    # -- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def it_runs(self):
        """Nothing but a crash of ours ends it."""
        assert self.box.pid == 0 or alive(self.box.pid)

    def teardown(self):
        """All comes back and settles; then the judge, a second recovery that changes nothing, and the model."""
        try:
            if self.store_is_away:
                self._store_comes()
            if self.queue_lock is not None:
                self._queue_comes()
            if self.box.pid:
                self._hang_up()
                self.box.kill()  # a start afresh: no stage is deep in its backoff
                self.box.configure(RETAIN_HOURS="0")
                self.box.start()
                self.box.settle()
                self._judge()
        finally:
            self.box.kill()

    def _judge(self):
        assert check(self.box.evidence(), book(self.lines), settled=True, may_park=True).faults == []
        ends = defaultdict(set)
        for row in self.box.evidence().instances:
            ends[row["sop_instance_uid"], row["received_sha256"]].add(row["state"])
        found = {pair: states - {"DUPLICATE"} for pair, states in ends.items()}
        assert found == {pair: {end} for pair, end in self.model.end.items()}
        self.box.kill()
        before = fingerprint(self.box.evidence())
        self.box.start().kill()
        assert fingerprint(self.box.evidence()) == before

    # -- how it is done --------------------------------------------------------------------------------------------

    def _new(self, study, kilobytes):
        n = next(self.numbers)
        uid = f"1.9.{study}.1.{n}"
        return uid, dataset(uid, f"1.9.{study}", f"1.9.{study}.1", 1, n, kilobytes << 10, random.Random(uid)), True

    def _send(self, uid, data, fit):
        self._note(uid, data, None)
        self._dial().send(*pdus(uid.encode(), data))
        status = self._dial().status()
        assert status == 0, "there was room and health"
        self._note(uid, data, status)
        self.model.acknowledge(uid, hashlib.sha256(data).hexdigest(), fit=fit)
        return uid, data, fit

    def _store_goes(self):
        store = self.box.folder / "store"
        if store.exists():
            store.rename(self.box.folder / "away")
        store.write_text("not a folder")
        self.store_is_away = True

    def _store_comes(self):
        (self.box.folder / "store").unlink()
        with contextlib.suppress(FileNotFoundError):  # it was away from the beginning
            (self.box.folder / "away").rename(self.box.folder / "store")
        self.store_is_away = False

    def _queue_goes(self):
        self.queue_lock = sqlite3.connect(self.box.folder / "queue", isolation_level=None, timeout=30)
        self.queue_lock.execute("BEGIN IMMEDIATE")

    def _queue_comes(self):
        self.queue_lock.close()
        self.queue_lock = None

    def _retry(self):
        journal = Journal(self.box.folder / "spool/journal/journal.db")
        try:
            for instance in journal.parked():
                with contextlib.suppress(JournalError):
                    journal.record_retried(instance.ulid)
        finally:
            journal.close()

    def _note(self, uid, data, status):
        self.lines.append(Sent(uid, hashlib.sha256(data).hexdigest(), status, time.time()))

    def _dial(self):
        if self.association is None:
            self.association = Peer(SimpleNamespace(address=("127.0.0.1", self.box.port)))
            self.association.associate(CONTEXTS)
        return self.association

    def _hang_up(self):
        if self.association is not None:
            self.association.sock.close()
            self.association = None

    def _entries(self):
        database = sqlite3.connect(f"file:{self.box.folder / 'spool/journal/journal.db'}?mode=ro", uri=True)
        with contextlib.closing(database):
            return database.execute("SELECT count(*) FROM entry").fetchone()[0]


class Sabotaged(EdgeAgainstModel):
    """One byte of one stored object changes before the judgement."""

    def _judge(self):
        for path in sorted((self.box.folder / "store").rglob("*.dcm"))[:1]:
            path.write_bytes(path.read_bytes()[:-1] + b"\x55")
        super()._judge()


def run(tmp_path, *, examples, steps, seeded=True, machine=EdgeAgainstModel):
    """Run the machine; each example is a box of its own."""
    numbers = count(1)
    with Nursery() as nursery:

        def box():
            return machine(nursery, tmp_path / f"box-{next(numbers)}")

        run_state_machine_as_test(
            seed(SEED)(box) if seeded else box,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink] if not seeded else [Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.mark.timeout(180)
def test_I1_I2_I3_I4_D3_D4_a_few_mixes_of_everything_lose_nothing(tmp_path):
    """Six mixes, the same in each run: spool, store, ledger, index and manifests hold what the model says."""
    run(tmp_path, examples=6, steps=16)


@pytest.mark.full
@pytest.mark.timeout(1500)
def test_I1_I2_I3_I4_D3_D4_many_mixes_of_everything_lose_nothing(tmp_path):
    """Fifty longer mixes, other ones in each run."""
    run(tmp_path, examples=50, steps=30, seeded=False)


@pytest.mark.full
def test_control_one_byte_changed_in_the_store_is_seen(tmp_path):
    """The same machine fails when one stored byte is another: it can fail."""
    with pytest.raises(AssertionError, match=r"(?s)lost|checksum|differs|altered"):
        run(tmp_path, examples=5, steps=12, machine=Sabotaged)
