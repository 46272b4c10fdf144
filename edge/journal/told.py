"""What the cloud tells this edge of its generations (D7), and what the edge can tell of their import before."""

from edge.contract.manifest import timestamp
from edge.contract.states import ReceiptState
from edge.journal.questions import Questions
from edge.journal.rows import ReceivedReceipt, receipt_row


class Told(Questions):
    """Receipts, and what an import would refuse."""

    def record_receipt(self, receipt: ReceivedReceipt) -> bool:
        """Enter what the cloud told of a generation; False if this very message was entered before (I4)."""
        with self.transaction() as tx:
            done = tx.execute(
                "INSERT OR IGNORE INTO receipt (message_id, job_id, state, reason, at) VALUES (?, ?, ?, ?, ?)",
                receipt.message_id,
                receipt.job_id,
                receipt.state,
                receipt.reason,
                timestamp(receipt.at),
            )
            if done.rowcount:
                kind = f"RECEIPT_{receipt.state.value}"
                body = {"job_id": receipt.job_id, "message_id": receipt.message_id, "reason": receipt.reason}
                tx.append(kind, None, **body)
        return bool(done.rowcount)

    def receipts(self, job_id: str | None = None) -> list[ReceivedReceipt]:
        """Return what the cloud told of each generation, or of one: the furthest it got, in the order of coming.

        A journal of an older version, which is only asked, knows of none.
        """
        if not self.query("SELECT 1 FROM sqlite_master WHERE name = 'receipt'"):
            return []
        rows = self.query("SELECT * FROM receipt WHERE ? IS NULL OR job_id = ? ORDER BY rowid", job_id, job_id)
        order = list(ReceiptState)
        found: dict[str, ReceivedReceipt] = {}
        for receipt in map(receipt_row, rows):
            before = found.get(receipt.job_id)
            if before is None or order.index(receipt.state) >= order.index(before.state):
                found[receipt.job_id] = receipt
        return list(found.values())

    def import_warnings(self, most: int) -> list[tuple[str, str, str, int]]:
        """Return (study, series, warning, instances) of what an import would refuse and was not imported yet."""
        if not self.query("SELECT 1 FROM pragma_table_info('instance') WHERE name = 'import_warnings'"):
            return []
        rows = self.query(
            "SELECT study_instance_uid AS study, series_instance_uid AS series, value, count(*) AS n FROM instance,"
            " json_each(instance.import_warnings) WHERE import_warnings IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM receipt WHERE receipt.job_id = instance.job_id AND receipt.state = ?)"
            " GROUP BY study, series, value ORDER BY min(instance.ulid) DESC LIMIT ?",
            ReceiptState.IMPORTED,
            most,
        )
        return [(row["study"], row["series"], row["value"], row["n"]) for row in rows]
