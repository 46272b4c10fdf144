"""The table of settings: name, default, how its text is read, and what it means to a person.

The README's table is written from this one, and a test compares them.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge.contract.atriuid import MAX_EDGE_NUMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One line of the table."""

    name: str
    default: str  # as text; '' means: not set
    parse: Callable[[str], Any]
    meaning: str
    secret: bool = False


def _text(raw: str) -> str:
    return raw


def _optional(raw: str) -> str | None:
    return raw or None


def _path(raw: str) -> Path:
    return Path(raw).expanduser().absolute()


def optional_path(raw: str) -> Path | None:
    """Read a path that need not be set."""
    return _path(raw) if raw else None


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        try:
            value = int(raw)
        except ValueError:
            raise ValueError(f"is not a whole number: {raw!r}") from None
        if not least <= value <= most:
            raise ValueError(f"must lie between {least} and {most}, not {value}")
        return value

    return parse


def _number(least: float, most: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        try:
            value = float(raw)
        except ValueError:
            raise ValueError(f"is not a number: {raw!r}") from None
        if not least <= value <= most:
            raise ValueError(f"must lie between {least:g} and {most:g}, not {raw}")
        return value

    return parse


def _flag(raw: str) -> bool:
    if raw.lower() in ("1", "true", "yes", "on"):
        return True
    if raw.lower() in ("", "0", "false", "no", "off"):
        return False
    raise ValueError(f"is neither true nor false: {raw!r}")


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        for choice in choices:
            if raw.lower() == choice.lower():
                return choice
        raise ValueError(f"is none of {', '.join(choices)}: {raw!r}")

    return parse


def _edge_id(raw: str) -> str:
    if raw and not re.fullmatch(r"[A-Za-z0-9:_-]{1,128}", raw):  # the characters of an IoT thing name
        raise ValueError("may hold letters, digits and : _ - only, at most 128 of them")
    return raw


def _issuer(raw: str) -> str | None:
    if not re.fullmatch(r"[ -\[\]-~]{0,64}", raw):
        raise ValueError("must be printable ASCII of at most 64 characters without a backslash")
    return raw or None


def _host(raw: str) -> str:
    try:
        ipaddress.ip_address(raw)
    except ValueError:
        if not re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9.-]{1,253}", raw):
            raise ValueError(f"is neither an address nor a host's name: {raw!r}") from None
    return raw


def _endpoint(raw: str) -> str | None:
    return _host(raw) if raw else None


def _bucket(raw: str) -> str | None:
    if raw and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", raw):
        raise ValueError("is no bucket name: 3 to 63 lower-case letters, digits, dots and hyphens")
    return raw or None


def _url(raw: str) -> str | None:
    """Read an http or https address; what is refused is not repeated, for it may hold a password."""
    if not raw:
        return None
    try:
        parts = urlsplit(raw)
    except ValueError:
        raise ValueError("is no http or https address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no http or https address")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or a password: keys belong into AWS_ACCESS_KEY and AWS_SECRET_KEY")
    return raw


def _database(raw: str) -> str | None:
    if raw and not re.fullmatch(r"(sqlite|postgresql)(\+[a-z0-9]+)?://.*", raw, re.DOTALL):
        raise ValueError("is no database URL")
    return raw or None


def _ae_title(raw: str) -> str:
    if not 1 <= len(raw.strip()) <= 16 or "\\" in raw or not raw.isascii() or not raw.isprintable():
        raise ValueError("must be 1 to 16 printable characters without a backslash")
    return raw.strip()


