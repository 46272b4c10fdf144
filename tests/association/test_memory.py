"""What the receive path takes of the machine: memory for a large object, descriptors under a flood."""

import json
import subprocess
import sys

import pytest

from tests.association.wire import ABORT, Peer, associate_rq, p_data, pdv, store_rq

pytestmark = pytest.mark.door("socket")

# In a process of its own, so that what is measured is the listener's and nothing else's.
SERVER = """
import json, resource, sys
from pathlib import Path
from edge.association.listener import Listener
from edge.association.settings import ListenerSettings
from tests.association.memory_sink import MemorySink
if len(sys.argv) > 1:
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
sink = MemorySink(keep=False)
listener = Listener(ListenerSettings(host="127.0.0.1", port=0), sink)
listener.start()
print(json.dumps(listener.address), flush=True)
for _ in sys.stdin:
    peak = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM"))
    print(json.dumps({"written": sink.written, "peak": int(peak.split()[1]) * 1024}), flush=True)
listener.drain(5)
"""


class Remote:
    """The listener's address, as a Peer wants it."""

    def __init__(self, address):
        self.address = tuple(address)


def test_D10_an_object_of_300_MB_passes_in_flat_memory():
    """Peak memory after 300 MB in one dataset is within 4 MB of the peak after one small one."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        with Peer(Remote(json.loads(server.stdout.readline()))) as peer:

            def ask():
                print(file=server.stdin, flush=True)
                return json.loads(server.stdout.readline())

            peer.associate()
            chunk = p_data(pdv(1, 0, bytes(131066)))
            peer.send(p_data(pdv(1, 3, store_rq(b"1.1"))), chunk, p_data(pdv(1, 2, b"end")))
            assert peer.status() == 0
            before = ask()
            peer.send(p_data(pdv(1, 3, store_rq(b"1.2"))))
            for _ in range(2300):
                peer.send(chunk)
            peer.send(p_data(pdv(1, 2, b"end")))
            assert peer.status() == 0
            after = ask()
        server.stdin.close()
        assert server.wait(30) == 0
    assert after["written"] - before["written"] == 2300 * 131066 + 3
    print(f"peak {after['peak'] >> 20} MiB, {(after['peak'] - before['peak']) >> 10} KiB more than for a small object")
    assert after["peak"] - before["peak"] < 4 << 20


@pytest.mark.full
def test_D10_without_descriptors_the_silent_make_room_for_a_sender():
    """With 60 descriptors in all and 200 silent connections a sender is served; the listener lives on."""
    command = [sys.executable, "-c", SERVER, "60"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        remote = Remote(json.loads(server.stdout.readline()))
        silent = [Peer(remote) for _ in range(200)]
        for uid in (b"1.1", b"1.2"):
            with Peer(remote) as peer:
                peer.associate()
                assert peer.store(uid, b"served") == 0
        for peer in silent:
            peer.sock.close()
        server.stdin.close()
        assert server.wait(30) == 0


@pytest.mark.full
def test_D10_refused_aborted_and_served_connections_leave_no_memory_behind():
    """After 3,000 more connections of every kind the listener's peak is where it was after 600."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        remote = Remote(json.loads(server.stdout.readline()))

        def ask():
            print(file=server.stdin, flush=True)
            return json.loads(server.stdout.readline())["peak"]

        def one_of_each():
            with Peer(remote):
                pass
            with Peer(remote) as peer:
                peer.send(b"GET / HTTP/1.0\r\n")
                assert peer.aborted() == (0, 0)
            with Peer(remote) as peer:
                peer.send(associate_rq(version=2))
                assert peer.read()[0] == 3
            with Peer(remote) as peer:
                peer.associate()
                assert peer.store(b"1.1", bytes(5000)) == 0
                peer.send(p_data(pdv(1, 3, store_rq(b"1.2")), pdv(1, 0, bytes(5000))), ABORT)
            with Peer(remote) as peer:
                peer.associate()
                peer.send(p_data(pdv(1, 3, store_rq(b"1.2")), pdv(1, 0, bytes(5000))), b"\xff" * 6)
                assert peer.aborted() == (2, 1)

        for _ in range(120):
            one_of_each()
        before = ask()
        for _ in range(600):
            one_of_each()
        after = ask()
        server.stdin.close()
        assert server.wait(30) == 0
    assert after - before < 2 << 20, f"{(after - before) >> 10} KiB more"
