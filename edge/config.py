"""The configuration: the only place that reads the environment; every fault is reported at once.

A setting comes from the environment, else from the TOML file named by ``--config`` or DICOM_EDGE_CONFIG (the same
names, in either case), else from the default below. The README's table is compared with this one by a test.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edge.contract.atriuid import MAX_EDGE_NUMBER
from edge.errors import ConfigError

_HINT = "see the table in README.md, or run: dicom-edge check-config"


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


def _optional_path(raw: str) -> Path | None:
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


def _ae_title(raw: str) -> str:
    if not 1 <= len(raw.strip()) <= 16 or "\\" in raw or not raw.isascii() or not raw.isprintable():
        raise ValueError("must be 1 to 16 printable characters without a backslash")
    return raw.strip()


S = Setting
SETTINGS: tuple[Setting, ...] = (
    S(name="AWS_IOT_THING_NAME", default="", parse=_edge_id, meaning="The edge's name (EdgeId), `{stack}-{edge}`. Required."),
    S(name="EDGE_NUMBER", default="", parse=_whole(1, MAX_EDGE_NUMBER), meaning="The number that the cloud gave this edge (`dicom-cloud register-edge`); ATRIUIDs are issued from it. Required."),
    S(name="SITE", default="", parse=_text, meaning="Issuer of patient ids that name none; the edge's name if not set."),
    S(name="SPOOL_DIR", default="/var/lib/dicom-edge", parse=_path, meaning="Where scans, journal and index lie; a disk of its own is best."),
    S(name="MIRROR_DIR", default="", parse=_optional_path, meaning="Directory on another disk where each scan is kept a second time, flushed before Success like the first, until it is released. If it cannot be written, stores are refused with 0xA700."),
    S(name="SCP_HOST", default="0.0.0.0", parse=_text, meaning="Address to listen on."),
    S(name="SCP_PORT", default="11112", parse=_whole(0, 65535), meaning="DICOM port; 0 takes a free one."),
    S(name="AE_TITLE", default="EDGE_AE", parse=_ae_title, meaning="Our own AE title; any called title is accepted."),
    S(name="MAX_ASSOCIATIONS", default="128", parse=_whole(1, 10000), meaning="Associations at once; further ones get a transient rejection."),
    S(name="MAX_ASSOCIATIONS_PER_ADDRESS", default="0", parse=_whole(0, 10000), meaning="Associations at once from one address; 0 is no limit but the one above."),
    S(name="MAX_PDU", default="131072", parse=_whole(4096, 1 << 20), meaning="Longest P-DATA PDU that we offer to take, in bytes."),
    S(name="MAX_OBJECT_MB", default="8192", parse=_whole(1, 1 << 20), meaning="Longest dataset that is taken, in MB."),
    S(name="ARTIM_SECONDS", default="30", parse=_number(0.1, 3600), meaning="How long a connection may wait before its association request."),
    S(name="PDU_SECONDS", default="60", parse=_number(0.1, 3600), meaning="How long one PDU may take from its first to its last byte."),
    S(name="IDLE_SECONDS", default="600", parse=_number(0.1, 86400), meaning="How long an association may be silent."),
    S(name="STORAGE_THROTTLE", default="1000", parse=_whole(0, 1 << 30), meaning="MB free below which each store is slowed."),
    S(name="STORAGE_OOR", default="100", parse=_whole(0, 1 << 30), meaning="MB free below which stores are refused with 0xA700."),
    S(name="STORE_DIR", default="", parse=_optional_path, meaning="Directory that stands in for S3 (embedded, on a laptop). Either this or BUCKETNAME."),
    S(name="BUCKETNAME", default="", parse=_optional, meaning="S3 bucket to upload to."),
    S(name="QUEUE_FILE", default="", parse=_optional_path, meaning="File that stands in for the SQS queue to the cloud. Either this or QUEUE_URL."),
    S(name="QUEUE_URL", default="", parse=_optional, meaning="SQS queue for messages to the cloud."),
    S(name="REGION_NAME", default="", parse=_optional, meaning="AWS region in the stand-alone mode."),
    S(name="AWS_REGION", default="", parse=_optional, meaning="AWS region otherwise."),
    S(name="AWS_ACCESS_KEY", default="", parse=_optional, meaning="Key id of the stand-alone mode; without it the token exchange or the usual chain is used.", secret=True),
    S(name="AWS_SECRET_KEY", default="", parse=_optional, meaning="Its secret.", secret=True),
    S(name="AWS_ENDPOINT_URL", default="", parse=_optional, meaning="Another endpoint than AWS's own, for S3 and SQS."),
    S(name="KMS_KEY_ID", default="", parse=_optional, meaning="KMS key for the objects; the bucket's own default if not set."),
    S(name="S3_TRANSFER_ACCELERATION", default="false", parse=_flag, meaning="Upload through the accelerated endpoint."),
    S(name="THREADCOUNT", default="0", parse=_whole(0, 256), meaning="Parallel uploads; 0 chooses by the processor count."),
    S(name="INDEX_URL", default="", parse=_optional, meaning="SQLAlchemy URL of the index; SQLite beside the spool if not set.", secret=True),
    S(name="DATASTORE_ID", default="", parse=_optional, meaning="HealthImaging data store that the manifests name."),
    S(name="GENERATION_QUIET", default="60", parse=_number(0, 86400), meaning="Seconds without a new instance after which a study's generation is closed."),
    S(name="GENERATION_FILES", default="5000", parse=_whole(1, 5000), meaning="Instances after which it is closed."),
    S(name="GENERATION_MB", default="10000", parse=_whole(1, 10000), meaning="MB after which it is closed."),
    S(name="RETAIN_HOURS", default="24", parse=_number(0, 87600), meaning="Hours that announced scans stay on the box after the proof; under the throttle mark they go at once."),
    S(name="JOURNAL_COPY_MINUTES", default="60", parse=_number(0, 10080), meaning="How often a copy of the journal is put into the store, if anything happened; 0 makes none. A replacement box starts from it."),
    S(name="STATUS_SECONDS", default="60", parse=_number(0.2, 86400), meaning="How often the edge tells the cloud how it stands."),
    S(name="PARSE_MEMORY_MB", default="512", parse=_whole(128, 65536), meaning="Memory of a worker that reads headers; above it the instance is parked."),
    S(name="PARSE_SECONDS", default="60", parse=_number(1, 3600), meaning="Time that such a worker has for one instance."),
    S(name="TAG_DECLARE_SAFE", default="false", parse=_flag, meaning="Declare our private block SAFE in (0008,0300)."),
    S(name="TAG_CLINICAL_TRIAL_ISSUER", default="", parse=_issuer, meaning="Also write Clinical Trial Series ID, with this issuer."),
    S(name="ALLOW_VOLATILE_SPOOL", default="false", parse=_flag, meaning="Start although the file system of SPOOL_DIR may forget what was flushed. For trials only."),
    S(name="FLUSH", default="full", parse=_choice("full", "no-directory", "none"), meaning="What is flushed before Success. Anything but full LOSES SCANS: for the crash tests' negative controls only."),
    S(name="LOGLEVEL", default="INFO", parse=_choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), meaning="How much is logged."),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting, read and judged; the names are those of the table in lower case."""

    aws_iot_thing_name: str
    edge_number: int
    site: str
    spool_dir: Path
    mirror_dir: Path | None
    scp_host: str
    scp_port: int
    ae_title: str
    max_associations: int
    max_associations_per_address: int
    max_pdu: int
    max_object_mb: int
    artim_seconds: float
    pdu_seconds: float
    idle_seconds: float
    storage_throttle: int
    storage_oor: int
    store_dir: Path | None
    bucketname: str | None
    queue_file: Path | None
    queue_url: str | None
    region_name: str | None
    aws_region: str | None
    aws_access_key: str | None
    aws_secret_key: str | None
    aws_endpoint_url: str | None
    kms_key_id: str | None
    s3_transfer_acceleration: bool
    threadcount: int
    index_url: str | None
    datastore_id: str | None
    generation_quiet: float
    generation_files: int
    generation_mb: int
    retain_hours: float
    journal_copy_minutes: float
    status_seconds: float
    parse_memory_mb: int
    parse_seconds: float
    tag_declare_safe: bool
    tag_clinical_trial_issuer: str | None
    allow_volatile_spool: bool
    flush: str
    loglevel: str

    @property
    def edge_id(self) -> str:
        """Return the EdgeId of keys and messages."""
        return self.aws_iot_thing_name

    @property
    def region(self) -> str | None:
        """Return the AWS region, whichever name it came by."""
        return self.region_name or self.aws_region

    @property
    def index(self) -> str:
        """Return the SQLAlchemy URL of the index."""
        return self.index_url or f"sqlite:///{self.spool_dir / 'index.db'}"

    def __repr__(self) -> str:
        shown = {f.name: getattr(self, f.name) for f in fields(self) if f.name.upper() not in _SECRETS}
        return f"Config({shown})"