SETTINGS: tuple[Setting, ...] = (
    Setting(name="AWS_IOT_THING_NAME", default="", parse=_edge_id, meaning="The edge's name (EdgeId), `{stack}-{edge}`. Required."),
    Setting(name="EDGE_NUMBER", default="", parse=_whole(1, MAX_EDGE_NUMBER), meaning="The number that the cloud gave this edge (`dicom-cloud register-edge`); ATRIUIDs are issued from it. Required."),
    Setting(name="SITE", default="", parse=_text, meaning="Issuer of patient ids that name none; the edge's name if not set."),
    Setting(name="SPOOL_DIR", default="/var/lib/dicom-edge", parse=_path, meaning="Where scans, journal and index lie; a disk of its own is best."),
    Setting(name="MIRROR_DIR", default="", parse=optional_path, meaning="Directory on another disk where each scan is kept a second time, flushed before Success like the first, until it is released. If it cannot be written, stores are refused with 0xA700."),
    Setting(name="SCP_HOST", default="0.0.0.0", parse=_host, meaning="Address to listen on."),
    Setting(name="SCP_PORT", default="11112", parse=_whole(0, 65535), meaning="DICOM port; 0 takes a free one."),
    Setting(name="TLS_CERTIFICATE", default="", parse=optional_path, meaning="Our certificate and its chain (PEM); given, TLS is served beside the plain port. Replaced in place it is taken without a restart."),
    Setting(name="TLS_KEY", default="", parse=optional_path, meaning="Its private key (PEM, without a passphrase, closed to other users); not set: it is in the same file."),
    Setting(name="TLS_CLIENT_CA", default="", parse=optional_path, meaning="CAs of the senders (PEM); given, every sender that comes through TLS has to show a certificate of one of these (mutual TLS)."),
    Setting(name="TLS_PORT", default="2762", parse=_whole(0, 65535), meaning="Port of TLS; 0 takes a free one."),
    Setting(name="TLS_ONLY", default="false", parse=_flag, meaning="Keep the plain port closed."),
    Setting(name="AE_TITLE", default="EDGE_AE", parse=_ae_title, meaning="Our own AE title; any called title is accepted."),
    Setting(name="AE_RULES", default="", parse=optional_path, meaning="TOML file with rules per AE; see Rules per AE. Read again when it changes, or at SIGHUP."),
    Setting(name="PROMISCUOUS", default="true", parse=_flag, meaning="Let in AE titles that no rule lists; false closes the box to all but those in AE_RULES."),
    Setting(name="MAX_ASSOCIATIONS", default="128", parse=_whole(1, 10000), meaning="Associations at once; further ones get a transient rejection. A peer that has none gets in beyond it, up to an eighth more."),
    Setting(name="MAX_ASSOCIATIONS_PER_ADDRESS", default="0", parse=_whole(0, 10000), meaning="Associations at once from one address; 0 is no limit but the one above."),
    Setting(name="MAX_PDU", default="131072", parse=_whole(4096, 1 << 20), meaning="Longest P-DATA PDU that we offer to take, in bytes."),
    Setting(name="MAX_OBJECT_MB", default="8192", parse=_whole(1, 1 << 20), meaning="Longest dataset that is taken, in MB."),
    Setting(name="ARTIM_SECONDS", default="30", parse=_number(0.1, 3600), meaning="How long a connection may wait before its association request."),
    Setting(name="PDU_SECONDS", default="60", parse=_number(0.1, 3600), meaning="How long one PDU may take from its first to its last byte."),
    Setting(name="IDLE_SECONDS", default="600", parse=_number(0.1, 86400), meaning="How long an association may be silent."),
    Setting(name="STORAGE_THROTTLE", default="1000", parse=_whole(0, 1 << 30), meaning="MB free below which each store is slowed."),
    Setting(name="STORAGE_OOR", default="100", parse=_whole(0, 1 << 30), meaning="MB free below which stores are refused with 0xA700."),
    Setting(name="STORE_DIR", default="", parse=optional_path, meaning="Directory that stands in for S3 (embedded, on a laptop). Either this or BUCKETNAME."),
    Setting(name="BUCKETNAME", default="", parse=_bucket, meaning="S3 bucket to upload to."),
    Setting(name="QUEUE_FILE", default="", parse=optional_path, meaning="File that stands in for the SQS queue to the cloud. Either this or QUEUE_URL."),
    Setting(name="QUEUE_URL", default="", parse=_url, meaning="SQS queue for messages to the cloud."),
    Setting(name="DOWN_QUEUE_FILE", default="", parse=optional_path, meaning="File that stands in for the SQS queue down to this edge (the cloud's EDGE_QUEUE_DIR/<EdgeId>.queue)."),
    Setting(name="DOWN_QUEUE_URL", default="", parse=_url, meaning="SQS queue down to this edge: receipts of the cloud. Not set: none are read."),
    Setting(name="REGION_NAME", default="", parse=_optional, meaning="AWS region in the stand-alone mode."),
    Setting(name="AWS_REGION", default="", parse=_optional, meaning="AWS region otherwise."),
    Setting(name="AWS_ACCESS_KEY", default="", parse=_optional, meaning="Key id of the stand-alone mode; without it the token exchange or the usual chain is used.", secret=True),
    Setting(name="AWS_SECRET_KEY", default="", parse=_optional, meaning="Its secret.", secret=True),
    Setting(name="AWS_ENDPOINT_URL", default="", parse=_url, meaning="Another endpoint than AWS's own, for S3 and SQS."),
    Setting(name="MQTT_ENDPOINT", default="", parse=_endpoint, meaning="Host of IoT Core or another MQTT 5 broker that heartbeats go to and commands come from; under Greengrass the nucleus does this."),
    Setting(name="MQTT_PORT", default="8883", parse=_whole(1, 65535), meaning="Its port (TLS)."),
    Setting(name="MQTT_CERTIFICATE", default="", parse=optional_path, meaning="Certificate by which this edge proves itself to the broker (PEM)."),
    Setting(name="MQTT_KEY", default="", parse=optional_path, meaning="Its private key (PEM, closed to other users)."),
    Setting(name="MQTT_CA", default="", parse=optional_path, meaning="CA of the broker (PEM); those of this machine if not set."),
    Setting(name="KMS_KEY_ID", default="", parse=_optional, meaning="KMS key for the objects; the bucket's own default if not set."),
    Setting(name="S3_TRANSFER_ACCELERATION", default="false", parse=_flag, meaning="Upload through the accelerated endpoint."),
    Setting(name="THREADCOUNT", default="0", parse=_whole(0, 256), meaning="Parallel uploads; 0 takes 10 to S3, and as many as the processor can use into STORE_DIR."),
    Setting(name="INDEX_URL", default="", parse=_database, meaning="SQLAlchemy URL of the index; SQLite beside the spool if not set.", secret=True),
    Setting(name="DATASTORE_ID", default="", parse=_optional, meaning="HealthImaging data store that the manifests name."),
    Setting(name="GENERATION_QUIET", default="60", parse=_number(0, 86400), meaning="Seconds without a new instance after which a study's generation is closed."),
    Setting(name="GENERATION_FILES", default="5000", parse=_whole(1, 5000), meaning="Instances after which it is closed."),
    Setting(name="GENERATION_MB", default="10000", parse=_whole(1, 10000), meaning="MB after which it is closed."),
    Setting(name="RETAIN_HOURS", default="24", parse=_number(0, 87600), meaning="Hours that announced scans stay on the box after the proof; under the throttle mark they go at once."),
    Setting(name="JOURNAL_COPY_MINUTES", default="60", parse=_number(0, 10080), meaning="How often a copy of the journal is put into the store, if anything happened; 0 makes none. A replacement box starts from it."),
    Setting(name="STATUS_SECONDS", default="60", parse=_number(0.2, 86400), meaning="How often the edge tells the cloud how it stands."),
    Setting(name="PARSE_MEMORY_MB", default="512", parse=_whole(128, 65536), meaning="Memory of a worker that reads headers; above it the instance is parked."),
    Setting(name="PARSE_SECONDS", default="60", parse=_number(1, 3600), meaning="Time that such a worker has for one instance."),
    Setting(name="TAG_DECLARE_SAFE", default="false", parse=_flag, meaning="Declare our private block SAFE in (0008,0300)."),
    Setting(name="TAG_CLINICAL_TRIAL_ISSUER", default="", parse=_issuer, meaning="Also write Clinical Trial Series ID, with this issuer."),
    Setting(name="ALLOW_VOLATILE_SPOOL", default="false", parse=_flag, meaning="Start although the file system of SPOOL_DIR may forget what was flushed. For trials only."),
    Setting(name="FLUSH", default="full", parse=_choice("full", "no-directory", "none"), meaning="What is flushed before Success. Anything but full LOSES SCANS: for the crash tests' negative controls only."),
    Setting(name="LOGLEVEL", default="INFO", parse=_choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), meaning="How much is logged."),
)  # fmt: skip


def settings_table() -> str:
    """Return the README's table, in Markdown."""
    rows = [f"| `{s.name}` | {f'`{s.default}`' if s.default else ''} | {s.meaning} |" for s in SETTINGS]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])
