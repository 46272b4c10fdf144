"""A corpus of attacks on a DICOM port: each case the bytes of one connection, and what must be answered to them.

Every case is named, says which weakness of which product it is about (or the class), and is complete: the bytes are
sent, then the end of the connection. ``python -m tests.attacks.corpus FOLDER`` writes them as files, one ``.bin`` a
case, with ``reactions.json`` beside them.

An answer is a word for each PDU: ``accept``, ``reject RESULT SOURCE REASON``, ``status XXXX`` of a response,
``release``, ``abort SOURCE REASON`` (PS3.8 Tables 9-21, 9-26); none at all is an end without a word.
"""

import json
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ACCEPT, RELEASE, STATE_2 = "accept", "release", "abort 0 0"
INVALID, UNEXPECTED, UNRECOGNISED, BY_USER = "abort 2 6", "abort 2 2", "abort 2 1", "abort 0 0"
STORED, RESOURCES = "status 0000", "status A700"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One connection."""

    name: str
    about: str  # CVE, issue or class
    sent: bytes
    answered: tuple[str, ...]
    uid: str = ""  # of the one instance that it stores
    dataset: bytes | None = None
    state: str = ""  # where that instance ends: PARKED or ANNOUNCED
    reason: str = ""  # words of the reason, where it is parked

    @property
    def group(self) -> str:
        """Return the part of the name before the colon."""
        return self.name.partition(":")[0]

    @property
    def file_name(self) -> str:
        """Return a name for its file."""
        return re.sub(r"[^A-Za-z0-9]+", "-", self.name).strip("-").lower() + ".bin"


@cache
def cases() -> tuple[Case, ...]:
    """Return all, large ones last; a name stands once."""
    from tests.attacks import datasets, requests, sessions

    found = (*requests.cases(), *sessions.cases(), *datasets.cases())
    if len({case.file_name for case in found}) < len(found):
        raise ValueError("two cases have one name")
    return found


def write(folder: Path) -> int:
    """Write the corpus into ``folder`` and return how many cases it has."""
    folder.mkdir(parents=True, exist_ok=True)
    reactions = {}
    for case in cases():
        (folder / case.file_name).write_bytes(case.sent)
        end = {"state": case.state} if case.state else {}
        reactions[case.file_name] = {"case": case.name, "about": case.about, "answered": list(case.answered), **end}
    (folder / "reactions.json").write_text(json.dumps(reactions, indent=1) + "\n", encoding="utf-8")
    return len(reactions)


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
