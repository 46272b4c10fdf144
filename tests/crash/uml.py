"""Power cuts: a User Mode Linux guest with a real ext4, stopped between two instants, its disk taken as it is.

What the guest's kernel had not written to its disk is lost, as at a power cut; what the disk had is kept. Two kinds
of cut give the same thing: ``kill`` (SIGKILL to the whole machine) and ``frozen`` (SIGSTOP to the guest's kernel, a
copy of the disk image, SIGCONT): the copy holds exactly what the disk would hold had the power gone at that moment.
The second kind makes many cuts of one boot. Not modelled: a disk that lies about its own cache, and torn sectors.
"""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.crash.box import session
from tests.crash.ledger import Sent
from tests.waiting import until

BOOT_SECONDS = 180
# A pipe that fills while a cut is judged keeps lines of the ledger inside the guest, where nobody reads them.
CONSOLE_BYTES = 1 << 20  # as much as Linux grants everyone: over a minute of it, and a cut is judged in seconds


def make_template(path: Path, megabytes: int = 512) -> None:
    """Make an empty ext4 image, sparse, to be copied for each guest."""
    with path.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", path], check=True)


def copy_image(source: Path, target: Path) -> None:
    """Copy an image, keeping its holes."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


class Guest:
    """One running guest. ``mount`` is where its disk is mounted, inside; ``commands`` run there in the background."""

    def __init__(self, folder: Path, image: Path, commands: Sequence[str], mount_options: str = "defaults") -> None:
        self.sent: list[Sent] = []
        self.console: list[str] = []
        self.image = image
        self._rest = b""
        mount = guest_mount(folder)
        script = folder / "init.sh"
        script.write_text(
            "#!/bin/sh\n"
            "mount -t proc proc /proc; ip link set lo up; mount -t tmpfs none /run; export TMPDIR=/run\n"
            f"mount -t ext4 -o {mount_options} /dev/ubda {mount} || echo NO DISK\n"
            + "".join(f"{command} &\n" for command in commands)
            + "wait\n"
        )
        script.chmod(0o755)
        self._process = subprocess.Popen(
            [
                "linux.uml",
                "mem=512M",
                "root=/dev/root",
                "rootfstype=hostfs",
                "rw",
                f"init={script}",
                f"ubda={image}",
                "con=null",
                "con0=fd:0,fd:1",
                "quiet",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pipesize=CONSOLE_BYTES,
        )

    def acked(self) -> int:
        """Return how many Success answers the console has told of, so far."""
        return sum(line.status == 0 for line in self.sent)

    def watch_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Read the console until ``condition()`` holds; raises TimeoutError, with the console's last lines."""
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                raise TimeoutError("the guest did not get there:\n" + "\n".join(self.console[-20:]))

    def watch(self, seconds: float) -> None:
        """Read the console for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._read(left)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the guest's kernel; inside the block the image does not change and every line it wrote is read."""
        pids = [pid for pid in session(self._process.pid) if not _field(pid, "TracerPid")]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        _wait_stopped(pids)
        try:
            while self._read(0):
                pass
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def kill(self) -> None:
        """Cut the power for good, and read what was on its way on the console; a second time does nothing."""
        assert self._process.stdout is not None
        if self._process.stdout.closed:
            return
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        while self._read(30):
            pass
        self._process.wait(30)
        self._process.stdout.close()

    def _read(self, seconds: float) -> bool:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        if not select.select([fd], [], [], seconds)[0]:
            return False
        data = os.read(fd, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for raw in lines:
            text = raw.decode("utf-8", "replace").strip()
            if text.startswith("LEDGER "):
                self.sent.append(Sent(**json.loads(text[7:])))
            else:
                self.console.append(text)
        return bool(data)


def guest_mount(folder: Path) -> Path:
    """Return the guest's mount point; a directory of the host that only the guest mounts on."""
    mount = folder / "disk"
    mount.mkdir(exist_ok=True)
    return mount


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """Repair the image as a start would, and mount it on the host."""
    done = _run("e2fsck", "-fy", image)
    if done.returncode > 1:
        raise OSError(f"e2fsck: {done.stdout[-500:]}")
    mount = folder / "after"
    mount.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    try:
        yield mount
    finally:
        # The kernel lets go of the last file a moment after the process that had it is gone.
        until(lambda: _run("umount", mount).returncode == 0, f"{mount} is unmounted", 30)


def _run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _field(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def _wait_stopped(pids: Sequence[int]) -> None:
    end = time.monotonic() + 10
    while True:
        states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids]
        if all(state == "T" for state in states):
            return
        if time.monotonic() > end:
            raise TimeoutError("the guest cannot be stopped")
        time.sleep(0.001)
