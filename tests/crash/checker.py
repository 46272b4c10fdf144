"""The checks of the crash tests: what the sender was promised against what is there. Returns plain sentences.

Each sentence begins with a word for its check, explained in README.md; "lost" is an acknowledged scan that is gone.
"""

import base64
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from awscrt import checksums

from tests.crash.evidence import Evidence, Pair, read_part10
from tests.crash.ledger import Book

LINE = ["RECEIVED", "INDEXED", "TAGGED", "UPLOADED", "ANNOUNCED", "RELEASED"]
BESIDE = ["PARKED", "REJECTED"]
ALLOWED_GROUP = 0x0013
ALLOWED_TAGS = {0x00080015, 0x0018A001, 0x04000561}  # design D5; group lengths (gggg,0000) follow them


@dataclass(frozen=True)
class Verdict:
    """``losses`` are acknowledged scans that are gone; ``faults`` are all sentences, losses among them."""

    faults: list[str]
    states: Counter[str]

    @property
    def losses(self) -> list[str]:
        return [fault for fault in self.faults if fault.startswith("lost: ")]


def check(
    evidence: Evidence, book: Book, *, settled: bool, may_park: bool = False, journal_lost: bool = False
) -> Verdict:
    """Judge one box.

    ``settled``: recovery has run and every instance has gone as far as it can. ``may_park``: some of what was sent is
    not fit to go on; else a parked instance is a fault, for the crash must have made it one. ``journal_lost``: it was
    made again from the store, so that uploads under way began anew in another generation.
    """
    faults = [*_lost(evidence, book), *_torn(evidence), *_unasked(evidence, book), *_chain(evidence), *_moves(evidence)]
    faults += [*_stored_once(evidence), *_purged(evidence, book)]
    if not may_park:
        faults += [f"parked: {r['ulid']}: {r['reason']}" for r in evidence.instances if r["state"] == "PARKED"]
    if settled:
        faults += [*_index(evidence), *_manifests(evidence, book, journal_lost), *_tag_only(evidence)]
    return Verdict(faults, states(evidence))


def states(evidence: Evidence) -> Counter[str]:
    """Count what the kill found: files on their way in, files the journal has not entered yet, rows by state."""
    found = Counter({"on the way in": len(evidence.parts), "durable, not in the journal": len(evidence.unentered())})
    found.update(row["state"] for row in evidence.instances)
    return +found


def fingerprint(evidence: Evidence) -> dict[str, Any]:
    """Return all that a second recovery must leave as it is."""
    return {
        "files": sorted((file.path.name, *file.pair) for file in evidence.files),
        "instances": evidence.instances,
        "moves": [e["hash"] for e in evidence.entries if e["ulid"]],
        "objects": {k: _sha256(path) for k, path in evidence.objects.items() if not k.startswith("journal/")},
    }


def check_any_part10(folder: Path, book: Book) -> list[str]:
    """The first check, for receivers other than ours: is each acknowledged dataset in a file below ``folder``?"""
    held = {read_part10(path, with_record=False).pair for path in folder.rglob("*") if path.is_file()}
    return [_loss(pair) for pair in sorted(book.acked - held)]


def _lost(evidence: Evidence, book: Book) -> Iterator[str]:
    held = {file.pair for file in evidence.files if file.whole} | {pair for pair, _ in evidence.proved}
    for pair in sorted(book.acked - held):
        yield _loss(pair)


def _loss(pair: Pair) -> str:
    return f"lost: {pair[0]} was acknowledged and is neither in the spool nor in the store"


def _torn(evidence: Evidence) -> Iterator[str]:
    for file in evidence.files:
        if not file.whole:
            yield f"torn: {file.path.name} stands as complete, but has {file.why}"


def _unasked(evidence: Evidence, book: Book) -> Iterator[str]:
    found = {file.pair for file in evidence.files if file.whole} | {pair for pair, _ in evidence.proved}
    for uid, _ in sorted(found - book.begun):
        yield f"altered: an instance {uid} is there with bytes that nobody sent"


