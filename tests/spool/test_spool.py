"""The spool: what lies on the disk before Success, what is refused, and what start makes of the rest."""

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from edge.association.sink import StoreRequest
from edge.errors import OutOfResources, SpoolError
from edge.spool.arrival import Received
from edge.spool.flush import DirectoryFlusher, make_directory
from edge.spool.part10 import RECORD_SIZE
from edge.spool.spool import Spool, SpoolSettings, ensure_identity
from edge.spool.ulid import UlidSource, is_ulid
from edge.spool.volume import volume_faults

REQUEST = StoreRequest(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
    sop_instance_uid="1.2.3.4",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    calling_ae_title="CT03",
    called_ae_title="EDGE_AE",
    peer="192.0.2.7",
    association_id="0123456789abcdef0123456789abcdef",
)
DATASET = b"\x08\x00\x16\x00UI\x1a\x001.2.840.10008.5.1.4.1.1.7\x00" + b"\x08\x00\x18\x00UI\x08\x001.2.3.4\x00"


@pytest.fixture
def received() -> list[Received]:
    return []


@pytest.fixture
def spool(tmp_path: Path, received: list[Received]) -> Spool:
    return Spool(SpoolSettings(root=tmp_path / "spool", reserve_bytes=0), on_received=received.append)


def keep(spool: Spool, dataset: bytes = DATASET, request: StoreRequest = REQUEST) -> str:
    arrival = spool.open(request)
    arrival.write(memoryview(dataset))
    return arrival.commit()


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_E006_I2_D2_a_file_holds_exactly_the_received_bytes(spool: Spool) -> None:
    """The dataset stands in a valid Part 10 file, byte for byte, behind the head."""
    ulid = keep(spool)
    loaded = spool.load(ulid, rehash=True)
    raw = spool.path_of(ulid).read_bytes()
    assert raw[loaded.dataset_offset :] == DATASET
    assert loaded.record.sha256 == hashlib.sha256(DATASET).hexdigest()
    assert loaded.request == REQUEST


def test_D2_E008_the_file_describes_itself_to_any_reader(spool: Spool) -> None:
    """Pydicom reads the AE titles and the private record from the File Meta."""
    meta = dcmread(spool.path_of(keep(spool))).file_meta
    assert meta.SourceApplicationEntityTitle == "CT03"
    assert meta.SendingApplicationEntityTitle == "CT03"
    assert meta.ReceivingApplicationEntityTitle == "EDGE_AE"
    assert meta.TransferSyntaxUID == REQUEST.transfer_syntax_uid
    assert b'"peer": "192.0.2.7"' in meta.PrivateInformation


@pytest.mark.parametrize("uid", ["../../etc/passwd", "/etc/passwd", "1.2.3\x00/x", "9" * 65, "", "ü" * 70])
def test_fault_26_a_uid_from_the_wire_is_no_path(spool: Spool, tmp_path: Path, uid: str) -> None:
    """Whatever the UID says, the file is named by us and lies in the spool; the UID is kept as a value."""
    request = StoreRequest(**{**{f: getattr(REQUEST, f) for f in REQUEST.__slots__}, "sop_instance_uid": uid})
    ulid = keep(spool, request=request)
    assert is_ulid(ulid)
    assert all(name.startswith("spool/") for name in files(tmp_path))
    assert spool.load(ulid, rehash=True).request.sop_instance_uid == uid.rstrip("\x00 ")


def test_I1_the_order_is_write_flush_rename_flush_name(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, received: list[Received]
) -> None:
    """The bytes are flushed on the descriptor that wrote them, then the name, then the instance is handed on."""
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def spy_fsync(fd: int) -> None:
        calls.append("flush directory" if Path(f"/proc/self/fd/{fd}").is_dir() else "flush file")
        assert not received
        fsync(fd)

    def spy_rename(a: Path, b: Path) -> None:
        calls.append("rename")
        rename(a, b)

    arrival = spool.open(REQUEST)
    arrival.write(DATASET)
    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "rename", spy_rename)
    arrival.commit()
    assert calls == ["flush file", "rename", "flush directory"]
    assert len(received) == 1


