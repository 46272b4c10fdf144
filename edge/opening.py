"""Opening what lies on the disk and what is far away, as configured: for the running edge and for its commands."""

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from edge.association.doubts import Box, doubts
from edge.association.rulebook import Rulebook
from edge.association.rules_file import RulesFault, load_rules
from edge.association.settings import ListenerSettings
from edge.config import Config, settings_text
from edge.contract.local_queue import LocalQueue
from edge.contract.local_store import DirectoryStore
from edge.contract.queue import Queue
from edge.contract.store import ObjectStore
from edge.errors import JournalError, SpoolError
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.ledger import DAMAGED_HINT, Access
from edge.services.admission import load_usage
from edge.services.restore import RestoreSettings
from edge.services.vitals import errors_text, load_errors
from edge.spool.arrival import Received
from edge.spool.flush import Flush, make_directory
from edge.spool.lock import is_locked, lock_spool
from edge.spool.spool import Spool, SpoolSettings, ensure_identity
from edge.spool.volume import volume_faults

if TYPE_CHECKING:
    from edge.association.certificates import TlsFiles
    from edge.association.tls import ServerTls
    from edge.fleet.link import Link

MB = 1_000_000
LOCAL_BUCKET = "local"  # what manifests call a directory store


def prepare_spool(config: Config) -> IO[str]:
    """Check that SPOOL_DIR may be used, make it ours, and return the lock that keeps a second edge out."""
    faults = [] if config.allow_volatile_spool else volume_faults(config.spool_dir)
    if faults:
        raise SpoolError(
            "SPOOL_DIR is not safe: " + "; ".join(faults),
            hint="put it on a local disk; for a trial only: ALLOW_VOLATILE_SPOOL=true",
        )
    if config.flush != Flush.FULL:
        log(Event.CONFIG_WARNING, f"FLUSH={config.flush}: acknowledged scans WILL be lost", level=logging.CRITICAL)
    try:
        ensure_identity(config.spool_dir, edge_id=config.edge_id, edge_number=config.edge_number)
        for name in ("journal", "run"):
            make_directory(config.spool_dir / name)
        lock = lock_spool(lock_path(config.spool_dir))
        for path in (listening_file(config.spool_dir), vitals_file(config.spool_dir)):
            path.unlink(missing_ok=True)  # of a run that was killed
    except OSError as e:
        raise SpoolError(
            f"SPOOL_DIR {config.spool_dir} cannot be used ({e.strerror})",
            hint="name a directory that this user may write to",
        ) from e
    return lock


def prepare_mirror(config: Config, spool: Spool) -> None:
    """Make MIRROR_DIR ready and ours; say so if it is no second disk."""
    if spool.mirror is None:
        return
    faults = [] if config.allow_volatile_spool else volume_faults(spool.mirror.root)
    if faults:
        raise SpoolError("MIRROR_DIR is not safe: " + "; ".join(faults), hint="put it on a local disk")
    ready_before = (spool.mirror.root / "spool.json").exists()
    warning = spool.mirror.prepare(spool.root)
    if warning:
        log(Event.CONFIG_WARNING, warning, level=logging.WARNING, hint="name a directory on another disk")
    if not ready_before and any(spool.listing()):
        text = f"MIRROR_DIR {spool.mirror.root} is new to this edge: what waits here is copied to it now"
        log(Event.CONFIG_WARNING, text, level=logging.WARNING, hint="if it is not new: is its disk mounted?")
    ensure_identity(spool.mirror.root, edge_id=config.edge_id, edge_number=config.edge_number)


def open_existing(config: Config, access: Access = Access.ASK) -> tuple[Spool, Journal]:
    """Open what is there for a command, beside a running edge or without one; raises EdgeError if there is nothing.

    A journal of an older version is never upgraded under an edge that runs, unless the caller has the lock (OWN).
    """
    settings = restore_settings(config)
    if _is_closed_to_us(settings.path):
        hint = "run the command as the user that dicom-edge serve runs as: sudo -u USER dicom-edge …"
        raise SpoolError(f"the spool at {config.spool_dir} is not open to this user", hint=hint)
    if not settings.path.exists():
        if settings.begun.exists() or (config.spool_dir / "spool.json").exists():
            hint = "an edge that runs restores it from the store: see its log"
            told = load_errors(vitals_file(config.spool_dir)) if running(config) else []
            raise JournalError(f"no journal at {settings.path}", hint="\n".join([hint, *errors_text(told)]))
        raise SpoolError(f"no spool at {config.spool_dir}", hint="set SPOOL_DIR as it is set for dicom-edge serve")
    return open_spool(config), open_journal(config, access)


def _is_closed_to_us(path: Path) -> bool:
    try:
        return path.exists() and not os.access(path, os.R_OK | os.W_OK)
    except PermissionError:
        return True


