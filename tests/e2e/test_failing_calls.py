"""System calls that fail under the real edge, by strace: never Success without durability, and all heals afterwards."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.spool.arrival import HELD_BYTES
from tests.crash.box import alive
from tests.crash.syscall_kill import strace
from tests.e2e.edge_process import running
from tests.e2e.raw_sender import LogSince, RawSender, image
from tests.parts import program

pytestmark = [pytest.mark.door("socket", "file"), pytest.mark.full]

SHORT, LONG = 4096, HELD_BYTES - 1024  # written by one call at the end, and as it comes with the record afterwards
# A call of the store's thread, which one of them, how it fails, and the pixels of the instance.
FAULTS = [
    ("openat", 1, "EMFILE", SHORT),
    ("openat", 1, "EIO", SHORT),
    ("write", 1, "EIO", SHORT),  # all of it
    ("write", 1, "EIO", LONG),  # the head and what was gathered
    ("write", 2, "ENOSPC", LONG),  # the rest
    ("write", 3, "EDQUOT", LONG),  # the record
    ("lseek", 1, "EIO", LONG),
    ("fsync", 1, "EIO", SHORT),  # of the file
    ("fsync", 1, "ENOSPC", LONG),
    ("close", 1, "EIO", SHORT),
    ("rename", 1, "EIO", SHORT),
    ("rename", 1, "EROFS", LONG),
    ("openat", 2, "EMFILE", SHORT),  # of the folder, to flush the name
    ("fsync", 2, "EIO", SHORT),
]


@pytest.mark.timeout(300)
def test_I1_D1_fault_29_a_call_that_fails_on_the_way_in_is_answered_0xA700_never_Success(tmp_path):
    """Open, write, seek, flush, close and rename fail in turn: refused and told, nothing left, stored the next time."""
    program("strace")
    with running(tmp_path) as edge:
        sender = RawSender(edge)
        assert sender.send("1.2.1.0") == [0]
        edge.until(sender.at_rest, "all its threads are made")
        held = {"1.2.1.0"}
        for n, (call, which, error, size) in enumerate(FAULTS, 1):
            uid, log = f"1.2.1.{n}", LogSince(edge)
            with _associated(sender) as (peer, thread):
                assert sender.store(peer, f"{uid}.9") == 0  # the shard of this moment is made
                inject = f"inject={call}:error={error}:when={which}"
                with strace("-p", str(thread), "-o", str(tmp_path / "trace"), "-e", f"trace={call}", "-e", inject):
                    status = sender.store(peer, uid, image(uid, size=size))
                assert "(INJECTED)" in (tmp_path / "trace").read_text(), f"{call} {which} was not called"
                assert status == 0xA700, f"{call} {which} {error}"
                log.told("store.refused", error)
                assert not list((edge.spool / "tmp").iterdir()), f"{call} {which} {error} leaves a file"
                assert _names(edge) == held | {f"{uid}.9"}, f"{call} {which} {error} leaves an instance"
                assert sender.store(peer, uid, image(uid, size=size)) == 0
            held |= {uid, f"{uid}.9"}
        assert sender.verdict().faults == []


@pytest.mark.timeout(180)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_I1_D3_a_journal_whose_flush_fails_loses_nothing_and_goes_on(tmp_path, error):
    """SQLite's flushes fail for a while: stores are Success, for their files are durable; then all is entered."""
    program("strace")
    with running(tmp_path) as edge:
        sender, log = RawSender(edge), LogSince(edge)
        assert sender.send("1.2.2.0") == [0]
        edge.until(sender.at_rest, "all its threads are made")
        inject = f"inject=fdatasync:error={error}"
        with strace("-f", "-p", str(edge.process.pid), "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject):
            assert sender.send("1.2.2.1", "1.2.2.2") == [0, 0]
            assert log.told("journal.behind", "cannot be written")["hint"]
            assert edge.rows("SELECT count(*) FROM instance") == [(1,)]
        assert alive(edge.process.pid)
        assert sender.verdict().faults == []


@contextmanager
def _associated(sender):
    """An association and the id of its thread: the one that came with it, alone."""
    for _ in range(20):
        before = _threads(sender.edge)
        with sender.associated() as peer:
            new = _threads(sender.edge) - before
            if len(new) == 1:
                yield peer, new.pop()
                return
    raise AssertionError("the edge keeps making threads")


def _threads(edge) -> set[int]:
    return {int(path.name) for path in Path(f"/proc/{edge.process.pid}/task").iterdir()}


def _names(edge) -> set[str]:
    """The UIDs of all files that stand as complete."""
    return {file.uid for file in RawSender(edge).evidence().files}