_SECRETS = {s.name for s in SETTINGS if s.secret}


def load_config(environ: Mapping[str, str], file: Path | None = None) -> Config:
    """Return the configuration; raises ConfigError that lists every fault, and never shows a secret."""
    faults: list[str] = []
    given = _load_file(file or _optional_path(environ.get("DICOM_EDGE_CONFIG", "")), faults)
    given |= {s.name: environ[s.name] for s in SETTINGS if s.name in environ}
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        raw = given.get(setting.name, setting.default).strip()
        try:
            if not raw and setting.meaning.endswith("Required."):
                raise ValueError("is required and not set")
            values[setting.name.lower()] = setting.parse(raw)
        except ValueError as e:
            why = "cannot be read (its value is secret and not shown)" if setting.secret else str(e)
            faults.append(f"{setting.name} {why}")
    if not faults or all(f.split(" ")[0] not in _JUDGED for f in faults):
        faults += _cross_faults(values)
    if faults:
        raise ConfigError("the configuration has faults:\n" + "\n".join(f"  - {f}" for f in faults), hint=_HINT)
    values["site"] = values["site"] or values["aws_iot_thing_name"]
    return Config(**values)


#: Settings that the cross checks look at; these run only if each could be read.
_JUDGED = {"STORAGE_THROTTLE", "STORAGE_OOR", "STORE_DIR", "QUEUE_FILE", "MIRROR_DIR", "SPOOL_DIR"}