@pytest.mark.parametrize("call", ["fsync", "write", "rename", "close"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_D1_fault_29_a_failed_write_or_flush_is_refused_and_never_tried_again(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, received: list[Received]
) -> None:
    """Any error on the way to the disk refuses the instance, flushes once only, and leaves nothing behind."""
    arrival = spool.open(REQUEST)
    arrival.write(DATASET)
    tries: list[int] = []
    original = getattr(os, call)

    def fail(*args: object) -> None:
        tries.append(1)
        if call == "close":
            original(*args)
        raise OSError(code, "injected")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OutOfResources) as refusal:
        arrival.commit()
    monkeypatch.undo()
    assert len(tries) == 1
    assert refusal.value.hint
    assert files(tmp_path / "spool") == []
    assert received == []


def test_E015_below_the_reserve_a_store_is_refused(tmp_path: Path) -> None:
    """With less free space than the reserve nothing is begun."""
    full = Spool(SpoolSettings(root=tmp_path / "s", reserve_bytes=1 << 60), on_received=lambda _: None)
    with pytest.raises(OutOfResources, match="reserve"):
        full.open(REQUEST)
    assert files(tmp_path / "s") == []


def test_E015_below_the_throttle_mark_each_store_waits(tmp_path: Path) -> None:
    """Between the two marks a store waits a bounded time; above them it does not."""
    waits: list[float] = []
    for throttle in (0, 1 << 60):
        spool = Spool(
            SpoolSettings(root=tmp_path / str(throttle), reserve_bytes=0, throttle_bytes=throttle),
            on_received=lambda _: None,
            pause=waits.append,
        )
        keep(spool)
    assert len(waits) == 1
    assert 0 < waits[0] <= 1.0


def test_a_discarded_arrival_leaves_nothing(spool: Spool, tmp_path: Path, received: list[Received]) -> None:
    """An aborted sender's bytes are gone, and nobody is told."""
    arrival = spool.open(REQUEST)
    arrival.write(DATASET)
    arrival.discard()
    assert files(tmp_path / "spool") == []
    assert received == []


def test_I1_concurrent_commits_share_flushes_and_lose_none(tmp_path: Path) -> None:
    """Sixteen threads commit at once; each name is flushed after its rename, with fewer flushes than names."""
    received: list[Received] = []
    spool = Spool(SpoolSettings(root=tmp_path / "spool", reserve_bytes=0), on_received=received.append)
    ulids: list[str] = []

    def work() -> None:
        ulids.extend(keep(spool) for _ in range(8))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(ulids)) == 128
    assert list(spool.listing()) == sorted(ulids)
    assert len(received) == 128


