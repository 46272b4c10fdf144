"""Where the tests' edges and commands come from: a process that has our modules imported, and forks for every start.

What follows the fork is ``python -m edge …`` or ``python -m cloud …`` as typed, with exactly the environment that is
given: the same code a second sooner, which is what makes thousands of starts affordable. Some tests start Python itself
(``tests/e2e/test_as_typed.py``, the demos, the installed wheel), so that an import that is missing is seen too.
"""

import atexit
import contextlib
import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Self

REPOSITORY = Path(__file__).resolve().parents[1]
#: What is imported before the first fork, of either wing.
LOADED = {
    "edge": ("edge.__main__", "edge.serving", "edge.compose", "edge.index.schema", "edge.services.report"),
    "cloud": (
        "cloud.__main__",
        "cloud.compose",
        "cloud.dashboard.app",
        "cloud.imagesets.commands",
        "cloud.local_healthimaging.serve",
        "cloud.pipeline.api.app",
        "cloud.pipeline.commands",
        "cloud.pipeline.process.logs",
        "cloud.pipeline.process.work",
        "psycopg",
    ),
}


class Child:
    """A process that was forked for us; as far as the tests go it is a ``subprocess.Popen``."""

    def __init__(self, pid: int, told: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._told = told

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status; raises TimeoutExpired."""
        if self.returncode is None:
            ended, _, _ = select.select([self._told], [], [], timeout)
            if not ended:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            said = os.read(self._told, 16)
            os.close(self._told)
            assert said, "the nursery ended before its child"
            self.returncode = int(said)
        return self.returncode

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)


class Nursery:
    """The process that is forked from; its children live on without it."""

    def __init__(self, wing: str = "edge") -> None:
        self._lock = threading.Lock()
        self._line, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", wing, str(other.fileno())],
                cwd=REPOSITORY, stdin=subprocess.DEVNULL, env=self._environ, pass_fds=[other.fileno()],
            )  # fmt: skip

    def start(
        self,
        module: str,
        *arguments: str,
        environ: Mapping[str, str],
        output: int,
        error: int | None = None,
        folder: Path | None = None,
        session: bool = False,
    ) -> "Child | subprocess.Popen[bytes]":
        """Start ``python -m module arguments`` in ``folder``, perhaps in a session of its own.

        It writes to the descriptors ``output`` and ``error``, without the second to the first alone. A fork is past
        what loader and interpreter read at their start: who sets that otherwise than here gets a start of its own.
        """
        if any(self._is_read_at_start(name, value) for name, value in environ.items()):
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments], env=environ, cwd=folder, start_new_session=session,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output if error is None else error,
            )  # fmt: skip
        asked = [module, arguments, dict(environ), str(folder or Path.cwd()), session]
        told, tell = os.pipe()
        try:
            with self._lock:
                descriptors = [output, output if error is None else error, tell]
                socket.send_fds(self._line, [json.dumps(asked).encode()], descriptors)
                return Child(int(self._line.recv(16)), told)
        finally:
            os.close(tell)

    def _is_read_at_start(self, name: str, value: str) -> bool:
        is_read = name.startswith(("LD_", "PYTHON")) and name != "PYTHONUNBUFFERED"
        return is_read and value != self._environ.get(name)

    def run(
        self,
        module: str,
        *arguments: str,
        environ: Mapping[str, str],
        folder: Path | None = None,
        timeout: float = 60,
    ) -> "subprocess.CompletedProcess[str]":
        """Run it to its end and return what it said; raises TimeoutExpired, and has killed it then."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            child = self.start(
                module, *arguments, environ=environ, output=out.fileno(), error=err.fileno(), folder=folder
            )
            try:
                status = child.wait(timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                raise
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess([module, *arguments], status, out.read(), err.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._process.wait(30)


@cache
def nursery(wing: str = "edge") -> Nursery:
    """Return this process's nursery of a wing; it ends with the process."""
    made = Nursery(wing)
    atexit.register(made.__exit__)
    return made


def _nurse(wing: str, line: socket.socket) -> list[Any]:
    """Fork for each request; returns in the child alone, with what it is to run."""
    for name in LOADED[wing]:
        import_module(name)
    _name_threads()
    gc.collect()
    gc.freeze()  # a collection in a child need not copy these pages
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    tells: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([line, wake], [], [])
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
            _reap(tells)
        if line not in ready:
            continue
        data, descriptors, _, _ = socket.recv_fds(line, 1 << 20, 3)
        if not data:
            sys.exit(0)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asked: list[Any] = json.loads(data)
            if asked.pop():
                os.setsid()
            for target, source in enumerate(descriptors[:2], 1):
                os.dup2(source, target)
            line.close()
            os.closerange(3, max([wake, woken, *descriptors, *tells.values()]) + 1)
            return asked
        tells[pid] = descriptors.pop()
        for descriptor in descriptors:
            os.close(descriptor)
        line.send(str(pid).encode())


def _reap(tells: dict[int, int]) -> None:
    while tells:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        tell = tells.pop(pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(tell, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(tell)


def _name_threads() -> None:
    """Let the kernel know the threads' names, as Python does by itself from 3.14 on: kills are aimed by them."""
    system, run = ctypes.CDLL(None), threading.Thread.run

    def named(self: threading.Thread) -> None:
        system.prctl(15, self.name.encode()[:15], 0, 0, 0)  # PR_SET_NAME
        run(self)

    threading.Thread.run = named  # type: ignore[method-assign]


if __name__ == "__main__":
    module, arguments, environ, folder = _nurse(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    os.chdir(folder)
    sys.path[0] = folder
    sys.argv = [module, *arguments]
    if "PYTHONUNBUFFERED" in environ:
        sys.stdout.reconfigure(write_through=True)
    sys.modules.pop(f"{module}.__main__", None)  # it is run, once more
    runpy.run_module(module, run_name="__main__", alter_sys=True)
