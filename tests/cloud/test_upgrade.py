"""An index that an earlier version filled goes up with every row; one of a later version is refused.

``index_0001.*.sql`` were written by the software of step 0001 itself: two edges, a conflict, a held part, a second
place, a deleted study, an open, a failing and a damaged generation, import jobs in three states. ``index_0002.*.sql``
are the same rows as the software of step 0002 went on with them: an object that no manifest listed yet.
"""

import json
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

import cloud.db.migrate
import cloud.db.migrations
from cloud.db.engine import open_engine
from cloud.db.migrate import newest
from cloud.db.models import METADATA
from edge.contract.local_queue import LocalQueue
from tests.cloud.conftest import Database
from tests.cloud.edges import ROOT, FakeEdge, scans
from tests.cloud.test_commands import run
from tests.e2e.cloud_process import cloud as process

pytestmark = pytest.mark.door("SQL", "command")
HERE = Path(__file__).parent
ADA = {"PatientName": "Phantom^Ada", "PatientID": "P-1", "PatientSex": "F"}

NEXT = '''"""A step of tomorrow: one more column, filled for the rows that are there."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "9001", {head!r}


def upgrade():
    op.add_column("study", sa.Column("tomorrow", sa.Text()))
    op.execute("UPDATE study SET tomorrow = 'from ' || studyinstanceuid")
    {then}
'''


