"""Who may call the API: users, their groups, and tokens of which only the digest is kept (P054)."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from cloud.db import pipeline as p
from cloud.db.upsert import insert_or_keep
from cloud.errors import TokenFault

BOT: Final = "image-pipeline-aws-integration-bot"


class Group(StrEnum):
    """What a user's tokens may do."""

    RUNS = "image_pipeline_aws_integration"  # the pipeline's functions: create and update runs, record scans
    ADMIN = "image_pipeline_admin"  # register pipelines
    INVENTORY = "image_pipeline_inventory"  # read runs and the inventory
    UPLOAD = "image_pipeline_upload"  # upload files for the EDC


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a user by number and name, and what the user may do."""

    user_id: int
    name: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """One token as it may be shown."""

    id: int
    user: str
    groups: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def issue_token(
    connection: sa.Connection, user: str, groups: Sequence[Group], now: datetime, expires_at: datetime | None = None
) -> str:
    """Give ``user`` (made if new, and put into ``groups``) another token and return it: it is never seen again.

    Raises TokenFault for a name that cannot be printed, or a user that would be in no group.
    """
    if not (user.isascii() and user.isprintable() and 0 < len(user) <= 150 and user == user.strip()):
        raise TokenFault("a user's name has 1 to 150 printable ASCII characters")
    insert_or_keep(connection, p.apiuser, [{"name": user}])
    user_id = connection.scalar(sa.select(p.apiuser.c.id).where(p.apiuser.c.name == user))
    insert_or_keep(connection, p.apiusergroup, [{"apiuser_id": user_id, "groupname": g.value} for g in groups])
    if connection.scalar(sa.select(sa.func.count()).where(p.apiusergroup.c.apiuser_id == user_id)) == 0:
        raise TokenFault("the user would be in no group", hint=f"--group {', '.join(Group)}")
    token = f"t{secrets.token_urlsafe(32)}"  # never a hyphen first: a command line would take it for an option
    connection.execute(
        sa.insert(p.apitoken).values(apiuser_id=user_id, digest=digest_of(token), createdat=now, expiresat=expires_at)
    )
    return token


def revoke_token(connection: sa.Connection, token_id: int, now: datetime) -> bool:
    """End a token now; False if there is none of this number, or it ended before."""
    t = p.apitoken
    ended = sa.update(t).where(t.c.id == token_id, t.c.revokedat.is_(None)).values(revokedat=now)
    return bool(connection.execute(ended).rowcount)


def list_tokens(connection: sa.Connection) -> list[TokenRow]:
    """Return every token, never its value."""
    groups: dict[int, list[str]] = {}
    for row in connection.execute(sa.select(p.apiusergroup).order_by(p.apiusergroup.c.groupname)):
        groups.setdefault(row.apiuser_id, []).append(row.groupname)
    t = p.apitoken
    rows = connection.execute(sa.select(t, p.apiuser.c.name).join(p.apiuser).order_by(t.c.id))
    return [
        TokenRow(
            id=row.id,
            user=row.name,
            groups=tuple(groups.get(row.apiuser_id, ())),
            created_at=row.createdat,
            expires_at=row.expiresat,
            revoked_at=row.revokedat,
        )
        for row in rows
    ]


def find_caller(connection: sa.Connection, token: str, now: datetime) -> Caller | None:
    """Return whose token this is; None if nobody's, or it has ended."""
    t = p.apitoken
    # Looked for by digest: how long the database takes says nothing about the token itself.
    row = connection.execute(
        sa.select(p.apiuser.c.id, p.apiuser.c.name)
        .join(t)
        .where(
            t.c.digest == digest_of(token),
            t.c.revokedat.is_(None),
            sa.or_(t.c.expiresat.is_(None), t.c.expiresat > now),
        )
    ).one_or_none()
    if row is None:
        return None
    groups = connection.scalars(sa.select(p.apiusergroup.c.groupname).where(p.apiusergroup.c.apiuser_id == row.id))
    return Caller(row.id, row.name, frozenset(groups))


def digest_of(token: str) -> str:
    """Return what is kept of a token. It is 256 bits of chance, so that no slow hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
