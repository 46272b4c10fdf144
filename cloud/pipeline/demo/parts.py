"""The demo's processes: mailbox, local AWS and API, each with a log, stopped together at the end."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from cloud.errors import SetupFault

_READY_SECONDS = 120.0
_STOP_SECONDS = 20.0
#: Settings of a pipeline that runs for real must not leak into the demo.
_KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")


class Parts:
    """Children of this process; each leads a group of its own."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, command: list[str], settings: Mapping[str, str], folder: Path) -> None:
        """Start a child with only the settings that are named."""
        kept = {k: os.environ[k] for k in _KEPT if k in os.environ}
        with (self._logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=kept | dict(settings), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._running.append((name, process))

    def wait(self, name: str, ready: Callable[[], bool]) -> None:
        """Return once ``ready()``; raises SetupFault if a child ended, or after two minutes."""
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise SetupFault(f"{name} did not get ready", hint=f"see {self._logs / name}.log")
            time.sleep(0.1)

    def check(self) -> None:
        """Raise SetupFault if a child has ended."""
        for name, process in self._running:
            if process.poll() is not None:
                raise SetupFault(f"{name} ended with status {process.returncode}", hint=f"see {self._logs / name}.log")

    def stop(self) -> None:
        """End all, the last started first."""
        for _, process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            try:
                os.killpg(process.pid, signal.SIGKILL)  # what it left behind
            except ProcessLookupError:
                continue
        self._running.clear()


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether something takes connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def answers(url: str) -> bool:
    """Whether one of our own children answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def python(*arguments: str) -> list[str]:
    """Return the command that runs our own tool."""
    return [sys.executable, "-m", "cloud", *arguments]
