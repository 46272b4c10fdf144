"""What ``dicom-edge rules`` prints: the rules in words, and what they say of one peer."""

from collections.abc import Iterator, Sequence

from edge.association.admission import Applicant, Rejection
from edge.association.rules import Rule, Service, judge, plain_address, quoted, shown, table_name


def rules_text(rules: Sequence[Rule], *, promiscuous: bool) -> str:
    """Return all rules in the order in which they are asked."""
    lines = []
    for rule in rules:
        lines.append(table_name(rule.name))
        lines += [f"    {line}" for line in _granted(rule)]
    others = "let in without limits (PROMISCUOUS=true)" if promiscuous else "turned away (PROMISCUOUS=false)"
    lines.append(f"any other calling title: {others}")
    return "\n".join(lines)


def verdict_text(rules: Sequence[Rule], applicant: Applicant, *, promiscuous: bool) -> tuple[bool, str]:
    """Return whether a peer would be let in, and why, with what it may do or what would let it in."""
    found = judge(rules, applicant, promiscuous=promiscuous)
    who = f"{shown(applicant.calling)} from {plain_address(applicant.address)} calling {shown(applicant.called)}"
    if isinstance(found, Rejection):
        how = "permanent" if found.result == 1 else "transient"
        lines = [f"refused: {who}", f"  why:     {found.text}"]
        lines.append(
            f"  on wire: A-ASSOCIATE-RJ result {found.result} ({how}), source {found.source}, reason {found.reason}"
        )
        lines.append("  do:      " + found.hint.replace("\n", "\n           "))
        return False, "\n".join(lines)
    if not found.name:
        return True, f"allowed: {who}\n  no rule lists it; PROMISCUOUS=true lets it in without limits"
    return True, "\n".join([f"allowed: {who}", f"  by {table_name(found.name)}", *(f"  {x}" for x in _granted(found))])


def _granted(rule: Rule) -> Iterator[str]:
    yield f"calling title: {_some(rule.calling)}; called title: {_some(rule.called) or 'any'}"
    yield f"from: {', '.join(map(str, rule.address)) or 'any address'}{_identity(rule)}"
    services = ", ".join(s.value for s in Service if s in rule.services) or "none"
    yield f"services: {services}; transfer syntaxes: {', '.join(rule.transfer_syntaxes) or 'any'}"
    yield f"limits: {', '.join(_limits(rule)) or 'none of its own'}"


def _some(patterns: Sequence[str]) -> str:
    return ", ".join(quoted(pattern) for pattern in patterns)


def _identity(rule: Rule) -> str:
    asked = [f"fingerprint {f[:16]}…" for f in rule.fingerprint] + [f"SAN {n}" for n in rule.san]
    asked += [f"CN {quoted(n)}" for n in rule.cn]
    return f", through TLS with a certificate: {', '.join(asked)}" if asked else ", through TLS" if rule.tls else ""


def _limits(rule: Rule) -> Iterator[str]:
    if rule.associations:
        yield f"{rule.associations} associations"
    if rule.instances_per_second:
        yield f"{rule.instances_per_second:g} instances a second"
    if rule.bytes_per_second:
        yield f"{rule.bytes_per_second / 1e6:g} MB a second"
    if rule.instances_per_day:
        yield f"{rule.instances_per_day} instances a day"
    if rule.bytes_per_day:
        yield f"{rule.bytes_per_day / 1e9:g} GB a day"
