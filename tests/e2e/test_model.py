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
from hypothesis import HealthCheck, Phase, settings
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

    @initialize()
    def begin(self):
        """A box is new."""
        self.box.start()

    # -- what a sender does ------------------------------------------------------------------------------------

    @rule(target=sent, study=st.integers(1, 2), kilobytes=st.sampled_from([1, 150]))
    def send(self, study, kilobytes):
        """A new instance of one of two studies."""
        return self._new(study, kilobytes)

    @rule(target=sent)
    def send_unfit(self):
        """A new instance without a Study Instance UID."""
        uid, data, _ = self._new(3, 1, send=False)
        data = without(data, 0x20, 0x0D)
        self._store(uid, data, fit=False)
        return uid, data, False

    @rule(one=sent)
    def send_again(self, one):
        """The same bytes."""
        uid, data, fit = one
        self._store(uid, data, fit=fit)

    @rule(target=sent, one=sent, n=st.integers(1, 2))
    def send_other_bytes(self, one, n):
        """The same UID with other pixels."""
        uid = one[0]
        data = dataset(uid, "1.9.1", "1.9.1.1", 1, 1, 1000, random.Random(f"{uid} {n}"))
        self._store(uid, data, fit=True)
        return uid, data, True

    # -- what happens to the edge --------------------------------------------------------------------------------

    @rule()
    def crash(self):
        """SIGKILL at this moment, whatever the stages are doing."""
        self._hang_up()
        self.box.kill()
        self.box.start()

    @rule(target=sent, study=st.integers(1, 2), part=st.sampled_from([0.5, 1.0]))
    def crash_under_a_store(self, study, part):
        """SIGKILL with an instance half sent, or wholly sent and not answered; the sender sends it again."""
        uid, data, _ = self._new(study, 150, send=False)
        self._note(uid, data, None)
        stream = b"".join(pdus(uid.encode(), data))
        self._dial().send(stream[: int(len(stream) * part)])
        self.crash()
        self._store(uid, data, fit=True)
        return uid, data, True

    @precondition(lambda self: self.queue_lock is None)
    @rule(retain=st.sampled_from(["0", "24"]))
    def restart(self, retain):
        """SIGTERM, and a start that releases at once or keeps for a day."""
        self._hang_up()
        os.kill(self.box.pid, signal.SIGTERM)
        self.box.await_death(60)
        self.box.configure(RETAIN_HOURS=retain)
        self.box.start()

    @rule()
    def step(self):
        """Let it move on by an entry of its ledger, unless it is at rest or has to wait."""
        before, end = self._entries(), time.monotonic() + 1.0
        wait_for(lambda: self._entries() > before or time.monotonic() > end, 30, "never")

    @precondition(lambda self: not self.store_is_away)
    @rule()
    def store_goes(self):
        """The store's disk is unmounted."""
        store = self.box.folder / "store"
        if store.exists():
            store.rename(self.box.folder / "away")
        store.write_text("not a folder")
        self.store_is_away = True

    @precondition(lambda self: self.store_is_away)
    @rule()
    def store_comes(self):
        """It is mounted again."""
        (self.box.folder / "store").unlink()
        with contextlib.suppress(FileNotFoundError):  # it was away from the beginning
            (self.box.folder / "away").rename(self.box.folder / "store")
        self.store_is_away = False

    @precondition(lambda self: self.queue_lock is None)
    @rule()
    def queue_goes(self):
        """Nothing can be written to the queue."""
        self.queue_lock = sqlite3.connect(self.box.folder / "queue", isolation_level=None, timeout=30)
        self.queue_lock.execute("BEGIN IMMEDIATE")

    @precondition(lambda self: self.queue_lock is not None)
    @rule()
    def queue_comes(self):
        """It takes messages again."""
        self.queue_lock.close()
        self.queue_lock = None

    @rule()
    def retry(self):
        """An operator sends all that is parked through the line again."""
        journal = Journal(self.box.folder / "spool/journal/journal.db")
        try:
            for instance in journal.parked():
                with contextlib.suppress(JournalError):
                    journal.record_retried(instance.ulid)
        finally:
            journal.close()

    # -- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def it_runs(self):
        """Nothing but a crash of ours ends it."""
        assert self.box.pid == 0 or alive(self.box.pid)

    def teardown(self):
        """All comes back and settles; then the judge, a second recovery that changes nothing, and the model."""
        try:
            if self.store_is_away:
                self.store_comes()
            if self.queue_lock is not None:
                self.queue_comes()
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

    def _new(self, study, kilobytes, *, send=True):
        n = next(self.numbers)
        uid = f"1.9.{study}.1.{n}"
        data = dataset(uid, f"1.9.{study}", f"1.9.{study}.1", 1, n, kilobytes << 10, random.Random(uid))
        if send:
            self._store(uid, data, fit=True)
        return uid, data, True

    def _store(self, uid, data, *, fit):
        self._note(uid, data, None)
        self._dial().send(*pdus(uid.encode(), data))
        status = self._dial().status()
        assert status == 0, "there was room and health"
        self._note(uid, data, status)
        self.model.acknowledge(uid, hashlib.sha256(data).hexdigest(), fit=fit)

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
        run_state_machine_as_test(
            lambda: machine(nursery, tmp_path / f"box-{next(numbers)}"),
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                derandomize=seeded,
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink] if not seeded else [Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.mark.timeout(180)
def test_I1_I2_I3_I4_D3_D4_a_few_mixes_of_everything_lose_nothing(tmp_path):
    """Five mixes, the same in each run: spool, store, ledger, index and manifests hold what the model says."""
    run(tmp_path, examples=5, steps=14)


@pytest.mark.full
@pytest.mark.timeout(1500)
def test_I1_I2_I3_I4_D3_D4_many_mixes_of_everything_lose_nothing(tmp_path):
    """Sixty longer mixes, other ones in each run."""
    run(tmp_path, examples=60, steps=30, seeded=False)


@pytest.mark.full
def test_control_one_byte_changed_in_the_store_is_seen(tmp_path):
    """The same machine fails when one stored byte is another: it can fail."""
    with pytest.raises(AssertionError, match=r"(?s)lost|checksum|differs|altered"):
        run(tmp_path, examples=5, steps=12, machine=Sabotaged)
