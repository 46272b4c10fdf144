"""What the listener may be told: where it listens, and the limits and deadlines it keeps."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """Limits of the network side; sizes in bytes, times in seconds of a monotonic clock.

    Every deadline is a total: a byte now and then does not extend it.
    """

    host: str = "0.0.0.0"  # noqa: S104 a receiver listens to the whole imaging network as shipped
    port: int = 11112  # 0: one the system chooses
    tls_port: int = 2762  # beside it, where there is a certificate (PS3.15 B.12); 0 as above
    tls_only: bool = False  # the plain port stays closed
    ae_title: str = "EDGE_AE"
    backlog: int = 256
    max_associations: int = 128  # one more is rejected, transiently (E007)
    max_associations_per_address: int = 0  # 0: no cap, for a gateway sends everything from one address
    max_waiting: int = 256  # connections that have not asked for an association yet; one more ends the oldest
    max_pdu: int = 131072  # Maximum Length Received we advertise (PS3.8 D.1)
    max_associate_rq: int = 131072  # the standard has no limit for the A-ASSOCIATE-RQ
    max_contexts: int = 128  # as many odd ids as one byte holds (PS3.8 9.3.2.2)
    max_command_bytes: int = 65536  # one command set, over all its fragments
    max_object_bytes: int = 8_192_000_000  # one dataset, over all its fragments
    artim_seconds: float = 30.0  # from the connection to the whole A-ASSOCIATE-RQ (PS3.8 9.1.5)
    pdu_seconds: float = 60.0  # from the first byte of a PDU to its last
    stall_seconds: float = 60.0  # inside a message, from one PDU to the next
    idle_seconds: float = 600.0  # established, no message under way
    min_bytes_per_second: int = 1024  # of a message, after its grace; only time spent waiting for the peer counts
    rate_grace_seconds: float = 60.0
    linger_seconds: float = 2.0  # after our last word, for the peer to close first (PS3.8 Sta13)
