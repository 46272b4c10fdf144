"""A parse worker: runs ``module:function`` below ``edge.`` under a memory limit, one request after the other.

Started by the pool as ``python -m edge.parse.worker MEMORY_MB SECONDS``; speaks frames on its standard streams.
"""

import importlib
import os
import re
import signal
import sys
from typing import IO, Any

from edge import errors
from edge.errors import EdgeError, ParseFault
from edge.parse.frames import read_frame, write_frame

FUNCTION = re.compile(r"edge(?:\.[a-z][a-z0-9_]*)+:[a-z][a-z0-9_]*", re.ASCII)
_DIED = 70
_NICE = 10
_ROOM = 32 << 20
#: What pydicom takes if it is there, for half of a worker's start. No pixel is decoded here (D10), nothing is fetched;
#: and numpy's BLAS reserves address space for each core, which RLIMIT_AS would count.
_NOT_NEEDED = ("numpy", "PIL", "gdcm", "requests")


def main(memory_mb: int, seconds: float) -> int:
    """Serve until the parent closes the pipe, also by its own death; return the exit status."""
    requests, answers = _take_streams()
    if hasattr(os, "nice"):
        os.nice(_NICE)  # a sender's answer comes first
    _limit_memory(memory_mb)
    _set_signals()
    for name in _NOT_NEEDED:  # None makes the import fail, and pydicom does without
        sys.modules[name] = None  # type: ignore[assignment]
    bytearray(_ROOM)  # a worker without room to work would blame the first object it is given
    write_frame(answers, {"ready": os.getpid()})
    while True:
        try:
            request = read_frame(requests)
            _set_alarm(seconds)
            answer = _run(request["function"], request["arguments"])
            _set_alarm(0)
            write_frame(answers, answer)
        except EOFError:
            return 0
        except (MemoryError, RecursionError) as e:
            died = type(e).__name__
        else:
            continue
        # What is left of this interpreter after running out is not to be trusted with the next object.
        write_frame(answers, {"died": died})
        return _DIED


def _run(function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if not FUNCTION.fullmatch(function):
        raise ValueError("only functions below edge. are run here")
    module, _, name = function.partition(":")
    try:
        return {"value": getattr(importlib.import_module(module), name)(**arguments)}
    except EdgeError as e:
        return _fault(_public_name(e), str(e), e.hint)
    except (MemoryError, RecursionError):
        raise
    except Exception as e:  # noqa: BLE001  the worker loop's door: the type only, a text may quote a dataset
        return _fault(ParseFault.__name__, f"the parser gave up ({type(e).__name__})", "report this with the object")


def _fault(name: str, message: str, hint: str) -> dict[str, Any]:
    return {"fault": name, "message": message, "hint": hint}


def _public_name(error: EdgeError) -> str:
    return next(str(c.__name__) for c in type(error).__mro__ if vars(errors).get(c.__name__) is c)


def _take_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the pipes for frames; whatever a library prints goes nowhere."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    return requests, answers


def _limit_memory(memory_mb: int) -> None:
    try:
        import resource  # noqa: PLC0415  not to be had on Windows
    except ImportError:  # not a Unix: the time limit is all there is
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold patient data


def _set_signals() -> None:
    # Ctrl-C and a service stop reach every process of the group; the parent decides, by closing the pipe.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _set_alarm(seconds: float) -> None:
    """End this process by SIGALRM after ``seconds``, in case the parent is no longer there to do it; 0 stops it."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2])))