def test_I1_a_flush_that_began_before_the_rename_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks while a flush runs waits for the next one: the running one may have missed the name."""
    started, release = threading.Event(), threading.Event()
    flushes: list[int] = []

    def slow(_: Path) -> None:
        flushes.append(1)
        if len(flushes) == 1:
            started.set()
            assert release.wait(10)

    monkeypatch.setattr("edge.spool.flush.fsync_directory", slow)
    flusher = DirectoryFlusher()
    first = threading.Thread(target=flusher.flush, args=(tmp_path,))
    first.start()
    assert started.wait(10)
    others = [threading.Thread(target=flusher.flush, args=(tmp_path,)) for _ in range(8)]
    for t in others:
        t.start()
    release.set()
    for t in [first, *others]:
        t.join(10)
        assert not t.is_alive()
    assert 2 <= len(flushes) <= 9


def test_I1_a_new_shard_is_used_only_when_its_own_name_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second thread that finds the directory made, but not flushed yet, waits; a failed flush unmakes it."""
    flushing, release = threading.Event(), threading.Event()

    def slow(_: Path) -> None:
        flushing.set()
        assert release.wait(10)

    monkeypatch.setattr("edge.spool.flush.fsync_directory", slow)
    first = threading.Thread(target=make_directory, args=(tmp_path / "shard",))
    first.start()
    assert flushing.wait(10)
    second = threading.Thread(target=make_directory, args=(tmp_path / "shard",))
    second.start()
    second.join(0.1)
    assert second.is_alive()
    release.set()
    for thread in (first, second):
        thread.join(10)
        assert not thread.is_alive()

    def fail(_: Path) -> None:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr("edge.spool.flush.fsync_directory", fail)
    with pytest.raises(OSError, match="injected"):
        make_directory(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_D1_a_shared_flush_that_fails_refuses_all_that_waited_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told Success on the strength of somebody else's failed flush."""

    def fail(_: Path) -> None:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr("edge.spool.flush.fsync_directory", fail)
    flusher = DirectoryFlusher()
    outcomes: list[str] = []

    def ask() -> None:
        try:
            flusher.flush(tmp_path)
            outcomes.append("flushed")
        except OSError:
            outcomes.append("refused")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(10)
    assert outcomes == ["refused"] * 8


def test_recovery_sweeps_what_was_on_the_way_in(spool: Spool, tmp_path: Path) -> None:
    """A .part file was never acknowledged: start removes it and keeps what was."""
    ulid = keep(spool)
    spool.open(REQUEST).write(DATASET)
    assert spool.sweep() == 1
    assert list(spool.listing()) == [ulid]
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []


def damages() -> Iterator[tuple[str, object]]:
    yield "cut short", lambda raw: raw[:-3]
    yield "grown", lambda raw: raw + b"x"
    yield "one bit", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])
    yield "empty", lambda raw: raw[:0]
    yield "cut in the head", lambda raw: raw[:200]
    yield "no preamble", lambda raw: raw[1:]
    yield "record blanked", lambda raw: raw.replace(b"sha256", b"xxxxxx")


@pytest.mark.parametrize(("how", "damage"), list(damages()))
def test_I6_a_torn_file_is_put_aside_and_kept(spool: Spool, tmp_path: Path, how: str, damage: object) -> None:
    """What does not agree with its own record is refused, moved to torn/ and never deleted."""
    ulid = keep(spool)
    path = spool.path_of(ulid)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]  # a lambda of the table above
    with pytest.raises(SpoolError):
        spool.load(ulid, rehash=True)
    spool.set_aside(ulid, how)
    assert list(spool.listing()) == []
    assert (tmp_path / "spool" / "torn" / f"{ulid}.dcm").exists()


def test_I6_a_bit_that_flips_anywhere_in_a_file_is_found(spool: Spool) -> None:
    """Preamble, File Meta, record and dataset: every byte is covered by a digest, or is what it must be."""
    ulid = keep(spool)
    whole = spool.path_of(ulid).read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        spool.path_of(ulid).write_bytes(damaged)
        with pytest.raises(SpoolError):
            spool.load(ulid, rehash=True)
    spool.path_of(ulid).write_bytes(whole)
    assert spool.load(ulid, rehash=True).request == REQUEST


@pytest.mark.parametrize("flipped", [False, True])
def test_I1_I6_a_record_of_later_software_is_read_and_its_head_is_still_judged(spool: Spool, flipped: bool) -> None:
    """A field that this software does not know is passed over after a downgrade; a bit that flipped is found."""
    ulid = keep(spool, b"whole")
    raw = spool.path_of(ulid).read_bytes()
    at = raw.index(b'{"association"')
    found = json.loads(raw[at : at + RECORD_SIZE])
    later = found | {"anew": "of 2031", "head": "", "v": 2}
    plain = raw[:at] + json.dumps(later, sort_keys=True).encode().ljust(RECORD_SIZE)
    head = hashlib.sha256(plain).hexdigest()
    sealed = json.dumps(later | {"head": head}, sort_keys=True).encode().ljust(RECORD_SIZE)
    written = raw[:at] + sealed + raw[at + RECORD_SIZE :]
    spool.path_of(ulid).write_bytes(written.replace(b"2031", b"2032") if flipped else written)
    if flipped:
        with pytest.raises(SpoolError):
            spool.load(ulid, rehash=True)
    else:
        assert spool.load(ulid, rehash=True).record.sha256 == found["sha256"]


