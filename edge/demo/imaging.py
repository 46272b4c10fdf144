"""The demo's imports: the local HealthImaging, a data store in it, and the loop that imports what was ingested.

All of it is started by its commands, as an operator would, and while the scans travel: nothing waits for it before.
"""

import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.demo.place import EDGE_ID, Place, say
from edge.demo.processes import DemoFault, Processes, python

SERVER, LOOP = "healthimaging", "import"
_ROLE = "arn:aws:iam::000000000000:role/dicom-edge-import"  # the local one asks for the name only
_ADDRESS = "healthimaging: http"
#: Guard nothing: the local one takes any.
KEYS = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFigures:
    """How far the imports of some instances have come."""

    line: str
    over: bool
    missing: tuple[str, ...]  # SOP Instance UIDs that are in no image set


class Imaging:
    """The demo's HealthImaging and its import loop."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._log = place.folders.logs / f"{SERVER}.log"
        self.endpoint = ""
        self.datastore_id = ""

    def start(self, processes: Processes) -> None:
        """Start the server; it is there some seconds later."""
        self._log.unlink(missing_ok=True)  # its address is read from there
        say(f"starting a local HealthImaging and the imports (log: {self._log}) …")
        settings = {
            "HEALTHIMAGING_DIR": str(self._place.folders.root / SERVER),
            "HEALTHIMAGING_PORT": "0",
            "HEALTHIMAGING_SUBMITTED_SECONDS": "0.2",
            "HEALTHIMAGING_JOB_SECONDS": "0.2",
            "HEALTHIMAGING_CHANGE_SECONDS": "0.2",
            **self._place.imaging_settings(),
        }
        processes.start(SERVER, python("cloud", "healthimaging", "serve"), settings)

    def start_imports(self, processes: Processes) -> None:
        """Once the server answers: have the data store made, and start the loop."""
        processes.wait(SERVER, lambda: _ADDRESS in self._said())
        (line,) = [line for line in self._said().splitlines() if line.startswith(_ADDRESS)]
        self.endpoint = line.removeprefix("healthimaging: ").rstrip("/")
        self.datastore_id = _ensure_datastore(self.endpoint)
        settings = {
            "DATABASE_URL": self._place.folders.database_url,
            "AHLI_ENDPOINT": self.endpoint,
            "AHLI_DATASTORE_ID": self.datastore_id,
            "AHLI_ROLE_ARN": _ROLE,
            "IMPORT_POLL_SECONDS": "0.5",
            **KEYS,
            **self._place.imaging_settings(),
            **self._place.receipt_settings(),
        }
        processes.start(LOOP, python("cloud", "import"), settings)

    def prove(self, processes: Processes, sent: Path) -> tuple[list[str], str]:
        """Have every frame fetched back and compared with what was sent; returns what is wrong, and figures."""
        say("fetching every frame back from HealthImaging …")
        settings = {**KEYS, "AWS_ENDPOINT_URL_MEDICAL_IMAGING": self.endpoint}
        command = python("cloud", "image-sets", "prove", "--datastore-id", self.datastore_id, "--against", str(sent))
        try:
            processes.run("prove", command, settings)
        except DemoFault as e:
            return [f"a series did not come back with its pixels: {e}\n  {e.hint}"], ""
        return [], processes.said("prove")

    def _said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def _ensure_datastore(endpoint: str) -> str:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    session: Any = boto3.session.Session(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"])
    config = Config(inject_host_prefix=False)
    client = session.client("medical-imaging", region_name=KEYS["AWS_REGION"], endpoint_url=endpoint, config=config)
    try:
        for row in client.list_datastores()["datastoreSummaries"]:
            if row["datastoreName"] == EDGE_ID:
                return str(row["datastoreId"])
        token = hashlib.sha256(EDGE_ID.encode()).hexdigest()[:32]
        return str(client.create_datastore(datastoreName=EDGE_ID, clientToken=token)["datastoreId"])
    except (BotoCoreError, ClientError) as e:
        raise DemoFault(f"no data store could be made ({type(e).__name__})", hint=f"see {SERVER}.log") from e


def import_figures(database: Path, wanted: set[str]) -> ImportFigures:
    """Count, among ``wanted`` SOP Instance UIDs, what is in an image set, and whether any import is still to end."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as cloud:
        found = cloud.execute(
            "SELECT DISTINCT i.sopinstanceuid FROM instance i JOIN instancelocation l ON l.instance_id = i.id"
            " WHERE l.importstate IN ('IMPORTED', 'WARNED') AND l.imagesetid IS NOT NULL"
        )
        imported = {row[0] for row in found} & wanted
        ((waiting,),) = cloud.execute("SELECT count(*) FROM ahlijob WHERE status IN (1, 2)").fetchall()
        ((sets,),) = cloud.execute("SELECT count(*) FROM ahliimageset").fetchall()
    return ImportFigures(
        line=f"in HealthImaging {len(imported)}/{len(wanted)}   image sets {sets}",
        over=waiting == 0,
        missing=tuple(sorted(wanted - imported)),
    )


def series_lines(database: Path) -> list[str]:
    """Return the account of each series: sent, in S3, imported, failed."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as cloud:
        rows: list[Mapping[str, Any]] = cloud.execute(
            "SELECT v.modality, v.seriesinstanceuid, v.sent, v.ins3, v.imported + v.warned, v.failed,"
            " (SELECT min(s.imagesetid) FROM ahliimageset s WHERE s.seriesinstanceuid = v.seriesinstanceuid)"
            " FROM seriesimport v ORDER BY v.studyinstanceuid, v.seriesinstanceuid"
        ).fetchall()
    return [
        f"    {modality or '?':<3} sent {sent}, in S3 {stored}, imported {imported}"
        + (f", failed {failed}" if failed else "")
        + f": image set {image_set or 'none'}"
        for modality, _, sent, stored, imported, failed, image_set in rows
    ]
