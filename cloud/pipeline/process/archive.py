"""Archives (.zip, .tar, .tar.gz) read member by member, within limits; none of their names is a path here.

What could harm whoever unpacks it later is refused whole: names that leave their folder, links, devices, members that
share bytes, more than the limits allow. What cannot be opened (encrypted, damaged) is said to be so; it is no danger.
"""

import gzip
import io
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

from cloud.errors import ArchiveClosed, ArchiveRefused

LONGEST_NAME: Final = 1000
DEEPEST: Final = 100
#: No single read of a tar needs more, but a header that says it is large: it would be held in memory.
_LONGEST_READ: Final = 4 << 20
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: What the libraries raise for bytes that are not what they should be.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    NotImplementedError,
    gzip.BadGzipFile,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one archive may hold."""

    members: int = 200_000
    unpacked: int = 100 << 30  # bytes of all members together


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry: its place (from 1), and a name that is safe, relative and the only one of its kind in the archive."""

    number: int
    name: str
    is_folder: bool
    renamed: bool  # another member had the same name
    original: Any  # the library's own entry


class Archive(Protocol):
    """An archive that can be read again and again, and its like written."""

    def members(self) -> Iterator[tuple[Member, BinaryIO]]:
        """Yield each member and its bytes, to be read before the next; raises ArchiveRefused or ArchiveClosed."""

    def write_like(self, path: Path) -> Any:
        """Return a context manager that gives a :class:`Writer` of the same kind."""


class Writer(Protocol):
    """Writes an archive."""

    def add(self, member: Member, source: Path | None) -> None:
        """Append a member with the bytes of ``source``; None for a folder."""


def open_archive(path: Path, limits: Limits | None = None) -> Archive | None:
    """Return the archive at ``path``, known by its bytes and not by its name; None if it is none."""
    limits = limits or Limits()
    with path.open("rb") as file:
        start = file.read(512)
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return ZipArchive(path, limits)
    if start[257:262] == b"ustar":
        return TarArchive(path, limits, compressed=False)
    if start[:2] == b"\x1f\x8b" and _holds_a_tar(path):
        return TarArchive(path, limits, compressed=True)
    return None


def _holds_a_tar(path: Path) -> bool:
    try:
        with gzip.open(path) as file:
            return file.read(512)[257:262] == b"ustar"
    except (*_DAMAGE, OSError):
        return False  # any other compressed file, or a damaged one


class Names:
    """Judges the names of one pass."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def judge(self, raw: str, number: int, *, is_folder: bool) -> tuple[str, bool]:
        """Return a safe name, and whether it had to differ from an earlier one; raises ArchiveRefused."""
        name = raw.replace("\\", "/")
        if name.startswith("/") or _DRIVE.match(name):
            raise _refused(number, "has an absolute name")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise _refused(number, "has a name that leaves its folder")
        if not parts and not is_folder:
            raise _refused(number, "has no name")
        if _CONTROL.search(name) or len(name) > LONGEST_NAME or len(parts) > DEEPEST:
            raise _refused(number, "has a name that no disk should be given")
        name = "/".join(parts)
        free, n = name, 1
        # Two names that differ in case, or in how an accent is written, are one file on many disks.
        while (key := unicodedata.normalize("NFC", free).casefold()) in self._taken and not is_folder:
            n += 1
            stem, dot, extension = name.rpartition(".")
            free = f"{stem}.{n}{dot}{extension}" if stem and "/" not in extension else f"{name}.{n}"
        self._taken.add(key)
        return free, free != name


class ZipArchive:
    """A zip."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits

    def members(self) -> Iterator[tuple[Member, BinaryIO]]:
        """See :meth:`Archive.members`."""
        names = Names()
        with _told_plainly():
            self._judge_directory()
        with _told_plainly(), zipfile.ZipFile(self._path) as file:
            self._judge(file.infolist())
            for number, info in enumerate(file.infolist(), start=1):
                name, renamed = names.judge(info.filename, number, is_folder=info.is_dir())
                member = Member(number=number, name=name, is_folder=info.is_dir(), renamed=renamed, original=info)
                if member.is_folder:
                    yield member, io.BytesIO()
                    continue
                with file.open(info) as content:
                    yield member, cast(BinaryIO, content)

    def _judge_directory(self) -> None:
        """The library reads the whole directory of the archive at once, however large it says it is."""
        with self._path.open("rb") as file:
            found = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # noqa: SLF001 - it alone finds it
        if found and found[5] > self._limits.members * 512:  # bytes of the directory
            raise _too_much()

    def _judge(self, infos: list[zipfile.ZipInfo]) -> None:
        if len(infos) > self._limits.members:
            raise _too_much()
        if sum(info.file_size for info in infos) > self._limits.unpacked:
            raise _too_much()  # the library reads no more of a member than it says it has
        for number, info in enumerate(infos, start=1):
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(number, "is a link or a device")
            if info.flag_bits & 1:
                raise ArchiveClosed("the archive is encrypted", hint="upload it without a password")
        last = 0
        for info in sorted(infos, key=lambda i: i.header_offset):
            if info.header_offset < last:
                raise ArchiveRefused("members of the archive share bytes", hint=_REPACK)
            last = info.header_offset + 30 + len(info.filename.encode("utf-8", "surrogateescape")) // 4
            last += info.compress_size

    @contextmanager
    def write_like(self, path: Path) -> Iterator["ZipWriter"]:
        """See :meth:`Archive.write_like`."""
        with zipfile.ZipFile(path, "w", allowZip64=True) as file:
            yield ZipWriter(file)


