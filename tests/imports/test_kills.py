"""The processor is killed at any step, and another goes on: each job is started once, nothing is lost or told twice."""

import signal
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from cloud.imports.service import HealthImaging
from tests.cloud.edges import ROOT, scans
from tests.e2e.cloud_process import cloud as process
from tests.imports.scene import Scene
from tests.imports.test_commands import settings
from tests.waiting import until

pytestmark = pytest.mark.door("SQL", "HTTP")


class Killed(BaseException):
    """What a SIGKILL is to the code: nothing after it is done. No handler of ours catches it."""


class Steps:
    """Counts the moments at which a kill makes a difference, and kills at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.passed = 0

    def step(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Killed


class Breakable:
    """The service, where a kill may come before a request and after its answer."""

    def __init__(self, service: HealthImaging, steps: Steps) -> None:
        self._service, self._steps = service, steps

    def start(self, request):
        return self._between(lambda: self._service.start(request))

    def ask(self, datastore_id, job_id):
        return self._between(lambda: self._service.ask(datastore_id, job_id))

    def _between(self, work: Callable):
        self._steps.step()
        answer = work()
        self._steps.step()
        return answer


def killed_at(scene: Scene, at: int) -> bool:
    """Run a processor's passes until it is killed at its step ``at``; tell whether it was, or came through."""
    steps = Steps(at)
    processor = scene.processor()
    processor._service = Breakable(processor._service, steps)
    sent = processor._send
    processor._send = lambda edge, body: (steps.step(), sent(edge, body), steps.step())

    def before_commit(_connection: sa.Connection) -> None:
        steps.step()

    sa.event.listen(scene.database.engine, "commit", before_commit)
    try:
        for _ in range(3):  # start; ask and reconcile; tell the edge what is still owed
            processor.run_once()
            scene.ended()
            scene.passed += timedelta(seconds=61)
    except Killed:
        return True
    finally:
        sa.event.remove(scene.database.engine, "commit", before_commit)
    return False


@pytest.mark.full
@pytest.mark.timeout(600)
def test_I4_fault_11_fault_12_killed_at_every_step_another_goes_on(servers, sqlite):
    """Before and after each request, commit and receipt: the next one ends the work, with one job and image set."""
    at, killed = 0, True
    while killed:
        at += 1
        scene = servers.scene(sqlite)
        scene.passed = timedelta(hours=at)  # time goes on in this index
        scene.announce(
            [*scans(2, series=f"{ROOT}.{at}.1"), *scans(1, series=f"{ROOT}.{at}.2", scan_id=2)],
            study=f"{ROOT}.{at}", n=at,
        )  # fmt: skip
        killed = killed_at(scene, at)
        scene.passed += timedelta(minutes=3)  # the leases of the dead end
        scene.run_until_over()
        assert len(scene.jobs()) == 1, at
        study = f"'{ROOT}.{at}'"
        assert scene.rows(f"SELECT status FROM ahlijob WHERE studyinstanceuid = {study}") == [(3,), (3,)], at
        assert scene.rows(f"SELECT imported, sent FROM seriesimport WHERE studyinstanceuid = {study}") == [
            (2, 2), (1, 1),
        ], at  # fmt: skip
        sets = f"SELECT version FROM ahliimageset WHERE seriesinstanceuid LIKE '{ROOT}.{at}.%'"
        assert scene.rows(sets) == [(1,), (1,)], at
        assert {r["MessageId"] for r in scene.told} == {f"receipt-{scene.told[0]['Body']['JobId']}-IMPORTED"}, at
    assert at > 12  # it was killed at many steps, and the last run came through


@pytest.mark.full
@pytest.mark.door("command")
def test_I4_kill_9_of_the_loop_while_its_jobs_run(scene):
    """Killed with jobs at the service; another process finds them, imports the rest, and starts none twice."""
    for n in range(4):
        scene.announce(scans(2, series=f"{ROOT}.1.{n}", scan_id=n + 1))
    scene.switch(jobs=[{"seconds": 5}] * 2)
    told = settings(scene, AHLI_CONCURRENT_IMPORTS="2")
    with process(scene.server.folder, "import", **told) as loop:
        loop.until(lambda: len(scene.jobs()) == 2, "two jobs run")
        loop.stop(signal.SIGKILL)
    with process(scene.server.folder, "import", **told) as loop:
        over = "SELECT count(*) FROM ahlijob WHERE status = 3"
        loop.until(lambda: scene.rows(over) == [(4,)], "all are imported", 110)
    assert len(scene.jobs()) == 4
    assert scene.rows("SELECT count(*), max(version) FROM ahliimageset") == [(4, 1)]


def test_fault_12_a_claim_whose_processor_died_is_taken_over(scene_on_both):
    """Cut off between claim and start: the slot stays taken until the lease ends, then the job is started."""
    scene = scene_on_both
    scene.announce(scans(1))
    dead = scene.processor(concurrent=1)
    died = threading.Event()

    class Dead:
        def start(self, _request):
            died.set()
            raise Killed

        def ask(self, *_):
            raise AssertionError("nothing runs yet")

    dead._service = Dead()
    with pytest.raises(Killed):
        dead.run_once()
    assert died.is_set()
    other = scene.processor(concurrent=1)
    other.run_once()
    assert scene.jobs() == []  # it may be starting it at this moment
    scene.passed += timedelta(seconds=91)
    other.run_once()
    until(lambda: len(scene.jobs()) == 1, "the job is started")
    scene.run_until_over(other)
    assert scene.rows("SELECT status FROM ahlijob") == [(3,)]


def test_fault_12_a_processor_whose_clock_was_ahead_stops_nobody(scene):
    """One a day ahead starts a job and asks for it; with the right time another ends that one and starts the next."""
    scene.announce(scans(1))
    scene.passed = timedelta(days=1)
    scene.processor().run_once()
    scene.passed = timedelta(0)
    scene.announce(scans(1, start=5))
    scene.ended()
    scene.processor().run_once()
    scene.ended()
    scene.passed = timedelta(seconds=61)
    scene.processor().run_once()
    assert scene.rows("SELECT status FROM ahlijob ORDER BY id") == [(3,), (3,)]
