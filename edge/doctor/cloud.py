"""Findings about what is far away: store, its encryption, queue, and the way to the fleet."""

import os
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from edge import __version__
from edge.config import Config
from edge.contract.checksum import digest
from edge.contract.envelope import Envelope, Kind
from edge.contract.keys import doctor_prefix
from edge.contract.manifest import timestamp
from edge.contract.states import State
from edge.contract.store import ObjectStore
from edge.doctor.findings import Finding, bad, good, warning
from edge.errors import EdgeError
from edge.opening import build_broker, build_queue, open_existing, running, vitals_file
from edge.services.heartbeat import journal_status
from edge.services.vitals import load_errors

_BYTES = 256 << 10


def store(config: Config, held: ObjectStore, run: str) -> Iterator[Finding]:
    """Put an object with its checksum, ask for it, read it back; and see how the store encrypts it."""
    raw = os.urandom(_BYTES)
    found = digest((raw,))
    key = doctor_prefix(config.edge_id, run) + "probe.bin"
    began = time.monotonic()
    held.put(key, lambda: iter((raw,)), size=len(raw), crc64nvme=found.crc64nvme,
             metadata={"sha256": found.sha256}, content_type="application/octet-stream")  # fmt: skip
    again = digest(held.read(key))
    seconds = time.monotonic() - began
    if again.sha256 != found.sha256:
        yield bad(
            "store", "what was read back is not what was put", "do not trust this store; is there a proxy between?"
        )
        return
    yield good("store", f"{_BYTES >> 10} KiB put, its checksum confirmed, and read back in {seconds:.2f} s")
    encryption = getattr(held, "encryption", None)
    if encryption is not None:
        yield _encryption(config, *encryption(key))


def _encryption(config: Config, algorithm: str, key_id: str) -> Finding:
    if algorithm == "aws:kms":
        return good("KMS", f"put and read under the key …{key_id[-12:]}" if key_id else "put and read under a KMS key")
    told = "KMS_KEY_ID is set, and yet " if config.kms_key_id else ""
    text = f"{told}the store says that it encrypts with {algorithm or 'nothing'}"
    return warning("KMS", text, "objects hold patient data: set SSE-KMS as the bucket's default encryption")


def queue(config: Config) -> Iterator[Finding]:
    """Hand the queue a true status; of an edge that runs, see whether its messages are taken."""
    if running(config) is not None:
        yield _messages(config)
        return
    sent = Envelope(
        kind=Kind.STATUS, edge_id=config.edge_id, message_id=str(uuid4()), sent_at=timestamp(datetime.now(UTC)),
        body=_status(config),
    )  # fmt: skip
    build_queue(config).send(sent.to_json())
    yield good("queue", "it took a message: how this edge stands, not running")


def _messages(config: Config) -> Finding:
    _, journal = open_existing(config)
    waiting = journal.unsent_messages(1)
    late = timedelta(seconds=max(60.0, 3 * config.status_seconds))
    told = [e for e in load_errors(vitals_file(config.spool_dir)) if e["Event"] == "stage send"]
    if told:
        return bad("queue", told[0]["Text"], told[0]["Hint"])
    if waiting and datetime.now(UTC) - datetime.fromisoformat(waiting[0].made_at) > late:
        return bad("queue", f"a message waits since {waiting[0].made_at[:19]} UTC", "see the log of the edge")
    return good("queue", "it takes the messages of the edge that runs here")


def _status(config: Config) -> dict[str, Any]:
    body: dict[str, Any] = {
        "Counts": dict.fromkeys((state.value for state in State), 0),
        "OldestWaiting": None,
        "OldestOnOneDisk": None,
        "FreeBytes": 0,
        "OpenGenerations": [],
        "Parked": [],
        "ParkedTotal": 0,
        "Torn": 0,
    }
    with suppress(EdgeError):  # a box that was never started holds nothing
        spool, journal = open_existing(config)
        body = journal_status(journal, spool)
    head = {"EdgeNumber": config.edge_number, "Site": config.site, "SoftwareVersion": __version__}
    return {**head, "Associations": 0, "Errors": [], **body}


def fleet(config: Config) -> Iterator[Finding]:
    """See whether heartbeats and commands get through, where there is a way for them."""
    if running(config) is not None:
        told = [e for e in load_errors(vitals_file(config.spool_dir)) if e["Event"] == "stage fleet"]
        yield from (warning("fleet", e["Text"], e["Hint"]) for e in told)
        return
    link = build_broker(config)
    if link is not None:
        with closing(link):
            link.ensure()
        yield good("fleet", "the broker lets this edge in")
