"""A box on a new, empty spool with a new number (`dicom-cloud register-edge --again`), with a real ingester."""

import shutil
from pathlib import Path

import pytest

from tests.cloud.test_commands import run
from tests.e2e.cloud_process import cloud, index_of
from tests.e2e.edge_process import EdgeProcess, running, scan, send
from tests.restore.test_restore import OFTEN, SECOND, THIRD, announced, atriuids

pytestmark = [pytest.mark.door("socket", "command", "SQL"), pytest.mark.full]


def number_of(url: str, *options: str) -> str:
    """Register the edge and return the number that it is given."""
    done = run("register-edge", "trial-edge", *options, DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("EDGE_NUMBER=")]
    return line.removeprefix("EDGE_NUMBER=")


def lost_box(edge: EdgeProcess, number: str) -> None:
    """The box is replaced: an empty disk, and the number that was given again."""
    edge.stop()
    shutil.rmtree(edge.spool)
    edge.settings |= {"EDGE_NUMBER": number, "JOURNAL_COPY_MINUTES": "0"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("copied", [True, False])
def test_P023_P028_registered_again_a_box_keeps_its_old_ids_and_issues_of_its_new_number(tmp_path: Path, copied):
    """Known series go on with the ids they have, new studies get ids of the new number, and the cloud takes both."""
    url = f"sqlite:///{tmp_path}/cloud.db"
    run("migrate", DATABASE_URL=url)
    assert number_of(url) == "1"
    assert "EDGE_NUMBER=2" in run("register-edge", "another", DATABASE_URL=url).stdout
    queue = {"QUEUE_FILE": str(tmp_path / "queue.db"), "STORE_DIR": str(tmp_path / "store")}
    with (
        running(tmp_path, EDGE_NUMBER="1", JOURNAL_COPY_MINUTES="0") as edge,
        cloud(tmp_path, "ingest", DATABASE_URL=url, **queue) as ingester,
        index_of(url) as rows,
    ):
        send(edge, scan(1), scan(1, **SECOND))
        edge.until_states(ANNOUNCED=2)
        if copied:
            edge.stop()
            edge.settings["JOURNAL_COPY_MINUTES"] = OFTEN
            edge.start()
            edge.until(lambda: announced(edge) == 2, "a copy of the end")
        lost_box(edge, number_of(url, "--again"))
        assert edge.settings["EDGE_NUMBER"] == "3"
        edge.start()
        send(edge, scan(2), scan(1, series="1.2.3.2"), scan(1, **THIRD), scan(1, study="1.9", series="1.9.1"))
        edge.until(lambda: sum(edge.states().get(s, 0) for s in ("ANNOUNCED", "RELEASED")) == 6, "all are announced")
        assert atriuids(edge) == {
            "1.2.3.1": {"1000000001.1"}, "1.5.1": {"1000000002.1"}, "1.2.3.2": {"1000000001.2"},
            "1.7.1": {"3000000001.1"}, "1.9.1": {"3000000002.1"},
        }  # fmt: skip
        settled = "SELECT count(*) FROM generation WHERE state IN ('VERIFIED', 'CONFLICT')"
        ingester.until(lambda: rows(settled) == [(5,)], "the ingester has settled them")
        assert rows("SELECT count(*) FROM instance") == [(6,)]
        assert rows("SELECT count(*) FROM ingesterror") == [(0,)]


def test_P023_a_number_lower_than_that_of_its_ids_is_refused(tmp_path: Path):
    """The number of before, set again on the replaced box: nothing is issued, the hint says where the right one is."""
    with running(tmp_path, EDGE_NUMBER="3", JOURNAL_COPY_MINUTES="0") as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        lost_box(edge, "1")
        edge.start()
        (waiting,) = [e for e in edge.events("stage.waiting") if "stage restore" in e["text"]]
        assert "3000000001.1, of a number that was given after this edge's" in waiting["text"]
        assert "list-edges" in waiting["hint"]
        assert send(edge, scan(2)) == [0]
        assert not (edge.spool / "journal/journal.db").exists()
