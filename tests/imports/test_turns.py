"""Everybody has a turn: what fails again and again holds neither a slot nor a place in front of others."""

import pytest

from cloud.imports.cover import Limits
from cloud.imports.plan import plan_generation, queued_generations
from cloud.imports.service import Refusal, Refused
from cloud.imports.start import claim, record_refused
from tests.cloud.edges import scans
from tests.imports.test_faults import START, statuses
from tests.waiting import until

pytestmark = pytest.mark.door("SQL", "HTTP")


def test_E043_a_generation_that_cannot_be_planned_lets_later_ones_pass(scene):
    """It was put off before the other came: due again, it stands behind, however few are planned in a pass."""
    scene.announce(scans(1), datastore_id=None)
    scene.processor().run_once()
    later = scene.announce(scans(1, start=5))
    scene.passed += 60 * scene.minute
    with scene.database.engine.connect() as connection:
        assert queued_generations(connection, scene.clock(), most=1) == [later]


def test_E043_an_import_that_is_refused_again_and_again_lets_later_ones_pass(scene):
    """With one start in a pass: the one that was refused is due again, the one that never had its turn begins."""
    first, second = scene.announce(scans(1)), scene.announce(scans(1, start=5))
    engine, now = scene.database.engine, scene.clock()
    for job in (first, second):
        plan_generation(engine, scene.store, job, datastore_id=None, limits=Limits(), now=now)
    refused = Refused(refusal=Refusal.NOT_NOW, reason="no", hint="wait")
    with engine.begin() as connection:
        claimed = claim(connection, now, concurrent=1)
        assert claimed.job_id == first
        record_refused(connection, claimed, refused, now)
        scene.passed += 60 * scene.minute
        assert claim(connection, scene.clock(), concurrent=1).job_id == second


def test_fault_11_an_answer_that_never_comes_holds_no_slot_for_ever(scene):
    """Every answer to the first start is lost: after some ten minutes the only slot goes to the second."""
    scene.switch(operations=[{"operation": START, "lose_answer": True, "times": 8}])
    scene.announce(scans(1))
    processor = scene.processor(concurrent=1)
    processor.run_once()
    assert statuses(scene) == [(2,)]  # it may run: it holds its slot
    scene.announce(scans(1, start=5))

    def second_runs() -> bool:
        processor.run_once()
        scene.passed += scene.minute
        return statuses(scene)[1] != (1,)

    until(second_runs, "the second has its turn")
    ((status, reason, hint),) = scene.rows("SELECT status, reason, hint FROM ahlijob ORDER BY id LIMIT 1")
    assert status == 1
    assert "ConnectionClosedError" in reason
    assert hint
    scene.run_until_over(processor)
    assert statuses(scene) == [(3,), (3,)]
    assert len(scene.jobs()) == 2  # the token found the first one


class Odd:
    """The service, but to starts below one prefix something answers that nobody thought of."""

    def __init__(self, service, of: str) -> None:
        self._service, self.of = service, of

    def start(self, request):
        if self.of and self.of in request.input_location:
            raise KeyError("jobId")
        return self._service.start(request)

    def ask(self, datastore_id, job_id):
        return self._service.ask(datastore_id, job_id)


def test_fault_12_an_unexpected_answer_to_one_start_stops_no_other(scene):
    """A door for each start: its row says what happened, the others are imported, it is taken later, once."""
    first = scene.announce(scans(1))
    scene.announce(scans(1, start=5))
    processor = scene.processor()
    processor._service = odd = Odd(processor._service, first)

    def second_is_done() -> bool:
        processor.run_once()
        scene.passed += scene.minute
        return statuses(scene)[1] == (3,)

    until(second_is_done, "the second is imported")
    ((status, reason, hint),) = scene.rows("SELECT status, reason, hint FROM ahlijob ORDER BY id LIMIT 1")
    assert (status, reason, hint) == (2, "the start did not end: unexpected KeyError", "report this log line")
    odd.of = ""
    scene.run_until_over(processor)
    assert statuses(scene) == [(3,), (3,)]
    assert len(scene.jobs()) == 2
