"""Bounded parsing: what a hostile object does to a worker, and that it does nothing to the edge."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge.errors import OutOfResources, ParseFault, WorkerDied
from edge.parse.pool import ParsePool

ECHO = "edge.contract.uids:key_part"
READ = "edge.index.header:read_header"
ENVELOPE = "edge.contract.envelope:load_envelope"


Make = Callable[..., ParsePool]


@pytest.fixture
def make_pool() -> Iterator[Make]:
    """Give a maker of pools, which are closed after the test."""
    pools: list[ParsePool] = []

    def make(**settings: float) -> ParsePool:
        pools.append(ParsePool(**settings))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def pool(make_pool: Make) -> ParsePool:
    """Give a pool of one worker."""
    return make_pool(memory_mb=256, timeout_seconds=20)


def workers() -> list[psutil.Process]:
    """The parse workers of this very process."""
    return [p for p in psutil.Process().children() if "edge.parse.worker" in p.cmdline()]


def test_D5_a_call_returns_the_functions_value_from_one_long_lived_process(pool: ParsePool) -> None:
    """Many calls, one process; it starts with the first call and not before."""
    assert workers() == []
    assert [pool.call(ECHO, uid=f"1.{n}") for n in range(20)] == [f"1.{n}" for n in range(20)]
    (first,) = workers()
    pool.call(ECHO, uid="1")
    assert workers() == [first]


def test_D5_a_fault_comes_back_as_the_same_class_with_its_hint(pool: ParsePool, tmp_path: Path) -> None:
    """What the function says of the object reaches the stage as it was raised."""
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    with pytest.raises(ParseFault, match="the dataset is empty") as caught:
        pool.call(READ, path=str(empty), dataset_offset=0, transfer_syntax_uid="1.2.840.10008.1.2")
    assert caught.value.hint
    assert pool.call(ECHO, uid="1.2") == "1.2"


def test_D5_any_other_exception_names_its_type_and_no_value(pool: ParsePool) -> None:
    """An exception's text may quote a patient, so only the type's name passes the door."""
    with pytest.raises(ParseFault, match="Malformed") as caught:
        pool.call(ENVELOPE, text="Doe^Jane")
    with pytest.raises(ParseFault, match="TypeError"):
        pool.call(ECHO, name="Doe^Jane")
    assert "Doe" not in str(caught.value) + caught.value.hint
    (worker,) = workers()
    assert worker.is_running()


@pytest.mark.parametrize(
    "function",
    ["os:system", "edge:x", "edge.contract.uids", "edge.contract.uids:_UID", "edged.x:y", "edge..x:y", "edge.x:y\n"],
)
def test_D5_only_functions_below_edge_run(pool: ParsePool, function: str) -> None:
    """Nothing else can be named."""
    with pytest.raises(ValueError, match=r"edge\.module:name"):
        pool.call(function)


def test_D5_a_memory_bomb_kills_the_worker_only(make_pool: Make, caplog: pytest.LogCaptureFixture) -> None:
    """An object that needs more than the limit is told as WorkerDied, logged, and the next one works."""
    pool = make_pool(memory_mb=64)
    pool.call(ECHO, uid="1")
    (first,) = workers()
    with pytest.raises(WorkerDied, match="MemoryError") as caught:
        pool.call(ECHO, uid="1" * (80 << 20))
    assert "parked" in caught.value.hint
    assert [getattr(r, "event", "") for r in caplog.records] == ["worker.died"] * 2  # tried once more
    assert pool.call(ECHO, uid="1.2") == "1.2"
    assert first not in workers()


def test_D5_endless_recursion_kills_the_worker_only(pool: ParsePool, tmp_path: Path) -> None:
    """What nests without end is told as WorkerDied and the worker replaced."""
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(WorkerDied, match="RecursionError"):
        pool.call("edge.config:load_config", environ={"DICOM_EDGE_CONFIG": str(tmp_path / "deep.toml")})
    assert pool.call(ECHO, uid="1.2") == "1.2"


def test_D5_an_object_that_takes_too_long_is_cut_off(make_pool: Make, tmp_path: Path) -> None:
    """A parse that keeps the processor busy beyond the limit is the object's fault, after a second try."""
    endless = tmp_path / "endless.dcm"
    endless.write_bytes(bytes.fromhex("0900010000000000") * (4 << 20))  # four million empty elements
    pool = make_pool(
        timeout_seconds=0.5, busy_share=0.0
    )  # on a busy machine it hardly runs, and the test is not of that
    pool.call(ECHO, uid="1")
    with pytest.raises(WorkerDied, match=r"ran over 0\.5 s"):
        pool.call(READ, path=str(endless), dataset_offset=0, transfer_syntax_uid="1.2.840.10008.1.2")
    assert workers() == []
    assert pool.call(ECHO, uid="1.2") == "1.2"


