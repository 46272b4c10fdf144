"""Findings about the box itself: its settings' files, disk, clock, names, certificates and port."""

import contextlib
import email.utils
import http.client
import os
import shutil
import socket
import ssl
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from edge.config import Config
from edge.doctor.findings import Finding, bad, good, warning
from edge.opening import MB, rules_faults, tls_faults, tls_files, tls_status
from edge.spool.flush import fsync_directory
from edge.spool.volume import volume_faults

_SECONDS = 10.0  # for one connection
_FLUSHES, _FLUSHED_BYTES = 20, 64 << 10
_SLOW_MS, _TOO_SLOW_MS = 25.0, 500.0
_SKEW, _MOST_SKEW = 60.0, 300.0  # seconds; S3 refuses above 15 minutes
_YEAR_OF_THIS = 2025  # no box of ours was earlier: a clock that says so was never set


def files(config: Config) -> Iterator[Finding]:
    """Look at the files that the settings name."""
    faults = tls_faults(config) + rules_faults(config)
    yield from (bad("settings", fault, "mend the file; dicom-edge check-config names every fault") for fault in faults)
    if not faults:
        yield good("settings", "every setting reads, and so do the files that they name")


def disk(config: Config) -> Iterator[Finding]:
    """Look at the volume of the spool: safe, roomy, and quick to flush."""
    faults = volume_faults(config.spool_dir)
    for fault in faults:
        hint = "put SPOOL_DIR on a local disk"
        yield warning("disk", fault, hint) if config.allow_volatile_spool else bad("disk", fault, hint)
    try:
        with _scratch(config.spool_dir) as folder:
            free = shutil.disk_usage(folder).free
            times = sorted(_flush_once(folder / str(n)) for n in range(_FLUSHES))
    except OSError as e:
        hint = "name a directory that this user may write to, on a disk with room"
        yield bad("disk", f"SPOOL_DIR {config.spool_dir} cannot be written ({e.strerror})", hint)
        return
    yield _room(config, free)
    median, slowest = statistics.median(times), times[-1]
    text = f"one flush of {_FLUSHED_BYTES >> 10} KiB and its name: {median:.1f} ms, the slowest {slowest:.1f} ms"
    if median > _TOO_SLOW_MS:
        yield bad("flush", text, "each scan waits for two of these: the disk is ill, or is no local one")
    elif median > _SLOW_MS:
        yield warning("flush", text, "each scan waits for two of these; an SSD of its own needs 1 to 5 ms")
    else:
        yield good("flush", text)


def _room(config: Config, free: int) -> Finding:
    text = f"{free / 1e9:.1f} GB free for SPOOL_DIR"
    if free < config.storage_oor * MB:
        return bad(
            "disk", text, "below STORAGE_OOR scans are refused: make room, or see dicom-edge status for why none goes"
        )
    if free < config.storage_throttle * MB:
        return warning("disk", text, "below STORAGE_THROTTLE each store is slowed: make room")
    return good("disk", text)


@contextlib.contextmanager
def _scratch(spool_dir: Path) -> Iterator[Path]:
    """A folder on the spool's disk; of a box that was never started SPOOL_DIR itself is made, as serve would."""
    folder = spool_dir / "run" / f"doctor-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _flush_once(path: Path) -> float:
    began = time.perf_counter()
    with path.open("wb") as file:
        file.write(bytes(_FLUSHED_BYTES))
        file.flush()
        os.fsync(file.fileno())
    fsync_directory(path.parent)
    return (time.perf_counter() - began) * 1000


def names(config: Config) -> Iterator[Finding]:
    """Resolve every host that the edge speaks to."""
    for what, host, port in hosts(config):
        try:
            found = {row[4][0] for row in socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP)}
        except OSError as e:
            hint = "ask whoever runs the network: this box needs a DNS server that knows the name"
            yield bad("DNS", f"{what} {host} has no address ({e.strerror})", hint)
        else:
            yield good("DNS", f"{what} {host} has {len(found)} address{'es' * (len(found) > 1)}")


