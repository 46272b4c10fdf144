"""The configuration: the only place that reads the environment; every fault is reported at once.

A setting comes from the environment, else (under Greengrass) from the component's configuration, else from the TOML
file named by ``--config`` or DICOM_EDGE_CONFIG (the same names, in either case), else from the default in the table
(``settings.py``).
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edge.errors import ConfigError
from edge.settings import SETTINGS, optional_path

_HINT = "see the table in README.md, or run: dicom-edge check-config"


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
    tls_certificate: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    tls_port: int
    tls_only: bool
    ae_title: str
    ae_rules: Path | None
    promiscuous: bool
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
    down_queue_file: Path | None
    down_queue_url: str | None
    region_name: str | None
    aws_region: str | None
    aws_access_key: str | None
    aws_secret_key: str | None
    aws_endpoint_url: str | None
    mqtt_endpoint: str | None
    mqtt_port: int
    mqtt_certificate: Path | None
    mqtt_key: Path | None
    mqtt_ca: Path | None
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


_KNOWN = {s.name for s in SETTINGS}
_SECRETS = {s.name for s in SETTINGS if s.secret}


def nucleus_door(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return socket and token of the Greengrass nucleus that runs us as its component; None on any other box."""
    socket, token = environ.get("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"), environ.get("SVCUID")
    return (socket, token) if socket and token else None


def load_config(
    environ: Mapping[str, str], file: Path | None = None, component: Mapping[str, Any] | None = None
) -> Config:
    """Return the configuration; raises ConfigError that lists every fault, and never shows a secret."""
    faults: list[str] = []
    given = _load_file(file or optional_path(environ.get("DICOM_EDGE_CONFIG", "")), faults)
    if component is not None:
        given |= _load_component(component, environ.get("AWS_IOT_THING_NAME", ""), faults)
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
    faults += _cross_faults(values)
    if faults:
        raise ConfigError("the configuration has faults:\n" + "\n".join(f"  - {f}" for f in faults), hint=_HINT)
    values["site"] = values["site"] or values["aws_iot_thing_name"]
    return Config(**values)