def _chain(evidence: Evidence) -> Iterator[str]:
    prev = "0" * 64
    for seq, e in enumerate(evidence.entries, 1):
        text = json.dumps([prev, e["seq"], e["at"], e["ulid"], e["kind"], e["body"]])
        if (e["seq"], e["prev"], e["hash"]) != (seq, prev, hashlib.sha256(text.encode()).hexdigest()):
            yield f"chain: the custody ledger is broken at entry {e['seq']}"
            return
        prev = e["hash"]


def _moves(evidence: Evidence) -> Iterator[str]:
    moves: dict[str, list[str]] = {}
    for e in evidence.entries:
        body = json.loads(e["body"])
        if e["kind"] in ("INSTANCE_RESTORED", "INSTANCE_FOUND"):
            moves[e["ulid"]] = LINE[: LINE.index(body["state"]) + 1]
        elif body.get("restored") and e["kind"] == "RECEIVED":
            moves[e["ulid"]] = ["RECEIVED"]  # what was on its way when the journal was lost begins anew
        elif e["kind"] in (*LINE, "DUPLICATE", *BESIDE):
            moves.setdefault(e["ulid"], []).append(e["kind"])
    for row in evidence.instances:
        way = _last_lap(moves.get(row["ulid"], []))
        if way[-2:] == BESIDE:
            way.remove("PARKED")  # only what is parked can be rejected
        expected = LINE[: LINE.index(row["state"]) + 1] if row["state"] in LINE else [*way[:-1], row["state"]]
        if way != expected or way[:-1] != LINE[: len(way) - 1]:
            yield f"unrecorded: {row['ulid']} is {row['state']}, its entries say {way}"


def _last_lap(way: list[str]) -> list[str]:
    """Leave out what came before a retry: a lap that ended beside the line, after which it was RECEIVED again."""
    for at in range(len(way) - 1, 0, -1):
        if (way[at - 1], way[at]) == ("PARKED", "RECEIVED"):
            return way[at:]
    return way


def _stored_once(evidence: Evidence) -> Iterator[str]:
    claimed: Counter[str] = Counter()
    for row, account in evidence.stored():
        proof = json.loads(row["stored"])
        claimed[account["Key"]] += 1
        if proof.get("original", {}).get("key") != account.get("OriginalKey"):
            yield f"store: journal and manifest name different originals of {account['Key']}"
        for part in (proof, *([proof["original"]] if "original" in proof else [])):
            path = evidence.objects.get(part["key"])
            if path is None and row["state"] in BESIDE:
                continue  # it was parked because the store has lost it
            if path is None:
                yield f"store: the journal says that {part['key']} is stored"
            elif _crc64nvme(path) != part["crc64nvme"]:
                yield f"store: {part['key']} has another checksum than was confirmed"
    for key, count in claimed.items():
        if count > 1:
            yield f"store: {count} instances claim {key}"
    pairs = Counter(pair for pair, key in evidence.proved if not key.startswith("parked/"))
    for pair, count in pairs.items():
        if count > 1:
            yield f"store: {pair[0]} lies in the store {count} times"


def _purged(evidence: Evidence, book: Book) -> Iterator[str]:
    here = {file.path.stem for file in evidence.files} | {path.stem for path in (evidence.spool / "torn").glob("*")}
    copied = {row["ulid"] for row in evidence.instances if row["state"] in BESIDE and _has_copy(evidence, row)}
    held = {
        (row["sop_instance_uid"], row["received_sha256"])
        for row in evidence.instances
        if row["ulid"] in here or row["state"] == "RELEASED"
    }
    for row in evidence.instances:
        if row["ulid"] in here | copied or row["state"] == "RELEASED":
            continue
        if row["state"] in BESIDE and (row["sop_instance_uid"], row["received_sha256"]) in book.unanswered:
            continue  # nobody was promised it
        if row["state"] != "DUPLICATE" or (row["sop_instance_uid"], row["received_sha256"]) not in held:
            yield f"purged: {row['ulid']} is {row['state']} and its bytes are gone"


