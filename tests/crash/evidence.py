"""What an edge left behind, read with our own eyes: spool files, journal, index, store. No code of the edge is used."""

import base64
import hashlib
import json
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

Pair = tuple[str, str]  # SOP Instance UID, SHA-256 of the dataset


@dataclass(frozen=True)
class Part10:
    """A file as it lies there. ``whole`` is False with a reason in ``why`` if it denies its own record."""

    path: Path
    uid: str
    sha256: str  # of the bytes after the File Meta, as they are
    whole: bool
    why: str = ""

    @property
    def pair(self) -> Pair:
        return self.uid, self.sha256


def read_part10(path: Path, *, with_record: bool = True) -> Part10:
    """Read one file; with ``with_record`` it must agree with length and SHA-256 of its own (0002,0102)."""
    with path.open("rb") as file:
        try:
            meta = _file_meta(file)
        except (struct.error, ValueError) as e:
            return Part10(path, "", "", False, f"no File Meta ({e})")
        digest, length = hashlib.sha256(), 0
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            length += len(chunk)
    uid, sha256 = meta.get(0x0003, b"").decode("latin-1").rstrip("\0 "), digest.hexdigest()
    if with_record:
        try:
            record = json.loads(meta[0x0102])
            said = (record["length"], record["sha256"])
            if record.get("head") and not _is_sealed(path, meta[0x0102], record):
                return Part10(path, uid, sha256, False, "another head than its record says")
        except (ValueError, KeyError):
            return Part10(path, uid, sha256, False, "no record in (0002,0102)")
        if said != (length, sha256):
            return Part10(path, uid, sha256, False, f"{length} bytes where the record says {said[0]}, or other bytes")
    return Part10(path, uid, sha256, True)


def _is_sealed(path: Path, raw: bytes, record: dict[str, Any]) -> bool:
    """Tell whether the head has the digest in its record, which was taken with that value empty."""
    with path.open("rb") as file:
        head = file.read(144)
        head += file.read(struct.unpack("<I", head[140:])[0])
    plain = json.dumps({**record, "head": ""}, sort_keys=True).encode().ljust(len(raw))
    return hashlib.sha256(head.replace(raw, plain)).hexdigest() == record["head"]


def _file_meta(file: BinaryIO) -> dict[int, bytes]:
    head = file.read(144)
    if head[128:140] != b"DICM\x02\0\0\0UL\x04\0":
        raise ValueError("no preamble")
    raw = file.read(struct.unpack("<I", head[140:])[0])
    values, at = {}, 0
    while at < len(raw):
        group, element, vr, length = struct.unpack_from("<HH2sH", raw, at)
        if group != 2:
            raise ValueError("another group in the File Meta")
        at += 8
        if vr in (b"OB", b"UN"):
            length = struct.unpack_from("<I", raw, at)[0]
            at += 4
        values[element] = raw[at : at + length]
        at += length
    return values


def untagged_sha256(path: Path, edits: list[dict[str, Any]], offset: int) -> str:
    """Return the SHA-256 of an uploaded dataset with its edits undone; raises ValueError if they do not fit."""
    digest, skip = hashlib.sha256(), offset

    def add(data: bytes) -> None:
        nonlocal skip
        digest.update(data[skip:] if skip < len(data) else b"")
        skip = max(0, skip - len(data))

    with path.open("rb") as file:
        for edit in edits:
            add(file.read(edit["Offset"] - file.tell()))
            new = base64.b64decode(edit["New"])
            if file.read(len(new)) != new:
                raise ValueError(f"the edit at {edit['Offset']} is not in the object")
            add(base64.b64decode(edit["Old"]))
        while chunk := file.read(1 << 20):
            add(chunk)
    return digest.hexdigest()


