"""The object store as a directory (D12): the twin of S3 for one machine, safe for several processes.

``root/<key>`` is the object, ``root/.meta/<key>.json`` its sidecar, ``root/.tmp`` what is being written. The object's
name is the commit: the sidecar is durable before it, so a crash leaves at worst a sidecar without an object, which
:meth:`DirectoryStore.head` does not count as held and the next put replaces.
"""

import contextlib
import errno
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edge.contract.checksum import Crc64Nvme, digest
from edge.contract.errors import StoreAway, StoreConflict, StoreDenied, StoreFault
from edge.contract.portable import flush_directory, lock_file
from edge.contract.store import StoredObject

CHUNK = 1 << 20
STALE_SECONDS = 24 * 3600  # a temp file nobody has written to for a day belongs to a process that died
_META, _TMP, _LOCK = ".meta", ".tmp", ".lock"
_STRIPES = 64
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_UNFIT = {errno.EEXIST, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EFBIG}


class DirectoryStore:
    """An :class:`edge.contract.store.ObjectStore` under ``root``; raises StoreAway or StoreDenied if none can be."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._flushed: set[Path] = set()  # directories whose name this process knows to be durable
        with _told_plainly("open", root):
            root.mkdir(parents=True, exist_ok=True)
            for name in (_META, _TMP, _LOCK):
                self._ensure_directory(root / name)
            self._sweep()

    def put(
        self,
        key: str,
        chunks: Callable[[], Iterator[bytes]],
        *,
        size: int,
        crc64nvme: str,
        metadata: Mapping[str, str],
        content_type: str = "application/dicom",
    ) -> StoredObject:
        """See :meth:`edge.contract.store.ObjectStore.put`; durable (file and directory flushed) on return."""
        path = self._path(key)
        version = uuid.uuid4().hex
        stored = StoredObject(key=key, size=size, crc64nvme=crc64nvme, version_id=version, metadata=dict(metadata))
        with _told_plainly("put", self._root):
            self._require_root()
            temp = self._root / _TMP / version
            try:
                self._write(temp, chunks, size=size, crc=crc64nvme)
                sidecar = temp.with_suffix(".json")
                self._write_sidecar(sidecar, stored, content_type)
                if self._publish(key, path, temp, sidecar):
                    return stored
            finally:
                temp.unlink(missing_ok=True)
                temp.with_suffix(".json").unlink(missing_ok=True)
            return self._compare(key, size, crc64nvme)

    def head(self, key: str, version_id: str | None = None) -> StoredObject | None:
        """See :meth:`edge.contract.store.ObjectReader.head`; what the sidecar does not say is read from the bytes."""
        path = self._path(key)
        with _told_plainly("head", self._root):
            self._require_root()
            if not path.is_file():
                self._require_root()  # a volume that went away since the first look holds nothing, and denies nothing
                return None
            held = self._load_sidecar(key)
            size = path.stat().st_size
            if held is None or held.size != size:
                # Not our writing (copied, restored, cut by hand): the bytes are the truth.
                whole = digest(_pieces(path))
                held = StoredObject(key=key, size=whole.size, crc64nvme=whole.crc64nvme, version_id=None, metadata={})
        return held if version_id in (None, held.version_id) else None

    def read(self, key: str, version_id: str | None = None) -> Iterator[bytes]:
        """See :meth:`edge.contract.store.ObjectReader.read`."""
        if self.head(key, version_id) is None:
            raise KeyError(key)
        with _told_plainly("read", self._root):
            yield from _pieces(self._path(key))

    def read_start(self, key: str, most: int) -> bytes:
        """Return the first ``most`` bytes of an object; raises KeyError if nothing is held."""
        if self.head(key) is None:
            raise KeyError(key)
        with _told_plainly("read", self._root), self._path(key).open("rb") as file:
            return file.read(most)

    def list(self, prefix: str) -> Iterator[str]:
        """See :meth:`edge.contract.store.ObjectReader.list`; in S3's order, by the bytes of the whole key."""
        with _told_plainly("list", self._root):
            self._require_root()
            yield from self._walk("", prefix)

    def _walk(self, folder: str, prefix: str) -> Iterator[str]:
        with os.scandir(self._root / folder) as scan:
            # '/' takes part in the order of keys: 'a-b/x' comes before 'a/x'.
            names = [entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in scan]
        for name in sorted(names, key=os.fsencode):
            key = folder + name
            if not folder and name in (f"{_META}/", f"{_TMP}/", f"{_LOCK}/"):
                continue
            if name.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(key, prefix)
            elif key.startswith(prefix):
                yield key

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(p in ("", ".", "..") or "\0" in p or "\\" in p for p in parts) or parts[0] in (_META, _TMP, _LOCK):
            raise StoreFault("this key cannot be a path below the store's directory", hint="keys are made by the edge")
        return self._root.joinpath(*parts)

    def _require_root(self) -> None:
        # Never made anew here: an unmounted volume must not fill the disk below it.
        if not (self._root / _META).is_dir():
            raise FileNotFoundError(errno.ENOENT, "the store's directory is not there")

    def _write(self, temp: Path, chunks: Callable[[], Iterator[bytes]], *, size: int, crc: str) -> None:
        running, written = Crc64Nvme(), 0
        with temp.open("xb") as file:
            for chunk in _source(chunks):
                file.write(chunk)
                running.update(chunk)
                written += len(chunk)
            file.flush()
            if (written, running.base64()) != (size, crc):
                raise StoreFault(
                    f"checksum refused: {written} bytes came, {size} were announced, or their CRC64NVME differs",
                    hint="the bytes changed on the disk since they were summed: check the disk",
                )
            os.fsync(file.fileno())

    def _write_sidecar(self, path: Path, stored: StoredObject, content_type: str) -> None:
        row = {
            "size": stored.size,
            "crc64nvme": stored.crc64nvme,
            "sha256": stored.metadata.get("sha256"),
            "version_id": stored.version_id,
            "metadata": dict(stored.metadata),
            "content_type": content_type,
        }
        with path.open("xb") as file:
            file.write(json.dumps(row, sort_keys=True).encode())
            file.flush()
            os.fsync(file.fileno())

    def _load_sidecar(self, key: str) -> StoredObject | None:
        try:
            row = json.loads(self._sidecar(key).read_bytes())
            return StoredObject(
                key=key,
                size=int(row["size"]),
                crc64nvme=str(row["crc64nvme"]),
                version_id=row["version_id"],
                metadata=dict(row["metadata"]),
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _sidecar(self, key: str) -> Path:
        return self._root / _META / f"{key}.json"

    def _publish(self, key: str, path: Path, temp: Path, sidecar: Path) -> bool:
        """Give object and sidecar their names, in that lock and order; return False if the key is taken."""
        named = self._sidecar(key)
        self._ensure_directory(path.parent)
        self._ensure_directory(named.parent)
        with self._lock(key):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "this key is a prefix of others")
            if path.exists():
                flush_directory(path.parent)  # taken by one who may not have flushed yet; a success must be durable
                return False
            sidecar.replace(named)
            flush_directory(named.parent)
            os.link(temp, path)  # fails if the name is taken, unlike a rename
            flush_directory(path.parent)
            return True

    def _compare(self, key: str, size: int, crc: str) -> StoredObject:
        held = self.head(key)
        if held is None:
            raise StoreAway("the object went away while it was compared", hint="somebody deletes in the store")
        if (held.size, held.crc64nvme) != (size, crc):
            raise StoreConflict(
                f"{key} is taken by other bytes", hint="two boxes with one edge id? nothing was overwritten"
            )
        return held

    @contextlib.contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        stripe = int.from_bytes(hashlib.sha256(key.encode()).digest()[:2], "big") % _STRIPES
        with (self._root / _LOCK / f"{stripe:02}").open("ab") as file:
            lock_file(file.fileno(), wait=True)  # let go by closing, also by a kill
            yield

    def _ensure_directory(self, path: Path) -> None:
        """Make ``path`` below the root, and every name on the way durable (reliability: fsync after mkdir)."""
        if path in self._flushed or path == self._root:
            return
        self._ensure_directory(path.parent)
        path.mkdir(exist_ok=True)
        flush_directory(path.parent)
        if len(self._flushed) > 10_000:
            self._flushed.clear()
        self._flushed.add(path)

    def _sweep(self) -> None:
        limit = time.time() - STALE_SECONDS
        for left in (self._root / _TMP).iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process sweeps too
                if left.stat().st_mtime < limit:
                    left.unlink()


def _source(chunks: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
    try:
        yield from chunks()
    except (OSError, ValueError) as e:
        raise StoreFault("the object cannot be read from the spool", hint="check the disk: dmesg, smartctl") from e


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


@contextlib.contextmanager
def _told_plainly(verb: str, root: Path) -> Iterator[None]:
    """Turn what the disk says into what a stage can act on."""
    try:
        yield
    except OSError as e:
        name = errno.errorcode.get(e.errno or 0, "OSError")
        text = f"{verb}: the store's directory answered {name}"
        if e.errno in _DENIED:
            raise StoreDenied(text, hint=f"let this user write under {root}") from e
        if e.errno in _UNFIT:
            raise StoreFault(text, hint="this key does not fit the file system") from e
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreAway(text, hint=f"the disk of {root} is full: free or add space") from e
        raise StoreAway(text, hint=f"look at the disk under {root}: mounted, healthy?") from e
