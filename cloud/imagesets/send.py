"""C-STORE of exported files to an application entity, each with the status that it was answered with."""

import logging
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pynetdicom import AE
from pynetdicom.association import Association

from cloud.errors import AddressFault, SendFault

#: PS3.8 9.3.2.2: context ids are the odd numbers of a byte.
_MOST_CONTEXTS = 128
_CONNECT_SECONDS = 10.0
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # what it would say of a refusal, the answer says
_ADDRESS = re.compile(r"(?P<title>[^@\\]{1,16})@(?P<host>\[[0-9A-Fa-f:]+\]|[^:\[\]@]+):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """An application entity that takes C-STORE."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """Return the destination in ``AE@host:port``; raises AddressFault."""
        found = _ADDRESS.fullmatch(text)
        if found is None or not 0 < int(found["port"]) < 65536 or not found["title"].strip():
            raise AddressFault(f"{text!r} is no application entity", hint="write it as AETITLE@HOST:PORT")
        return cls(title=found["title"].strip(), host=found["host"].strip("[]"), port=int(found["port"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One file and the status of its C-STORE; None where no status came."""

    path: Path
    status: int | None
    fault: str = ""

    @property
    def is_stored(self) -> bool:
        """Tell whether the receiver says that it has it: Success, or a warning (PS3.4 B.2.3)."""
        return self.status is not None and (self.status == 0 or 0xB000 <= self.status <= 0xBFFF)


def send_files(paths: Sequence[Path], to: Destination, *, calling: str = "DICOM-CLOUD") -> Iterator[Sent]:
    """C-STORE files one after another and give each one's status; raises SendFault where there is no association."""
    kinds = {path: _kind_of(path) for path in paths}
    wanted = list(dict.fromkeys(kinds.values()))
    for start in range(0, len(wanted), _MOST_CONTEXTS):
        batch = wanted[start : start + _MOST_CONTEXTS]
        association = _associate(batch, to, calling)
        try:
            for path in paths:
                if kinds[path] in batch:
                    yield _send(association, path, kinds[path][1])
        finally:
            if association.is_established:
                association.release()


def _kind_of(path: Path) -> tuple[str, str]:
    meta = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"]).file_meta
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def _associate(kinds: Sequence[tuple[str, str]], to: Destination, calling: str) -> Association:
    _require_listener(to)
    ae = AE(calling)
    for sop_class, syntax in kinds:
        ae.add_requested_context(sop_class, [syntax])
    association = ae.associate(to.host, to.port, ae_title=to.title)
    # Where no context is accepted pynetdicom aborts; that is an answer to each file, not the receiver's silence.
    if not association.is_established and not association.rejected_contexts:
        refused = "refused the association" if association.is_rejected else "ended the association"
        raise SendFault(
            f"{to.title}@{to.host}:{to.port} {refused}",
            hint="see the AE title, and whether the receiver knows the calling AE title " + calling,
        )
    return association


def _require_listener(to: Destination) -> None:
    # pynetdicom says no more than "not established", and leaves the socket open that could not connect.
    try:
        socket.create_connection((to.host, to.port), timeout=_CONNECT_SECONDS).close()
    except OSError as e:
        raise SendFault(
            f"{to.title}@{to.host}:{to.port} does not answer ({e.strerror or type(e).__name__})",
            hint="see host and port, and whether a firewall lets this machine through",
        ) from e


def _send(association: Association, path: Path, syntax: str) -> Sent:
    not_taken = Sent(path=path, status=None, fault=f"the receiver does not take transfer syntax {syntax}")
    if not association.accepted_contexts:
        return not_taken
    if not association.is_established:
        return Sent(path=path, status=None, fault="the association ended before it was sent")
    try:
        answer = association.send_c_store(path)
    except ValueError:  # its presentation context was not accepted
        return not_taken
    except RuntimeError as e:
        return Sent(path=path, status=None, fault=f"not sent ({type(e).__name__})")
    if "Status" not in answer:
        return Sent(path=path, status=None, fault="no answer came")
    status = int(answer.Status)
    return Sent(path=path, status=status, fault="" if status == 0 else f"status 0x{status:04X}")
