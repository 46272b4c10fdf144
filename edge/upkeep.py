"""The commands that look after the box itself: stop, doctor, diagnostics."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edge.config import describe, load_config
from edge.errors import SpoolError

AddCommand = Callable[..., argparse.ArgumentParser]

_STOP_EXAMPLES = """\
examples:
  dicom-edge stop                                   and wait until it has ended
  dicom-edge stop --spool /var/lib/dicom-edge       without the settings (Greengrass's shutdown script)

As SIGTERM does: no new associations, instances under way finish, the spool stays. Works on Windows too.
"""
_DOCTOR_EXAMPLES = """\
examples:
  dicom-edge doctor             every line says good, warning or bad, and what to do; status 1 if anything is bad
  dicom-edge doctor --json      for programs

Where an edge runs, it starts the doctor itself: with its own user, rights and credentials. The study that goes through
the whole path is synthetic, in a spool of its own, and lies below doctor/ in the store: no manifest lists it, and the
bucket's lifecycle rule removes it.
"""
_BUNDLE = """\
Versions, settings without secrets, status, disk, and the kinds of the newest ledger entries: UIDs and figures only. The
command diagnostics that comes from the cloud puts the same, and the newest log lines, into the store.
"""
_POLL_SECONDS = 0.1


def add_upkeep(command: AddCommand, configured: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands to the parser of ``dicom-edge``."""
    sub = command("stop", _stop, "ask the running edge to stop, and wait until it has", _STOP_EXAMPLES)
    configured(sub)
    sub.add_argument("--spool", type=Path, metavar="DIR", help="its SPOOL_DIR, in place of the settings")
    sub.add_argument("--seconds", type=float, default=90.0, help="how long to wait (default: 90)")

    sub = command(
        "doctor",
        _doctor,
        "is this box fit to receive? Names, clock, disk, port, store, queue, the whole path",
        _DOCTOR_EXAMPLES,
    )
    configured(sub)
    sub.add_argument("--json", action="store_true", help="for programs")
    sub.add_argument("--here", action="store_true", help="in this process, with this user's rights and credentials")
    sub = command("diagnostics", _diagnostics, "write a bundle for whoever looks into this box from afar", _BUNDLE)
    configured(sub)
    sub.add_argument("--output", type=Path, default=Path("dicom-edge-diagnostics.zip"), metavar="FILE")


def _doctor(options: argparse.Namespace) -> int:
    from edge.doctor.asking import ask
    from edge.doctor.examination import examine
    from edge.doctor.findings import Verdict, findings_text
    from edge.opening import running

    config = load_config(os.environ, options.config)
    os.umask(0o077)
    found = None
    if not options.here and running(config) is not None:
        found = ask(config.spool_dir)
        if found is None:
            print("dicom-edge: the running edge did not answer; this process looks itself", file=sys.stderr)
    if found is None:
        found = list(examine(config))
    print(json.dumps([f.to_json() for f in found], indent=1) if options.json else findings_text(found))
    return 1 if any(f.verdict is Verdict.BAD for f in found) else 0


def _diagnostics(options: argparse.Namespace) -> int:
    from edge.fleet.diagnostics import bundle
    from edge.opening import open_existing
    from edge.services.heartbeat import journal_status

    config = load_config(os.environ, options.config)
    spool, journal = open_existing(config)
    try:
        with options.output.open("xb") as file:
            file.write(bundle(describe(config), journal=journal, spool=spool, status=journal_status(journal, spool)))
    except OSError as e:
        hint = "name another file with --output"
        raise SpoolError(f"{options.output} cannot be written ({e.strerror})", hint=hint) from e
    print(f"{options.output}: UIDs and figures, no patient data and no secret; look into it before you send it on")
    return 0


def _stop(options: argparse.Namespace) -> int:
    from edge.opening import lock_path, stop_file
    from edge.spool.lock import is_locked

    spool_dir: Path = options.spool or load_config(os.environ, options.config).spool_dir
    if not is_locked(lock_path(spool_dir)):
        print("no edge runs here")
        return 0
    stop_file(spool_dir).touch()
    until = time.monotonic() + options.seconds
    while is_locked(lock_path(spool_dir)):
        if time.monotonic() > until:
            print("dicom-edge: it has not ended yet; it was asked to", file=sys.stderr)
            return 1
        time.sleep(_POLL_SECONDS)
    print("the edge has stopped")
    return 0
