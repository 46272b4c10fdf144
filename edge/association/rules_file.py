"""Reads the file of rules: TOML, one table per AE, every fault told at once with its line, table and key; pure.

[CT03]                            # the calling title; or any name, with calling = "CT03" below it
address = ["10.1.2.0/24"]
services = ["echo", "store"]
# end

The last line says that the file is whole: nearly every beginning of a good file is good TOML with fewer restrictions.
"""

import ipaddress
import math
import re
import tomllib
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from edge.association.rules import END_LINE, Network, Rule, Service, pattern_parts, plain_network, table_name
from edge.errors import ConfigError

_LONGEST_TITLE = 16  # PS3.8 9.3.2
_MOST_RULES = 1000
_MOST_BYTES = 1_000_000
_MOST_TOLD, _LONGEST_TOLD = 20, 240  # faults, and characters of each: they go into log, status and heartbeat


class RulesFault(ConfigError):
    """The file of rules cannot be used; ``faults`` are what is wrong, one a line: all, or the first and how many more.

    ``is_unread``: what it holds is not known, so it is to be read again although it has not changed.
    """

    def __init__(self, faults: list[str], *, is_unread: bool = False) -> None:
        more = len(faults) - _MOST_TOLD
        faults = [_shortened(fault) for fault in faults[:_MOST_TOLD]]
        if more > 0:
            faults.append(f"and {more} more")
        text = "the rules have faults:\n" + "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(
            text, hint="see Rules per AE in README.md; dicom-edge check-config tells whether a file is good"
        )
        self.faults = tuple(faults)
        self.is_unread = is_unread


def _shortened(fault: str) -> str:
    return fault if len(fault) <= _LONGEST_TOLD else f"{fault[:_LONGEST_TOLD]}..."


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Read the file; raises RulesFault that lists every fault."""
    return read_rules(load_text(path), path.name)


def load_text(path: Path) -> str:
    """Return what the file holds, which is whole; raises RulesFault."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as e:
        raise RulesFault([f"the file {path} cannot be read ({e.strerror})"], is_unread=True) from None
    if len(raw) > _MOST_BYTES:
        raise RulesFault([f"the file {path} is longer than {_MOST_BYTES} bytes"])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise RulesFault([f"the file {path} is not UTF-8 (byte {e.start})"]) from None
    fault = _cut_off(text, path.name)
    if fault:
        raise RulesFault([fault])
    return text


def _cut_off(text: str, name: str) -> str:
    """Return why the file may not be whole; nothing if its last line, and no other, says that it is."""
    if not text.strip():
        return f"{name} is empty; if no AE is to have a rule, write the one line {END_LINE}"
    ends = [n for n, line in enumerate(text.split("\n"), 1) if line.strip() == END_LINE]
    if not ends or not text.endswith("\n"):
        return f"{name} may be cut off: its last line must be {END_LINE}, with a line break behind it"
    if len(ends) > 1 or text.rstrip().rpartition("\n")[2].strip() != END_LINE:
        return f"{name} line {ends[0]} is {END_LINE}, and more follows: let it be the last line only"
    return ""


def read_rules(text: str, name: str = "AE_RULES") -> tuple[Rule, ...]:
    """Return the rules of a file in its order; raises RulesFault that lists every fault."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as e:
        raise RulesFault([f"{name} is no TOML: {e}"]) from None
    faults: list[str] = []
    rules = []
    if len(document) > _MOST_RULES:
        raise RulesFault([f"{name} has more than {_MOST_RULES} tables"])
    places = _Places(text, name)
    for title, table in document.items():
        where = partial(places.say, title)
        if not isinstance(table, dict):
            faults.append(f"{where(title)} stands outside a table: write [TITLE] above it")
        elif not title:
            # Its name would be that of peers that no rule names, whose limits and places it would share.
            faults.append(f'{name}{places.line("")} [""] has no name: write [no-title], with calling = "" below it')
        else:
            rules.append(_rule(title, table, where, faults))
    if faults:
        raise RulesFault(faults)
    return tuple(rules)


class _Places:
    """Says where a key stands: the line, as well as it can be found, and the table. The text is searched once."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name

    @cached_property
    def _lines(self) -> list[str]:
        return self._text.splitlines()

    @cached_property
    def _heads(self) -> dict[str, tuple[int, int]]:
        """Line of each table's head, and of the next table's."""
        heads = [(n, head) for n, line in enumerate(self._lines) if (head := _head(line)) is not None]
        ends = [n for n, _ in heads[1:]] + [len(self._lines)]
        found: dict[str, tuple[int, int]] = {}
        for (n, head), end in zip(heads, ends, strict=True):
            found.setdefault(head, (n, end))
        return found

    def line(self, title: str) -> str:
        """Return the line of a table's head in words, nothing if it was not found."""
        return f" line {self._heads[title][0] + 1}" if title in self._heads else ""

    def say(self, title: str, key: str) -> str:
        """Return file, line, table and key."""
        head, end = self._heads.get(title, (None, len(self._lines)))
        begin = 0 if head is None else head + 1
        pattern = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""")
        line = next((n for n in range(begin, end) if pattern.match(self._lines[n])), head)
        table = "" if head is None else f" {table_name(title)}"
        return f"{self._name}{f' line {line + 1}' if line is not None else ''}{table} {key}"


def _head(line: str) -> str | None:
    """Return the name in a table's head, None if the line is none."""
    if not line.lstrip().startswith("["):
        return None
    try:
        return next(iter(tomllib.loads(line)), None)
    except tomllib.TOMLDecodeError:
        return None


