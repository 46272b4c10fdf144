"""The whole edge against a model of ten lines: whatever is done to it, each acknowledged instance is where it must be.

Hypothesis mixes sends, re-sends and other bytes with crashes (SIGKILL of the real process), restarts, a store, a queue
and a second disk that go and come, a clock that jumps, bits that flip on the disk, a journal and a spool that are lost,
and what operators decide. In the end everything comes back, and the judge of the crash tests, which shares no code with
the edge, compares spool, store, ledger, index and manifests with what was promised.

`make test PYTEST_ARGS="-k mixes --hypothesis-seed=7"` tries other mixes; a mix that fails is printed rule by rule.
"""

import contextlib
import hashlib
import os
import random
import signal
import sys
import time
from collections import defaultdict
from functools import wraps
from itertools import count, cycle
from pathlib import Path
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

from edge.contract.states import State
from edge.errors import JournalError
from edge.journal.rows import Decision
from edge.services import decisions
from tests.association.wire import Peer
from tests.crash.box import alive
from tests.crash.checker import check, fingerprint
from tests.crash.ledger import Sent, book
from tests.crash.sender import dataset
from tests.e2e.raw_sender import CONTEXTS, pdus, without
from tests.e2e.troubled_box import TroubledBox
from tests.nursery import Nursery
from tests.parts import program

pytestmark = pytest.mark.door("socket", "file")

SEED = 58  # one of those with which the few mixes try every rule in every way
OPERATOR = Decision(by="the model")
EITHER = "RELEASED or PARKED"  # it is kept; which of the two, only the edge can know