def open_journal(config: Config, access: Access = Access.OWN) -> Journal:
    """Open the journal of SPOOL_DIR; raises JournalError if it is damaged, or no journal but an empty file."""
    path = restore_settings(config).path
    if path.stat().st_size == 0:  # a new one is never made here: it would issue ATRIUIDs from 1 again
        raise JournalError(f"the journal {path} is an empty file", hint=DAMAGED_HINT)
    return Journal(path, access=access)


def restore_settings(config: Config) -> RestoreSettings:
    """Return whose journal it is and where it lies."""
    return RestoreSettings(
        path=config.spool_dir / "journal" / "journal.db",
        edge_id=config.edge_id,
        edge_number=config.edge_number,
        bucket=config.bucketname or LOCAL_BUCKET,
        begun=config.spool_dir / "begun.json",
        reindex=reindex_file(config.spool_dir),
    )


def reindex_file(spool_dir: Path) -> Path:
    """Return the file in which the index is asked for anew."""
    return spool_dir / "run" / "reindex.json"


def open_spool(config: Config, on_received: Callable[[Received], None] = lambda _: None) -> Spool:
    """Open the spool of SPOOL_DIR."""
    settings = SpoolSettings(
        root=config.spool_dir,
        reserve_bytes=config.storage_oor * MB,
        throttle_bytes=config.storage_throttle * MB,
        flush=Flush(config.flush),
        mirror=config.mirror_dir,
    )
    return Spool(settings, on_received=on_received)


def build_store(config: Config, journal: Journal | None = None) -> ObjectStore:
    """Return the directory store or S3, as configured; with a journal large uploads outlive a restart."""
    if config.store_dir is not None:
        return DirectoryStore(config.store_dir)
    from edge.upload.s3 import S3Settings, S3Store  # boto3 takes most of a second to import; only S3 needs it

    return S3Store(
        S3Settings(
            bucket=config.bucketname or "",
            region=config.region,
            endpoint_url=config.aws_endpoint_url,
            access_key=config.aws_access_key,
            secret_key=config.aws_secret_key,
            kms_key_id=config.kms_key_id,
            transfer_acceleration=config.s3_transfer_acceleration,
        ),
        book=journal,
    )


def build_queue(config: Config) -> Queue:
    """Return the local queue or SQS, as configured."""
    if config.queue_file is not None:
        return LocalQueue(config.queue_file)
    return _sqs(config, config.queue_url or "")


def build_down_queue(config: Config) -> Queue:
    """Return the queue down to this edge, local or SQS; one of the two is configured."""
    if config.down_queue_file is not None:
        return LocalQueue(config.down_queue_file)
    return _sqs(config, config.down_queue_url or "")


def _sqs(config: Config, url: str) -> Queue:
    from edge.announce.sqs import SqsQueue, SqsSettings  # as above

    return SqsQueue(
        SqsSettings(
            queue_url=url,
            region=config.region,
            endpoint_url=config.aws_endpoint_url,
            access_key=config.aws_access_key,
            secret_key=config.aws_secret_key,
        )
    )


def build_broker(config: Config) -> "Link | None":
    """Return the link to an MQTT broker, if one is set."""
    if not (config.mqtt_endpoint and config.mqtt_certificate and config.mqtt_key):
        return None
    from edge.fleet.broker import Broker, BrokerSettings  # as above

    return Broker(
        BrokerSettings(
            endpoint=config.mqtt_endpoint,
            port=config.mqtt_port,
            client_id=config.edge_id,
            certificate=config.mqtt_certificate,
            key=config.mqtt_key,
            ca=config.mqtt_ca,
        )
    )


def settings_file(spool_dir: Path) -> Path:
    """Return the file with the settings of an edge that got them through the nucleus."""
    return spool_dir / "run" / "settings.toml"


def write_settings(config: Config) -> None:
    """Say for the commands on this box with which settings the edge runs, where they came through the nucleus."""
    path = settings_file(config.spool_dir)
    part = path.with_suffix(".part")
    part.write_text(settings_text(config), encoding="utf-8")
    os.replace(part, path)


def stop_file(spool_dir: Path) -> Path:
    """Return the file by which the running edge is asked to stop."""
    return spool_dir / "run" / "stop"


def listener_settings(config: Config) -> ListenerSettings:
    """Return what the listener is told."""
    return ListenerSettings(
        host=config.scp_host,
        port=config.scp_port,
        tls_port=config.tls_port,
        tls_only=config.tls_only,
        ae_title=config.ae_title,
        max_associations=config.max_associations,
        max_associations_per_address=config.max_associations_per_address,
        max_pdu=config.max_pdu,
        max_object_bytes=config.max_object_mb * MB,
        artim_seconds=config.artim_seconds,
        pdu_seconds=config.pdu_seconds,
        idle_seconds=config.idle_seconds,
    )