class ZipWriter:
    """Writes a zip; the same members give the same bytes."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    def add(self, member: Member, source: Path | None) -> None:
        """See :meth:`Writer.add`."""
        old: zipfile.ZipInfo = member.original
        new = zipfile.ZipInfo(member.name + ("/" if source is None else ""), old.date_time)
        new.external_attr = (0o40755 << 16 | 0x10) if source is None else (0o100644 << 16)
        if source is None:
            if member.name:
                self._file.writestr(new, b"")
            return
        stored = old.compress_type == zipfile.ZIP_STORED
        new.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
        large = source.stat().st_size >= 1 << 31
        with source.open("rb") as content, self._file.open(new, "w", force_zip64=large) as out:
            copy(content, out)


class TarArchive:
    """A tar, compressed by gzip or not."""

    def __init__(self, path: Path, limits: Limits, *, compressed: bool) -> None:
        self._path = path
        self._limits = limits
        self._compressed = compressed

    def members(self) -> Iterator[tuple[Member, BinaryIO]]:
        """See :meth:`Archive.members`."""
        names = Names()
        with _told_plainly(), self._path.open("rb") as raw:
            plain = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if self._compressed else cast(BinaryIO, raw)
            bounded = cast(Any, _Bounded(plain, self._limits))
            with tarfile.open(fileobj=bounded, mode="r:", errorlevel=2) as file:
                unpacked = 0
                for number, info in enumerate(file, start=1):
                    unpacked += info.size
                    if number > self._limits.members or unpacked > self._limits.unpacked:
                        raise _too_much()
                    if not (info.isreg() or info.isdir()) or info.issparse():
                        raise _refused(number, "is a link, a device or sparse")
                    name, renamed = names.judge(info.name, number, is_folder=info.isdir())
                    member = Member(number=number, name=name, is_folder=info.isdir(), renamed=renamed, original=info)
                    content = io.BytesIO() if member.is_folder else file.extractfile(info)
                    yield member, cast(BinaryIO, content)
                    file.members = []  # type: ignore[attr-defined]  # it would remember every entry
            # To the end, so that a cut or spoilt tail is not taken for a whole archive.
            while bounded.read(1 << 20):
                pass

    @contextmanager
    def write_like(self, path: Path) -> Iterator["TarWriter"]:
        """See :meth:`Archive.write_like`."""
        with path.open("wb") as raw:
            if not self._compressed:
                with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as file:
                    yield TarWriter(file)
                return
            # No name and no time in gzip's header: the same members give the same bytes.
            with (
                gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as file,
            ):
                yield TarWriter(file)


class TarWriter:
    """Writes a tar; whose the files were on the sender's machine is left out."""

    def __init__(self, file: tarfile.TarFile) -> None:
        self._file = file

    def add(self, member: Member, source: Path | None) -> None:
        """See :meth:`Writer.add`."""
        if not member.name:
            return
        new = tarfile.TarInfo(member.name)
        new.mtime = int(member.original.mtime)
        if source is None:
            new.type, new.mode = tarfile.DIRTYPE, 0o755
            self._file.addfile(new)
            return
        new.size = source.stat().st_size
        with source.open("rb") as content:
            self._file.addfile(new, content)
        self._file.members = []  # type: ignore[attr-defined]  # it would remember every entry


class _Bounded:
    """A file of which no single read, and no place, is beyond the limit."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file = file
        # What members hold, and for each its headers and padding.
        self._most = limits.unpacked + limits.members * 8192 + (1 << 20)

    def read(self, size: int = -1) -> bytes:
        if size > _LONGEST_READ or size < 0:
            raise ArchiveRefused("a header of the archive is too large", hint=_REPACK)
        if self._file.tell() + size > self._most:
            raise _too_much()
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET and offset > self._most:
            raise _too_much()
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def extract(content: BinaryIO, path: Path) -> None:
    """Write a member's bytes to ``path``; raises ArchiveClosed if they are damaged."""
    with _told_plainly(), path.open("wb") as file:
        copy(content, file)


def copy(source: BinaryIO, target: Any, chunk: int = 1 << 20) -> int:
    """Copy to the end with flat memory; returns how many bytes."""
    count = 0
    while piece := source.read(chunk):
        target.write(piece)
        count += len(piece)
    return count


_REPACK = "pack the scan's folder again with an ordinary tool, without links and absolute names, and upload that"


def _refused(number: int, what: str) -> ArchiveRefused:
    # By number: a name may be a person's.
    return ArchiveRefused(f"member {number} of the archive {what}", hint=_REPACK)


def _too_much() -> ArchiveRefused:
    return ArchiveRefused("the archive holds more than is unpacked here", hint="upload it in parts, or raise the limit")


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except _DAMAGE as e:
        raise ArchiveClosed(
            f"the archive is damaged, or packed in a way that is not known ({type(e).__name__})",
            hint="pack it again, or upload it again: it may have been cut short",
        ) from e
    except RuntimeError as e:  # zipfile: "password required"
        raise ArchiveClosed("the archive is encrypted", hint="upload it without a password") from e
