"""The command as the requirement has it, word for word, to the port that is in force when none is set."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.edge_process import SECONDS, EdgeProcess
from tests.parts import program, root

pytestmark = [pytest.mark.door("socket", "command"), pytest.mark.full]

DCMDATA = Path(__file__).parents[2] / "dcmdata"


@pytest.fixture
def edge(tmp_path):
    """An edge with no SCP_PORT and no SCP_HOST, in a network of its own, where port 11112 is free for certain."""
    root()
    ip, unshare, _ = (program(name) for name in ("ip", "unshare", "nsenter"))
    made = EdgeProcess(tmp_path, SCP_PORT="", SCP_HOST="")
    with made.log.open("ab") as log:
        made.process = subprocess.Popen(
            [unshare, "--net", "sh", "-c", '"$1" link set lo up && exec "$2" -m edge serve', "sh", ip, sys.executable],
            env=made.environ, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        made.until(made._listens, "the edge listens")
        yield made
    finally:
        made.process.kill()
        made.process.wait(SECONDS)


def test_E001_E004_I1_the_line_as_typed_reaches_port_11112_with_success_for_each(edge):
    """`cd dcmdata; storescu -v -aec EDGE_AE -aet CLIENT_AE HOST 11112 *.dcm`: Success for each, all announced."""
    typed = f"{program('storescu')} -v -aec EDGE_AE -aet CLIENT_AE 127.0.0.1 11112 *.dcm"
    done = subprocess.run(
        [program("nsenter"), "-t", str(edge.process.pid), "-n", "sh", "-c", typed],
        cwd=DCMDATA, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    count = len(list(DCMDATA.glob("*.dcm")))
    assert count > 1
    assert output.count("Received Store Response (Success)") == count
    edge.until_states(ANNOUNCED=count)
    assert edge.rows("SELECT DISTINCT calling_ae_title, called_ae_title FROM instance") == [("CLIENT_AE", "EDGE_AE")]
