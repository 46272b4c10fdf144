"""Which prefixes import exactly the wanted objects (faults 13 and 14, D4); pure.

A job takes a prefix, and imports every object whose key begins with it. So the wanted keys of a generation are covered
by as few disjoint prefixes as hold no other key and keep to the service's limits: the generation's own, where that
fits; else those of its series; and where one series is too large, the beginnings of its file names. Nothing is copied.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge.contract.healthimaging import MOST_BYTES, MOST_FILES


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one import job may take."""

    files: int = MOST_FILES
    bytes: int = MOST_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """One prefix, and the wanted keys that begin with it: no other key in the store does."""

    prefix: str
    keys: tuple[str, ...]
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Covering:
    """Disjoint prefixes, and the wanted keys that no prefix can have alone: another key begins with theirs."""

    covers: tuple[Cover, ...]
    inseparable: tuple[str, ...]


def cover(wanted: Mapping[str, int], others: Sequence[str], root: str, limits: Limits) -> Covering:
    """Return the fewest such prefixes at or below ``root`` for the keys of ``wanted`` (their bytes by key).

    ``others`` are all further keys below ``root``. A prefix keeps to ``limits``, but for a single object that is over
    them by itself: what becomes of that one, the service says.
    """
    inseparable: list[str] = []
    covers = tuple(_cover(sorted(wanted), sorted(others), root, wanted, limits, inseparable))
    return Covering(covers=covers, inseparable=tuple(inseparable))


def _cover(
    keys: Sequence[str],
    others: Sequence[str],
    prefix: str,
    sizes: Mapping[str, int],
    limits: Limits,
    inseparable: list[str],
) -> Iterator[Cover]:
    total = sum(sizes[key] for key in keys)
    fits = len(keys) <= limits.files and total <= limits.bytes
    if keys and not others and (fits or len(keys) == 1):
        yield Cover(prefix=prefix, keys=tuple(keys), bytes=total)
        return
    for child in _children(keys, others, prefix):
        if child == prefix:
            inseparable.append(prefix)  # a whole key: every prefix that has it has those that begin with it
        else:
            below = _under(child, keys), _under(child, others)
            yield from _cover(*below, child, sizes, limits, inseparable)


def _children(keys: Sequence[str], others: Sequence[str], prefix: str) -> list[str]:
    """Return the next longer prefixes: whole folders where there are any, else the names' next character."""
    rests = [key[len(prefix) :] for key in keys]
    if prefix.endswith("/") and all("/" in rest for rest in rests):
        return sorted({prefix + rest.partition("/")[0] + "/" for rest in rests})
    # What all have in common splits nothing.
    common = _common([*rests, *(key[len(prefix) :] for key in others)])
    return sorted({prefix + rest[: common + 1] for rest in rests})


def _common(texts: Sequence[str]) -> int:
    """Return how many characters all of them begin with alike."""
    first, last = min(texts), max(texts)
    return next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _under(prefix: str, keys: Sequence[str]) -> list[str]:
    return [key for key in keys if key.startswith(prefix)]