@pytest.fixture(params=["postgresql", "sqlite"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Give the index as the software of step 0001 left it."""
    yield from _opened("0001", request, tmp_path)


@pytest.fixture(params=["postgresql", "sqlite"])
def old_0002(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Give the index as the software of step 0002 left it."""
    yield from _opened("0002", request, tmp_path)


def _opened(step: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    script = (HERE / f"index_{step}.{request.param}.sql").read_text(encoding="utf-8")
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'cloud.db'}"
        with sqlite3.connect(tmp_path / "cloud.db") as connection:
            connection.executescript(script)
        connection.close()
    else:
        request.getfixturevalue("hasty_server")
        url = request.getfixturevalue("postgres_url")
        with psycopg.connect(url) as server:
            server.execute(script)  # type: ignore[call-overload]  # a fixed text, of many statements
    engine = open_engine(url)
    yield Database(url=url, engine=engine)
    engine.dispose()


def everything(database: Database) -> dict[str, list[str]]:
    """Every row of every table that step 0001 knows, by its columns; what later steps add is left out."""
    found = {}
    with database.engine.connect() as connection:
        for table, columns in KNOWN.items():
            rows = connection.exec_driver_sql(f"SELECT {', '.join(columns)} FROM {table}").mappings()
            found[table] = sorted(json.dumps(dict(row), default=str, sort_keys=True) for row in rows)
    return found


def _known() -> dict[str, list[str]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript((HERE / "index_0001.sqlite.sql").read_text(encoding="utf-8"))
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for table in tables
            if not table.startswith(("sqlite_", "alembic_"))
        }


KNOWN = _known()


def step_of(database: Database) -> str:
    return str(database.one("SELECT version_num FROM alembic_version"))


def test_D8_fault_19_an_index_filled_by_step_0001_goes_up_with_every_row(old):
    """Nothing is lost or changed, the tables are then those of a new index, and doing it again changes nothing."""
    before = everything(old)
    assert step_of(old) == "0001"
    assert {table: len(rows) for table, rows in before.items()} == {
        "patient": 3, "study": 3, "series": 4, "instance": 9, "instancelocation": 11, "instanceconflict": 3,
        "ahlijob": 5, "ahliimageset": 1, "edcpipeline": 1, "edcpipelinefile": 4, "edcpipelinefiledicom": 5,
        "generation": 9, "edge": 3, "edgenumber": 3, "ingesterror": 1,
    }  # fmt: skip
    for _ in range(2):
        done = run("migrate", DATABASE_URL=old.url)
        assert (done.returncode, done.stdout) == (0, f"the index is at step {newest()}\n"), done.stderr
        assert everything(old) == before
        assert step_of(old) == newest()
    with old.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_D8_fault_19_an_index_of_step_0002_goes_up_with_every_row_and_imports_go_on(old_0002):
    """What stood stands; the imports' account counts what was there before, and tells none of it to be imported."""
    before = everything(old_0002)
    assert step_of(old_0002) == "0002"
    assert old_0002.one("SELECT count(*) FROM unannounced") == 1
    done = run("migrate", DATABASE_URL=old_0002.url)
    assert (done.returncode, step_of(old_0002)) == (0, newest()), done.stderr
    assert everything(old_0002) == before
    assert old_0002.one("SELECT count(*) FROM unannounced") == 1
    assert old_0002.one("SELECT sum(sent) >= sum(ins3) AND sum(imported) = 0 FROM seriesimport")
    with old_0002.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


@pytest.mark.full
@pytest.mark.door("HTTP")
def test_D8_E032_E034_I4_an_old_index_is_gone_on_with(old, store, tmp_path):
    """The ingester brings it up by itself; what stood counts, counters go on, every command and page works."""
    north, queue = FakeEdge(store=store, edge_id="north", number=1, site="North", bucket="local"), tmp_path / "up.queue"
    late = north.announce([*scans(1, start=9, patient=ADA), *scans(1, content=b"edited", patient=ADA)])
    again = north.announce(scans(2, patient=ADA))  # what the index of then has already: a further place each
    sender = LocalQueue(queue)
    for sent in (late, again, late):
        sender.send(sent.completed)
    settings = {"DATABASE_URL": old.url, "STORE_DIR": str(tmp_path / "store"), "QUEUE_FILE": str(queue)}
    jobs = f"('{late.manifest.job_id}', '{again.manifest.job_id}')"
    with process(tmp_path, "ingest", **settings) as ingester:

        def settled() -> bool:
            states = old.rows(f"SELECT state FROM generation WHERE jobid IN {jobs} ORDER BY id")
            return states == [("CONFLICT",), ("VERIFIED",)]

        ingester.until(settled, "both are taken over")
        ingester.until(lambda: sender.counts().waiting + sender.counts().in_flight == 0, "the repeat too")
    sender.close()
    assert step_of(old) == newest()
    counts = old.rows(f"SELECT seriescount, totalimagecount FROM study WHERE studyinstanceuid = '{ROOT}.1'")
    assert counts == [(2, 7)]  # 6 before and one late
    assert old.one("SELECT number_of_instances FROM edcpipelinefiledicom WHERE atriuid = '1000000001.1'") == 5
    assert old.one("SELECT count(*) FROM patient") == 3
    (held, *_) = old.rows(f"SELECT sopinstanceuid FROM instanceconflict WHERE jobid = '{late.manifest.job_id}'")
    assert held == (f"{ROOT}.1.1.1",)

    url = {"DATABASE_URL": old.url}
    assert "north" in run("status", **url).stdout
    assert "EDGE_NUMBER=8" in run("register-edge", "new", **url).stdout  # 7 was the highest that was ever used
    gone = run("delete-study", f"{ROOT}.1", **url)
    assert "7 instances" in gone.stdout, gone.stderr
    assert "0 objects" in run("orphans", **settings).stdout
    with process(tmp_path, "dashboard", DASHBOARD_PORT="0", **url) as dashboard:
        for path in ("/", "/edge?id=north", f"/study?uid={ROOT}.2", "/errors", "/health"):
            with urllib.request.urlopen(dashboard.address + path, timeout=20) as answer:
                assert answer.status == 200, path


@pytest.mark.full
@pytest.mark.door("HTTP")
def test_D8_fault_19_an_index_of_newer_software_is_refused_and_left_as_it_is(old, tmp_path):
    """Every command that writes ends with status 1, both steps and the way out; what only reads goes on showing."""
    with old.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9001'")
        connection.exec_driver_sql("ALTER TABLE study ADD COLUMN tomorrow TEXT")
    before = everything(old)
    settings = {
        "DATABASE_URL": old.url,
        "STORE_DIR": str(tmp_path / "store"),
        "QUEUE_FILE": str(tmp_path / "up.queue"),
    }
    (tmp_path / "store").mkdir()
    commands = [
        ["migrate"], ["ingest"], ["rebuild"], ["rebuild", "--into-existing"],
        ["register-edge", "new"], ["delete-study", f"{ROOT}.1"], ["accept", "00000009-0000-4000-8000-000000000009"],
    ]  # fmt: skip
    for command in commands:
        done = run(*command, **settings)
        assert done.returncode == 1, command
        assert "step 9001 by newer software" in done.stderr, command
        assert f"this one knows {newest()}" in done.stderr
        assert "run the newer software" in done.stderr
        assert "Traceback" not in done.stderr
    assert everything(old) == before
    assert step_of(old) == "9001"
    assert "3 studies, 4 series, 9 instances" in run("status", **settings).stdout
    with process(tmp_path, "dashboard", DASHBOARD_PORT="0", DATABASE_URL=old.url) as dashboard:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(dashboard.address + "/health", timeout=20)
        with refused.value as answer:
            assert (answer.status, json.load(answer)["status"]) == (503, "index is of newer software")
        with urllib.request.urlopen(dashboard.address, timeout=20) as answer:
            assert answer.status == 200


def test_D8_I4_a_step_that_fails_midway_leaves_all_as_it_was(old, tmp_path, monkeypatch):
    """The column is added, the next statement fails: the old step and every row are there, and the way up is open."""
    before, head = everything(old), newest()
    folder = tmp_path / "migrations"
    folder.joinpath("versions").mkdir(parents=True)
    original = Path(cloud.db.migrations.__path__[0])
    for file in ["env.py", *(f"versions/{path.name}" for path in (original / "versions").glob("m0*.py"))]:
        (folder / file).write_text((original / file).read_text())

    def config() -> Config:
        made = Config()
        made.set_main_option("script_location", str(folder))
        made.set_main_option("path_separator", "os")
        return made

    monkeypatch.setattr(cloud.db.migrate, "_config", config)
    step = folder / "versions/m9001_tomorrow.py"
    step.write_text(NEXT.format(head=head, then='op.execute("INSERT INTO nosuchtable VALUES (1)")'))
    with pytest.raises(sa.exc.SQLAlchemyError):
        cloud.db.migrate.migrate(old.engine)
    assert (everything(old), step_of(old)) == (before, "0001")
    step.write_text(NEXT.format(head=head, then="pass"))
    assert cloud.db.migrate.migrate(old.engine) == "9001"
    assert old.rows("SELECT tomorrow FROM study ORDER BY studyinstanceuid") == [
        (f"from {ROOT}.{n}",) for n in (1, 2, 3)
    ]
