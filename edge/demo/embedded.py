"""The demo's embedded place: a directory store, a local queue, and the ingester that polls it (D12)."""

from collections.abc import Mapping
from pathlib import Path

from edge.contract.local_store import DirectoryStore
from edge.contract.store import ObjectReader
from edge.demo.place import EDGE_ID, Folders
from edge.demo.processes import Processes, python


class EmbeddedPlace:
    """A :class:`edge.demo.place.Place` that needs nothing but this machine."""

    ingester = "ingester"
    cloud = "ingester and dashboard"

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self._store = folders.root / "store"
        self.objects = str(self._store)

    def ensure_able(self) -> None:
        """See :meth:`edge.demo.place.Place.ensure_able`."""

    def prepare(self, processes: Processes) -> None:
        """See :meth:`edge.demo.place.Place.prepare`; whoever comes first makes store and queue."""

    def edge_settings(self) -> Mapping[str, str]:
        """See :meth:`edge.demo.place.Place.edge_settings`."""
        down = str(self._down / f"{EDGE_ID}.queue")
        return {"STORE_DIR": str(self._store), "QUEUE_FILE": str(self._queue), "DOWN_QUEUE_FILE": down}

    def start_ingester(self, processes: Processes) -> None:
        """See :meth:`edge.demo.place.Place.start_ingester`."""
        settings = {
            "DATABASE_URL": self.folders.database_url,
            "STORE_DIR": str(self._store),
            "QUEUE_FILE": str(self._queue),
            **self.receipt_settings(),
        }
        processes.start(self.ingester, python("cloud", "ingest"), settings)

    def imaging_settings(self) -> Mapping[str, str]:
        """See :meth:`edge.demo.place.Place.imaging_settings`."""
        return {"STORE_DIR": str(self._store)}

    def receipt_settings(self) -> Mapping[str, str]:
        """See :meth:`edge.demo.place.Place.receipt_settings`."""
        return {"EDGE_QUEUE_DIR": str(self._down)}

    def reader(self) -> ObjectReader:
        """See :meth:`edge.demo.place.Place.reader`."""
        return DirectoryStore(self._store)

    def by_hand(self) -> list[tuple[str, str]]:
        """See :meth:`edge.demo.place.Place.by_hand`."""
        return []

    @property
    def _down(self) -> Path:
        return self.folders.root / "down"

    @property
    def _queue(self) -> Path:
        return self.folders.root / "queue.db"
