"""The way back: one instance out of spool or store, as uploaded or as its sender sent it, with proof of the digest.

The file appears under its name only after its SHA-256 was found to be the recorded one. What a source gives is never
believed: the next is tried, and if none is left, nothing is written.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from edge.contract.edits import read_tagged
from edge.contract.states import State
from edge.contract.store import ObjectStore
from edge.contract.tagging import dataset_of
from edge.contract.uids import is_valid_uid
from edge.errors import EdgeError, JournalError, SpoolError
from edge.journal.journal import Journal
from edge.journal.rows import Instance
from edge.spool.flush import fsync_directory
from edge.spool.spool import Spool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What was written, and what proves it."""

    instance: Instance
    path: Path
    size: int
    source: str  # where the bytes came from, in words
    sha256: str  # of what the recorded digest speaks of: the dataset as received, or the whole object as uploaded
    entry: int  # the ledger's entry that recorded it


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    pieces: Callable[[], Iterator[bytes]]


def find(journal: Journal, name: str) -> Instance:
    """Return the one instance of that SOP Instance UID or ULID; raises JournalError that names all of several."""
    instance = journal.instance(name)
    if instance is not None:
        return _held_for(journal, instance)
    named = journal.named(name)
    held = [i for i in named if i.state is not State.DUPLICATE]
    if len(held) == 1:
        return held[0]
    if not held:
        what = "SOP Instance UID" if is_valid_uid(name) else "name"
        raise JournalError(
            f"no instance of the {what} {name[:64]!r} in this journal",
            hint="give a SOP Instance UID, or a ULID of dicom-edge parked",
        )
    rows = "".join(
        f"\n  {i.ulid}  {i.state:<9}  received {i.received_at:%Y-%m-%d %H:%M:%S} UTC from {i.calling_ae_title!r},"
        f" {i.size - i.dataset_offset} bytes, SHA-256 {i.received_sha256}"
        for i in held
    )
    raise JournalError(
        f"{len(held)} instances have this SOP Instance UID:{rows}", hint="name the one that is meant by its ULID"
    )


def fetch(
    instance: Instance,
    output: Path,
    *,
    as_received: bool,
    journal: Journal,
    spool: Spool,
    store: Callable[[], ObjectStore],
) -> Fetched:
    """Write the object as uploaded, or a Part 10 file with exactly the received dataset, to ``output``.

    Memory is flat. Raises SpoolError if ``output`` is there already or no source has the recorded bytes.
    """
    if output.exists():
        raise SpoolError(f"{output} is there already", hint="name another file with --output")
    if as_received:
        sources, wanted, skip = (
            _received_sources(instance, spool, store),
            instance.received_sha256,
            instance.dataset_offset,
        )
    elif instance.tag is None:
        raise JournalError(
            f"{instance.ulid} is {instance.state} and was not tagged: there is no object as uploaded",
            hint="its received bytes are there: --as-received",
        )
    else:
        sources, wanted, skip = _uploaded_sources(instance, spool, store), instance.tag.sha256, 0
    if not output.parent.is_dir():
        raise SpoolError(
            f"there is no folder {output.parent}", hint="make it first, or name another file with --output"
        )
    refused: list[str] = []
    for source in sources:
        try:
            size = _write(source, output, wanted=wanted, skip=skip)
        except (EdgeError, KeyError, ValueError, OSError) as e:
            refused.append(f"{source.name}: {_why(e)}")
            continue
        entry = _entry(journal, instance, "RECEIVED" if as_received else "TAGGED")
        return Fetched(instance=instance, path=output, size=size, source=source.name, sha256=wanted, entry=entry)
    tried = "".join(f"\n  {line}" for line in refused) or "\n  neither on this disk nor in the store"
    raise SpoolError(
        f"{instance.ulid} cannot be given:{tried}",
        hint="look into torn/ and in a backup of SPOOL_DIR; nothing was written",
    )


def _received_sources(i: Instance, spool: Spool, store: Callable[[], ObjectStore]) -> Iterator[_Source]:
    for name, path in spool.copies_of(i.ulid):
        yield _Source(name, lambda path=path: _plain(path))  # type: ignore[misc]  # a lambda with a default
    if i.stored and i.tag:
        original, tagging = i.stored.get("original"), i.tagging(i.tag.edits)
        if original:  # the sender's own bytes, kept beside an object that does not lead back to them
            yield _from_store(store, original["key"], original["version_id"])
        else:
            whole = _from_store(store, i.stored["key"], i.stored["version_id"])
            yield _Source(
                f"{whole.name}, its tag undone",
                lambda: tagging.read_untagged(cast(BinaryIO, _Stream(whole.pieces()))),
            )
    if i.parked_stored:
        yield _from_store(store, i.parked_stored["key"], i.parked_stored["version_id"])


def _uploaded_sources(i: Instance, spool: Spool, store: Callable[[], ObjectStore]) -> Iterator[_Source]:
    if i.tag is None:
        return
    tagging = i.tagging(i.tag.edits)
    for name, path in spool.copies_of(i.ulid):
        yield _Source(f"{name}, tagged", lambda path=path: _tagged(path, tagging.read_tagged))  # type: ignore[misc]
    if i.stored:
        yield _from_store(store, i.stored["key"], i.stored["version_id"])


def _from_store(store: Callable[[], ObjectStore], key: str, version_id: str | None) -> _Source:
    version = f" version {version_id}" if version_id else ""
    return _Source(f"the store: {key}{version}", lambda: store().read(key, version_id))


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from read_tagged(file, ())


def _tagged(path: Path, read: Callable[[BinaryIO], Iterator[bytes]]) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from read(file)


def _write(source: _Source, output: Path, *, wanted: str, skip: int) -> int:
    """Write to a file beside ``output``, digest what is written, and name it only if that is the recorded digest."""
    fd, part = tempfile.mkstemp(prefix=f".{output.name[:100]}.", suffix=".part", dir=output.parent)  # mode 0600
    try:
        size, running = 0, hashlib.sha256()
        with os.fdopen(fd, "wb") as file:
            for piece in dataset_of(_written(source.pieces(), file), skip):
                running.update(piece)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        if running.hexdigest() != wanted:
            raise ValueError("its SHA-256 is not the recorded one")
        _name(Path(part), output)
        fsync_directory(output.parent)
        return size
    finally:
        Path(part).unlink(missing_ok=True)


def _written(pieces: Iterator[bytes], file: BinaryIO) -> Iterator[bytes]:
    for piece in pieces:
        file.write(piece)
        yield piece


def _name(part: Path, output: Path) -> None:
    """Give the file its name, never in another's place."""
    try:
        os.link(part, output)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, as on a memory stick
        if output.exists():
            raise
        part.rename(output)


def _held_for(journal: Journal, instance: Instance) -> Instance:
    """Return the instance, or for a duplicate the one whose bytes are held in its stead."""
    if instance.state is not State.DUPLICATE:
        return instance
    twin = next((str(e.body["of"]) for e in journal.entries(instance.ulid) if "of" in e.body), "")
    return journal.instance(twin) or instance


def _entry(journal: Journal, instance: Instance, kind: str) -> int:
    found = [e.seq for e in journal.entries(instance.ulid) if e.kind.startswith(kind)]
    return (found[0] if kind == "RECEIVED" else found[-1]) if found else 0


def _why(e: Exception) -> str:
    if isinstance(e, KeyError):
        return "nothing is held there"
    if isinstance(e, OSError):
        return e.strerror or type(e).__name__
    return str(e)


class _Stream:
    """A readable of pieces, for what reads a network stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
