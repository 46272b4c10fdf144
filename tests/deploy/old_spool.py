"""Writes a full spool with the software of an earlier commit, as ``spools/COMMIT.tar.gz``: what an upgrade finds.

``python -m tests.deploy.old_spool COMMIT``, in a clone that has the commit; the tests only read what it wrote. The
software is that of the commit, in a work tree of its own; sender and libraries are today's. The store is away.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.e2e.edge_process import NOWHERE, EdgeProcess, scan, send

ROOT = Path(__file__).parents[2]
SPOOLS = Path(__file__).with_name("spools")
AWAY = {
    "STORE_DIR": "", "BUCKETNAME": "trial-bucket", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": f"{NOWHERE}/",
    "AWS_ACCESS_KEY": "AKIAEXAMPLE", "AWS_SECRET_KEY": "secret",
}  # fmt: skip


class EarlierEdge(EdgeProcess):
    """An edge of another work tree."""

    tree = ""

    @property
    def environ(self):
        return {**super().environ, "PYTHONPATH": self.tree, "PYTHONSAFEPATH": "1"}


def write(commit, folder):
    """Fill a spool: two studies that wait for the upload, one sent twice, one parked; then the power goes."""
    edge = EarlierEdge(folder / "box", **AWAY)
    edge.tree = str(folder / "tree")
    subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", edge.tree, commit], check=True)
    try:
        where = "import edge; print(edge.__file__)"
        found = subprocess.run(
            [sys.executable, "-c", where], env=edge.environ, cwd="/", capture_output=True, text=True, check=True
        )
        assert found.stdout.startswith(edge.tree), found.stdout
        os.chdir("/")
        edge.command("restore", "--new")  # earlier ones than that command begin by themselves
        edge.start()
        send(edge, scan(1), scan(2), scan(3), scan(1, study="1.5", series="1.5.1"), scan(4, StudyInstanceUID=None))
        send(edge, scan(1))
        edge.until_states(TAGGED=4, DUPLICATE=1, PARKED=1)
        edge.process.kill()
        edge.process.wait(30)
    finally:
        subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", edge.tree], check=True)
    SPOOLS.mkdir(exist_ok=True)
    with tarfile.open(SPOOLS / f"{commit[:7]}.tar.gz", "w:gz") as archive:
        archive.add(edge.spool, "spool", filter=_plain)


def _plain(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="old-") as name:
        write(sys.argv[1], Path(name))