def _rule(title: str, table: dict[str, Any], where: Callable[[str], str], faults: list[str]) -> Rule:
    values: dict[str, Any] = {}
    given = {"calling": title, **table}
    for key, raw in given.items():
        if key not in _KEYS:
            faults.append(f"{where(key)} is no key of a rule; there are: {', '.join(_KEYS)}")
            continue
        field, read = _KEYS[key]
        try:
            values[field] = read(raw)
        except ValueError as e:
            faults.append(f"{where(key)} {e}")
    return Rule(name=title, **values)


def _texts(raw: object) -> tuple[str, ...]:
    many = raw if isinstance(raw, list) else [raw]
    if not many or not all(isinstance(one, str) for one in many):
        raise ValueError("must be a text in quotes, or a list of them that is not empty")
    return tuple(str(one) for one in many)


def _titles(raw: object) -> tuple[str, ...]:
    return tuple(_title(one) for one in _texts(raw))


def _title(raw: str) -> str:
    pattern = raw.strip(" ")
    parts = pattern_parts(pattern)
    if "".join(parts) != pattern:
        raise ValueError(f"{raw!r} ends in a backslash, which takes the next character as it is")
    if any(part[-1] > "\xff" or (len(part) == 1 and not part.isprintable()) for part in parts):
        raise ValueError(
            f"{raw!r} holds a character that no AE title has (PS3.5 6.2); if a device sends it, a backslash before it"
        )
    if sum(part != "*" for part in parts) > _LONGEST_TITLE:
        raise ValueError(f"{raw!r} is longer than an AE title, {_LONGEST_TITLE} characters")
    return pattern


def _networks(raw: object) -> tuple[Network, ...]:
    return tuple(_network(one) for one in _texts(raw))


def _network(raw: str) -> Network:
    raw = re.sub("%[^/]*", "", raw.strip())  # the zone of a link-local address is no part of it
    try:
        return plain_network(ipaddress.ip_network(raw))
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(raw, strict=False)
    except ValueError:
        raise ValueError(f'{raw!r} is no address or network, such as "10.1.2.3" or "10.1.2.0/24"') from None
    raise ValueError(f"{raw!r} names a host inside a network: write {str(meant)!r}, or the address alone")


def _flag(raw: object) -> bool:
    if raw is True or raw is False:
        return raw
    raise ValueError("must be true or false")


def _fingerprints(raw: object) -> tuple[str, ...]:
    found = []
    for one in _texts(raw):
        digits = one.lower().removeprefix("sha256:").replace(":", "").replace(" ", "")
        if not re.fullmatch(r"[0-9a-f]{64}", digits):
            raise ValueError(f"{one!r} is no SHA-256 of a certificate: 64 hex digits, colons allowed")
        found.append(digits)
    return tuple(found)


def _names(raw: object) -> tuple[str, ...]:
    return tuple(one.strip().lower() for one in _texts(raw))


def _services(raw: object) -> frozenset[Service]:
    known = {service.value: service for service in Service}
    texts = () if raw == [] else _texts(raw)
    for one in texts:
        if one.lower() not in known:
            raise ValueError(f"{one!r} is no service; there are: {', '.join(known)}")
    return frozenset(known[one.lower()] for one in texts)


def _uids(raw: object) -> tuple[str, ...]:
    for one in _texts(raw):
        if not re.fullmatch(r"[0-9.]{1,64}", one.strip()):
            raise ValueError(f"{one!r} is no UID")
    return tuple(one.strip() for one in _texts(raw))


def _whole(raw: object) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool) or not 0 < raw < 1 << 53:
        raise ValueError("must be a whole number above 0")
    return raw


def _number(factor: float = 1.0) -> Callable[[object], float]:
    def read(raw: object) -> float:
        if not isinstance(raw, int | float) or isinstance(raw, bool) or not math.isfinite(raw) or raw <= 0:
            raise ValueError("must be a number above 0")
        return float(raw) * factor

    return read


def _gigabytes(raw: object) -> int:
    return max(1, int(_number(1e9)(raw)))


_KEYS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "calling": ("calling", _titles),
    "called": ("called", _titles),
    "address": ("address", _networks),
    "tls": ("tls", _flag),
    "fingerprint": ("fingerprint", _fingerprints),
    "san": ("san", _names),
    "cn": ("cn", _texts),
    "services": ("services", _services),
    "transfer_syntaxes": ("transfer_syntaxes", _uids),
    "associations": ("associations", _whole),
    "instances_per_second": ("instances_per_second", _number()),
    "megabytes_per_second": ("bytes_per_second", _number(1e6)),
    "instances_per_day": ("instances_per_day", _whole),
    "gigabytes_per_day": ("bytes_per_day", _gigabytes),
}
