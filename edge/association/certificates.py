"""The certificate files of TLS: read and judged before OpenSSL gets them, in plain words, every fault at once."""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

WARN_DAYS = 30  # before its end a certificate is spoken of in log, status and heartbeat
_MOST_BYTES = 1 << 20
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where the certificates lie; all PEM."""

    certificate: Path  # ours first, then the chain up to a CA that the senders know
    key: Path | None = None  # None: it is in the same file
    client_ca: Path | None = None  # given: senders have to show a certificate that one of these vouches for

    def all(self) -> tuple[Path, ...]:
        """Return every file that is read."""
        return tuple(path for path in (self.certificate, self.key, self.client_ca) if path is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found in the files; ``faults`` are those with which TLS cannot begin."""

    faults: tuple[str, ...]
    not_before: datetime | None = None  # of our certificate and its chain together
    not_after: datetime | None = None
    clients_until: datetime | None = None  # when the last client CA ends

    def validity(self, now: datetime) -> list[tuple[str, str]]:
        """Return (text, hint) where time is the trouble: over, nearly over, not begun.

        None of it keeps TLS from being served: a box that starts after its certificate has ended, or before its clock
        is set, shall receive from whoever still talks to it.
        """
        said = []
        if self.not_before is not None and now < self.not_before:
            text = f"the TLS certificate is not valid before {_day(self.not_before)}: senders may refuse it"
            said.append((text, "look at the clock of this box; else ask for another certificate"))
        if self.not_after is not None:
            said += _ending("the TLS certificate", self.not_after, now, "replace TLS_CERTIFICATE and TLS_KEY in place")
        if self.clients_until is not None:
            said += _ending("the last CA in TLS_CLIENT_CA", self.clients_until, now, "add the senders' new CA to it")
        return said


def _ending(what: str, end: datetime, now: datetime, hint: str) -> list[tuple[str, str]]:
    if now >= end:
        return [(f"{what} has expired on {_day(end)}", f"{hint}; no restart is needed")]
    left = end - now
    if left <= timedelta(days=WARN_DAYS):
        return [(f"{what} expires on {_day(end)}, in {left.days} days", f"{hint}; no restart is needed")]
    return []


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def examine(files: TlsFiles) -> Examined:
    """Read the files and say everything that is wrong with them; never raises."""
    faults: list[str] = []
    chain = _certificates("TLS_CERTIFICATE", files.certificate, faults)
    if chain:
        _judge_ours(files.certificate, chain[0], faults)
    key = _key(files, faults)
    if chain and key is not None and _public(chain[0], files.certificate, faults) != _der(key.public_key()):
        faults.append(
            f"TLS_KEY {files.key or files.certificate}: is not the key of the first certificate in"
            f" {files.certificate}; put the edge's own certificate first, then those of the CAs"
        )
    authorities = [] if files.client_ca is None else _authorities(files.client_ca, faults)
    return Examined(
        faults=tuple(faults),
        not_before=max((c.not_valid_before_utc for c in chain), default=None),
        not_after=min((c.not_valid_after_utc for c in chain), default=None),
        clients_until=max((c.not_valid_after_utc for c in authorities), default=None),
    )


def _read(name: str, path: Path, faults: list[str]) -> tuple[bytes, int] | None:
    """Return what the file holds and its mode, both of the same file: a renewal may put another in its place."""
    try:
        with path.open("rb") as f:
            return f.read(_MOST_BYTES), os.fstat(f.fileno()).st_mode
    except FileNotFoundError:
        faults.append(f"{name} {path}: there is no such file")
    except OSError as e:
        hint = "let the user that dicom-edge runs as read it"
        faults.append(f"{name} {path}: cannot be read ({e.strerror}); {hint}")
    return None


def _certificates(name: str, path: Path, faults: list[str]) -> list[x509.Certificate]:
    found = _read(name, path, faults)
    if found is None:
        return []
    raw, _ = found
    if b"-----BEGIN CERTIFICATE-----" not in raw:
        way = "if it is DER: openssl x509 -inform der -in FILE -out FILE.pem"
        faults.append(f"{name} {path}: holds no certificate in PEM; {way}")
        return []
    try:
        return x509.load_pem_x509_certificates(raw)
    except (ValueError, UnsupportedAlgorithm):
        faults.append(f"{name} {path}: holds a damaged certificate; copy the file again")
        return []


def _judge_ours(path: Path, ours: x509.Certificate, faults: list[str]) -> None:
    usage = _extension(ours, x509.ExtendedKeyUsage)
    fit = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if usage is not None and not fit & set(usage):
        way = "ask for one with the extended key usage serverAuth"
        faults.append(f"TLS_CERTIFICATE {path}: is not meant for servers; {way}")


def _key(files: TlsFiles, faults: list[str]) -> PrivateKeyTypes | None:
    path, name = (files.key, "TLS_KEY") if files.key else (files.certificate, "TLS_CERTIFICATE")
    found = _read(name, path, faults if files.key else [])  # the certificate's file: said already
    if found is None:
        return None
    raw, mode = found
    if os.name == "posix" and mode & 0o007:  # elsewhere the mode tells nothing
        faults.append(f"{name} {path}: every user of this box may read or write the key; run: chmod o= {path}")
    if b"PRIVATE KEY-----" not in raw:
        way = "name the file that does" if files.key else "set TLS_KEY to the file that does"
        faults.append(f"{name} {path}: holds no private key in PEM; {way}")
        return None
    try:
        return load_pem_private_key(raw[raw.rindex(b"-----BEGIN", 0, raw.index(b"PRIVATE KEY-----")) :], None)
    except TypeError:
        way = "a box that starts by itself cannot be asked; run: openssl pkey -in FILE -out NEW"
        faults.append(f"{name} {path}: the key is locked with a passphrase; {way}")
    except (ValueError, UnsupportedAlgorithm):
        faults.append(f"{name} {path}: the private key is damaged or of an unknown kind; copy the file again")
    return None


def _authorities(path: Path, faults: list[str]) -> list[x509.Certificate]:
    found = _certificates("TLS_CLIENT_CA", path, faults)
    authorities = [c for c in found if _is_authority(c)]
    if found and not authorities:
        way = "name the certificate of the CA that signed those of the senders"
        faults.append(f"TLS_CLIENT_CA {path}: no certificate in it is that of a CA; {way}")
    return authorities


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None  # absent, or so odd that OpenSSL has to judge it


def _public(certificate: x509.Certificate, path: Path, faults: list[str]) -> bytes:
    try:
        return _der(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        faults.append(f"TLS_CERTIFICATE {path}: its key is of an unknown kind; ask for one with an RSA or EC key")
        return b""


def _der(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
