"""Certificates that senders show to a mutual TLS port: each bad in one way, and what the edge says of it."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.association.tls_wire import Site
from tests.certificates import SERVER, Authority, Files, authority, rsa_key

BAD = {
    "expired": "certificate has expired",
    "not yet valid": "certificate is not yet valid",
    "of another CA": "unable to get local issuer certificate",
    "of an impostor with the CA's name": "certificate signature failure",
    "below an expired CA": "certificate has expired",
    "issued by another scanner": "invalid CA certificate",
    "self-signed": "self-signed certificate",
    "for servers": "unsuitable certificate purpose",
    "RSA of 1024 bits": "EE certificate key too weak",
    "SHA-1": "CA signature digest algorithm too weak",
    "none": "the sender shows no certificate",
}


def forger(site: Site) -> Authority:
    """A scanner that plays the CA: its certificate is good, but not for this."""
    key = load_pem_private_key(site.scanner.key.read_bytes(), None)
    certificate = x509.load_pem_x509_certificate(site.scanner.certificate.read_bytes())
    folder = site.ca.folder / "forger"
    folder.mkdir()
    return Authority(folder=folder, key=key, certificate=certificate, issuer=site.ca)


def bad_senders(site: Site) -> dict[str, Files | None]:
    """The files of each, made below the folder of the site's CA; None shows nothing."""
    stranger = authority(site.ca.folder / "stranger", "Other CA")
    impostor = authority(site.ca.folder / "impostor")
    return {
        "expired": site.ca.issue("expired", begins=-30, ends=-1),
        "not yet valid": site.ca.issue("early", begins=1),
        "of another CA": stranger.issue("stranger"),
        "of an impostor with the CA's name": impostor.issue("impostor"),
        "below an expired CA": authority(site.ca.folder / "ended", "Ended CA", site.ca, ends=-1).issue("orphan"),
        "issued by another scanner": forger(site).issue("forged"),
        "self-signed": site.ca.issue("self", self_signed=True),
        "for servers": site.ca.issue("server", usage=SERVER),
        "RSA of 1024 bits": site.ca.issue("weak", key=rsa_key(1024)),
        "SHA-1": site.ca.issue_by_sha1("sha1"),
        "none": None,
    }