def _cross_faults(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong between settings; a check whose settings could not all be read is left out."""
    return [text for names, wrong, text in _CROSS if names <= values.keys() and wrong(values)]


_CROSS: tuple[tuple[set[str], Callable[[Mapping[str, Any]], bool], str], ...] = (
    (
        {"store_dir", "bucketname"},
        lambda v: bool(v["store_dir"]) == bool(v["bucketname"]),
        "exactly one of STORE_DIR (embedded) and BUCKETNAME (S3) must be set",
    ),
    (
        {"queue_file", "queue_url"},
        lambda v: bool(v["queue_file"]) == bool(v["queue_url"]),
        "exactly one of QUEUE_FILE (embedded) and QUEUE_URL (SQS) must be set",
    ),
    (
        {"down_queue_file", "down_queue_url"},
        lambda v: bool(v["down_queue_file"]) and bool(v["down_queue_url"]),
        "at most one of DOWN_QUEUE_FILE (embedded) and DOWN_QUEUE_URL (SQS) may be set",
    ),
    (
        {"aws_access_key", "aws_secret_key"},
        lambda v: bool(v["aws_access_key"]) != bool(v["aws_secret_key"]),
        "AWS_ACCESS_KEY and AWS_SECRET_KEY go together; one of them is missing",
    ),
    (
        {"bucketname", "queue_url", "down_queue_url", "region_name", "aws_region"},
        lambda v: (
            bool(v["bucketname"] or v["queue_url"] or v["down_queue_url"]) and not (v["region_name"] or v["aws_region"])
        ),
        "AWS_REGION (or REGION_NAME) is needed with BUCKETNAME, QUEUE_URL or DOWN_QUEUE_URL",
    ),
    (
        {"mirror_dir", "spool_dir"},
        lambda v: v["mirror_dir"] is not None and v["mirror_dir"] == v["spool_dir"],
        "MIRROR_DIR must be another directory than SPOOL_DIR, on another disk",
    ),
    (
        {"tls_certificate", "tls_key", "tls_client_ca", "tls_only"},
        lambda v: v["tls_certificate"] is None and bool(v["tls_key"] or v["tls_client_ca"] or v["tls_only"]),
        "TLS_KEY, TLS_CLIENT_CA and TLS_ONLY need TLS_CERTIFICATE",
    ),
    (
        {"mqtt_endpoint", "mqtt_certificate", "mqtt_key"},
        lambda v: bool(v["mqtt_endpoint"]) and not (v["mqtt_certificate"] and v["mqtt_key"]),
        "MQTT_ENDPOINT needs MQTT_CERTIFICATE and MQTT_KEY: an edge proves who it is",
    ),
    (
        {"scp_port", "tls_port", "tls_certificate", "tls_only"},
        lambda v: bool(v["tls_certificate"]) and not v["tls_only"] and v["scp_port"] == v["tls_port"] != 0,
        "TLS_PORT must be another port than SCP_PORT",
    ),
    (
        {"promiscuous", "ae_rules"},
        lambda v: not v["promiscuous"] and v["ae_rules"] is None,
        "PROMISCUOUS=false needs AE_RULES: without rules nobody could send",
    ),
    (
        {"storage_oor", "storage_throttle"},
        lambda v: v["storage_oor"] > v["storage_throttle"],
        "STORAGE_OOR must not be above STORAGE_THROTTLE: stores are slowed before they are refused",
    ),
)


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
    given = {}
    for name, value in document.items():
        if name.upper() not in _KNOWN:
            faults.append(f"the file {path} sets {name!r}, which is no setting")
        elif isinstance(value, (dict, list)):
            faults.append(f"the file {path} sets {name!r} to more than one value")
        else:
            given[name.upper()] = str(value)
    return given


def _load_component(component: Mapping[str, Any], edge_id: str, faults: list[str]) -> dict[str, str]:
    """Return the settings of a component's configuration; what stands under ``Edges`` and our name goes before.

    A deployment reaches a whole group of things, so what differs (EDGE_NUMBER, SITE) stands there by the edge's name.
    An empty value is none.
    """
    per_edge = component.get("Edges") or {}
    if not isinstance(per_edge, Mapping):
        faults.append("the component's configuration sets Edges to something else than settings by the edge's name")
        per_edge = {}
    given = {}
    for part in (component, per_edge.get(edge_id) or {}):
        for name, value in part.items() if isinstance(part, Mapping) else ():
            if part is component and name in ("accessControl", "Edges"):
                continue
            if name.upper() not in _KNOWN:
                faults.append(f"the component's configuration sets {name!r}, which is no setting")
            elif name.upper() in _SECRETS:
                faults.append(f"{name} is secret: a deployment is no place for it, for many may read one")
            elif isinstance(value, (Mapping, list)):
                faults.append(f"the component's configuration sets {name!r} to more than one value")
            elif value is not None and value != "":
                # The nucleus keeps JSON numbers, which may come back as 11112.0.
                whole = isinstance(value, float) and value.is_integer()
                given[name.upper()] = str(int(value) if whole else value)
    return given


def settings_text(config: Config) -> str:
    """Return the settings in force as a file for ``--config``, without secrets and what is as shipped."""
    lines = ["# Written by the running edge, for the commands on this box; changes here change nothing.\n"]
    for setting in SETTINGS:
        value = getattr(config, setting.name.lower())
        if setting.secret or value is None or str(value).lower() == setting.default.lower():
            continue
        lines.append(f"{setting.name} = {json.dumps(str(value))}\n")
    return "".join(lines)


def describe(config: Config) -> list[tuple[str, str]]:
    """Return (name, value) of every setting for people; secrets are only said to be set."""
    rows = []
    for setting in SETTINGS:
        value = getattr(config, setting.name.lower())
        shown = ("set, not shown" if value else "not set") if setting.secret else "" if value is None else str(value)
        rows.append((setting.name, shown))
    return rows