def _cross_faults(values: Mapping[str, Any]) -> list[str]:
    faults = []
    if bool(values["store_dir"]) == bool(values["bucketname"]):
        faults.append("exactly one of STORE_DIR (embedded) and BUCKETNAME (S3) must be set")
    if bool(values["queue_file"]) == bool(values["queue_url"]):
        faults.append("exactly one of QUEUE_FILE (embedded) and QUEUE_URL (SQS) must be set")
    if bool(values["aws_access_key"]) != bool(values["aws_secret_key"]):
        faults.append("AWS_ACCESS_KEY and AWS_SECRET_KEY go together; one of them is missing")
    if (values["bucketname"] or values["queue_url"]) and not (values["region_name"] or values["aws_region"]):
        faults.append("AWS_REGION (or REGION_NAME) is needed with BUCKETNAME or QUEUE_URL")
    if values["mirror_dir"] is not None and values["mirror_dir"] == values["spool_dir"]:
        faults.append("MIRROR_DIR must be another directory than SPOOL_DIR, on another disk")
    if values["storage_oor"] > values["storage_throttle"]:
        faults.append("STORAGE_OOR must not be above STORAGE_THROTTLE: stores are slowed before they are refused")
    return faults


def _load_file(path: Path | None, faults: list[str]) -> dict[str, str]:
    if path is None:
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        faults.append(f"the file {path} cannot be read ({e.strerror})")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        faults.append(f"the file {path} is no TOML ({e})")
        return {}
    known = {s.name for s in SETTINGS}
    given = {}
    for name, value in document.items():
        if name.upper() not in known:
            faults.append(f"the file {path} sets {name!r}, which is no setting")
        elif isinstance(value, (dict, list)):
            faults.append(f"the file {path} sets {name!r} to more than one value")
        else:
            given[name.upper()] = str(value)
    return given


def describe(config: Config) -> list[tuple[str, str]]:
    """Return (name, value) of every setting for people; secrets are only said to be set."""
    rows = []
    for setting in SETTINGS:
        value = getattr(config, setting.name.lower())
        shown = ("set, not shown" if value else "not set") if setting.secret else "" if value is None else str(value)
        rows.append((setting.name, shown))
    return rows


def settings_table() -> str:
    """Return the README's table, in Markdown."""
    rows = [f"| `{s.name}` | {f'`{s.default}`' if s.default else ''} | {s.meaning} |" for s in SETTINGS]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])
