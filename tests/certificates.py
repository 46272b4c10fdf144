"""Certificates made for tests: an authority, and what it issues, good and bad."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.parts import program

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class Files:
    """A certificate with its chain, and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A CA; ``path`` is its certificate."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    issuer: "Authority | None" = None

    @property
    def path(self) -> Path:
        return self.folder / "ca.pem"

    def issue(
        self,
        name: str,
        *,
        common_name: str = "",
        dns: tuple[str, ...] = (),
        usage: x509.ObjectIdentifier | None = CLIENT,
        begins: float = -1,
        ends: float = 90,
        key=None,
        self_signed: bool = False,
        digest=None,
    ) -> Files:
        """Issue one, valid between so many days from now; the key is closed to other users."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        subject = _name(common_name or name)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begins))
            .not_valid_after(now + timedelta(days=ends))
        )
        if dns:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(d) for d in dns]), critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        certificate = builder.sign(key if self_signed else self.key, digest or hashes.SHA256())
        files = Files(certificate=self.folder / f"{name}.pem", key=self.folder / f"{name}.key")
        chain = [certificate] if self.issuer is None else [certificate, self.certificate]
        files.certificate.write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in chain))
        _write_key(files.key, key)
        return files

    def issue_by_sha1(self, name: str) -> Files:
        """Issue one whose signature is made with SHA-1, which only OpenSSL's own tool still does."""
        files = self.issue(name)
        _write_key(self.folder / "ca.key", self.key)
        request, usage = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        usage.write_text("extendedKeyUsage=clientAuth\n")
        openssl = program("openssl")
        for command in (
            [openssl, "req", "-new", "-key", files.key, "-subj", f"/CN={name}", "-out", request],
            [openssl, "x509", "-req", "-sha1", "-in", request, "-CA", self.path, "-CAkey", self.folder / "ca.key",
             "-CAcreateserial", "-days", "30", "-extfile", usage, "-out", files.certificate],
        ):  # fmt: skip
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        return files


def authority(folder: Path, name: str = "Test CA", issuer: Authority | None = None, *, ends: float = 365) -> Authority:
    """A new CA below ``folder``, a root unless another issued it."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer.certificate.subject if issuer else _name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=ends))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    made = Authority(folder=folder, key=key, certificate=certificate, issuer=issuer)
    made.path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return made


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """An RSA key, drawn once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _write_key(path: Path, key) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
