"""What one lab may do (P014): list and read its own folders of quarantine, nothing else, as an IAM policy."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from cloud.errors import LabFault
from cloud.pipeline.names import QUARANTINE

_READ, _LIST = "ReadFiles", "ListFolders"
_LAB = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_FOLDER = re.compile(rf"arn:aws:s3:::([^/]+)/{QUARANTINE}/(.+)/\*")
#: IAM reads these in a resource or a pattern; written so, each stands for itself.
_ESCAPED = str.maketrans({"*": "${*}", "?": "${?}", "$": "${$}"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LabRights:
    """Folders below ``quarantine/`` in one bucket; ``until`` and ``addresses`` (CIDR) narrow when and from where."""

    bucket: str
    folders: tuple[str, ...]
    until: datetime | None = None
    addresses: tuple[str, ...] = ()
    kms_key_arn: str = ""

    def policy(self) -> dict[str, Any]:
        """Return the policy document."""
        bucket = f"arn:aws:s3:::{self.bucket}"
        prefixes = [f"{QUARANTINE}/{folder.translate(_ESCAPED)}/*" for folder in self.folders]
        narrowed: dict[str, Any] = {}
        if self.until is not None:
            narrowed["DateLessThan"] = {"aws:CurrentTime": f"{self.until:%Y-%m-%dT%H:%M:%SZ}"}
        if self.addresses:
            narrowed["IpAddress"] = {"aws:SourceIp": list(self.addresses)}
        statements = [
            _allow(_READ, "s3:GetObject", [f"{bucket}/{prefix}" for prefix in prefixes], narrowed),
            _allow(_LIST, "s3:ListBucket", [bucket], {**narrowed, "StringLike": {"s3:prefix": prefixes}}),
            _allow("FindBucket", "s3:GetBucketLocation", [bucket], narrowed),
        ]
        if self.kms_key_arn:
            # Time and address are S3's to ask for: KMS sees S3's own address, not the lab's.
            through = {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}
            statements.append(_allow("OpenFiles", "kms:Decrypt", [self.kms_key_arn], through))
        return {"Version": "2012-10-17", "Statement": statements}

    @classmethod
    def from_policy(cls, policy: dict[str, Any]) -> Self:
        """Read a policy of ours again; raises LabFault for one that somebody else wrote."""
        try:
            read = next(s for s in policy["Statement"] if s.get("Sid") == _READ)
            named = [_FOLDER.fullmatch(resource) for resource in read["Resource"]]
            bucket = {found[1] for found in named if found}
            until = read.get("Condition", {}).get("DateLessThan", {}).get("aws:CurrentTime")
            return cls(
                bucket=bucket.pop(),
                folders=tuple(_plain(found[2]) for found in named if found),
                until=datetime.fromisoformat(until) if until else None,
                addresses=tuple(read.get("Condition", {}).get("IpAddress", {}).get("aws:SourceIp", ())),
            )
        except (KeyError, StopIteration, TypeError, ValueError, AttributeError) as e:
            raise LabFault("its policy was changed by somebody else", hint="`lab add` writes it anew") from e


def lab_name(text: str) -> str:
    """Return a lab's name; raises LabFault if IAM names and folders could not be made of it."""
    if not _LAB.fullmatch(text):
        raise LabFault(
            f"{text!r} is no name for a lab", hint="1 to 32 small letters, digits and hyphens, as imaging-core"
        )
    return text


def lab_folders(texts: Sequence[str]) -> tuple[str, ...]:
    """Return folders of quarantine as they are named there; raises LabFault."""
    named = []
    for text in texts:
        folder = text.strip().removeprefix(f"{QUARANTINE}/").strip("/")
        if not folder or "/" in folder or not folder.isprintable() or any(c.isspace() for c in folder):
            raise LabFault(
                f"{text!r} is no folder of quarantine",
                hint="form and field without spaces, as in quarantine/[ddcrf.name][ddfile.name]/ (P009)",
            )
        named.append(folder)
    return tuple(dict.fromkeys(named))


def lab_until(text: str | None, now: datetime) -> datetime | None:
    """Return when the access ends, a day (its end) or a time of ISO 8601; raises LabFault."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise LabFault(f"{text!r} is no time of ISO 8601", hint="as 2027-03-31 or 2027-03-31T12:00:00Z") from None
    if len(text) == len("2027-03-31"):
        at = at.replace(hour=23, minute=59, second=59)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    if at <= now:
        raise LabFault(f"{text} has passed", hint="to end an access now: lab revoke")
    return at


def lab_addresses(texts: Sequence[str]) -> tuple[str, ...]:
    """Return networks from which the lab may ask; raises LabFault."""
    try:
        return tuple(str(ipaddress.ip_network(text.strip())) for text in texts)
    except ValueError as e:
        raise LabFault(f"no network: {e}", hint="as 192.0.2.0/24, the lab's public addresses") from None


def _allow(sid: str, action: str, resources: list[str], conditions: dict[str, Any]) -> dict[str, Any]:
    made = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resources}
    return made | ({"Condition": conditions} if conditions else {})


def _plain(escaped: str) -> str:
    return re.sub(r"\$\{([*?$])\}", r"\1", escaped)
