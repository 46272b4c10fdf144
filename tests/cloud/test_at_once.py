"""Several ingesters at once, each a process of its own, on one queue and one PostgreSQL."""

import random
import signal
from contextlib import ExitStack

import pytest

from edge.contract.local_queue import LocalQueue
from tests.cloud.edges import ROOT, FakeEdge, scans
from tests.e2e.cloud_process import cloud

pytestmark = [pytest.mark.door("SQL", "command"), pytest.mark.full, pytest.mark.timeout(300)]


def test_E030_E032_E034_E035_fault_06_fault_17_three_ingester_processes_on_one_study(postgres, store, tmp_path):
    """Messages doubled, shuffled, poisoned and held back, one ingester killed: rows and counters are those of one."""
    edge, messages = FakeEdge(store=store, bucket="local"), []
    for n in range(12):
        sent = edge.announce(
            [
                *scans(4, start=4 * n + 1),
                *scans(2, series=f"{ROOT}.1.2", scan_id=2, start=2 * n + 1, modality="RTSTRUCT"),
            ]
        )
        messages += [sent.incoming, sent.completed, sent.completed]
    late, messages = messages[-3:], messages[:-3]  # delayed: they come when all else is done
    random.Random(7).shuffle(messages)
    messages[5:5] = ["{", '{"EnvelopeVersion": 99}']
    path = tmp_path / "up.queue"
    queue = LocalQueue(path)
    for message in messages:
        queue.send(message)
    settings = {"DATABASE_URL": postgres.url, "STORE_DIR": str(tmp_path / "store"), "QUEUE_FILE": str(path)}
    verified = "SELECT count(*) FROM generation WHERE state = 'VERIFIED'"
    with ExitStack() as stack:
        first, *others = [stack.enter_context(cloud(_folder(tmp_path, n), "ingest", **settings)) for n in range(3)]
        others[0].until(lambda: postgres.rows(verified)[0][0] >= 3, "some are taken over")
        first.stop(signal.SIGKILL)
        others[0].until(
            lambda: postgres.rows(verified) == [(11,)], "all but the late one", 170
        )  # what it held comes again
        for message in late:
            queue.send(message)
        others[0].until(lambda: postgres.rows(verified) == [(12,)], "the late one too", 60)
    queue.close()
    assert postgres.rows("SELECT seriescount, totalimagecount, modalitiesinstudy FROM study") == [
        (2, 72, "CT/RTSTRUCT")
    ]
    assert postgres.rows("SELECT imagecount FROM series ORDER BY seriesinstanceuid") == [(48,), (24,)]
    assert postgres.rows("SELECT number_of_instances FROM edcpipelinefiledicom ORDER BY atriuid") == [(48,), (24,)]
    assert postgres.one("SELECT count(*) FROM instance") == postgres.one("SELECT count(*) FROM instancelocation") == 72
    assert postgres.one("SELECT count(*) FROM ahlijob") == 24
    assert postgres.one("SELECT count(*) FROM patient") == 1
    assert postgres.one("SELECT count(*) FROM ingesterror WHERE resolvedat IS NULL") == 2
    assert postgres.one("SELECT count(*) FROM instanceconflict") == 0


def _folder(root, n):
    folder = root / f"ingester{n}"
    folder.mkdir()
    return folder
