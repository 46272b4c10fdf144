"""A shard that release empties while an instance is on its way into it."""

from pathlib import Path

from edge.spool.spool import Spool, SpoolSettings
from tests.spool.test_spool import DATASET, REQUEST, keep


def test_I1_an_instance_is_kept_though_its_shard_was_removed_on_its_way_in(tmp_path: Path) -> None:
    """Release takes away the last file of the shard, and the empty shard, between open and commit: no refusal."""
    spool = Spool(SpoolSettings(root=tmp_path / "spool", reserve_bytes=0), on_received=lambda _: None)
    earlier = keep(spool)
    arrival = spool.open(REQUEST)
    arrival.write(DATASET)
    spool.remove(earlier)
    assert list((tmp_path / "spool" / "in").iterdir()) == []
    ulid = arrival.commit()
    assert spool.load(ulid, rehash=True).record.length == len(DATASET)