def hosts(config: Config) -> list[tuple[str, str, int]]:
    """Return what the edge speaks to: what it is, host, port."""
    found = []
    if config.bucketname:
        found.append(("S3", *_of_url(store_url(config))))
    if config.queue_url:
        found.append(("SQS", *_of_url(config.aws_endpoint_url or config.queue_url)))
    if config.mqtt_endpoint:
        found.append(("MQTT", config.mqtt_endpoint, config.mqtt_port))
    return found


def store_url(config: Config) -> str:
    """Return where S3 answers."""
    if config.aws_endpoint_url:
        return config.aws_endpoint_url
    if config.s3_transfer_acceleration:
        return f"https://{config.bucketname}.s3-accelerate.amazonaws.com"
    return f"https://{config.bucketname}.s3.{config.region}.amazonaws.com"


def _of_url(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)


def clock(config: Config, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[Finding]:
    """Compare our clock with the store's, which judges every signature by its own."""
    ours = now()
    hint = "let the box set its clock (chrony, systemd-timesyncd, Windows Time), from the hospital's own server"
    if ours.year < _YEAR_OF_THIS:
        yield bad("clock", f"it says {ours:%Y-%m-%d %H:%M} UTC: it was never set", hint)
        return
    if not config.bucketname:
        yield good("clock", f"it says {ours:%Y-%m-%d %H:%M:%S} UTC; there is no server to compare it with")
        return
    try:
        theirs = _date_of(store_url(config))
    except (OSError, ssl.SSLError, http.client.HTTPException, ValueError, TypeError) as e:
        what = (
            "its certificate is not trusted here" if isinstance(e, ssl.SSLCertVerificationError) else type(e).__name__
        )
        yield bad("clock", f"S3 could not be asked for the time ({what})", "see the lines about DNS and S3")
        return
    skew = (now() - theirs).total_seconds()
    text = f"it is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} that of S3"
    if abs(skew) > _MOST_SKEW:
        yield bad("clock", text, hint + "; S3 refuses what is signed 15 minutes off")
    elif abs(skew) > _SKEW:
        yield warning("clock", text, hint)
    else:
        yield good("clock", text)


def _date_of(url: str) -> datetime:
    """Return the Date of any answer: an unsigned request is refused, with the server's time."""
    parts = urlsplit(url)
    kind = http.client.HTTPConnection if parts.scheme == "http" else http.client.HTTPSConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
    with contextlib.closing(connection):
        connection.request("HEAD", "/")
        return email.utils.parsedate_to_datetime(connection.getresponse().headers["Date"])


def certificates(config: Config) -> Iterator[Finding]:
    """Tell how long the certificates are good."""
    status = tls_status(config)
    if status is not None:
        said = list(dict.fromkeys([*status["Faults"], *status["Warnings"]]))
        yield from (warning("certificate", f"of the port: {text}", "put a new one in its place") for text in said)
        if not said:
            yield good("certificate", f"of the port: good until {status['Expires'][:10]}")
    elif tls_files(config) is None:
        yield good("certificate", "TLS is not served: scans come unencrypted through the imaging network")
    if config.mqtt_certificate and config.mqtt_endpoint:
        yield _broker_certificate(config.mqtt_certificate)


def _broker_certificate(path: Path) -> Finding:
    from cryptography import x509  # noqa: PLC0415  what reads certificates is loaded where there are some

    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as e:
        return bad("certificate", f"MQTT_CERTIFICATE cannot be read ({type(e).__name__})", "name the PEM file")
    left = (ends - datetime.now(UTC)).days
    text = f"for the broker: ends on {ends:%Y-%m-%d}"
    if left < 0:
        return bad("certificate", text, "put a new one in its place: the broker refuses this one")
    return good("certificate", text) if left > 30 else warning("certificate", text, "put a new one in its place soon")
