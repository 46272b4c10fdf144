"""The index made again from the store alone, and dead messages put back, as an operator types it."""

import json
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud.db.engine import open_engine
from cloud.db.migrate import migrate
from cloud.db.models import METADATA
from cloud.db.views import STUDYLIST_VIEW
from cloud.ingest.ingest import Ingester
from cloud.rebuild import Progress, find_manifests, rebuild_index
from edge.contract.keys import manifest_key
from edge.contract.local_queue import LocalQueue
from tests.cloud.conftest import Database
from tests.cloud.edges import OPENED, ROOT, FakeEdge, put, scans
from tests.cloud.test_commands import run

pytestmark = pytest.mark.door("command", "SQL")
#: When a row was written, and what only messages tell: no manifest holds them.
VOLATILE = {"insertedat", "verifiedat", "givenat", "lastseen"}
MINUTE = timedelta(minutes=1)


def dump(engine: sa.Engine) -> dict[str, list[str]]:
    """Every row of every table, in one order; a row's own number is replaced by the row that it stands for."""
    known: dict[tuple[str, int], str] = {}
    found: dict[str, list[str]] = {}
    with engine.connect() as connection:
        for table in METADATA.sorted_tables:
            found[table.name] = []
            for row in connection.execute(sa.select(table)).mappings():
                values = {}
                for column in table.columns:
                    value = row[column.name]
                    if column.name in VOLATILE or (column.name == "id" and table.name != "edcpipelinefile"):
                        continue
                    for key in column.foreign_keys:
                        value = known.get((key.column.table.name, value), value)
                    values[column.name] = value
                text = json.dumps(values, sort_keys=True, default=str)
                known[table.name, row.get("id", 0)] = text
                found[table.name].append(text)
            found[table.name].sort()
        view = STUDYLIST_VIEW.split()[2]
        found[view] = sorted(map(str, connection.execute(sa.text(f"SELECT * FROM {view}")).all()))
    return found


def emptied(database: Database, folder: Path) -> Database:
    """An empty database in the place of this one: no table in it."""
    if database.engine.dialect.name == "postgresql":
        with database.engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        return database
    url = f"sqlite:///{folder / 'again.db'}"
    return Database(url=url, engine=open_engine(url))


def settings(database: Database, folder: Path) -> dict[str, str]:
    return {"DATABASE_URL": database.url, "STORE_DIR": str(folder / "store")}


def job(n: int) -> str:
    """A generation's name whose keys sort against the order of time."""
    return f"{90 - n}{str(uuid.UUID(int=n))[2:]}"


def announce_all(store) -> list[str]:
    """Two edges, late and conflicting generations, a study without PatientID, errors: the messages in order."""
    one, two = FakeEdge(store=store), FakeEdge(store=store, edge_id="demo-edge2", number=2, site="Site Two")
    nameless = {"PatientName": "Phantom^Ada"}
    rounds = [
        (one, scans(3) + scans(2, series=f"{ROOT}.1.2", scan_id=2, modality="RTSTRUCT"), {}),
        (two, scans(1, series=f"{ROOT}.2.1", patient=nameless), {"study": f"{ROOT}.2", "parked_count": 1}),
        (one, scans(2, start=4), {"close_reason": "operator"}),
        (two, scans(2), {}),  # the study is the first edge's: held
        (one, scans(1, content=b"other"), {}),  # the same SOPInstanceUID, other content: held
        (two, scans(1, series=f"{ROOT}.2.2", scan_id=2, has_error=True), {"study": f"{ROOT}.2"}),
        (one, [], {"study": f"{ROOT}.3", "n": 3, "parked_count": 4}),
    ]
    return [
        edge.announce(some, job_id=job(n), opened_at=OPENED + n * 3 * MINUTE, **more).completed
        for n, (edge, some, more) in enumerate(rounds)
    ]


def test_D8_the_index_is_made_again_from_the_store_alone(database, store, tmp_path):
    """Into an empty database come the same rows, FileIDs, ATRIUIDs, winners, conflicts and counters as before."""
    ingester = Ingester(database.engine, store)
    for message in announce_all(store):
        ingester.handle(message)
    before = dump(database.engine)
    assert len(before["instance"]) == 9
    assert len(before["instanceconflict"]) == 3
    again = emptied(database, tmp_path)
    done = run("rebuild", **settings(again, tmp_path))
    assert done.returncode == 0, done.stderr
    assert "taken over: 7 generations, 9 instances (3 more held as conflicts)" in done.stdout
    assert "written: 7 of 7 manifests" in done.stderr
    after = dump(again.engine)
    for table in before:
        assert after[table] == before[table], table
    twice = run("rebuild", "--into-existing", **settings(again, tmp_path))
    assert "in the index already: 7 generations" in twice.stdout
    assert dump(again.engine) == after
    again.engine.dispose()


