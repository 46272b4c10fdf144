"""Rules that no peer can ever meet, which is likely a mistake: told, not refused; pure.

What is told is certain; of what is covered by several tables together nothing is told.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge.association.rules import Network, Rule, pattern_parts, quoted, table_name, title_fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What of the configuration decides whether a rule can be met."""

    ipv4: bool = True  # it listens there
    ipv6: bool = True
    tls: bool = True  # TLS is served
    client_certificates: bool = True  # and a certificate is asked for
    ae_title: str = ""  # senders are told to call this; "" is not known


def doubts(rules: Sequence[Rule], box: Box) -> list[str]:
    """Return one sentence for each rule that cannot be met, or not by a sender that is set up as told."""
    return [f"{table_name(rule.name)} {text}" for n, rule in enumerate(rules) for text in _doubts(rule, rules[:n], box)]


def _doubts(rule: Rule, before: Sequence[Rule], box: Box) -> Iterator[str]:
    hider = next((other for other in before if hides(other, rule)), None)
    if hider is not None:
        yield f"never holds: {table_name(hider.name)} above it fits all that it would; put it above, or delete it"
    if rule.address and not any(_reaches(network, box) for network in rule.address):
        names = ", ".join(str(network) for network in rule.address[:4])
        yield f"never fits: no sender's connection comes from {names} to SCP_HOST"
    if not box.tls and (rule.tls or rule.fingerprint or rule.san or rule.cn):
        yield "never fits: it asks for TLS, and TLS_CERTIFICATE is not set"
    elif not box.client_certificates and (rule.fingerprint or rule.san or rule.cn):
        yield "never fits: it asks for a client certificate, and TLS_CLIENT_CA is not set"
    if box.ae_title and rule.called and not any(title_fits(pattern, box.ae_title) for pattern in rule.called):
        named = ", ".join(quoted(pattern) for pattern in rule.called[:4])
        yield f"fits only senders that call {named}; AE_TITLE is {quoted(box.ae_title)}"


def _reaches(network: Network, box: Box) -> bool:
    if not (box.ipv4 if network.version == 4 else box.ipv6):
        return False
    single = network.num_addresses == 1
    return not (network.is_multicast or (single and network.is_unspecified))


def hides(first: Rule, later: Rule) -> bool:
    """Tell whether every peer that fits ``later`` fits ``first``, as far as that shows pair by pair."""
    return (
        all(any(covers(wide, narrow) for wide in first.calling) for narrow in later.calling)
        and _all_in(first.called, later.called)
        and (not first.address or (bool(later.address) and all(_within(n, first.address) for n in later.address)))
        and (not first.tls or later.tls or bool(later.fingerprint or later.san or later.cn))
        and all(
            not some or (bool(same) and set(same) <= set(some))
            for some, same in (
                (first.fingerprint, later.fingerprint),
                (first.san, later.san),
                (first.cn, later.cn),
            )
        )
    )


def _all_in(first: tuple[str, ...], later: tuple[str, ...]) -> bool:
    if not first:
        return True
    return all(any(covers(wide, narrow) for wide in first) for narrow in later or ("*",))


def _within(network: Network, wider: Sequence[Network]) -> bool:
    # Each pair is of one protocol version: mypy does not see it.
    return any(network.version == w.version and network.subnet_of(w) for w in wider)  # type: ignore[arg-type]


# What stands for * and ? of the narrower pattern; no title holds either.
_STAR, _ONE = "\ue000", "\ue001"


def covers(wide: str, narrow: str) -> bool:
    """Tell whether every title that fits ``narrow`` fits ``wide``; False also where that is only not plain."""
    return wide == narrow or _covering(wide).fullmatch(_symbols(narrow)) is not None


@functools.lru_cache(maxsize=4096)
def _covering(pattern: str) -> re.Pattern[str]:
    meant = {"*": ".*", "?": f"[^{_STAR}]"}
    return re.compile("".join(meant.get(p, re.escape(p[-1])) for p in pattern_parts(pattern.strip(" "))), re.DOTALL)


@functools.lru_cache(maxsize=4096)
def _symbols(pattern: str) -> str:
    return "".join({"*": _STAR, "?": _ONE}.get(part, part[-1]) for part in pattern_parts(pattern.strip(" ")))
