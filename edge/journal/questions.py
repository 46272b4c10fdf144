"""What the journal can be asked: instances, generations and figures, read without a lock (WAL)."""

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

from edge.contract.states import State
from edge.journal.ledger import Ledger
from edge.journal.rows import (
    Entry,
    Generation,
    Instance,
    entry_row,
    generation_row,
    instance_row,
)


class Questions(Ledger):
    """The reading half of the journal."""

    def instances(self, state: State, most: int = 1000, *, without: Collection[str] = ()) -> list[Instance]:
        """Return the oldest instances in ``state``, but for some."""
        rows = self.query("SELECT * FROM instance WHERE state = ? ORDER BY ulid LIMIT ?", state, most + len(without))
        return [instance_row(row) for row in rows if row["ulid"] not in without][:most]

    def instance(self, ulid: str) -> Instance | None:
        """Return one instance."""
        rows = self.query("SELECT * FROM instance WHERE ulid = ?", ulid)
        return instance_row(rows[0]) if rows else None

    def named(self, sop_instance_uid: str) -> list[Instance]:
        """Return every instance that came, or goes, by this SOP Instance UID, oldest first."""
        rows = self.query("SELECT * FROM instance WHERE sop_instance_uid = ? ORDER BY ulid", sop_instance_uid)
        return [instance_row(row) for row in rows]

    def entries(self, ulid: str) -> list[Entry]:
        """Return what the ledger says of one instance, in order."""
        rows = self.query("SELECT seq, at, kind, body, hash FROM entry WHERE ulid = ? ORDER BY seq", ulid)
        return [entry_row(row) for row in rows]

    def entered(self, after: int, most: int) -> list[tuple[int, Instance, str | None]]:
        """Return (entry, instance as it is now, why its generation was closed) of what was indexed after an entry.

        In the order of the ledger; what was indexed twice is there twice.
        """
        rows = self.query(
            "SELECT entry.seq AS entry_seq, instance.*, (SELECT close_reason FROM generation"
            " WHERE generation.job_id = instance.job_id) AS close_reason"
            " FROM entry CROSS JOIN instance ON instance.ulid = entry.ulid"  # CROSS: the entries lead
            " WHERE entry.seq > ? AND entry.kind IN (?, 'INSTANCE_RESTORED') ORDER BY entry.seq LIMIT ?",
            after,
            State.INDEXED,
            most,
        )
        found = []
        for row in rows:
            values = dict(row)
            seq, reason = values.pop("entry_seq"), values.pop("close_reason")
            found.append((int(seq), instance_row(values), reason))
        return found

    def placed(self, after: int, upto: int, most: int) -> list[tuple[int, Instance]]:
        """Return (entry, instance as it is now) of what was uploaded or released after an entry, in that order."""
        rows = self.query(
            "SELECT entry.seq AS entry_seq, instance.* FROM entry CROSS JOIN instance ON instance.ulid = entry.ulid"
            " WHERE entry.seq > ? AND entry.seq <= ? AND entry.kind IN (?, ?, 'INSTANCE_RESTORED')"
            " ORDER BY entry.seq LIMIT ?",
            after,
            upto,
            State.UPLOADED,
            State.RELEASED,
            most,
        )
        return [(int(v.pop("entry_seq")), instance_row(v)) for v in map(dict, rows)]

    def last_entry(self) -> int:
        """Return the number of the ledger's last entry, 0 if it has none."""
        return int(self.query("SELECT coalesce(max(seq), 0) AS last FROM entry")[0]["last"])

    def entry_count(self) -> int:
        """Return how many entries the ledger has."""
        return int(self.query("SELECT coalesce(max(seq), 0) AS seq FROM entry")[0]["seq"])

    def unconfirmed(self, most: int) -> list[tuple[str, State, datetime]]:
        """Return (ULID, state, received at) of the oldest instances that no store has confirmed yet."""
        rows = self.query(
            "SELECT ulid, state, received_at FROM instance WHERE state IN (?, ?, ?)"
            " OR (state IN (?, ?) AND parked_stored IS NULL) ORDER BY ulid LIMIT ?",
            State.RECEIVED,
            State.INDEXED,
            State.TAGGED,
            State.PARKED,
            State.REJECTED,
            most,
        )
        return [(row["ulid"], State(row["state"]), datetime.fromisoformat(row["received_at"])) for row in rows]

    def may_be_gone(self, ulid: str) -> bool:
        """Tell whether the ledger says why the local bytes of an instance may go: released, or a duplicate (I3)."""
        rows = self.query(
            "SELECT 1 FROM entry WHERE ulid = ? AND kind IN (?, ?, 'REJECTED_RELEASED') AND seq > (SELECT"
            " coalesce(max(seq), 0) FROM entry WHERE ulid = ?"
            " AND kind IN (?, 'INSTANCE_RESTORED', 'INSTANCE_FOUND')) LIMIT 1",
            ulid,
            State.RELEASED,
            State.DUPLICATE,
            ulid,
            State.RECEIVED,
        )
        return bool(rows)

    def instances_of(self, job_id: str) -> list[Instance]:
        """Return all instances that were put into a generation, whatever became of them."""
        rows = self.query("SELECT * FROM instance WHERE job_id = ? ORDER BY ulid", job_id)
        return [instance_row(row) for row in rows]

    def counts(self) -> dict[State, int]:
        """Return how many instances are in each state."""
        rows = self.query("SELECT state, count(*) AS n FROM instance GROUP BY state")
        found = {row["state"]: row["n"] for row in rows}
        return {state: found.get(state, 0) for state in State}

    def generations(self, where: str = "announced_at IS NULL", *values: Any, most: int = 1000) -> list[Generation]:
        """Return generations, oldest first; ``where`` is a condition of ours, never text from outside."""
        rows = self.query(f"SELECT * FROM generation WHERE {where} ORDER BY opened_at LIMIT {most:d}", *values)  # noqa: S608  ours
        return [generation_row(row) for row in rows]

    def ready_generations(self) -> list[Generation]:
        """Return the closed generations of which nothing is still on its way up, and no manifest is stored."""
        on_the_way = ", ".join(f"'{state}'" for state in (State.RECEIVED, State.INDEXED, State.TAGGED))
        return self.generations(
            "closed_at IS NOT NULL AND manifest_at IS NULL AND NOT EXISTS (SELECT 1 FROM instance"  # noqa: S608  ours
            f" WHERE instance.job_id = generation.job_id AND instance.state IN ({on_the_way}))"
        )

    def parked_without_copy(self, most: int) -> list[Instance]:
        """Return the oldest parked instances that lie on this disk only."""
        rows = self.query(
            "SELECT * FROM instance WHERE state IN (?, ?) AND parked_stored IS NULL ORDER BY ulid LIMIT ?",
            State.PARKED,
            State.REJECTED,
            most,
        )
        return [instance_row(row) for row in rows]

    def find_twins(self, instance: Instance) -> list[Instance]:
        """Return the instances already settled with the same UID, syntax and digest, oldest first (D4)."""
        rows = self.query(
            "SELECT * FROM instance WHERE sop_instance_uid = ? AND received_sha256 = ? AND transfer_syntax_uid = ?"
            " AND ulid <> ? AND state NOT IN (?, ?, ?) ORDER BY ulid",
            instance.sop_instance_uid,
            instance.received_sha256,
            instance.transfer_syntax_uid,
            instance.ulid,
            State.RECEIVED,
            State.DUPLICATE,
            State.REJECTED,  # sent again, it is judged again (I6)
        )
        return [instance_row(row) for row in rows]

    def find_rival(self, instance: Instance) -> Instance | None:
        """Return the instance that already stands in the line with the same UID and another digest (D4)."""
        rows = self.query(
            "SELECT * FROM instance WHERE sop_instance_uid = ? AND ulid <> ?"
            " AND (received_sha256 <> ? OR transfer_syntax_uid <> ?)"
            " AND state NOT IN (?, ?, ?, ?) ORDER BY ulid LIMIT 1",
            instance.sop_instance_uid,
            instance.ulid,
            instance.received_sha256,
            instance.transfer_syntax_uid,
            State.RECEIVED,
            State.DUPLICATE,
            State.PARKED,
            State.REJECTED,
        )
        return instance_row(rows[0]) if rows else None

    def parked(self, most: int = 1000) -> list[Instance]:
        """Return the parked instances, newest first."""
        rows = self.query("SELECT * FROM instance WHERE state = ? ORDER BY moved_at DESC LIMIT ?", State.PARKED, most)
        return [instance_row(row) for row in rows]

    def accepted(self, ulid: str) -> frozenset[str]:
        """Return what operators have accepted of an instance, at any time."""
        rows = self.query("SELECT body FROM entry WHERE ulid = ? AND kind = 'ACCEPTED'", ulid)
        return frozenset(str(json.loads(row["body"])["what"]) for row in rows)

    def rejected_here(self, most: int) -> list[Instance]:
        """Return the oldest rejected instances that have a copy in the store and were not released yet."""
        rows = self.query(
            "SELECT * FROM instance WHERE state = ? AND parked_stored IS NOT NULL AND stored IS NULL"
            " ORDER BY ulid LIMIT ?",
            State.REJECTED,
            most,
        )
        return [instance_row(row) for row in rows]