def received_sha256(objects: dict[str, Path], account: dict[str, Any]) -> str:
    """Return the SHA-256 of the received dataset as the store proves it; raises ValueError or KeyError if it does not.

    An original beside the tagged object (deflated syntaxes) is the proof: untagging cannot give its bytes.
    """
    if account.get("OriginalKey"):
        return untagged_sha256(objects[account["OriginalKey"]], [], account["DatasetOffset"])
    return untagged_sha256(objects[account["Key"]], account["Edits"], account["DatasetOffset"])


class Evidence:
    """One box: ``spool`` (with journal and index) and ``store``; read once, when first asked for."""

    def __init__(self, spool: Path, store: Path) -> None:
        self.spool, self.store = spool, store

    @cached_property
    def files(self) -> list[Part10]:
        return [read_part10(path) for path in sorted((self.spool / "in").rglob("*.dcm"))]

    @cached_property
    def parts(self) -> list[Path]:
        return list((self.spool / "tmp").glob("*"))

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        return _rows(self.spool / "journal" / "journal.db", "SELECT * FROM entry ORDER BY seq")

    @cached_property
    def instances(self) -> list[dict[str, Any]]:
        return _rows(self.spool / "journal" / "journal.db", "SELECT * FROM instance ORDER BY ulid")

    @cached_property
    def indexed_uids(self) -> list[str]:
        rows = _rows(self.spool / "index.db", "SELECT sopinstanceuid AS uid FROM Instance")
        return [row["uid"] for row in rows]

    @cached_property
    def objects(self) -> dict[str, Path]:
        """Key -> file of everything that the store holds."""
        found = (p for p in self.store.rglob("*") if p.is_file())
        keys = ((p.relative_to(self.store).as_posix(), p) for p in found)
        return {key: path for key, path in keys if not key.startswith(".")}

    @cached_property
    def manifests(self) -> list[dict[str, Any]]:
        return [json.loads(p.read_bytes()) for key, p in self.objects.items() if key.startswith("manifests/")]

    @cached_property
    def proved(self) -> list[tuple[Pair, str]]:
        """(UID, SHA-256 of the dataset as received) and key of every object from which it can be proved."""
        found = []
        for row, account in self.stored():
            with suppress(KeyError, ValueError):
                pair = row["sop_instance_uid"], received_sha256(self.objects, account)
                found.append((pair, account["Key"]))
        for key, path in self.objects.items():
            if key.startswith("parked/") and (copy := read_part10(path)).whole:
                found.append((copy.pair, key))  # one that denies its own record was damaged before: it proves nothing
        return found

    def unentered(self) -> list[Part10]:
        """Return the durable files that the journal has not entered yet."""
        known = {row["ulid"] for row in self.instances}
        return [file for file in self.files if file.path.stem not in known]

    def stored(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield (row of the journal, manifest-like account) of everything that the journal says is uploaded."""
        listed = {i["Key"]: i for m in self.manifests for i in m["Instances"]}
        for row in self.instances:
            if row["stored"] and row["state"] != "REJECTED":  # that one's is its copy under parked/, as received
                key, tag = json.loads(row["stored"])["key"], json.loads(row["tag"])
                account = {"Key": key, "Edits": tag["edits"], "DatasetOffset": row["dataset_offset"]}
                original = json.loads(row["stored"]).get("original")
                if original:
                    account["OriginalKey"] = original["key"]
                yield row, listed.get(key, account)


def _rows(database: Path, sql: str) -> list[dict[str, Any]]:
    """Read a copy: opening the original would let SQLite tidy up what the crash left."""
    if not database.exists():
        return []
    with tempfile.TemporaryDirectory() as folder:
        for name in (database.name, f"{database.name}-wal"):
            if (database.parent / name).exists():
                shutil.copy(database.parent / name, folder)
        connection = sqlite3.connect(Path(folder) / database.name)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(sql)]
        except sqlite3.OperationalError as e:
            if "no such table" in str(e):
                return []  # the crash came before the schema
            raise
        finally:
            connection.close()
