"""The demo's processes: start each with its own log file, wait until it is ready, stop them all at the end."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.errors import EdgeError

_READY_SECONDS = 60.0
_RUN_SECONDS = 120.0
_STOP_SECONDS = 40.0
#: Settings of a box that runs for real must not leak into the demo.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


class DemoFault(EdgeError):
    """The demo cannot go on; the text says which part and why."""


def ensure_port_free(port: int, what: str, hint: str) -> None:
    """Raise DemoFault if something already listens on ``port`` of loopback."""
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as e:
            raise DemoFault(f"port {port} ({what}) is busy: {e.strerror}", hint=hint) from e


def answers(url: str) -> bool:
    """Tell whether ``url``, one of our own processes, answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - the demo's own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@dataclass(kw_only=True)
class Processes:
    """The children of the demo, in the order of their start."""

    logs: Path
    _running: list[tuple[str, "subprocess.Popen[bytes]"]] = field(default_factory=list)

    def start(self, name: str, command: list[str], environ: Mapping[str, str]) -> None:
        """Start ``command`` with only the settings that ``environ`` names; its output goes to ``logs/name.log``."""
        self._running.append((name, self._popen(name, command, environ)))

    def run(self, name: str, command: list[str], environ: Mapping[str, str]) -> None:
        """Start ``command`` likewise and return once it has ended well; raises DemoFault if it does not."""
        process = self._popen(name, command, environ)
        try:
            status = process.wait(_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoFault(f"{name} did not end in {_RUN_SECONDS:.0f} s", hint=self._hint(name)) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if status:
            raise DemoFault(f"{name} ended with status {status}", hint=self._hint(name))

    def wait(self, name: str, ready: Callable[[], bool]) -> None:
        """Return once ``ready()``; raises DemoFault if a child ended before, or after a minute."""
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise DemoFault(f"{name} did not get ready in {_READY_SECONDS:.0f} s", hint=self._hint(name))
            time.sleep(0.05)

    def check(self) -> None:
        """Raise DemoFault if a child has ended."""
        for name, process in self._running:
            if process.poll() is not None:
                raise DemoFault(f"{name} ended with status {process.returncode}", hint=self._hint(name))

    def stop(self) -> None:
        """End all children, the last started first: each still finds what it stands on."""
        for _, process in reversed(self._running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            _end_group(process.pid)
        self._running.clear()

    def _popen(self, name: str, command: list[str], environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        kept = {k: os.environ[k] for k in _KEPT if k in os.environ}
        with (self.logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=kept | dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which stops the parts in order
            )

    def said(self, name: str) -> str:
        """Return the last line that a part printed; empty if there is none."""
        lines = (self.logs / f"{name}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _hint(self, name: str) -> str:
        path = self.logs / f"{name}.log"
        last = path.read_text(errors="replace").strip().splitlines()[-3:] if path.exists() else []
        return f"see {path}" + "".join(f"\n    {line}" for line in last)


def _end_group(leader: int) -> None:
    """End what a child left behind; each child leads a group of its own."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our modules with this interpreter."""
    return [sys.executable, "-m", module, *arguments]
