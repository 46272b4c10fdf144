"""Where the local AWS's functions come from: a process that has imported what their zip leaves out, and forks.

The local AWS starts a Python for each function that is called, and nearly all of such a start is the import of other
people's packages. It is given a program in Python's place that hands its arguments, environment and standard streams to
this process, which runs the script in a fork of its own. Our own code is not imported here: it comes out of the zip.
"""

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

LOADED = ("boto3", "botocore.auth", "botocore.httpsession", "httpx", "psycopg", "pydicom", "sqlalchemy.dialects.sqlite",
          "sqlalchemy.dialects.postgresql.psycopg", "zoneinfo")  # fmt: skip
_HEAD = struct.Struct(">I")
_PYTHON = """#!{python} -IS
import json, os, socket, struct, sys
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
asked = json.dumps([os.getcwd(), dict(os.environ), sys.argv[1:]]).encode()
socket.send_fds(line, [struct.pack(">I", len(asked))], [0, 1, 2])
line.sendall(asked)
sys.exit(int(line.recv(16) or 1))
"""


@contextmanager
def function_nursery(folder: Path) -> Iterator[str]:
    """Start the process and end it at the end; the path of what is to be started in Python's place."""
    address = f"\0{uuid.uuid4()}"  # abstract: a path in a test's folder may be too long for a socket
    program = folder / "python"
    program.write_text(_PYTHON.format(python=sys.executable, address=address))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.function_nursery", str(listener.fileno())],
            cwd=Path(__file__).parents[1],
            pass_fds=[listener.fileno()],
        )
    try:
        yield str(program)
    finally:
        process.terminate()
        process.wait(30)


def _serve(listener: socket.socket) -> list[str]:
    """Fork for each call, and end a fork whose caller is gone; returns in the child alone, with its arguments."""
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    lines: dict[socket.socket, int] = {}
    while True:
        ready, _, _ = select.select([listener, wake, *lines], [], [])
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
            _reap(lines)
        for line in set(ready) & lines.keys():  # nothing is said on it: the caller was killed
            with contextlib.suppress(ProcessLookupError):
                os.kill(lines[line], signal.SIGKILL)
        if listener not in ready:
            continue
        line, _ = listener.accept()
        head, descriptors, _, _ = socket.recv_fds(line, _HEAD.size, 3)
        asked = line.makefile("rb").read(_HEAD.unpack(head)[0])
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            folder, environ, arguments = json.loads(asked)
            for target, source in enumerate(descriptors):
                os.dup2(source, target)
            os.closerange(3, max([wake, woken, line.fileno(), *descriptors, *(one.fileno() for one in lines)]) + 1)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environ)
            return list(arguments)
        lines[line] = pid
        for descriptor in descriptors:
            os.close(descriptor)


def _reap(lines: dict[socket.socket, int]) -> None:
    for line, pid in list(lines.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with contextlib.suppress(OSError):  # the caller is gone
                line.send(str(os.waitstatus_to_exitcode(status) % 256).encode())
            line.close()
            del lines[line]


if __name__ == "__main__":
    for name in LOADED:
        import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a child need not copy these pages
    script, *rest = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.argv = [script, *rest]
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")
