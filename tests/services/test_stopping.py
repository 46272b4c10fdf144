"""Being told to stop is heard, however many threads are being made at that moment."""

import signal
import subprocess
import sys

import pytest

BUSY = """
import threading
from edge.stopping import StopSignal

stop = StopSignal()

def churn():
    while True:
        made = [threading.Thread(target=lambda: None) for _ in range(4)]
        for t in made: t.start()
        for t in made: t.join()

for _ in range(3):
    threading.Thread(target=churn, daemon=True).start()
print("ready", flush=True)
stop.wait()
import os; os._exit(7)
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_fault_27_a_signal_is_heard_while_threads_come_and_go(signum):
    """Thirty times over, a process busy with making threads ends within seconds of the signal."""
    for _ in range(30):
        with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                process.send_signal(signum)
                assert process.wait(10) == 7
            finally:
                process.kill()


def test_fault_27_a_signal_before_the_wait_is_not_lost():
    """Told to stop during the start, the process does not begin to wait."""
    code = (
        "import os, signal; from edge.stopping import StopSignal; s = StopSignal(); os.kill(os.getpid(), 15); s.wait()"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == 0