def tls_files(config: Config) -> "TlsFiles | None":
    """Return where the certificates lie; None if TLS is not served."""
    if config.tls_certificate is None:
        return None
    from edge.association.certificates import TlsFiles  # what reads certificates is loaded where there are some

    return TlsFiles(certificate=config.tls_certificate, key=config.tls_key, client_ca=config.tls_client_ca)


def build_tls(config: Config) -> "ServerTls | None":
    """Return what new connections are secured with; raises ConfigError with every fault of the files.

    Files that were good when the edge last started with these settings may have been spoilt since. A box that comes up
    after a power cut then receives on its other port and uploads all the same, and says what is wrong with them.
    """
    files = tls_files(config)
    if files is None:
        return None
    from edge.association.tls import ServerTls  # as above

    mark, names = config.spool_dir / "run" / "tls-served", os.fsencode("\n".join(map(str, files.all())))
    was_served = mark.exists() and mark.read_bytes() == names
    tls = ServerTls(files, strict=not was_served)
    if not was_served:
        mark.write_bytes(names)
    return tls


def admission_file(spool_dir: Path) -> Path:
    """Return the file in which the running edge tells whom it refused, and what the rules' peers used."""
    return spool_dir / "run" / "admission.json"


def build_rulebook(config: Config) -> Rulebook:
    """Return the rules in force; raises ConfigError if their file has faults and no good one was ever read."""
    return Rulebook(
        config.ae_rules,
        promiscuous=config.promiscuous,
        last_good=config.spool_dir / "run" / "ae-rules.toml",
        usage=load_usage(admission_file(config.spool_dir)),
        doubts=partial(doubts, box=_box(config)),
    )


def _box(config: Config) -> Box:
    host = config.scp_host
    return Box(
        ipv4=":" not in host or host == "::",
        ipv6=":" in host,
        tls=config.tls_certificate is not None,
        client_certificates=config.tls_client_ca is not None,
        ae_title=config.ae_title,
    )


def rules_doubts(config: Config) -> list[str]:
    """Return what is likely a mistake in the file of rules, one sentence each; nothing of a file that has faults."""
    try:
        return doubts(load_rules(config.ae_rules), _box(config)) if config.ae_rules is not None else []
    except RulesFault:
        return []


def rules_faults(config: Config) -> list[str]:
    """Return every fault of the file of rules, for check-config."""
    try:
        if config.ae_rules is not None:
            load_rules(config.ae_rules)
    except RulesFault as e:
        return list(e.faults)
    return []


def vitals_file(spool_dir: Path) -> Path:
    """Return the file in which the running edge tells what is in the way."""
    return spool_dir / "run" / "vitals.json"


def listening_file(spool_dir: Path) -> Path:
    """Return the file that says where the running edge listens."""
    return spool_dir / "run" / "listening.json"


def tls_faults(config: Config) -> list[str]:
    """Return every fault of the files of TLS, for check-config."""
    files = tls_files(config)
    if files is None:
        return []
    from edge.association.tls import faults_now  # as above

    return faults_now(files, datetime.now(UTC))


def tls_status(config: Config) -> dict[str, Any] | None:
    """Return how the files of TLS stand, for status; an edge that runs may still use older ones, which were good."""
    files = tls_files(config)
    if files is None:
        return None
    from edge.association.certificates import examine
    from edge.association.tls import faults_now

    now, examined = datetime.now(UTC), examine(files)
    return {
        "Expires": examined.not_after.isoformat() if examined.not_after else None,
        "ClientsCheckedUntil": examined.clients_until.isoformat() if examined.clients_until else None,
        "Faults": faults_now(files, now),
        "Warnings": [f"{text}; {hint}" for text, hint in examined.validity(now)],
    }


def write_listening(spool_dir: Path, host: str, port: int | None, tls_port: int | None) -> None:
    """Say where we listen, whole or not at all."""
    path = listening_file(spool_dir)
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"host": host, "port": port, "tls_port": tls_port, "pid": os.getpid()}))
    os.replace(part, path)


def running(config: Config) -> dict[str, Any] | None:
    """Return what the edge that runs here says of itself; None if none does."""
    if not is_locked(lock_path(config.spool_dir)):
        return None  # killed, it left its word behind, and its pid may be another's by now: the lock is true
    try:
        found: dict[str, Any] = json.loads(listening_file(config.spool_dir).read_text())
    except (OSError, ValueError):
        return None
    return found


def lock_path(spool_dir: Path) -> Path:
    """Return the file whose lock says that an edge runs here."""
    return spool_dir / "run" / "lock"
