"""The foreign programs that judge tagged objects."""

import shutil
import subprocess
import sys
from pathlib import Path


def run(*command: str | Path) -> tuple[int, str]:
    """Run to the end; return the exit code and all that was printed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).decode("latin-1")


def tool(name: str) -> str:
    """Return the path of a program, looking beside the interpreter first."""
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    tool = beside or shutil.which(name)
    assert tool, f"{name} is not installed"
    return tool
