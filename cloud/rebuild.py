"""Making the index from the store alone (D8): every manifest is taken over once more, as if it were announced again."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import sqlalchemy as sa

from cloud.db import models as m
from cloud.errors import ManifestFault, MessageFault, ObjectFault, RebuildRefused
from cloud.ingest import record
from cloud.ingest.bodies import Completed, is_edge_id
from cloud.ingest.ingest import UPGRADE, Ingester
from cloud.ingest.verify import MAX_MANIFEST
from edge.contract.errors import EdgeError, StoreDenied, StoreFault
from edge.contract.manifest import Malformed, UnknownVersion, load_manifest
from edge.contract.store import ObjectReader

PREFIX = "manifests/"
#: ``manifests/{EdgeId}/{generation}.json``; a digest before the suffix if the edge was cut off and wrote it twice.
_KEY = re.compile(r"manifests/([^/]+)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(\.[0-9a-f]{12})?\.json")
#: What manifests fill; registered edges may stand in an index that is otherwise empty.
_FILLED = (m.generation, m.patient, m.study, m.series, m.instance, m.edcpipelinefile, m.ahlijob)
_DAMAGED = "compare the object's versions in the bucket; the edge's journal holds the right digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One manifest in the store, ready to be taken over."""

    edge_id: str
    body: Completed
    opened_at: datetime
    closed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One object under ``manifests/`` whose generation is not in the index, and why."""

    key: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is: ``step`` is ``read`` (every manifest once, for their order), then ``written``."""

    step: str
    done: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What came of it; ``repeated`` generations stood in the index already."""

    written: int
    repeated: int
    instances: int
    held: int
    problems: tuple[Problem, ...]


def require_empty(engine: sa.Engine) -> None:
    """Raise RebuildRefused if the index holds anything that manifests fill."""
    with engine.connect() as connection:
        filled = [
            t.name for t in _FILLED if connection.scalar(sa.select(sa.exists(sa.select(sa.literal(1)).select_from(t))))
        ]
    if filled:
        raise RebuildRefused(
            f"the index is not empty (rows in {', '.join(filled)}); nothing was changed",
            hint="give an empty database; to go on with a rebuild that was cut off, or to add what this index"
            " lacks: --into-existing, which changes no row that stands",
        )


def rebuild_index(
    engine: sa.Engine,
    reader: ObjectReader,
    *,
    bucket: str | None = None,
    threads: int = 16,
    imports: bool = True,
    on_progress: Callable[[Progress], None] = lambda _: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Rebuilt:
    """Take over every generation that has a manifest, in the order of their closing; run again, it goes on (I4).

    A generation that cannot be taken over is a Problem, and the others go on. Raises StoreAway or StoreDenied if the
    store answers nobody, and what the database raises: what was written stands.
    """
    found, problems = find_manifests(reader, threads, on_progress)
    ingester = Ingester(engine, reader, bucket=bucket, threads=threads, imports=imports, clock=clock)
    written = repeated = instances = held = 0
    for n, one in enumerate(found, 1):
        try:
            outcome = ingester.take_over(one.edge_id, one.body)
        except (ManifestFault, MessageFault, ObjectFault, StoreFault, Malformed, UnknownVersion) as e:
            if isinstance(e, StoreDenied):
                raise
            problems.append(_problem(one.body.Key, e))
        else:
            # That the edge closed a generation is the last that the store tells of it.
            with engine.begin() as connection:
                record.record_seen(connection, one.edge_id, one.closed_at, clock())
            written, repeated = written + (not outcome.repeated), repeated + outcome.repeated
            instances, held = instances + outcome.indexed, held + outcome.held
        on_progress(Progress(step="written", done=n, of=len(found)))
    return Rebuilt(written=written, repeated=repeated, instances=instances, held=held, problems=tuple(problems))


def find_manifests(
    reader: ObjectReader, threads: int, on_progress: Callable[[Progress], None] = lambda _: None
) -> tuple[list[Found], list[Problem]]:
    """Return every manifest that can be read, in the order of closing, and what else lies in their place.

    Each is read for its times only and not held: all of a bucket's would not fit the memory. Raises StoreAway,
    StoreDenied.
    """
    named, problems = _named(reader.list(PREFIX))
    found: list[Found] = []
    for n, one in enumerate(_in_parallel(lambda name: _read(reader, *name), named, threads), 1):
        if isinstance(one, Problem):
            problems.append(one)
        else:
            found.append(one)
        on_progress(Progress(step="read", done=n, of=len(named)))
    # Edges announce when they close: the nearest to the order of the first time that manifests can tell. Among
    # edges that were away it may differ; what two of them sent of one study then goes to the one that closed first.
    found.sort(key=lambda f: (f.closed_at, f.opened_at, f.body.JobId))
    return found, problems


def find_manifest(reader: ObjectReader, edge_id: str, job_id: str) -> Found:
    """Return the manifest of one generation; raises RebuildRefused if none can be told, StoreAway, StoreDenied."""
    named, problems = _named(reader.list(f"{PREFIX}{edge_id}/{job_id}"))
    found = [_read(reader, *one) for one in named]
    problems += [one for one in found if isinstance(one, Problem)]
    for one in found:
        if isinstance(one, Found):
            return one
    if problems:
        raise RebuildRefused(f"{problems[0].key}: {problems[0].reason}", hint=problems[0].hint)
    raise RebuildRefused("the store holds no manifest of this generation", hint="see BUCKETNAME or STORE_DIR")


def _named(keys: Iterable[str]) -> tuple[list[tuple[str, str, str]], list[Problem]]:
    """Return (EdgeId, generation, key) of what is named like a manifest; one key of each generation."""
    matches, problems = [], []
    for key in keys:
        match = _KEY.fullmatch(key)
        if match and is_edge_id(match[1]):
            matches.append((match[1], match[2], key, match[3] is not None))
        else:
            problems.append(Problem(key=key, reason="its name is not that of a manifest", hint="see who put it there"))
    named = []
    for (edge_id, job), group in groupby(sorted(matches), key=lambda row: row[:2]):
        rows = list(group)
        # With a digest in its name it was written after one that nobody was told of: only the later one counts.
        announced = [row for row in rows if row[3]] or rows
        if len(announced) == 1:
            named.append((edge_id, job, announced[0][2]))
        else:
            reason = "several manifests of one generation, and the store does not tell which one was announced"
            hint = "the edge's journal names it; move the others away"
            problems += [Problem(key=row[2], reason=reason, hint=hint) for row in announced]
    return named, problems


def _read(reader: ObjectReader, edge_id: str, job_id: str, key: str) -> Found | Problem:
    try:
        held = reader.head(key)
        if held is None:
            return Problem(key=key, reason="it went away while it was read", hint="run it again")
        if held.size > MAX_MANIFEST:
            return Problem(key=key, reason=f"it is larger than {MAX_MANIFEST} bytes", hint=_DAMAGED)
        raw = b"".join(reader.read(key, held.version_id))
        manifest = load_manifest(raw)
        if manifest.opened_at.tzinfo is None or manifest.closed_at.tzinfo is None:
            raise Malformed("a time has no zone")
    except StoreDenied:
        raise
    except (StoreFault, Malformed, UnknownVersion) as e:
        return _problem(key, e)
    except KeyError:
        return Problem(key=key, reason="it went away while it was read", hint="run it again")
    body = Completed(
        JobId=job_id,
        Bucket=manifest.bucket,
        Key=key,
        VersionId=held.version_id,
        Size=len(raw),
        SHA256=hashlib.sha256(raw).hexdigest(),
    )
    return Found(edge_id=edge_id, body=body, opened_at=manifest.opened_at, closed_at=manifest.closed_at)


def _problem(key: str, e: Exception) -> Problem:
    hint = e.hint if isinstance(e, EdgeError) else UPGRADE if isinstance(e, UnknownVersion) else _DAMAGED
    return Problem(key=key, reason=str(e), hint=hint)


def _in_parallel(
    work: Callable[[tuple[str, str, str]], Found | Problem], items: list[tuple[str, str, str]], threads: int
) -> Iterator[Found | Problem]:
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="rebuild")
    futures: list[Future[Found | Problem]] = [pool.submit(work, item) for item in items]
    try:
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # stopped early, it does not read the rest of the bucket first
