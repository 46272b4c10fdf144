"""The index as SQL clients see it, and the history that makes it."""

import os
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import cloud.db.migrations
from cloud.db.engine import open_engine
from cloud.db.migrate import migrate, newest
from cloud.db.models import METADATA
from cloud.ingest.ingest import Ingester
from edge.contract.attributes import ATTRIBUTES
from tests.cloud.edges import ROOT, FakeEdge, scans
from tests.parts import program

pytestmark = pytest.mark.door("SQL")


def psql(url: str, sql: str) -> list[str]:
    """Type one line at the prompt."""
    done = subprocess.run(
        [program("psql"), "-X", "-v", "ON_ERROR_STOP=1", "--csv", url, "-c", sql],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    return done.stdout.splitlines()


def test_E033_the_tables_as_typed_in_psql(postgres, store):
    """SELECT * FROM Patient; and its sisters work as typed, and every attribute is a column with its value."""
    sent = FakeEdge(store=store).announce(scans(2))
    Ingester(postgres.engine, store).handle(sent.completed)
    lines = {
        "Patient": 1,
        "Study": 1,
        "Series": 1,
        "Instance": 2,
        "Ahlijob": 1,
        "Ahliimageset": 0,
        "EDCPipelineFile": 1,
    }
    headers = {}
    for table, count in lines.items():
        header, *rows = psql(postgres.url, f"SELECT * from {table};")
        headers[table] = header.split(",")
        assert len(rows) == count, table
    for a in ATTRIBUTES:
        assert a.keyword.lower() in headers[a.level.value]
    assert psql(postgres.url, "SELECT PatientName, PatientID FROM Patient;") == [
        "patientname,patientid",
        "Phantom^Ada,P-1",
    ]
    assert psql(postgres.url, "SELECT Modality, SeriesNumber, ImageCount FROM Series;")[1] == "CT,1,2"
    assert psql(postgres.url, f"SELECT Rows FROM Instance WHERE SOPInstanceUID = '{ROOT}.1.1.2';")[1] == "64"
    bucket_key = psql(postgres.url, "SELECT bucket, region, key FROM InstanceLocation ORDER BY key;")[1]
    assert bucket_key == f"bucket,eu-west-1,{sent.manifest.instances[0].key}"


def test_E033_the_tables_as_typed_in_sqlite(sqlite, store):
    """The same lines work on the laptop's SQLite file."""
    Ingester(sqlite.engine, store).handle(FakeEdge(store=store).announce(scans(2)).completed)
    connection = sqlite3.connect(sa.make_url(sqlite.url).database)
    for table, count in {"Patient": 1, "Study": 1, "Series": 1, "Instance": 2, "Ahlijob": 1, "Ahliimageset": 0}.items():
        assert len(connection.execute(f"SELECT * FROM {table};").fetchall()) == count
    connection.close()


def test_E036_the_study_list(database, store):
    """One line a study, with its patient, modalities and counts."""
    Ingester(database.engine, store).handle(FakeEdge(store=store).announce(scans(3)).completed)
    assert database.rows(
        "SELECT studyinstanceuid, patientname, identityissuer, studydate, modalitiesinstudy, seriescount,"
        " totalimagecount, fileid FROM Studylist"
    ) == [(f"{ROOT}.1", "Phantom^Ada", "Site One", "20260301", "CT", 1, 3, 1_000_000_001)]


def test_D8_models_and_migrations_say_the_same(database):
    """The history leaves exactly the tables that the models describe."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_fault_19_no_step_drops_or_renames_anything(database, store):
    """Migrating again keeps every row, and no step of the history holds a word that removes."""
    Ingester(database.engine, store).handle(FakeEdge(store=store).announce(scans(3)).completed)
    assert migrate(database.engine) == newest()
    assert database.one("SELECT count(*) FROM instance") == 3
    steps = list((Path(cloud.db.migrations.__path__[0]) / "versions").glob("m*.py"))
    assert steps
    for step in steps:
        text = step.read_text().lower()
        assert not any(word in text for word in ("drop_", "drop table", "rename_", "delete from", "truncate")), step


def test_D8_several_migrate_at_once(postgres_url):
    """Four that start together on an empty database all find it migrated."""
    found, engines = [], []

    def work() -> None:
        engine = open_engine(postgres_url)
        engines.append(engine)
        found.append(migrate(engine))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for engine in engines:
        engine.dispose()
    assert found == [newest()] * 4
