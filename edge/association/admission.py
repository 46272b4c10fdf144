"""Who asks for an association, and the rejections of PS3.8 9.3.4."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One A-ASSOCIATE-RJ: result, source and reason of PS3.8 Table 9-21, and why in plain words."""

    result: int  # 1 permanent, 2 transient
    source: int  # 1 user, 2 provider (ACSE), 3 provider (presentation)
    reason: int
    text: str
    hint: str = ""  # what the operator can do
    kind: str = ""  # what it is counted as, where the text names the peer; a few fixed ones


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCertificate:
    """Who the peer of a TLS connection has proved to be: a certificate that our client CA vouches for."""

    sha256: str  # fingerprint of the whole certificate (DER), 64 lower-case hex digits
    common_name: str  # of the subject; "" if it has none
    dns_names: tuple[str, ...]  # SubjectAltName dNSName, in lower case


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """A peer that asks for an association: what it says of itself, and what is known of it."""

    calling: str  # AE title, as it says
    called: str
    address: str
    certificate: PeerCertificate | None = None  # only where a client certificate was asked for (TLS_CLIENT_CA)
    tls: bool = False


NO_REASON = Rejection(
    result=1,
    source=1,
    reason=1,
    text="the request proposes no presentation context",
    hint="give the sender at least one storage class, or Verification",
)
APPLICATION_CONTEXT = Rejection(
    result=1,
    source=1,
    reason=2,
    text="application context not supported",
    hint="the sender's vendor has to mend it: DICOM knows one application context (PS3.7 A.2.1)",
)
PROTOCOL_VERSION = Rejection(
    result=1,
    source=2,
    reason=2,
    text="protocol version not supported",
    hint="what sends this is no DICOM 3.0 device, or a scanner that guesses; DICOM knows version 1 (PS3.8 9.3.2)",
)
PAUSED = Rejection(
    result=2, source=3, reason=1, text="an update of this edge is due", hint="the sender tries again by itself"
)
DRAINING = Rejection(
    result=2, source=3, reason=1, text="the edge is shutting down", hint="the sender tries again by itself"
)
TOO_MANY = Rejection(
    result=2,
    source=3,
    reason=2,
    text="the limit of associations is reached",
    hint="the sender tries again; raise MAX_ASSOCIATIONS, or set associations in the rule of who takes them all",
)
TOO_MANY_FROM_ADDRESS = Rejection(
    result=2,
    source=3,
    reason=2,
    text="the limit of associations from one address is reached",
    hint="the sender tries again; raise MAX_ASSOCIATIONS_PER_ADDRESS if it is a gateway",
)
TOO_MANY_OF_RULE = Rejection(
    result=2,
    source=3,
    reason=2,
    text="the limit of associations of this AE is reached (associations in its rule)",
    hint="the sender tries again; raise associations in its rule",
)
QUOTA_USED_UP = Rejection(
    result=2,
    source=3,
    reason=2,
    text="the daily quota of this AE is used up",
    hint="it may send again after midnight UTC; raise instances_per_day or gigabytes_per_day in its rule",
)
# What rules answer; their texts name the peer.
CALLING_UNKNOWN = Rejection(
    result=1,
    source=1,
    reason=3,
    kind="calling AE title not recognised",
    text="no rule lets this calling title in, or not from this address or with this certificate",
)
CALLED_UNKNOWN = Rejection(
    result=1,
    source=1,
    reason=7,
    kind="called AE title not recognised",
    text="the rule of this calling title names other called titles",
)
