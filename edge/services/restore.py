"""A lost journal is made again: from its newest copy, the manifests and objects in the store, and the spool's files.

Until that is done nothing is indexed and no ATRIUID is issued: ids issued before stay issued (P023). The new journal is
made beside its place and named at the end, so a restore that was cut off has changed nothing and begins anew (I4).
"""

import hashlib
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from edge.contract.atriuid import Atriuid
from edge.contract.keys import instances_prefix, journal_copies_prefix, journal_copy_time, manifests_prefix
from edge.contract.manifest import Malformed, UnknownVersion, load_manifest
from edge.contract.store import ObjectStore
from edge.errors import JournalError, SpoolError
from edge.events import Event, log
from edge.flow import Finished
from edge.index.reindex import request_again
from edge.journal.journal import Journal
from edge.journal.restoring import Identity, Restoring, SpoolFiles, StoredManifest
from edge.services.journal_copy import DamagedCopy, check_file, load_copy
from edge.spool.arrival import Received
from edge.spool.flush import fsync_directory, make_directory
from edge.spool.shelf import Shelf
from edge.spool.spool import Spool

_TELL_EVERY = 500  # manifests or series


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a journal was made from."""

    copy: str | None  # key of the copy, None: there was none
    entries: int = 0  # of the copy
    manifests: int = 0  # read because the copy did not know them
    instances: int = 0  # listed by those
    series: int = 0  # whose ATRIUID only an object without a manifest told
    again: int = 0  # instances that go through the line again

    @property
    def nothing(self) -> bool:
        """Tell whether the store knew nothing of this edge."""
        return self.copy is None and not self.manifests and not self.series


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreSettings:
    """Whose journal it is, and where it lies."""

    path: Path  # of the journal
    edge_id: str
    edge_number: int
    bucket: str  # as messages name it
    begun: Path  # a file that says that there was a journal once
    reindex: Path  # a file in which the index is asked for anew


class RestoreStage:
    """Make the journal again, then let the line begin; receiving goes on meanwhile (I1)."""

    name = "restore"

    def __init__(
        self,
        *,
        settings: RestoreSettings,
        spool: Spool,
        store: Callable[[], ObjectStore],
        begin: Callable[[], None],
        tried: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._store = store
        self._begin = begin
        self._tried = tried

    def step(self) -> bool:
        """Restore, begin and finish; raises EdgeError while the store is away, or what it holds contradicts itself."""
        try:
            if not self._settings.path.exists():
                restore_journal(self._settings, self._spool, self._store())
            self._begin()
        finally:
            self._tried()
        raise Finished


def restore_journal(settings: RestoreSettings, spool: Spool, store: ObjectStore) -> Restored:
    """Make the journal at ``settings.path`` from what the store knows; one that lies there is kept aside.

    Raises JournalError, and changes nothing, where ids contradict each other, where newer software wrote what is
    there, or where the store knows nothing of an edge that had a journal.
    """
    part = settings.path.with_name("restoring.db")
    _remove(part)
    journal, copy = _from_copy(settings, store, part)
    try:
        entries = journal.verify_chain()
        work = Restoring(journal, settings.edge_number)
        files = _spool_files(spool, journal, work)
        manifests, instances, announced = _read_manifests(settings, store, work, files)
        series = _read_objects(settings, store, work, announced)
        found = Restored(copy=copy, entries=entries, manifests=manifests, instances=instances, series=series)
        if found.nothing and settings.begun.exists():
            raise JournalError(
                "this edge had a journal, but the store knows nothing of it: no copy, no manifest, no object",
                hint="is the bucket the one it was? if nothing was ever uploaded: dicom-edge restore --new",
            )
        found = Restored(**{**asdict(found), "again": work.reopen(files.present)})
        work.record_begun(edge_id=settings.edge_id, edge_number=settings.edge_number, **asdict(found))
    finally:
        journal.close()
    if not found.nothing:
        request_again(settings.reindex)
    _put_in_place(settings, part)
    if found.nothing:
        log(Event.JOURNAL_BEGUN, "the store knows nothing of this edge: its journal begins", edge_id=settings.edge_id)
    else:
        log(
            Event.JOURNAL_RESTORED, "the journal was lost and is restored: ids issued before stay issued",
            level=logging.WARNING, **asdict(found),
        )  # fmt: skip
    return found


def begin_journal(settings: RestoreSettings, by: str) -> None:
    """Begin a journal without asking the store, because an operator vouches that nothing was ever issued."""
    if settings.path.exists():
        raise JournalError(f"there is a journal at {settings.path}", hint="dicom-edge status --verify looks at it")
    part = settings.path.with_name("restoring.db")
    _remove(part)
    journal = Journal(part)
    Restoring(journal, settings.edge_number).record_begun(
        edge_id=settings.edge_id, edge_number=settings.edge_number, by=by, asked_store=False
    )
    journal.close()
    _put_in_place(settings, part)
    log(Event.JOURNAL_BEGUN, "a journal begins on an operator's word, the store was not asked", level=logging.WARNING)


def is_damaged(path: Path) -> str | None:
    """Return why the journal at ``path`` cannot be used, None if it is whole; raises JournalError for a newer one."""
    try:
        check_file(path)
    except DamagedCopy as e:
        return str(e)
    journal = Journal(path)
    try:
        journal.verify_chain()
    except (JournalError, sqlite3.DatabaseError) as e:
        return str(e)
    finally:
        journal.close()
    return None


def _from_copy(settings: RestoreSettings, store: ObjectStore, part: Path) -> tuple[Journal, str | None]:
    """Return the journal of the newest copy that can be believed, or an empty one."""
    keys = [k for k in store.list(journal_copies_prefix(settings.edge_id)) if journal_copy_time(k) is not None]
    for key in reversed(keys):
        try:
            load_copy(store, key, part)
            journal = Journal(part)
            try:
                journal.verify_chain()
            except JournalError as e:
                journal.close()
                raise DamagedCopy(str(e)) from e
            return journal, key
        except DamagedCopy as e:
            log(Event.JOURNAL_COPY_DAMAGED, f"a copy of the journal cannot be used: {e}", level=logging.ERROR, key=key)
        except OSError as e:
            raise SpoolError(f"the journal cannot be restored ({e.strerror})", hint="see the disk of SPOOL_DIR") from e
        _remove(part)
    return Journal(part), None


def _spool_files(spool: Spool, journal: Journal, work: Restoring) -> SpoolFiles:
    """Return what lies on this box, on its second disk too: of nothing there may the journal say that it is gone."""
    known, unsettled = journal.known_ulids(), work.unsettled()
    mirrored = spool.mirror.held() if spool.mirror is not None else set()
    present = mirrored | set(spool.listing())
    identities: dict[Identity, str] = {}
    for ulid in sorted(present):
        if ulid in known and ulid not in unsettled:
            continue
        r = _load(spool, ulid) or (_load(spool.mirror, ulid) if spool.mirror is not None else None)
        if r is None:
            continue  # recovery looks at it
        identity = (r.request.sop_instance_uid, r.record.sha256, r.request.transfer_syntax_uid)
        identities.setdefault(identity, ulid)
    return SpoolFiles(present=frozenset(present), unsettled=identities)


def _load(shelf: Shelf, ulid: str) -> Received | None:
    try:
        return shelf.load(ulid, rehash=False)
    except (SpoolError, OSError):
        return None


def _read_manifests(
    settings: RestoreSettings, store: ObjectStore, work: Restoring, files: SpoolFiles
) -> tuple[int, int, set[str]]:
    """Enter the generations that were announced after the copy; returns how many, their instances, all announced."""
    prefix = manifests_prefix(settings.edge_id)
    announced = work.announced_jobs()
    read = instances = 0
    keys = (key for key in store.list(prefix) if key.endswith(".json"))
    for job, group in groupby(keys, key=lambda k: k.removeprefix(prefix).partition(".")[0]):
        if job in announced:
            continue
        accounts = _accounts(store, job, list(group))
        if not accounts:
            continue
        fullest, *others = sorted(accounts, key=lambda a: (-len(a.manifest.instances), a.key))
        if others:
            text = "which of a generation's manifests was announced is not known: what not all list goes the way again"
            log(Event.JOURNAL_RESTORING, text, level=logging.WARNING, job_id=job, manifests=[a.key for a in accounts])
        instances += work.record_manifest(fullest, settings.bucket, files, others=others)
        announced.add(job)
        read += 1
        if read and read % _TELL_EVERY == 0:
            log(Event.JOURNAL_RESTORING, "restoring the journal: reading manifests", manifests=read)
    return read, instances, announced


def _accounts(store: ObjectStore, job: str, keys: list[str]) -> list[StoredManifest]:
    """Return the accounts of one generation that may have been announced.

    Those with a digest in their name, if there are: such a one is written only when the plain one was never announced.
    """
    plain = [key for key in keys if key.endswith(f"/{job}.json")]
    for group in ([key for key in keys if key not in plain], plain):
        found = [a for key in group if (a := _load_manifest(store, key)) is not None and a.manifest.job_id == job]
        if found:
            return found
    return []


def _load_manifest(store: ObjectStore, key: str) -> StoredManifest | None:
    held = store.head(key)
    if held is None:
        return None
    raw = b"".join(store.read(key, held.version_id))
    try:
        manifest = load_manifest(raw)
    except UnknownVersion as e:
        raise JournalError(f"{key}: {e}", hint="install the newer version again, then restore") from e
    except Malformed:
        log(Event.JOURNAL_RESTORING, "a manifest cannot be read; its objects are asked", level=logging.ERROR, key=key)
        return None
    sha256 = hashlib.sha256(raw).hexdigest()
    return StoredManifest(key=key, version_id=held.version_id, size=len(raw), sha256=sha256, manifest=manifest)


def _read_objects(settings: RestoreSettings, store: ObjectStore, work: Restoring, announced: set[str]) -> int:
    """Enter the ATRIUIDs that only objects know: uploaded after the copy, in no manifest yet; one a series tells."""
    known = work.known_series()
    new = 0
    for key, study, series in _unlisted(store, settings.edge_id, announced):
        if (study, series) in known:
            continue
        held = store.head(key)
        issued = held.metadata.get("atriuid") if held else None
        if not issued:
            continue  # uploaded as received: the next one of its series may tell
        try:
            atriuid = Atriuid.parse(issued)
        except ValueError as e:
            raise JournalError(f"{key} has no readable ATRIUID", hint="see who writes into the bucket") from e
        work.record_atriuid(study, series, atriuid, key)
        known.add((study, series))
        new += 1
        if new % _TELL_EVERY == 0:
            log(Event.JOURNAL_RESTORING, "restoring the journal: asking objects", series=new)
    return new


def _unlisted(store: ObjectStore, edge_id: str, announced: set[str]) -> Iterator[tuple[str, str, str]]:
    prefix = instances_prefix(edge_id)
    for key in store.list(prefix):
        parts = key.removeprefix(prefix).split("/")
        if len(parts) == 4 and parts[0] not in announced:
            yield key, parts[1], parts[2]


def _put_in_place(settings: RestoreSettings, part: Path) -> None:
    """Give the finished journal its name, durably; what lies there is moved aside and kept."""
    with closing(sqlite3.connect(part)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    fd = os.open(part, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    _set_aside(settings.path)
    os.rename(part, settings.path)
    fsync_directory(settings.path.parent)
    mark_begun(settings)


def mark_begun(settings: RestoreSettings) -> None:
    """Leave word that this spool has a journal, so that a missing one is not taken for a new box."""
    if settings.begun.exists():
        return
    settings.begun.write_text(json.dumps({"v": 1, "EdgeId": settings.edge_id, "EdgeNumber": settings.edge_number}))
    fsync_directory(settings.begun.parent)


def _set_aside(path: Path) -> None:
    """Move a journal away with what SQLite keeps beside it: a log left behind would be played into the new one."""
    left = [p for p in (path, *_beside(path)) if p.exists()]
    if not left:
        return
    aside = path.parent / f"aside-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    make_directory(aside)
    for p in left:
        os.rename(p, aside / p.name)
    fsync_directory(aside)
    fsync_directory(path.parent)
    log(Event.JOURNAL_ASIDE, f"what was left of the journal is kept in {aside}", level=logging.WARNING)


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")]


def _remove(part: Path) -> None:
    for p in (part, *_beside(part)):
        p.unlink(missing_ok=True)
