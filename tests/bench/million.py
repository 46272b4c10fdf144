"""Receiving, indexing and tagging beside a thousand instances, and beside a million."""

import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

from edge.journal.ledger import entry_hash
from tests.bench.data import MR, FileSet, draw
from tests.bench.peers import AS_SHIPPED
from tests.bench.receiving import Cell, send
from tests.bench.results import Figure
from tests.e2e.edge_process import EdgeProcess

MANY, FEW = 1_000_000, 1_000
_IN_STUDY = 500
_WAIT = 900.0


def million(work: Path, *, quick: bool, tell: Callable[[str], None]) -> list[Figure]:
    """Send the same numbers to both boxes, in turns; what is measured is what the rows that lie there cost."""
    many = 100_000 if quick else MANY
    count = 200 if quick else 600
    took: dict[int, list[tuple[float, float]]] = {FEW: [], many: []}
    with _box(work, FEW) as small, _box(work, many) as large:
        tell(f"{many} instances entered")
        for turn in range(5):
            order = ((FEW, small), (many, large)) if turn % 2 else ((many, large), (FEW, small))
            for size, edge in order:
                folder = Path(tempfile.mkdtemp(prefix="mr-", dir=work))
                took[size].append(_once(edge, draw(folder / "mr", "mr", "", (MR, count))))
                shutil.rmtree(folder)
            tell(f"round {turn + 1}: {took[FEW][-1]} and {took[many][-1]} s")
    # The first round warms up.
    few, all_of = ([median(column) for column in zip(*took[size][1:], strict=True)] for size in (FEW, many))
    return [
        Figure(
            name=f"receiving at {many} indexed instances / at {FEW}", value=few[0] / all_of[0], unit="x", floor=0.95,
            note=f"{count / all_of[0]:.0f} and {count / few[0]:.0f} MR a second, one association",
        ),
        Figure(
            name=f"index and tag at {many} / at {FEW}", value=few[1] / all_of[1], unit="x", floor=0.8,
            note=f"{count / all_of[1]:.0f} and {count / few[1]:.0f} MR a second, the sender gone",
        ),
    ]  # fmt: skip


def _once(edge: EdgeProcess, files: FileSet) -> tuple[float, float]:
    """Return (seconds of sending, seconds of the index and tag stages for what was sent)."""
    before = _settled(edge)
    sent = send(edge.port, files, Cell(set_name="mr", associations=1, nodelay=True))
    at_end, began = _settled(edge), time.perf_counter()
    wanted = before + len(files.files)
    end = time.monotonic() + _WAIT
    while (now := _settled(edge)) < wanted:
        if time.monotonic() > end:
            raise RuntimeError("index and tag do not get through")
        time.sleep(0.02)
    worked = time.perf_counter() - began
    return round(sent, 3), round(worked * len(files.files) / max(1, now - at_end), 3)


def _settled(edge: EdgeProcess) -> int:
    # Of the running box only: the rows that were there before are all RELEASED.
    rows = edge.rows("SELECT count(*) FROM instance WHERE state IN ('TAGGED', 'UPLOADED', 'ANNOUNCED')")
    return int(rows[0][0])


@contextmanager
def _box(work: Path, count: int) -> Iterator[EdgeProcess]:
    folder = Path(tempfile.mkdtemp(prefix="box-", dir=work))
    edge = EdgeProcess(folder, **AS_SHIPPED)
    try:
        edge.start()
        send(edge.port, draw(folder / "one", "one", "", (MR, 1)), Cell(set_name="mr", associations=1, nodelay=True))
        edge.until(lambda: edge.states() == {"UPLOADED": 1}, "one uploaded", 60)
        edge.stop()
        _multiply_journal(edge.spool / "journal" / "journal.db", count)
        _multiply_index(next(edge.spool.rglob("index*.db")), count)
        os.sync()
        edge.start()
        yield edge
    finally:
        if edge.process is not None:
            edge.stop(signal.SIGKILL)
        shutil.rmtree(folder)


def _multiply_journal(path: Path, count: int) -> None:
    """Enter ``count`` released instances after the pattern of the one that is there."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        columns = [row[1] for row in connection.execute("PRAGMA table_info(instance)")]
        (old_sop,) = connection.execute("SELECT sop_instance_uid FROM instance").fetchone()
        made = {
            "ulid": "printf('01AAAAAAAA%016d', n)",
            "state": "'RELEASED'",
            "sop_instance_uid": "printf('1.2.826.0.1.%d', n)",
            "study_instance_uid": f"printf('1.2.826.1.%d', n / {_IN_STUDY})",
            "series_instance_uid": f"printf('1.2.826.2.%d', n / {_IN_STUDY})",
            "received_sha256": "printf('%064x', n)",
        }
        values = ", ".join(made.get(name, f"t.{name}") for name in columns)
        connection.execute(
            f"WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count})"
            f" INSERT INTO instance SELECT {values} FROM s, (SELECT * FROM instance WHERE sop_instance_uid = ?) t",
            (old_sop,),
        )
        seq, prev = connection.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        at, body = "2026-01-01T00:00:00.000000+00:00", '{"was":"ANNOUNCED"}'

        def entries() -> Iterator[tuple[int, str, str, str, str, str, str]]:
            last = prev
            for n in range(1, count + 1):
                ulid = f"01AAAAAAAA{n:016d}"
                this = entry_hash(last, seq + n, at, ulid, "RELEASED", body)
                yield seq + n, at, ulid, "RELEASED", body, last, this
                last = this

        connection.executemany(
            "INSERT INTO entry (seq, at, ulid, kind, body, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?)", entries()
        )
        connection.commit()


def _multiply_index(path: Path, count: int) -> None:
    """Index as many, 500 to a study, each study with one series and a patient of its own."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA foreign_keys=OFF")
        ids = f"(n / {_IN_STUDY}) + 10"
        studies = count // _IN_STUDY + 1
        study, series = "printf('1.2.826.1.%d', n - 1)", "printf('1.2.826.2.%d', n - 1)"
        for table, rows, made in (
            ("patient", studies, {"id": "n + 9", "identityid": "printf('P%d', n)"}),
            ("study", studies, {"id": "n + 9", "patient_id": "n + 9", "studyinstanceuid": study}),
            ("series", studies, {"id": "n + 9", "study_id": "n + 9", "seriesinstanceuid": series}),
            (
                "instance",
                count,
                {
                    "id": "n + 9", "series_id": ids, "sopinstanceuid": "printf('1.2.826.0.1.%d', n)",
                    "ulid": "printf('01AAAAAAAA%016d', n)",
                },
            ),
            ("instancelocation", count, {"id": "n + 9", "ulid": "printf('01AAAAAAAA%016d', n)"}),
        ):  # fmt: skip
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(made.get(name, f"t.{name}") for name in columns)
            connection.execute(
                f"WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows})"
                f" INSERT INTO {table} SELECT {values} FROM s, (SELECT * FROM {table} WHERE id < 10 LIMIT 1) t"
            )
        connection.commit()
