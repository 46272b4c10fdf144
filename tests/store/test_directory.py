"""The directory store alone: its files, crashes, several processes, and what the disk may answer."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge.contract.checksum import digest
from edge.contract.local_store import DirectoryStore
from edge.errors import StoreAway, StoreConflict, StoreDenied, StoreFault
from tests.parts import program, root
from tests.store.conftest import pieces, put

KEY = "edge-1/9b2f/1.2.3/1.2.3.4/1.2.3.4.5.dcm"
RAW = bytes(range(256)) * 400

WRITER = """
import sys
from pathlib import Path
from edge.contract.checksum import digest
from edge.contract.local_store import DirectoryStore
from edge.errors import StoreConflict
store, count, salt = DirectoryStore(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3].encode()
for n in range(count):
    raw = (b"%d " % n + salt) * 2000
    whole = digest([raw])
    try:
        store.put(f"e/{n}", lambda: iter([raw]), size=whole.size, crc64nvme=whole.crc64nvme, metadata={"n": str(n)})
        print(n, whole.crc64nvme, flush=True)
    except StoreConflict:
        print(n, "conflict", flush=True)
"""


def writer(folder: Path, count: int, salt: str, *before: str) -> subprocess.Popen[str]:
    """Start a process of its own that puts ``count`` objects and prints each when it is held."""
    return subprocess.Popen(
        [*before, sys.executable, "-c", WRITER, str(folder), str(count), salt], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    "key", ["../x", "a/../x", "/etc/x", "a//b", "", "a/", "./a", "a\0b", "a\\..\\b", ".meta/x", ".tmp/x", ".lock/x"]
)
def test_fault_26_a_key_is_never_a_path_out_of_the_store(tmp_path: Path, key: str) -> None:
    """Keys with '..', empty parts, a leading slash or the store's own folders are refused and leave no file."""
    store = DirectoryStore(tmp_path / "store")
    before = sorted(tmp_path.rglob("*"))
    for attempt in (lambda: put(store, key, RAW), lambda: store.head(key), lambda: next(store.read(key))):
        with pytest.raises(StoreFault):
            attempt()
    assert sorted(tmp_path.rglob("*")) == before


def test_the_sidecar_says_what_is_held(tmp_path: Path) -> None:
    """A person finds the object under its key, and its sums and metadata in .meta beside it."""
    held = put(DirectoryStore(tmp_path), KEY, RAW, atriuid="1.1")
    assert (tmp_path / KEY).read_bytes() == RAW
    row = json.loads((tmp_path / ".meta" / f"{KEY}.json").read_text())
    assert row["size"] == len(RAW)
    assert row["crc64nvme"] == held.crc64nvme
    assert row["sha256"] == digest([RAW]).sha256
    assert row["version_id"] == held.version_id
    assert row["metadata"]["atriuid"] == "1.1"
    assert row["content_type"] == "application/dicom"
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_fault_05_object_and_names_are_flushed_before_the_answer(tmp_path: Path) -> None:
    """The order of system calls is: flush object and sidecar, name the sidecar, flush, name the object, flush."""
    trace = tmp_path / "trace"
    strace = [program("strace"), "-f", "-o", str(trace), "-e", "trace=fsync,rename,link,write"]
    done = writer(tmp_path / "store", 1, "x", *strace)
    assert done.wait(60) == 0
    assert done.stdout is not None
    done.stdout.close()
    found = (re.match(r"\d+ +(fsync|rename|link|write\(1)", line) for line in trace.read_text().splitlines())
    calls = [call[1] for call in found if call]
    named = calls.index("rename")
    assert calls[named : calls.index("write(1", named) + 1] == ["rename", "fsync", "link", "fsync", "write(1"]
    assert "write(1" not in calls[:named]
    # The names of the new folders, the bytes of object and sidecar.
    assert calls[:named].count("fsync") >= 6


def test_I4_a_sidecar_without_its_object_holds_nothing_and_is_repaired(tmp_path: Path) -> None:
    """After a crash between sidecar and object nothing is held; the next put, of any bytes, stores it."""
    store = DirectoryStore(tmp_path)
    put(store, KEY, RAW[::-1])
    (tmp_path / KEY).unlink()
    assert store.head(KEY) is None
    assert put(store, KEY, RAW) == store.head(KEY)
    assert b"".join(store.read(KEY)) == RAW


@pytest.mark.parametrize("sidecar", [None, b"", b"{", b"[]", b'{"size": "x"}'])
def test_an_object_without_a_true_sidecar_is_told_from_its_bytes(tmp_path: Path, sidecar: bytes | None) -> None:
    """A missing or damaged sidecar hides nothing: size and checksum are read from the object."""
    store = DirectoryStore(tmp_path)
    first = put(store, KEY, RAW)
    meta = tmp_path / ".meta" / f"{KEY}.json"
    meta.unlink()
    if sidecar is not None:
        meta.write_bytes(sidecar)
    held = store.head(KEY)
    assert held is not None
    assert (held.size, held.crc64nvme, held.version_id) == (first.size, first.crc64nvme, None)
    assert put(store, KEY, RAW) == held
    with pytest.raises(StoreConflict):
        put(store, KEY, RAW[::-1])


