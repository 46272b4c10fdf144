"""Rules per AE: who may associate, from where, for what and how much; pure (fault 22, PS3.8 9.3.2, 9.3.4).

A *rule* fits a peer when title, address, certificate and called title all fit; the first in the file that does holds.
A title that is listed is held to its rules also while the box is open to titles that are not.
"""

import functools
import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from edge.association.admission import CALLED_UNKNOWN, CALLING_UNKNOWN, Applicant, Rejection

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The last line of a file of rules: what ends without it was cut off.
END_LINE = "# end"
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291 2.5.5.2


class Service(StrEnum):
    """What an AE may be granted."""

    ECHO = "echo"  # C-ECHO
    STORE = "store"  # C-STORE


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one table of the file says; an empty tuple restricts nothing, and 0 is no limit."""

    name: str  # of the table; "" for peers that no rule names
    calling: tuple[str, ...] = ("*",)  # patterns, see title_fits
    called: tuple[str, ...] = ()
    address: tuple[Network, ...] = ()
    tls: bool = False  # must come through TLS; a certificate says so too
    fingerprint: tuple[str, ...] = ()  # SHA-256 of the certificate, 64 lower-case hex digits
    san: tuple[str, ...] = ()  # DNS names, lower case
    cn: tuple[str, ...] = ()
    services: frozenset[Service] = frozenset(Service)
    transfer_syntaxes: tuple[str, ...] = ()
    associations: int = 0  # at once
    instances_per_second: float = 0
    bytes_per_second: float = 0
    instances_per_day: int = 0  # UTC days
    bytes_per_day: int = 0


ANYONE = Rule(name="")


def judge(rules: Sequence[Rule], applicant: Applicant, *, promiscuous: bool) -> Rule | Rejection:
    """Return the rule that holds for the peer, or why it is turned away and what would let it in."""
    applicant = replace(applicant, address=plain_address(applicant.address))
    nearest: tuple[int, Rejection] | None = None
    for rule in rules:
        if not any(title_fits(pattern, applicant.calling) for pattern in rule.calling):
            continue
        passed, rejection = _hindrance(rule, applicant)
        if rejection is None:
            return rule
        if nearest is None or passed > nearest[0]:
            nearest = passed, rejection
    if nearest is not None:
        return nearest[1]
    if promiscuous:
        return ANYONE
    hint = f"allow it with these lines in the file of AE_RULES, above {END_LINE}:\n" + suggestion(rules, applicant)
    return _calling(f"calling title {shown(applicant.calling)} not listed", hint)


def _hindrance(rule: Rule, applicant: Applicant) -> tuple[int, Rejection | None]:
    """Return the first thing of a rule that does not fit, and how many did; the called title last (reason 7)."""
    who, table = f"calling title {shown(applicant.calling)}", table_name(rule.name)
    if not _is_from(applicant.address, rule.address):
        hint = f'if it is the same device, add "{applicant.address}" to address in {table}'
        return 0, _calling(f"{who} is listed, but not from {applicant.address}", hint)
    if not applicant.tls and (rule.tls or rule.fingerprint or rule.san or rule.cn):
        hint = f"set the sender to TLS; {table} asks for it"
        return 1, _calling(f"{who} must come through TLS", hint)
    if not _is_known(rule, applicant):
        return 2, _calling(f"the certificate is not that of {who}", _certificate_hint(applicant, table))
    if rule.called and not any(title_fits(pattern, applicant.called) for pattern in rule.called):
        pattern = quoted(escaped(applicant.called.strip(" \0")))
        hint = f"set the sender's called title, or add {pattern} to called in {table}"
        return 3, replace(
            CALLED_UNKNOWN, text=f"called title {shown(applicant.called)} not granted to {who}", hint=hint
        )
    return 4, None


def _calling(text: str, hint: str) -> Rejection:
    # The standard has no reason for an address or a certificate: who comes from elsewhere is not that AE.
    return replace(CALLING_UNKNOWN, text=text, hint=hint)


def _is_known(rule: Rule, applicant: Applicant) -> bool:
    if not (rule.fingerprint or rule.san or rule.cn):
        return True
    certificate = applicant.certificate
    return (
        certificate is not None
        and (not rule.fingerprint or certificate.sha256 in rule.fingerprint)
        and (not rule.san or any(name in rule.san for name in certificate.dns_names))
        and (not rule.cn or certificate.common_name in rule.cn)
    )


def _certificate_hint(applicant: Applicant, table: str) -> str:
    if applicant.certificate is None:
        return f"{table} asks for a client certificate: set TLS_CLIENT_CA, and give the sender one"
    return f'if this is its new certificate: fingerprint = "{applicant.certificate.sha256}" in {table}'


def _is_from(address: str, networks: tuple[Network, ...]) -> bool:
    if not networks:
        return True
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def plain_address(address: str) -> str:
    """Return an address as rules know it: IPv4 where it is mapped into IPv6, without the zone of a link-local one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def plain_network(network: Network) -> Network:
    """Return a network as rules know it, see :func:`plain_address`."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        host = int(network.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((host, network.prefixlen - _MAPPED.prefixlen))
    return network


def title_fits(pattern: str, title: str) -> bool:
    """Tell whether the pattern names the title: ``*`` any characters, ``?`` one, a backslash takes the next as it is.

    Case counts; leading and trailing spaces do not (PS3.8 9.3.2), and neither does the NUL that some pad with.
    No title holds a backslash (PS3.5 6.2, AE), so it is free to escape.
    """
    title = title.strip(" \0")
    if not _MEANT.search(pattern):
        return pattern.strip(" ") == title
    return _regex(pattern).fullmatch(title) is not None


_MEANT = re.compile(r"[*?\\]")


def pattern_parts(pattern: str) -> list[str]:
    """Split a pattern into ``*``, ``?`` and single characters, those that were escaped with their backslash."""
    return re.findall(r"\\.|[^\\]", pattern, re.DOTALL)


@functools.lru_cache(maxsize=4096)
def _regex(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    for part in pattern_parts(pattern.strip(" ")):
        meant = {"*": ".*", "?": "."}.get(part, re.escape(part[-1]))
        if meant != ".*" or parts[-1:] != [".*"]:  # one after another they would only cost time
            parts.append(meant)
    return re.compile("".join(parts), re.DOTALL)


def escaped(title: str) -> str:
    """Return the pattern that names exactly this title; what no title should hold is escaped as well."""
    return "".join(f"\\{c}" if _MEANT.match(c) or not c.isprintable() else c for c in title)


def quoted(text: str) -> str:
    """Return a TOML string; whatever it holds, it stays one line of ASCII."""
    # TOML's basic strings escape as JSON's do, but for what is beyond 16 bits: JSON halves that.
    parts = (f"\\U{ord(c):08x}" if c > "\uffff" else json.dumps(c)[1:-1] for c in text)
    return '"' + "".join(parts).replace("\x7f", "\\u007f") + '"'


def shown(title: str) -> str:
    """Return a title for people: quoted, cut, and nothing in it that moves a cursor or a line."""
    return quoted(title[:16]).replace('"', "'") if '"' not in title else quoted(title[:16])


def table_name(name: str) -> str:
    """Return the head of a rule's table."""
    return f"[{name}]" if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f"[{quoted(name)}]"


def suggestion(rules: Sequence[Rule], applicant: Applicant) -> str:
    """Return the lines that would let this peer in, and no other; they follow the other tables."""
    pattern = escaped(applicant.calling.strip(" \0"))
    taken = {rule.name for rule in rules}
    names = [pattern or "no-title", *(f"{pattern}-{n}" for n in range(2, len(rules) + 3))]
    name = next(name for name in names if name not in taken)
    lines = [table_name(name)]
    if name != pattern:
        lines.append(f"calling = {quoted(pattern)}")
    lines.append(f"address = {quoted(plain_address(applicant.address))}")
    if applicant.certificate is not None:
        lines.append(f"fingerprint = {quoted(applicant.certificate.sha256)}")
    return "\n".join(lines)
