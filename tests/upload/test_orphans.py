"""The sweep: what nobody goes on with is aborted, what is ours or young stays, missing rights are said once."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from edge.contract.keys import edge_prefixes
from edge.contract.local_store import DirectoryStore
from edge.errors import StoreAway, StoreDenied
from edge.journal.uploads import Ended, Part, Whole
from edge.upload.orphans import FORGOTTEN_AFTER, ORPHAN_AFTER, OpenUpload, SweepStage
from edge.upload.s3 import S3Store
from tests.seaweed import S3Endpoint
from tests.store.conftest import settings
from tests.upload.line import EDGE_ID, Line


def begin(endpoint: S3Endpoint, bucket: str, key: str) -> str:
    """Open a multipart upload behind the edge's back."""
    return str(endpoint.client().create_multipart_upload(Bucket=bucket, Key=key)["UploadId"])


def open_keys(endpoint: S3Endpoint, bucket: str) -> list[str]:
    return sorted(u["Key"] for u in endpoint.client().list_multipart_uploads(Bucket=bucket).get("Uploads", ()))


@pytest.mark.full
def test_D6_orphans_under_our_own_prefixes_are_aborted_and_no_other(
    line: Line, s3_endpoint: S3Endpoint, s3_bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One left behind under each prefix goes once it is old; another edge's and one that the journal knows stay."""
    ours = [f"{prefix}x/1.dcm" for prefix in edge_prefixes(EDGE_ID)]
    for key in ours:
        begin(s3_endpoint, s3_bucket, key)
    begin(s3_endpoint, s3_bucket, f"{EDGE_ID}-2/x/1.dcm")
    known = f"{EDGE_ID}/known/1.dcm"
    whole = Whole(key=known, size=1, crc64nvme="", part_size=1, given="")
    line.journal.record_multipart_begun(whole, begin(s3_endpoint, s3_bucket, known))
    store = S3Store(settings(s3_endpoint, s3_bucket), line.journal)
    later, clock = datetime.now(UTC), [0.0]
    stage = SweepStage(
        book=line.journal, store=lambda: store, edge_id=EDGE_ID, monotonic=lambda: clock[0], now=lambda: later
    )
    assert not stage.step()
    assert len(open_keys(s3_endpoint, s3_bucket)) == len(ours) + 2  # too young
    later += ORPHAN_AFTER + timedelta(minutes=1)
    stage.step()
    assert len(open_keys(s3_endpoint, s3_bucket)) == len(ours) + 2  # once a day, not at every step
    clock[0] += 24 * 3600
    with caplog.at_level(logging.INFO, "dicom-edge"):
        stage.step()
    assert open_keys(s3_endpoint, s3_bucket) == sorted([f"{EDGE_ID}-2/x/1.dcm", known])
    assert sum(r.event == "upload.orphan-aborted" for r in caplog.records) == len(ours)  # type: ignore[attr-defined]
    later += FORGOTTEN_AFTER
    clock[0] += 24 * 3600
    stage.step()
    assert open_keys(s3_endpoint, s3_bucket) == [f"{EDGE_ID}-2/x/1.dcm"]
    assert line.journal.find_multipart(known) is None


class Without:
    """A store whose listing of uploads answers as told."""

    def __init__(self, fault: Exception) -> None:
        self.fault: Exception | None = fault
        self.asked = 0

    def open_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return iter(())

    def abort_upload(self, upload: OpenUpload) -> None:
        raise AssertionError("nothing is to be aborted")


def test_D6_a_missing_right_to_list_is_said_once_and_is_not_fatal(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """AccessDenied on every day: one warning that names the right, and the stage is in no trouble."""
    store, clock = Without(StoreDenied("list uploads: the store answered AccessDenied", hint="rights")), [0.0]
    stage = SweepStage(
        book=line.journal,
        store=lambda: store,
        edge_id=EDGE_ID,
        monotonic=lambda: clock[0],  # type: ignore[arg-type, return-value]
    )
    with caplog.at_level(logging.INFO, "dicom-edge"):
        for _ in range(3):
            assert not stage.step()
            clock[0] += 24 * 3600
    (warning,) = [r for r in caplog.records if r.event == "upload.not-swept"]  # type: ignore[attr-defined]
    assert "s3:ListBucketMultipartUploads" in warning.fields["hint"]  # type: ignore[attr-defined]
    assert store.asked == 3


def test_D6_a_sweep_that_found_the_store_away_is_made_up_for(line: Line) -> None:
    """StoreAway is raised, so that the flow tries again; not only a day later."""
    store = Without(StoreAway("the link is down", hint="wait"))
    stage = SweepStage(book=line.journal, store=lambda: store, edge_id=EDGE_ID, monotonic=lambda: 0.0)  # type: ignore[arg-type, return-value]
    with pytest.raises(StoreAway):
        stage.step()
    store.fault = None
    stage.step()
    assert store.asked == 1 + len(edge_prefixes(EDGE_ID))


def test_a_directory_store_has_nothing_to_sweep(line: Line) -> None:
    """The stage does no harm where the store has no multipart uploads."""
    store = DirectoryStore(line.folder / "store")
    assert not SweepStage(book=line.journal, store=lambda: store, edge_id=EDGE_ID).step()


def test_D6_I4_the_journal_keeps_uploads_and_parts_until_they_end(line: Line) -> None:
    """Begun and ended are entries of the ledger; a part sent again replaces the one before; the end forgets all."""
    whole = Whole(key="k", size=10, crc64nvme="c", part_size=5, given="g")
    line.journal.record_multipart_begun(whole, "u-1")
    for etag in ("a", "b"):
        line.journal.record_part("u-1", Part(number=1, etag=etag, size=5, crc64nvme="x"))
    found = line.journal.find_multipart("k")
    assert found is not None
    assert (found.upload_id, found.whole, [p.etag for p in found.parts]) == ("u-1", whole, ["b"])
    for _ in range(2):
        line.journal.record_multipart_ended("u-1", Ended.COMPLETED)
    assert line.journal.find_multipart("k") is None
    rows = line.journal.query("SELECT kind FROM entry WHERE kind LIKE 'MULTIPART%' ORDER BY seq")
    kinds = [row["kind"] for row in rows]
    assert kinds == ["MULTIPART_BEGUN", "MULTIPART_ENDED"]
    line.journal.verify_chain()
