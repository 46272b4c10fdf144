"""A function's handler behind a turnstile, for cutting runs off: goes into the functions' zip, beside ours.

A run says by its file's version code where it is cut off, ``{how}-{state}``; all others go through untouched.

``die``: the process is killed once its work is done, before the machine hears of it, until the sign ``go`` is given.
``hold``: the first call waits for that sign before its work; ``late``: after its work.
"""

import importlib
import json
import os
import re
import signal
import time
from pathlib import Path

LONGEST = 500.0


def handler(event, context):
    """Do what the handler does, and be cut off where the run says so."""
    module, _, name = os.environ["TURNSTILE_HANDLER"].rpartition(".")
    work = getattr(importlib.import_module(module), name)
    found = re.search(rf"(scan|audio)/((die|hold|late)-{os.environ['TURNSTILE_STATE']})\.", json.dumps(event))
    if found is None:
        return work(event, context)
    sign = Path(os.environ["TURNSTILE_FOLDER"]) / f"{found[1]}-{found[2]}"
    how, is_first = found[3], _is_first(sign.with_suffix(".reached"))
    if how == "hold" and is_first:
        _wait(sign.with_suffix(".go"))
    try:
        answer = work(event, context)
        if how == "die" and not sign.with_suffix(".go").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "late" and is_first:
            _wait(sign.with_suffix(".go"))
    finally:
        if is_first:
            sign.with_suffix(".done").touch()
    return answer


def _is_first(mark):
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _wait(sign):
    deadline = time.monotonic() + LONGEST
    while not sign.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
