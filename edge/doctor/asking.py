"""Having the running edge's own process start the doctor: it has the credentials, user and rights that count.

Under Greengrass only the component is given credentials. A request is a file in run/, the answer another; the doctor
runs in a process of its own, so that neither its study nor its log lines mix with the edge's.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edge.doctor.findings import Finding, Verdict

_SECONDS = 300.0
_POLL_SECONDS = 0.1


def request_file(spool_dir: Path) -> Path:
    """Return the file by which the doctor is asked for."""
    return spool_dir / "run" / "doctor.request"


def _answer_file(spool_dir: Path) -> Path:
    return spool_dir / "run" / "doctor.json"


class DoctorStage:
    """Runs the doctor when it was asked for; see :class:`edge.flow.Stage`."""

    name = "doctor"

    def __init__(self, spool_dir: Path, settings: Path | None) -> None:
        """``settings`` is the file that the doctor reads, beside the environment that it inherits."""
        self._spool_dir = spool_dir
        self._settings = settings
        with contextlib.suppress(OSError):  # a SPOOL_DIR that cannot be used is told by who uses it first
            request_file(spool_dir).unlink(missing_ok=True)

    def step(self) -> bool:
        """Look, once a second."""
        asked = request_file(self._spool_dir)
        if not asked.exists():
            return False
        asked.unlink(missing_ok=True)
        file = ["--config", str(self._settings)] if self._settings else []
        command = [sys.executable, "-m", "edge", "doctor", "--here", "--json", *file]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
            text = done.stdout or json.dumps([_fault(f"it ended with {done.returncode}")])
        except subprocess.TimeoutExpired:
            text = json.dumps([_fault(f"it did not end within {_SECONDS:.0f} s")])
        part = _answer_file(self._spool_dir).with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, _answer_file(self._spool_dir))
        return True


def _fault(text: str) -> dict[str, Any]:
    hint = "see the log of the edge; dicom-edge doctor --here runs it without the edge"
    return Finding(name="doctor", verdict=Verdict.BAD, text=text, hint=hint).to_json()


def ask(spool_dir: Path, *, seconds: float = _SECONDS + 30) -> list[Finding] | None:
    """Have the running edge start it, and return what it found; None if the edge does not answer."""
    answer = _answer_file(spool_dir)
    answer.unlink(missing_ok=True)
    request_file(spool_dir).touch()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer.exists():
            return [Finding(**{**f, "verdict": Verdict(f["verdict"])}) for f in json.loads(answer.read_text("utf-8"))]
        time.sleep(_POLL_SECONDS)
    return None
