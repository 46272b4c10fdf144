"""The heartbeat: a status that could not be posted is due until it is, and what it may say outside the box."""

from datetime import UTC, datetime

import pytest

from edge.contract.states import ReceiptState
from edge.errors import JournalError
from edge.journal.journal import Journal
from edge.journal.rows import ReceivedReceipt
from edge.services.heartbeat import HeartbeatStage, told_status
from edge.spool.spool import Spool, SpoolSettings


def stage_of(journal: Journal, tmp_path) -> HeartbeatStage:
    spool = Spool(SpoolSettings(root=tmp_path / "spool", reserve_bytes=0), on_received=lambda _: None)
    return HeartbeatStage(
        journal=journal, spool=spool, edge_number=7, site="TRIAL", seconds=60,
        associations=lambda: 0, troubles=list, monotonic=lambda: 1000.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "figures"),
    [
        ("imported 2, failed 1: ValidationException: Phantom^Ada", "imported 2, failed 1"),
        ("imported 3, of these with a warning 1, held 2", "imported 3, of these with a warning 1, held 2"),
        ("Phantom^Ada, imported 2", ""),
        ("", ""),
    ],
)
def test_D7_a_heartbeat_quotes_no_reason_of_a_rejection(tmp_path, reason, figures):
    """A receipt of an earlier cloud may quote a name: it stays on the box, the heartbeat has the figures."""
    journal = Journal(tmp_path / "journal.db")
    at = datetime(2026, 3, 1, tzinfo=UTC)
    journal.record_receipt(
        ReceivedReceipt(message_id="m", job_id="j", state=ReceiptState.REJECTED, reason=reason, at=at)
    )
    assert told_status(journal)["Rejected"][0]["Reason"] == reason  # for who sits at the box
    assert [row["Reason"] for row in stage_of(journal, tmp_path).body()["Rejected"]] == [figures]
    journal.close()


def test_fault_04_a_status_that_cannot_be_posted_stays_due(tmp_path):
    """The journal is gone: the stage is in trouble until it is back, not for one step of each minute."""
    journal = Journal(tmp_path / "journal.db")
    stage = stage_of(journal, tmp_path)
    (tmp_path / "journal.db").rename(tmp_path / "moved.db")
    for _ in range(3):
        with pytest.raises(JournalError):
            stage.step()
    (tmp_path / "moved.db").rename(tmp_path / "journal.db")
    assert stage.step()
    assert not stage.step(), "once a minute, when it can"
    journal.close()
