"""The pool of parse workers: hostile datasets are read in bounded processes, never in the edge itself (D5)."""

import logging
import math
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from edge import errors
from edge.errors import EdgeError, OutOfResources, WorkerDied
from edge.events import Event, log
from edge.parse.frames import read_frame, write_frame
from edge.parse.worker import FUNCTION

_STARTS = 3  # attempts to get a worker up before the machine is held to be short of something
_START_SECONDS = 60.0
#: What a worker needs of the environment; credentials are not among it.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "LANG", "LC_ALL")


class ParsePool:
    """Up to ``size`` long-lived workers of ``memory_mb`` MiB address space; each call has ``timeout_seconds``.

    A call that ran over its time is at fault itself if it used the processor for ``busy_share`` of it; otherwise the
    machine is. Workers start when they are first needed and are replaced when they die. Thread-safe.
    """

    def __init__(
        self, size: int = 1, memory_mb: int = 512, timeout_seconds: float = 30.0, busy_share: float = 0.25
    ) -> None:
        self._memory_mb = memory_mb
        self._timeout = timeout_seconds
        self._busy_share = busy_share
        self._size = size
        self._closed = False
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(size):
            self._slots.put(None)

    def call(self, function: str, /, **arguments: Any) -> Any:
        """Run ``module:function`` (below ``edge.``) with JSON ``arguments`` and return its JSON value.

        Waits for a free worker. An EdgeError raised there is raised here as the same class, with message and hint;
        any other exception comes as ParseFault that names its type only. Raises WorkerDied when two workers in turn
        died of it or ran over memory or time, and OutOfResources when none can be started, or when one ran over its
        time without using the processor: the machine is short of something, and waiting may help.
        """
        if not FUNCTION.fullmatch(function):
            raise ValueError("a function is named edge.module:name")
        request = {"function": function, "arguments": arguments}
        try:
            answer = self._ask(request)
        except WorkerDied as e:
            # One death proves nothing: the kernel kills whom it likes when memory is short, and disks stall.
            log(Event.WORKER_DIED, f"{e}; the object is tried once more", level=logging.WARNING, function=function)
            try:
                answer = self._ask(request)
            except WorkerDied as again:
                log(Event.WORKER_DIED, str(again), level=logging.WARNING, function=function)
                raise
        if "fault" in answer:
            raise _error(answer)
        return answer["value"]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        worker = self._slots.get()
        try:
            if self._closed:
                raise RuntimeError("the pool is closed")
            if worker is None or not worker.is_alive():
                if worker is not None:
                    worker.kill()
                worker = None
                worker = self._start()
            try:
                return worker.ask(request, self._timeout)
            except (WorkerDied, OutOfResources):
                worker.kill()
                worker = None
                raise
        finally:
            self._slots.put(worker)

    def close(self) -> None:
        """Let calls under way finish, then end the workers; later calls raise RuntimeError."""
        self._closed = True
        for worker in [self._slots.get() for _ in range(self._size)]:
            if worker is not None:
                worker.stop()
            self._slots.put(None)

    def _start(self) -> "_Worker":
        for _ in range(_STARTS):
            with suppress(OSError):
                worker = _Worker(self._memory_mb, self._timeout, self._busy_share)
                with suppress(WorkerDied, OutOfResources):
                    worker.wait_ready(_START_SECONDS)
                    return worker
                worker.kill()
        # Dying before it was given anything is not the object's fault, so it must not park it.
        raise OutOfResources("no parse worker starts", hint="free memory or processes, or raise the workers' limit")


class _Worker:
    """One subprocess; used by one thread at a time."""

    def __init__(self, memory_mb: int, seconds: float, busy_share: float) -> None:
        self._busy_share = busy_share
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge.parse.worker", str(memory_mb), str(seconds * 2 + 1)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a library's complaint may quote a patient
            env={k: v for k, v in os.environ.items() if k in _PASSED_ON or k.startswith("PYTHON")},
            start_new_session=True,  # Ctrl-C in the terminal goes to the edge alone, from the first moment on
        )
        self._expired = False
        self._worked = math.inf  # seconds of processor time of the call that expired, where that can be told

    def is_alive(self) -> bool:
        return not self._expired and self._process.poll() is None

    def wait_ready(self, seconds: float) -> None:
        """Wait for the first frame; raises WorkerDied."""
        self._exchange(None, seconds)

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send one request and return its answer; raises WorkerDied, after which the worker is only to be killed."""
        answer = self._exchange(request, seconds)
        if "died" in answer:
            raise _died(f"a parse worker gave up: {answer['died']}")
        return answer

    def _exchange(self, request: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
        before = _processor_seconds(self._process.pid)
        timer = threading.Timer(seconds, self._expire, (before,))
        timer.daemon = True
        timer.start()
        try:
            if request is not None:
                with suppress(BrokenPipeError):  # it ran out of memory over the request; its last frame says so
                    write_frame(self._stdin, request)
            return cast(dict[str, Any], read_frame(self._stdout))
        except (EOFError, OSError, ValueError) as e:
            if self._expired and self._worked < seconds * self._busy_share:
                raise OutOfResources(
                    f"a parse worker waited {seconds:g} s for the disk or the processor",
                    hint="see what slows this machine down, or its disk of SPOOL_DIR",
                ) from e
            if self._expired:
                raise _died(f"a parse worker ran over {seconds:g} s") from e
            raise _died(f"a parse worker died, exit status {self._exit_status()}") from e
        finally:
            timer.cancel()

    def _exit_status(self) -> int:
        try:
            return self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _expire(self, before: float | None) -> None:
        now = _processor_seconds(self._process.pid)
        self._worked = math.inf if now is None or before is None else now - before
        self._expired = True
        self._process.kill()

    def stop(self) -> None:
        """End it the friendly way: the end of its input."""
        with suppress(OSError):
            self._stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._stdin, self._stdout):
            with suppress(OSError):
                stream.close()

    @property
    def _stdin(self) -> IO[bytes]:
        return cast(IO[bytes], self._process.stdin)

    @property
    def _stdout(self) -> IO[bytes]:
        return cast(IO[bytes], self._process.stdout)


def _processor_seconds(pid: int) -> float | None:
    """Return the processor time a process has used (proc(5): utime and stime); None where that is not told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def _died(message: str) -> WorkerDied:
    return WorkerDied(message, hint="the object is kept and parked; look at it apart, then retry it")


def _error(answer: dict[str, Any]) -> EdgeError:
    kind = cast(type[EdgeError], getattr(errors, answer["fault"]))
    return kind(answer["message"], hint=answer["hint"])