def flip(path: Path, at: int) -> None:
    """Flip one bit, so many thousandths into the file; in place, so that none that was just released comes back."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        position = file.seek(0, os.SEEK_END) * at // 1000
        file.seek(position)
        byte = file.read(1)[0] ^ 1 << at % 8
        file.seek(position)
        file.write(bytes([byte]))


class Model:
    """What must become of each (UID, SHA-256) that was acknowledged; this is all that a sender need know."""

    def __init__(self) -> None:
        self.ends: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self.raced: set[str] = set()  # UIDs whose place may be held, or not: bytes damaged at work, or sent twice

    def acknowledge(self, pair: tuple[str, str], *, fit: bool) -> None:
        """The first fit bytes of a UID go all the way; other bytes, and what is not fit, are kept and parked."""
        taken = any(uid == pair[0] and ends & {"RELEASED", EITHER} for (uid, _), ends in self.ends.items())
        if not self.ends[pair] & {"RELEASED", "PARKED", EITHER}:
            fits = EITHER if pair[0] in self.raced else "PARKED" if taken else "RELEASED"
            self.ends[pair].add(fits if fit else "PARKED")

    def decide(self, pair: tuple[str, str], end: str, *, alone: bool) -> None:
        """An operator lets what was parked go on, or not; sent again, what was rejected is judged anew.

        Where the same bytes were just coming again, not ``alone``, only the edge knows which of the two came first.
        """
        self.ends[pair] = self.ends[pair] - {"PARKED"} | {end}
        if not alone:
            self.ends[pair].add(EITHER)
            self.raced.add(pair[0])


def told(step):
    """Note a rule in the story that is printed if the mix fails."""

    @wraps(step)
    def tell(self, **drawn):
        words = (f"{name}={(value[0] if isinstance(value, tuple) else value)!r}" for name, value in drawn.items())
        self.story.append(f"{step.__name__}({', '.join(words)})")
        return step(self, **drawn)

    return tell


class EdgeAgainstModel(RuleBasedStateMachine):
    """One box, from its first start to the judgement."""

    sent = Bundle("sent")

    def __init__(self, nursery: Nursery, folder: Path, clock: Path | None) -> None:
        super().__init__()
        self.box = TroubledBox(nursery, folder)
        self.model = Model()
        self.lines: list[Sent] = []
        self.story: list[str] = []
        self.journal_lost = False
        self.objects_will_be_lost = False
        self.lost_objects: set[str] = set()  # UIDs
        self.association: Peer | None = None
        self.clock, self.times = clock, cycle(["+1d", "-1d", "+0"])
        self.numbers = count(1)

    @initialize(target=sent)
    @told
    def begin(self):
        """A box is new, and gets its first instance."""
        self._set_clock("+0")
        self.box.start()
        return self._send(*self._new(1, 1))

    # -- what a sender does ------------------------------------------------------------------------------------

    @rule(target=sent, study=st.integers(1, 2), kilobytes=st.sampled_from([1, 150]), fit=st.sampled_from([1, 1, 0]))
    @told
    def send(self, study, kilobytes, fit):
        """A new instance of one of two studies, or one without a Study Instance UID."""
        uid, data, _ = self._new(study, kilobytes)
        return self._send(uid, data, True) if fit else self._send(uid, without(data, 0x20, 0x0D), False)

    @rule(target=sent, one=sent, pixels=st.sampled_from(["same", "other", "others"]), rested=st.booleans())
    @told
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
    @told
    def crash(self, how):
        """SIGKILL: of the stages at work, under a store, or under one that was not answered yet and is sent again."""
        under = self._new(1, 150) if "store" in how else None
        if under is not None:
            self._note(under[0], under[1], None)
            stream = b"".join(pdus(under[0].encode(), under[1]))
            self._dial().send(stream[: len(stream) // (2 if how == "half a store" else 1)])
        elif how == "after a step":
            self._step()
        self._hang_up()
        self.box.restart(signal.SIGKILL)
        if under is not None:
            self._send(*under)

    @precondition(lambda self: not self.box.is_away("queue"))
    @rule(retain=st.sampled_from(["0", "24"]), disks=st.sampled_from([1, 2]))
    @told
    def restart(self, retain, disks):
        """SIGTERM, and a start that releases at once or keeps for a day, with a second disk or without."""
        self._hang_up()
        self.box.restart(signal.SIGTERM, RETAIN_HOURS=retain, MIRROR_DIR=str(self.box.mirror) if disks == 2 else "")

    @rule(what=st.sampled_from(["store", "queue", "mirror", "clock"]))
    @told
    def change(self, what):
        """The disk of store or second copy goes or comes, the queue takes messages or not, the clock jumps by a day."""
        if what == "clock":
            self._set_clock(next(self.times))
        elif what != "mirror" or self.box.mirrored:
            (self.box.come_back if self.box.is_away(what) else self.box.go_away)(what)

    @rule(which=st.integers(0, 99), at=st.integers(0, 999), stopped=st.sampled_from([True, True, False]))
    @told
    def flip_a_bit(self, which, at, stopped):
        """One bit of a file that was not uploaded yet: found, and never uploaded; whole again if there is a copy."""
        if stopped:
            self._hang_up()
            self.box.kill()
        fate = None
        alone = [
            (path, (uid, sha256), held)
            for path, uid, sha256, held in self.box.waiting()
            if sum(known == uid for known, _ in self.model.ends) == 1 and self.model.ends.get((uid, sha256))
            if self.box.mirrored or not self.box.second_copy(path).exists()
        ]
        if alone:
            path, pair, held = alone[which % len(alone)]
            flip(path, at)
            fate = "whole" if held or self.box.mirrored else "lost"
            if fate == "lost" or not stopped:  # it may have been uploaded in time, if it was not stopped
                self.model.ends[pair] = {"DAMAGED"}
                sends = sum((line.uid, line.sha256) == pair and line.status is None for line in self.lines)
                self.model.raced |= {pair[0]} if sends > 1 or not stopped else set()
                self.lines = [line for line in self.lines if (line.uid, line.sha256) != pair or line.status is None]
        if stopped:
            self.box.restart(signal.SIGKILL)
            assert fate != "lost" or (self.box.spool / "torn" / path.name).exists(), "the damage was not found"

    @precondition(lambda self: not self.box.is_away("store"))
    @rule(what=st.sampled_from(["journal", "journal and copies", "spool", "objects"]))
    @told
    def lose(self, what):
        """The journal, with its copies too; the whole spool once all is in the store; at the end, objects there."""
        self._hang_up()
        if what == "objects":
            self.objects_will_be_lost = True
        elif what == "spool":
            self.box.lose_spool()
        elif self.box.lose_journal(with_copies="copies" in what):
            self.journal_lost = True
            here = {path.stem for path in self.box.files()}
            held = {(i.sop_instance_uid, i.received_sha256) for i in self._instances() if i.ulid in here}
            for pair in set(self.model.ends) - held:
                self.model.ends[pair].discard("PARKED")  # its copy under parked/ is all there is

    @rule(verb=st.sampled_from(["retry", "accept", "accept", "reject", "close"]), which=st.integers(0, 99))
    @told
    def decide(self, verb, which):
        """An operator sends all that is parked on again, lets one conflict go on, rejects one, closes generations."""
        here = {path.stem for path in self.box.files()}
        with self.box.journal() as journal:
            if verb == "close":
                decisions.close_all(journal, OPERATOR)
            elif verb == "retry":
                for instance in journal.parked():
                    with contextlib.suppress(JournalError):
                        journal.record_retried(instance.ulid)
            elif parked := [i for i in self._parked(journal) if i.ulid in here and "PARKED" in self._ends(i)]:
                self._decide(journal, parked[which % len(parked)], "RELEASED" if verb == "accept" else "REJECTED")

    # -- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def it_runs(self):
        """Nothing but a crash of ours ends it."""
        assert self.box.pid == 0 or alive(self.box.pid)

    def teardown(self):
        """All comes back and settles; then the judge, a second recovery that changes nothing, and the model."""
        failed = sys.exc_info()[1] is not None
        try:
            for what in ("store", "queue"):
                self.box.come_back(what)
            if self.box.pid and not failed:
                self._hang_up()
                self._set_clock("+2d")  # later than anything was
                if self.objects_will_be_lost:
                    self._lose_objects()
                self.box.restart(signal.SIGKILL, RETAIN_HOURS="0")  # afresh: no stage is deep in its backoff
                self.box.rest("RELEASED")
                if self.journal_lost:
                    self._decide_again()
                self._judge()
        except BaseException:
            failed = True
            raise
        finally:
            self.box.kill()
            if failed:
                print("The mix that failed:", *self.story, f"(its box: {self.box.folder})", sep="\n  ")

    def _judge(self):
        verdict = check(self.box.evidence(), self._book(), settled=True, may_park=True, journal_lost=self.journal_lost)
        again = {f"manifest: {uid} is listed in 2 manifests" for uid in self.lost_objects}
        assert [fault for fault in verdict.faults if fault not in again] == []
        found = defaultdict(set)
        for row in self.box.evidence().instances:
            found[row["sop_instance_uid"], row["received_sha256"]].add(row["state"])
        untold = {"DUPLICATE", "DAMAGED"} | ({"REJECTED"} if self.journal_lost else set())
        for pair, ends in self.model.ends.items():
            if ends & {"DAMAGED", EITHER}:
                assert found[pair] <= {"DUPLICATE", "PARKED", "RELEASED"} | ends
            else:
                assert (pair, found[pair] - untold) == (pair, ends - untold)
        self.box.kill()
        before = fingerprint(self.box.evidence())
        self.box.start().kill()
        assert fingerprint(self.box.evidence()) == before
        if self.box.mirrored:
            pairs = [(path.read_bytes(), self.box.second_copy(path).read_bytes()) for path in self.box.files()]
            assert all(one == other for one, other in pairs)

    def _lose_objects(self):
        """What the store lost before the release is still here, and told; an operator sends it again."""
        self.box.restart(signal.SIGKILL, RETAIN_HOURS="24")
        self.box.rest("ANNOUNCED")
        ulids = self.box.lose_objects()
        self.box.restart(signal.SIGKILL, RETAIN_HOURS="0")
        self.box.rest("RELEASED")
        with self.box.journal() as journal:
            for ulid in ulids:
                journal.record_retried(ulid)  # raises if it is not parked
                self.lost_objects.add(journal.instance(ulid).sop_instance_uid)

    def _decide_again(self):
        """What was decided after the newest copy of a journal that was lost has to be decided anew."""
        with self.box.journal() as journal:
            for instance in self._parked(journal):
                again = self._ends(instance) & {"RELEASED", "REJECTED"}
                if again and "PARKED" not in self._ends(instance):
                    self._decide(journal, instance, *again)
        self.box.rest("RELEASED")

    # -- how it is done --------------------------------------------------------------------------------------------

    def _decide(self, journal, instance, end):
        pair = (instance.sop_instance_uid, instance.received_sha256)
        known = {i.ulid: i for i in journal.named(pair[0]) if i.received_sha256 == pair[1]}
        coming = any(i.state is State.RECEIVED for i in known.values())
        coming = coming or not {path.stem for path in self.box.files()} <= journal.known_ulids()
        with contextlib.suppress(JournalError):  # without a Study Instance UID nothing can be accepted
            (decisions.accept if end == "RELEASED" else decisions.reject)(journal, instance.ulid, OPERATOR)
            self.model.decide(pair, end, alone=not coming)

    def _ends(self, instance):
        return self.model.ends.get((instance.sop_instance_uid, instance.received_sha256), set())

    def _parked(self, journal):
        return sorted(journal.parked(), key=lambda instance: instance.ulid)

    def _instances(self):
        with self.box.journal() as journal:
            return [instance for state in State for instance in journal.instances(state)]

    def _set_clock(self, offset):
        if self.clock is not None:
            self.clock.write_text(offset)

    def _rest(self):
        if not self.box.is_away("store") and not self.box.is_away("queue"):
            self.box.soon(lambda: self.box.is_at_rest("ANNOUNCED"), 4)

    def _step(self):
        """Let it move on by an entry of its ledger, unless it is at rest or has to wait."""
        before = self.box.rows("SELECT count(*) FROM entry")
        self.box.soon(lambda: self.box.rows("SELECT count(*) FROM entry") != before, 0.3)

    def _new(self, study, kilobytes):
        n = next(self.numbers)
        uid = f"1.9.{study}.1.{n}"
        return uid, dataset(uid, f"1.9.{study}", f"1.9.{study}.1", 1, n, kilobytes << 10, random.Random(uid)), True

    def _send(self, uid, data, fit):
        self._note(uid, data, None)
        self._dial().send(*pdus(uid.encode(), data))
        status = self._dial().status()
        assert status == (0xA700 if self.box.mirrored and self.box.is_away("mirror") else 0), "room, health, both disks"
        self._note(uid, data, status)
        if status == 0:
            self.model.acknowledge((uid, hashlib.sha256(data).hexdigest()), fit=fit)
        return uid, data, fit

    def _book(self):
        return book(self.lines)

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


class Sabotaged(EdgeAgainstModel):
    """One byte of one stored object changes before the judgement."""

    def _judge(self):
        for path in sorted((self.box.folder / "store").rglob("*.dcm"))[:1]:
            path.write_bytes(path.read_bytes()[:-1] + b"\x55")
        super()._judge()


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """A file that sets the clock of all boxes; a start then takes half a second of CPU instead of a tenth."""
    program("faketime")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    file = tmp_path / "clock"
    file.write_text("+0")
    for name, value in {"TIMESTAMP_FILE": file, "NO_CACHE": 1, "DONT_FAKE_MONOTONIC": 1, "DONT_RESET": 1}.items():
        monkeypatch.setenv(f"FAKETIME_{name}", str(value))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    return file


@pytest.fixture
def run(tmp_path, request, monkeypatch):
    """Runs the machine; each example is a box of its own."""
    numbers = count(1)

    def run(*, examples, steps, machine=EdgeAgainstModel, clock=None):
        with Nursery() as nursery:
            monkeypatch.delenv("LD_PRELOAD", raising=False)
            chosen = request.config.getoption("--hypothesis-seed")
            run_state_machine_as_test(
                seed(SEED if chosen is None else int(chosen))(
                    lambda: machine(nursery, tmp_path / f"box-{next(numbers)}", clock)
                ),
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    database=None,
                    deadline=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )

    return run


@pytest.mark.timeout(400)
def test_I1_I2_I3_I4_I6_D3_D4_a_few_mixes_of_everything_lose_nothing(run):
    """Six mixes, the same in each run: spool, store, ledger, index and manifests hold what the model says."""
    run(examples=6, steps=18)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_I1_I2_I3_I4_I6_D3_D4_many_mixes_of_everything_lose_nothing(run, clock):
    """Eight longer mixes, under a clock that jumps."""
    run(examples=8, steps=25, clock=clock)


@pytest.mark.full
def test_control_one_byte_changed_in_the_store_is_seen(run):
    """The same machine fails when one stored byte is another: it can fail."""
    with pytest.raises(AssertionError, match=r"(?s)lost|checksum|differs|altered"):
        run(examples=5, steps=12, machine=Sabotaged)