def _has_copy(evidence: Evidence, row: dict[str, Any]) -> bool:
    proof = json.loads(row["parked_stored"] or "null")
    path = evidence.objects.get(proof["key"]) if proof else None
    return path is not None and _crc64nvme(path) == proof["crc64nvme"]


def _index(evidence: Evidence) -> Iterator[str]:
    """One row for each UID in the line; what was parked after it was indexed may have kept its row."""
    expected = Counter({r["sop_instance_uid"] for r in evidence.instances if r["state"] in LINE})
    beside = Counter({r["sop_instance_uid"] for r in evidence.instances if r["state"] in BESIDE}) - expected
    found = Counter(evidence.indexed_uids)
    missing, extra = expected - found, found - expected - beside
    if missing or extra:
        yield f"index: {missing.total()} instances are not in the index, {extra.total()} rows are of no instance"


def _manifests(evidence: Evidence, book: Book, journal_lost: bool) -> Iterator[str]:
    listed = Counter((i["SOPInstanceUID"], i["ReceivedSHA256"]) for m in evidence.manifests for i in m["Instances"])
    in_line, beside = (
        {(r["sop_instance_uid"], r["received_sha256"]) for r in evidence.instances if r["state"] in states}
        for states in (LINE, BESIDE)
    )
    for pair in sorted(book.acked - (beside - in_line)):
        if listed[pair] != 1:
            yield f"manifest: {pair[0]} is listed in {listed[pair]} manifests"
    for pair in sorted(set(listed) - book.begun):
        yield f"manifest: {pair[0]} is in a manifest, but was never sent"
    keys = {i[name] for m in evidence.manifests for i in m["Instances"] for name in ("Key", "OriginalKey") if name in i}
    # An original goes up first; if the tagged object then cannot, it stays beside the parked one.
    ulids = {row["ulid"] for row in evidence.instances}
    keys |= {key for key in evidence.objects if key.startswith("originals/") and Path(key).stem in ulids}
    for key in sorted(set(evidence.objects) - keys):
        if not journal_lost and not key.startswith(("manifests/", "parked/", "journal/")):
            yield f"store: {key} is in the store and in no manifest"


def _tag_only(evidence: Evidence, most: int = 20) -> Iterator[str]:
    """Compare the newest ``most`` objects with what was received: by pydicom, another reader than the edge's own."""
    for _, account in list(evidence.stored())[-most:]:
        path = evidence.objects.get(account["Key"])
        if path is None or account.get("HasError"):
            continue  # uploaded as received, which the checks above have proved
        tagged = pydicom.dcmread(path)
        added = b"".join(base64.b64decode(e["New"]) for e in account["Edits"])
        if not added or f"{tagged[0x0013, 0x1001].value}".encode() not in added:
            yield f"tag: {account['Key']} carries no ATRIUID from its edits"
        original = evidence.objects.get(account.get("OriginalKey", ""))
        received = pydicom.dcmread(original or _untagged(path, account["Edits"]))
        before, after = {e.tag: e for e in received}, {e.tag: e for e in tagged}
        for tag in {tag for tag in before.keys() | after.keys() if before.get(tag) != after.get(tag)}:
            if tag.group != ALLOWED_GROUP and tag not in ALLOWED_TAGS and tag.element != 0:
                yield f"tag: {account['Key']} differs in {tag}"


def _untagged(path: Path, edits: list[dict[str, Any]]) -> io.BytesIO:
    raw, out, at = path.read_bytes(), io.BytesIO(), 0
    for edit in edits:
        out.write(raw[at : edit["Offset"]] + base64.b64decode(edit["Old"]))
        at = edit["Offset"] + len(base64.b64decode(edit["New"]))
    out.write(raw[at:])
    out.seek(0)
    return out


def _crc64nvme(path: Path) -> str:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            value = checksums.crc64nvme(chunk, value)
    return base64.b64encode(value.to_bytes(8, "big")).decode()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
