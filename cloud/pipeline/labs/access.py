"""The access of labs in IAM: a user with a key, or a role for a lab that has an AWS account of its own (P170).

Users and roles of one pipeline lie under one path, so that they are found again without a list of ours. Everything
looks first: cut off, it is asked again.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from cloud.errors import LabFault
from cloud.pipeline.answers import code_of
from cloud.pipeline.labs.rights import LabRights
from cloud.pipeline.setup.config import PipelineConfig

_POLICY = "quarantine"
_LONGEST = 64  # of an IAM name


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A lab's key; the secret is never to be had again."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a lab with an account of its own needs to take its role."""

    arn: str
    external_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """One lab as IAM has it; ``rights`` is None where somebody else changed its policy."""

    name: str
    rights: LabRights | None
    account: str = ""  # of its own; empty for a user with a key
    keys: tuple[str, ...] = ()
    last_used: datetime | None = None


class Labs:
    """The labs of one pipeline."""

    def __init__(self, iam: Any, config: PipelineConfig) -> None:
        self._iam = iam
        self._config = config
        self._path = f"/image-pipeline-labs/{config.pipeline_name}/"

    def iam_name(self, lab: str) -> str:
        """Return the name of a lab's user or role; raises LabFault if it is too long for IAM."""
        name = f"{self._config.pipeline_name}-lab-{lab}"
        if len(name) > _LONGEST:
            raise LabFault(f"{name} has {len(name)} characters, and IAM takes {_LONGEST}", hint="a shorter name")
        return name

    def grant_key(self, lab: str, rights: LabRights) -> Key | None:
        """Bring a lab's user to these rights; returns a key if it had none before."""
        name = self.iam_name(lab)
        if self._trust(name) is not None:
            raise LabFault(f"{lab} has a role for an account of its own", hint="lab revoke it first")
        if self._user(name) is None:
            self._iam.create_user(UserName=name, Path=self._path, Tags=self._tags(lab))
        self._iam.put_user_policy(UserName=name, PolicyName=_POLICY, PolicyDocument=_text(rights.policy()))
        return None if self._key_ids(name) else self._new_key(name)

    def grant_role(self, lab: str, rights: LabRights, account: str) -> Role:
        """Bring a lab's role to these rights, for whom its account names; an external id stays once it is given."""
        name = self.iam_name(lab)
        if self._user(name) is not None:
            raise LabFault(f"{lab} has a key", hint="lab revoke it first")
        before = self._trust(name)
        external_id = _external_id(before) if before else secrets.token_urlsafe(24)
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                    "Action": "sts:AssumeRole",
                    "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
                }
            ],
        }
        if before is None:
            self._iam.create_role(
                RoleName=name, Path=self._path, AssumeRolePolicyDocument=_text(trust), Tags=self._tags(lab)
            )
        elif before != trust:
            self._iam.update_assume_role_policy(RoleName=name, PolicyDocument=_text(trust))
        self._iam.put_role_policy(RoleName=name, PolicyName=_POLICY, PolicyDocument=_text(rights.policy()))
        arn = str(self._iam.get_role(RoleName=name)["Role"]["Arn"])
        return Role(arn=arn, external_id=external_id)

    def renew_key(self, lab: str) -> Key:
        """End a lab's keys and give another; raises LabFault for a lab without a user."""
        name = self.iam_name(lab)
        if self._user(name) is None:
            raise LabFault(f"no lab {lab} has a key", hint="lab list")
        self._drop_keys(name)
        return self._new_key(name)

    def revoke(self, lab: str) -> None:
        """End a lab's access now, rights first; raises LabFault if it has none."""
        name = self.iam_name(lab)
        is_user, is_role = self._user(name) is not None, self._trust(name) is not None
        if not is_user and not is_role:
            raise LabFault(f"no lab {lab} has access", hint="lab list")
        if is_user:
            for policy in self._iam.list_user_policies(UserName=name)["PolicyNames"]:
                self._iam.delete_user_policy(UserName=name, PolicyName=policy)
            self._drop_keys(name)
            self._iam.delete_user(UserName=name)
        if is_role:
            for policy in self._iam.list_role_policies(RoleName=name)["PolicyNames"]:
                self._iam.delete_role_policy(RoleName=name, PolicyName=policy)
            self._iam.delete_role(RoleName=name)

    def all(self) -> Iterator[Lab]:
        """Yield every lab of the pipeline."""
        start = len(self.iam_name(""))
        for page in self._iam.get_paginator("list_users").paginate(PathPrefix=self._path):
            for row in page["Users"]:
                name = str(row["UserName"])
                keys = tuple(self._key_ids(name))
                used = (self._iam.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"] for key in keys)
                times = [u["LastUsedDate"] for u in used if "LastUsedDate" in u]
                rights = self._rights("get_user_policy", UserName=name)
                yield Lab(name=name[start:], rights=rights, keys=keys, last_used=max(times, default=None))
        for page in self._iam.get_paginator("list_roles").paginate(PathPrefix=self._path):
            for row in page["Roles"]:
                name = str(row["RoleName"])
                role = self._iam.get_role(RoleName=name)["Role"]  # a listed role does not say when it was used
                rights = self._rights("get_role_policy", RoleName=name)
                account = str(role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"]).split(":")[4]
                used_at = role.get("RoleLastUsed", {}).get("LastUsedDate")
                yield Lab(name=name[start:], rights=rights, account=account, last_used=used_at)

    def _rights(self, verb: str, **named: str) -> LabRights | None:
        try:
            return LabRights.from_policy(getattr(self._iam, verb)(PolicyName=_POLICY, **named)["PolicyDocument"])
        except LabFault:
            return None
        except ClientError as e:
            if code_of(e) != "NoSuchEntity":
                raise
            return None

    def _user(self, name: str) -> dict[str, Any] | None:
        return self._there("get_user", UserName=name)

    def _trust(self, name: str) -> dict[str, Any] | None:
        found = self._there("get_role", RoleName=name)
        return found and dict(found["Role"]["AssumeRolePolicyDocument"])

    def _there(self, verb: str, **named: str) -> dict[str, Any] | None:
        try:
            return dict(getattr(self._iam, verb)(**named))
        except ClientError as e:
            if code_of(e) != "NoSuchEntity":
                raise
            return None

    def _key_ids(self, name: str) -> list[str]:
        return [str(row["AccessKeyId"]) for row in self._iam.list_access_keys(UserName=name)["AccessKeyMetadata"]]

    def _new_key(self, name: str) -> Key:
        made = self._iam.create_access_key(UserName=name)["AccessKey"]
        return Key(id=str(made["AccessKeyId"]), secret=str(made["SecretAccessKey"]))

    def _drop_keys(self, name: str) -> None:
        for key in self._key_ids(name):
            self._iam.delete_access_key(UserName=name, AccessKeyId=key)

    def _tags(self, lab: str) -> list[dict[str, str]]:
        return [{"Key": k, "Value": v} for k, v in {**self._config.tags, "lab": lab}.items()]


def _external_id(trust: dict[str, Any]) -> str:
    try:
        return str(trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"])
    except (KeyError, IndexError, TypeError):
        return secrets.token_urlsafe(24)


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))  # IAM counts characters: 2,048 for a user
