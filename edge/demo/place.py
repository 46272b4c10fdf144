"""Where the demo runs: what the embedded place and the local AWS have in common, and in what they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.contract.store import ObjectReader
from edge.demo.processes import Processes

EDGE_ID = "demo-edge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where the demo keeps its things on this machine, whichever place it runs on."""

    root: Path

    @property
    def spool(self) -> Path:
        """The edge's scans, journal and index."""
        return self.root / "spool"

    @property
    def database(self) -> Path:
        """The cloud's index."""
        return self.root / "cloud.db"

    @property
    def database_url(self) -> str:
        """The same, as the cloud's settings name it."""
        return f"sqlite:///{self.database}"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.root / "logs"


class Place(Protocol):
    """Store, queue and ingester: all in which one place differs from another."""

    folders: Folders
    #: The process that writes the cloud's index, as its log is named.
    ingester: str
    #: What stands in the cloud's part, for people.
    cloud: str
    #: Where the objects lie, for people.
    objects: str

    def ensure_able(self) -> None:
        """Raise DemoFault if this place cannot run here; nothing is started yet."""

    def prepare(self, processes: Processes) -> None:
        """Make store and queue ready for the edge."""

    def edge_settings(self) -> Mapping[str, str]:
        """Return what the edge must be told to use them."""

    def start_ingester(self, processes: Processes) -> None:
        """Start what takes the edge's messages into the cloud's index, which has its tables soon after."""

    def imaging_settings(self) -> Mapping[str, str]:
        """Return what HealthImaging and the imports must be told to read the objects."""

    def receipt_settings(self) -> Mapping[str, str]:
        """Return where what the cloud tells the edge goes."""

    def reader(self) -> ObjectReader:
        """Return what reads the store's objects, for the check at the end."""

    def by_hand(self) -> list[tuple[str, str]]:
        """Return (what for, command) of what else a person may type to look around."""


def say(text: str) -> None:
    """Tell the person at the terminal, at once."""
    print(text, flush=True)