def test_an_object_cut_short_is_not_told_as_whole(tmp_path: Path) -> None:
    """If the file under a key is shorter than the sidecar says, the head tells the file's truth."""
    store = DirectoryStore(tmp_path)
    first = put(store, KEY, RAW)
    os.truncate(tmp_path / KEY, 1000)
    held = store.head(KEY)
    assert held is not None
    assert held.size == 1000
    assert held.crc64nvme != first.crc64nvme


@pytest.mark.full
def test_I1_what_was_confirmed_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    """A writer killed again and again loses nothing it confirmed, and a new one completes the rest."""
    confirmed: dict[str, str] = {}
    for kill_after in range(0, 40, 4):
        process = writer(tmp_path, 60, "x")
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            n, crc = line.split()
            confirmed[n] = crc
            if count >= kill_after:
                process.send_signal(signal.SIGKILL)
                break
        process.wait(20)
        process.stdout.close()
        store = DirectoryStore(tmp_path)
        for n, crc in confirmed.items():
            held = store.head(f"e/{n}")
            assert held is not None
            assert held.crc64nvme == crc == digest(store.read(f"e/{n}")).crc64nvme
            assert held.metadata == {"n": n}
        for key in store.list(""):
            held = store.head(key)
            assert held is not None
            assert digest(store.read(key)).crc64nvme == held.crc64nvme
    with writer(tmp_path, 60, "x") as process:
        assert process.stdout is not None
        assert [line.split()[0] for line in process.stdout] == [str(n) for n in range(60)]


def test_D12_four_processes_share_one_store(tmp_path: Path) -> None:
    """Of four processes with different bytes for the same keys exactly one wins each key, whole."""
    processes = [writer(tmp_path, 40, salt) for salt in "abcd"]
    winners: dict[str, str] = {}
    for process in processes:
        out, _ = process.communicate(timeout=60)
        for n, crc in map(str.split, out.splitlines()):
            if crc != "conflict":
                assert n not in winners
                winners[n] = crc
    store = DirectoryStore(tmp_path)
    assert len(winners) == 40
    for n, crc in winners.items():
        held = store.head(f"e/{n}")
        assert held is not None
        assert held.crc64nvme == crc == digest(store.read(f"e/{n}")).crc64nvme


def test_fault_01_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """On a full disk the put is refused as transient and leaves nothing; with room again it succeeds."""
    root()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=True)
    try:
        store = DirectoryStore(tmp_path / "store")
        filler = tmp_path / "filler"
        filler.write_bytes(bytes(2_050_000))
        with pytest.raises(StoreAway) as caught:
            put(store, KEY, RAW)
        assert "full" in caught.value.hint
        assert caught.value.transient
        filler.unlink()
        assert put(store, KEY, RAW) == store.head(KEY)
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path)], check=True)
        with pytest.raises(StoreDenied):
            put(store, "e/other", RAW)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_store_that_is_not_mounted_is_waited_for_and_never_made_anew(tmp_path: Path) -> None:
    """If the store's directory is gone, nothing is written in its place."""
    store = DirectoryStore(tmp_path / "store")
    (tmp_path / "store").rename(tmp_path / "away")
    for attempt in (lambda: put(store, KEY, RAW), lambda: store.head(KEY), lambda: list(store.list(""))):
        with pytest.raises(StoreAway):
            attempt()
    assert not (tmp_path / "store").exists()
    (tmp_path / "away").rename(tmp_path / "store")
    assert put(store, KEY, RAW) == store.head(KEY)


def test_what_a_dead_writer_left_is_swept_after_a_day(tmp_path: Path) -> None:
    """Old temp files go when the store is opened; fresh ones, perhaps another process's, stay."""
    DirectoryStore(tmp_path)
    old, fresh = tmp_path / ".tmp" / "old", tmp_path / ".tmp" / "fresh"
    for path in (old, fresh):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    DirectoryStore(tmp_path)
    assert not old.exists()
    assert fresh.exists()


def test_a_key_that_lies_below_an_object_is_a_fault_in_plain_words(tmp_path: Path) -> None:
    """A file system cannot hold 'a' and 'a/b': the second is refused as a fault of this key."""
    store = DirectoryStore(tmp_path)
    put(store, "a", RAW)
    with pytest.raises(StoreFault):
        put(store, "a/b", RAW)
    put(store, "b/c", RAW)
    with pytest.raises(StoreFault):
        put(store, "b", RAW)
    with pytest.raises(StoreFault):
        store.put("x" * 300, pieces(RAW), size=len(RAW), crc64nvme=digest([RAW]).crc64nvme, metadata={})