def test_D8_rebuild_refuses_an_index_that_is_not_empty(database, store, tmp_path):
    """Rows that stand are not mixed with others unless that is asked for; the message says how."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.announce(scans(2)).completed)
    edge.announce(scans(1, series=f"{ROOT}.2.1"), study=f"{ROOT}.2", n=2)
    before = dump(database.engine)
    refused = run("rebuild", **settings(database, tmp_path))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "not empty" in refused.stderr
    assert "--into-existing" in refused.stderr
    assert dump(database.engine) == before
    added = run("rebuild", "--into-existing", **settings(database, tmp_path))
    assert added.returncode == 0, added.stderr
    assert set(before["instance"]) < set(dump(database.engine)["instance"])


def test_D7_D8_what_cannot_be_taken_over_is_listed_and_the_others_are(database, store, tmp_path):
    """Each damaged, unknown, foreign or unproven manifest is named with its reason and the status tells it."""
    edge = FakeEdge(store=store)
    good, other = edge.announce(scans(2)), scans(1, series=f"{ROOT}.2.1")
    gone = edge.announce(other, study=f"{ROOT}.2", n=2)
    (tmp_path / "store" / gone.manifest.instances[0].key).unlink()
    newer = json.loads(good.manifest.to_json()) | {"ManifestVersion": 7}
    bad = {
        manifest_key("demo-edge1", job(1)): b"[" * 200_000,
        manifest_key("demo-edge1", job(2)): json.dumps(newer).encode(),
        manifest_key("demo-edge1", job(3)): good.manifest.to_json(),  # another generation's
        "manifests/notes.txt": b"hello",
    }
    for key, raw in bad.items():
        put(store, key, raw)
    done = run("rebuild", **settings(database, tmp_path))
    assert done.returncode == 1
    for key in [*bad, manifest_key("demo-edge1", gone.manifest.job_id)]:
        assert key in done.stderr, key
    for words in (
        "5 objects",
        "too deeply",
        "version 7",
        "contradicts itself",
        "not that of a manifest",
        "is missing",
    ):
        assert words in done.stderr, words
    assert "Traceback" not in done.stderr
    assert database.rows("SELECT studyinstanceuid FROM study") == [(f"{ROOT}.1",)]
    put(store, gone.manifest.instances[0].key, b"too late: other bytes")
    assert run("rebuild", "--into-existing", **settings(database, tmp_path)).returncode == 1
    assert database.one("SELECT count(*) FROM study") == 1


class Cut(Exception):
    """The process ends here."""


@pytest.mark.parametrize("at", [0, 2, 6])
def test_D8_I4_a_rebuild_that_was_cut_off_goes_on(sqlite, store, tmp_path, at):
    """Cut off after any generation and run again, the index is the one that a rebuild in one piece makes."""
    announce_all(store)
    rebuild_index(sqlite.engine, store)
    again = emptied(sqlite, tmp_path)
    migrate(again.engine)

    def cut(progress: Progress) -> None:
        if progress.step == "written" and progress.done > at:
            raise Cut

    with pytest.raises(Cut):
        rebuild_index(again.engine, store, on_progress=cut)
    assert again.one("SELECT count(*) FROM generation") == at + 1
    done = run("rebuild", "--into-existing", **settings(again, tmp_path))
    assert done.returncode == 0, done.stderr
    assert dump(again.engine) == dump(sqlite.engine)
    again.engine.dispose()


def test_D8_a_store_that_is_away_ends_it_with_the_way_on(sqlite):
    """A store that does not answer is no fault of a manifest: the command ends and says how to go on."""
    away = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    done = run("rebuild", DATABASE_URL=sqlite.url, BUCKETNAME="b", AWS_REGION="eu-west-1", **away)
    assert (done.returncode, done.stdout) == (1, "")
    assert "run it again with --into-existing" in done.stderr
    assert "Traceback" not in done.stderr


def test_D4_of_two_accounts_of_a_generation_the_later_one_counts(sqlite, store, tmp_path):
    """An edge that was cut off writes its manifest again with a digest in the name: that one was announced."""
    edge = FakeEdge(store=store)
    first = edge.announce(scans(2), job_id=job(1)).manifest
    key = manifest_key("demo-edge1", job(1)).replace(".json", ".0123456789ab.json")
    put(store, key, replace(first, parked_count=1).to_json())
    assert run("rebuild", **settings(sqlite, tmp_path)).returncode == 0
    assert sqlite.rows("SELECT manifestkey, parkedcount FROM generation") == [(key, 1)]
    put(store, key.replace("0123", "4567"), first.to_json())
    found, problems = find_manifests(store, 2)
    assert found == []
    assert {p.reason.split(",")[0] for p in problems} == {"several manifests of one generation"}


def dead_queue(folder: Path, *bodies: str) -> Path:
    """A local queue whose messages were all given up."""
    queue = LocalQueue(folder / "up.queue", visibility_seconds=0, max_receives=1)
    for body in bodies:
        queue.send(body)
    while queue.receive():
        pass
    assert queue.counts().dead == len(bodies)
    queue.close()
    return folder / "up.queue"


def test_D12_redrive_puts_given_up_messages_back(tmp_path):
    """They are listed with their reason and never their text; put back, they are handed out again."""
    path = dead_queue(tmp_path, '{"secret": 1}', '{"secret": 2}')
    listed = run("redrive", "--list", QUEUE_FILE=str(path))
    assert len(listed.stdout.splitlines()) == 2
    assert "received 1 times" in listed.stdout
    assert "secret" not in listed.stdout
    done = run("redrive", QUEUE_FILE=str(path))
    assert (done.returncode, done.stdout) == (0, "2 messages put back into the queue\n")
    queue = LocalQueue(path)
    assert {d.body for d in queue.receive()} == {'{"secret": 1}', '{"secret": 2}'}
    assert queue.counts().dead == 0
    queue.close()


def test_D12_redrive_names_the_way_of_SQS(tmp_path):
    """For SQS the command names AWS's own; a queue that is not there is refused and not made."""
    done = run("redrive", QUEUE_URL="https://sqs.example/1/q")
    assert done.returncode == 1
    assert "start-message-move-task" in done.stderr
    assert "start-message-move-task" in run("redrive", "--help", COLUMNS="200").stdout
    assert run("redrive", QUEUE_FILE=str(tmp_path / "none")).returncode == 1
    assert list(tmp_path.iterdir()) == []