def test_I6_D5_a_disk_that_stalls_is_no_fault_of_the_object(make_pool: Make, tmp_path: Path) -> None:
    """A worker that only waited (here: for a pipe nobody writes to) tells of the machine: nothing is parked."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").touch()
    pool = make_pool(timeout_seconds=2)
    with suppress(ParseFault):  # the reader is loaded: what follows only waits
        pool.call(READ, path=str(tmp_path / "empty"), dataset_offset=0, transfer_syntax_uid="1.2.840.10008.1.2")
    with pytest.raises(OutOfResources, match=r"waited 2 s") as caught:
        pool.call(READ, path=str(tmp_path / "fifo"), dataset_offset=0, transfer_syntax_uid="1.2.840.10008.1.2")
    assert caught.value.transient
    assert workers() == []
    assert pool.call(ECHO, uid="1.2") == "1.2"


def requests_waiting(pipe: int) -> bool:
    """Tell whether a request lies in the pipe unread."""
    return fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4) != b"\0" * 4


def kill_in_call(pool: ParsePool, sent: signal.Signals) -> None:
    """Kill the pool's only worker, from outside, once a request is on its way to it."""
    (worker,) = workers()
    worker.suspend()
    slot = pool._slots.get()
    assert slot is not None
    stdin = slot._stdin.fileno()
    pool._slots.put(slot)

    def kill() -> None:
        while not requests_waiting(stdin):  # bounded by the test's time-out
            os.sched_yield()
        worker.send_signal(sent)
        with suppress(psutil.NoSuchProcess):
            worker.send_signal(signal.SIGCONT)  # a stopped process dies of SIGSEGV when it goes on

    threading.Thread(target=kill).start()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSEGV])
def test_I6_D5_one_death_from_outside_costs_no_object(
    make_pool: Make, sent: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that the kernel killed proves nothing of the object: it is tried again in a fresh one, and told."""
    pool = make_pool(timeout_seconds=60)
    pool.call(ECHO, uid="1")
    kill_in_call(pool, sent)
    assert pool.call(ECHO, uid="2") == "2"
    assert f"exit status {-sent}" in caplog.text


def test_D5_a_second_death_in_a_row_is_the_objects(make_pool: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers that die of one object end it as WorkerDied; the pool goes on."""
    pool = make_pool(timeout_seconds=60)
    pool.call(ECHO, uid="1")
    start = pool._start

    def start_and_kill() -> Any:
        worker = start()
        pool._slots.put(worker)
        kill_in_call(pool, signal.SIGKILL)
        return pool._slots.get()

    kill_in_call(pool, signal.SIGKILL)
    monkeypatch.setattr(pool, "_start", start_and_kill)
    with pytest.raises(WorkerDied, match="exit status -9"):
        pool.call(ECHO, uid="2")
    monkeypatch.undo()
    assert pool.call(ECHO, uid="1.2") == "1.2"


def test_D5_a_worker_that_died_between_calls_costs_no_object(pool: ParsePool) -> None:
    """An idle worker killed by somebody is replaced without a word to the caller."""
    pool.call(ECHO, uid="1")
    (worker,) = workers()
    worker.kill()
    worker.wait(10)
    assert pool.call(ECHO, uid="1.2") == "1.2"


def test_D5_ctrl_c_and_a_service_stop_leave_the_worker_to_its_parent(pool: ParsePool) -> None:
    """Signals sent to the whole group do not cut an object short and park it."""
    pool.call(ECHO, uid="1")
    (worker,) = workers()
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        worker.send_signal(sent)
    assert pool.call(ECHO, uid="1.2") == "1.2"
    assert workers() == [worker]
    assert os.getsid(worker.pid) != os.getsid(0)


def test_D5_a_machine_that_starts_no_worker_parks_nothing(make_pool: Make) -> None:
    """Too little memory to start is the machine's fault, so it is transient and not the object's death."""
    pool = make_pool(memory_mb=1)
    with pytest.raises(OutOfResources) as caught:
        pool.call(ECHO, uid="1")
    assert caught.value.transient


def test_D5_workers_see_no_credentials(monkeypatch: pytest.MonkeyPatch, pool: ParsePool) -> None:
    """The process that reads hostile bytes holds no secret of the edge."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    pool.call(ECHO, uid="1")
    (worker,) = workers()
    assert "AWS_SECRET_ACCESS_KEY" not in worker.environ()


def test_D5_calls_from_many_threads_share_the_workers(make_pool: Make) -> None:
    """Answers never cross, and no more than ``size`` processes are started."""
    pool = make_pool(size=2)
    with ThreadPoolExecutor(8) as threads:
        uids = [f"1.{n}" for n in range(200)]
        assert list(threads.map(lambda uid: pool.call(ECHO, uid=uid), uids)) == uids
    assert len(workers()) <= 2
    pool.close()
    assert workers() == []
    with pytest.raises(RuntimeError, match="closed"):
        pool.call(ECHO, uid="1")


def test_D5_the_parents_death_ends_its_workers() -> None:
    """A killed edge leaves no process behind."""
    code = (
        "import json, os, psutil, time\n"
        "from edge.parse.pool import ParsePool\n"
        f"pool = ParsePool()\npool.call({ECHO!r}, uid='1')\n"
        "print(json.dumps([p.pid for p in psutil.Process().children()]), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    (pid,) = json.loads(done.stdout)
    try:
        psutil.Process(pid).wait(10)
    except psutil.NoSuchProcess:
        return
