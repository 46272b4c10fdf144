"""Data stores of HealthImaging: make one, list them, delete one (E048)."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cloud.errors import DatastoreRefused
from cloud.imports.service import HINTS, code_of

_NAME = re.compile(r"[A-Za-z0-9._/#-]{1,256}")
_ID = re.compile(r"[0-9a-z]{32}")
_CODES = {
    "ConflictException": "it is being made, or still holds image sets: delete these, and wait until it is ACTIVE",
    "ResourceNotFoundException": "dicom-cloud datastores list shows those that are there",
    "ServiceQuotaExceededException": "the account has as many as it may have: delete one, or ask AWS for more",
    "AccessDeniedException": "this role needs medical-imaging:CreateDatastore, ListDatastores and DeleteDatastore",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Datastore:
    """One data store."""

    datastore_id: str
    name: str
    status: str  # CREATING, CREATE_FAILED, ACTIVE, DELETING or DELETED
    created_at: datetime | None


def create_datastore(client: Any, name: str, *, kms_key_arn: str | None = None) -> Datastore:
    """Have a data store made; the same name again finds the one that is there. Raises DatastoreRefused.

    The token is new at each call. Made of the name, the service could answer with a store that was deleted since; and
    an answer that was lost needs none, for by then the list shows what was made.
    """
    if not _NAME.fullmatch(name):
        raise DatastoreRefused(
            "that is no name of a data store", hint="use letters, digits and . _ / # -, at most 256 of them"
        )
    for there in list_datastores(client):
        if there.name == name and there.status in ("CREATING", "ACTIVE"):
            return there
    more = {"kmsKeyArn": kms_key_arn} if kms_key_arn else {}
    made = _asked(client.create_datastore, datastoreName=name, clientToken=str(uuid.uuid4()), **more)
    return Datastore(datastore_id=made["datastoreId"], name=name, status=str(made["datastoreStatus"]), created_at=None)


def list_datastores(client: Any) -> list[Datastore]:
    """Return every data store that the account has, page by page; raises DatastoreRefused."""
    return sorted(_listed(client), key=lambda d: (d.name, d.datastore_id))


def delete_datastore(client: Any, datastore_id: str) -> str:
    """Have a data store deleted and return its status; raises DatastoreRefused, also while it holds image sets."""
    if not _ID.fullmatch(datastore_id):
        raise DatastoreRefused(
            "that is no id of a data store", hint="32 letters and digits: dicom-cloud datastores list"
        )
    return str(_asked(client.delete_datastore, datastoreId=datastore_id)["datastoreStatus"])


def _listed(client: Any) -> Iterator[Datastore]:
    token: dict[str, str] = {}
    while True:
        page = _asked(client.list_datastores, maxResults=50, **token)
        for row in page["datastoreSummaries"]:
            yield Datastore(
                datastore_id=row["datastoreId"],
                name=row["datastoreName"],
                status=str(row["datastoreStatus"]),
                created_at=row.get("createdAt"),
            )
        if not page.get("nextToken"):
            return
        token = {"nextToken": page["nextToken"]}


def _asked(verb: Any, **arguments: Any) -> Any:
    try:
        return verb(**arguments)
    except ClientError as e:
        code = code_of(e)
        raise DatastoreRefused(
            f"HealthImaging answered {code}", hint=_CODES.get(code, HINTS.get(code, "look the code up in its API"))
        ) from e
    except BotoCoreError as e:
        raise DatastoreRefused(
            f"HealthImaging cannot be asked ({type(e).__name__})",
            hint=HINTS.get(type(e).__name__, "see network, AWS_REGION and AHLI_ENDPOINT"),
        ) from e