def test_a_file_of_before_the_digest_of_the_head_is_read(spool: Spool) -> None:
    """Its record has no such value, and promises nothing of the head."""
    ulid = keep(spool)
    record = spool.load(ulid, rehash=False).record
    raw = spool.path_of(ulid).read_bytes()
    old = json.dumps({k: v for k, v in asdict(record).items() if k != "head"}, sort_keys=True).encode()
    spool.path_of(ulid).write_bytes(raw.replace(record.to_bytes(), old.ljust(RECORD_SIZE)))
    assert spool.load(ulid, rehash=True).record == replace(record, head="")


def test_ulids_continue_after_what_is_there() -> None:
    """After a restart under a clock that was set back, what comes later has a later name all the same."""
    now = [1_700_000_000.0]
    last = UlidSource(now=lambda: now[0]).next()
    now[0] -= 86_400
    source = UlidSource(now=lambda: now[0])
    source.continue_after(last)
    assert source.next() > last
    source.continue_after("")
    assert source.next() > last


def test_ulids_rise_even_when_the_clock_steps_back() -> None:
    """Names keep their order across a clock set back a day."""
    times = iter([1_700_000_000.0, 1_700_000_000.0, 1_699_913_600.0])
    source = UlidSource(lambda: next(times))
    names = [source.next() for _ in range(3)]
    assert names == sorted(names)
    assert len(set(names)) == 3


def test_a_spool_of_another_edge_is_refused(tmp_path: Path) -> None:
    """Two edges never issue ids from one spool: the first start writes whose it is."""
    ensure_identity(tmp_path, edge_id="a-edge", edge_number=1)
    ensure_identity(tmp_path, edge_id="a-edge", edge_number=1)
    for edge_id, number in (("b-edge", 1), ("a-edge", 2)):
        with pytest.raises(SpoolError, match="belongs to edge 'a-edge' number 1") as refusal:
            ensure_identity(tmp_path, edge_id=edge_id, edge_number=number)
        assert "EDGE_NUMBER" in refusal.value.hint


@pytest.mark.parametrize(
    ("mounts", "fault"),
    [
        ("tmpfs /spool tmpfs rw 0 0", "tmpfs"),
        ("s:/x /spool nfs4 rw,vers=4 0 0", "without the option sync"),
        ("s:/x /spool nfs4 rw,sync 0 0", ""),
        ("/dev/a /spool ext4 rw,nobarrier 0 0", "barriers"),
        ("/dev/a /spool ext4 rw,relatime 0 0", ""),
        ("t /up tmpfs rw 0 0\no /spool overlay rw,upperdir=/up/x 0 0", "upper directory"),
    ],
)
def test_a_file_system_that_forgets_is_refused(mounts: str, fault: str) -> None:
    """Start says why a mount is not safe, in plain words."""
    found = volume_faults(Path("/spool"), mounts="/dev/r / ext4 rw 0 0\n" + mounts.replace("/spool", "/"), preload="")
    assert (fault in " ".join(found)) if fault else not found


def test_eatmydata_is_refused() -> None:
    """A preloaded library that turns flushing off is named."""
    assert "eatmydata" in volume_faults(Path("/"), mounts="", preload="/usr/lib/libeatmydata.so")[0]


def test_times_in_a_record_are_utc(spool: Spool) -> None:
    """The record's time is timezone-aware UTC."""
    at = datetime.fromisoformat(spool.load(keep(spool), rehash=False).record.received_at)
    assert at.utcoffset() == UTC.utcoffset(None)
