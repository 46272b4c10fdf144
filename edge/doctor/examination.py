"""All findings, in the order in which a person would look; one that fails does not hide the others."""

import uuid
from collections.abc import Callable, Iterable, Iterator

from edge.config import Config
from edge.contract.store import ObjectStore
from edge.doctor import box, cloud
from edge.doctor.findings import Finding, bad
from edge.doctor.path import path
from edge.doctor.port import port
from edge.errors import EdgeError
from edge.opening import build_store


def examine(config: Config) -> Iterator[Finding]:
    """Yield the findings as they are made."""
    run = uuid.uuid4().hex
    for name, look in (
        ("settings", box.files),
        ("disk", box.disk),
        ("DNS", box.names),
        ("clock", box.clock),
        ("certificate", box.certificates),
        ("port", port),
        ("queue", cloud.queue),
        ("fleet", cloud.fleet),
    ):
        yield from _told(name, look, config)
    reached: list[ObjectStore] = []

    def reach(config: Config) -> Iterator[Finding]:
        held = build_store(config)
        yield from cloud.store(config, held, run)
        reached.append(held)

    yield from _told("store", reach, config)
    if reached:
        yield from _told("path", lambda c: path(c, reached[0], run), config)
    else:
        yield bad("path", "not tried: the store comes first", "mend the line about the store")


def _told(name: str, look: Callable[[Config], Iterable[Finding]], config: Config) -> Iterator[Finding]:
    try:
        yield from look(config)
    except (EdgeError, OSError) as e:
        yield bad(name, str(e), getattr(e, "hint", ""))
