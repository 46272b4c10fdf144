"""The demo's sender: Debian's storescu where it is there, otherwise pynetdicom's SCU, and it says which."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edge.demo.processes import DemoFault


def send(files: list[Path], *, host: str, port: int, say: Callable[[str], None]) -> None:
    """Send ``files`` in one association; raises DemoFault if the sender itself fails."""
    command = _storescu()
    if command is None:
        say("storescu (Debian package dcmtk) is not installed and could not be: sending with pynetdicom instead")
        _send_with_pynetdicom(files, host, port)
        return
    typed = [command, "-v", "-aec", "EDGE_AE", "-aet", "CLIENT_AE", host, str(port)]
    say(f"sending with: {' '.join(['storescu', *typed[1:]])} *.dcm")
    done = subprocess.run([*typed, *map(str, files)], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        last = "\n    ".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise DemoFault(f"storescu ended with status {done.returncode}", hint=f"its last words:\n    {last}")


def _storescu() -> str | None:
    # pynetdicom brings a program of the same name into our own environment, with other options.
    own = str(Path(sys.executable).parent)
    folders = [f for f in os.environ.get("PATH", os.defpath).split(os.pathsep) if f != own]
    return shutil.which("storescu", path=os.pathsep.join(folders))


def _send_with_pynetdicom(files: list[Path], host: str, port: int) -> None:
    from pydicom import dcmread
    from pynetdicom import AE

    entity = AE(ae_title="CLIENT_AE")
    datasets = [dcmread(path) for path in files]
    for sop_class, syntax in {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in datasets}:
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate(host, port, ae_title="EDGE_AE")
    if not association.is_established:
        raise DemoFault("the edge did not accept the association", hint="see the edge's log")
    try:
        for path, dataset in zip(files, datasets, strict=True):
            answer = association.send_c_store(dataset)
            if "Status" not in answer or answer.Status != 0:
                raise DemoFault(f"{path.name} was not accepted", hint="see the edge's log")
    finally:
        association.release()
