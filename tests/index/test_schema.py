"""The index's schema history, and what happens when the database is away, locked, full of garbage or refuses."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from edge.errors import ConfigError, IndexAway, IndexFault
from edge.index import schema
from edge.index.migrations import versions
from edge.index.models import METADATA
from edge.index.writer import IndexWriter
from tests.index.conftest import Sql
from tests.index.samples import row


@pytest.fixture
def engine(index_url: str) -> Iterator[sa.Engine]:
    """Give a plain connection beside the writer's."""
    engine = sa.create_engine(index_url)
    yield engine
    engine.dispose()


def test_D8_migrations_and_models_agree(writer: IndexWriter, engine: sa.Engine) -> None:
    """What the history makes is what the models say, on both databases."""
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": schema.VERSION_TABLE,
                "compare_type": True,
                "compare_server_default": True,
                "include_name": lambda name, *_: name != schema.VERSION_TABLE,
            },
        )
        assert compare_metadata(context, METADATA) == []


def test_fault_19_ensure_schema_again_keeps_every_row(writer: IndexWriter, index_url: str, sql: Sql) -> None:
    """A restart, and another process starting at once, find the rows that were there."""
    writer.record([row()])
    again = IndexWriter(index_url, "SITE")
    again.ensure_schema()
    again.close()
    assert sql("SELECT sopinstanceuid FROM Instance;")[1:] == [["1.2.1.1"]]


def test_fault_19_no_migration_drops_or_empties_a_table() -> None:
    """No revision of the history contains a drop, a truncate or a delete, nor a way down that would."""
    files = sorted(Path(versions.__file__).parent.glob("[0-9]*.py"))
    assert files
    for file in files:
        text = file.read_text()
        assert not re.search(r"drop_|truncate|\bdelete\b|\bDROP\b|def downgrade", text), file.name


def test_D8_tables_of_others_in_the_database_are_left_alone(index_url: str, engine: sa.Engine) -> None:
    """Another history in the same database, with Alembic's own default table, is neither read nor changed."""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('somebody-elses')")
    writer = IndexWriter(index_url, "SITE")
    writer.ensure_schema()
    writer.close()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "somebody-elses"


def test_D8_an_index_of_newer_software_is_refused_with_a_hint(
    writer: IndexWriter, index_url: str, engine: sa.Engine
) -> None:
    """An older edge neither works on nor changes an index whose revision it does not know."""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    older = IndexWriter(index_url, "SITE")
    with pytest.raises(ConfigError, match=r"newer software.*9999") as caught:
        older.ensure_schema()
    older.close()
    assert "upgrade" in caught.value.hint


def test_index_away_when_postgresql_is_not_there(tmp_path: Path) -> None:
    """No server: the stage is told to wait, without the URL's password in the text."""
    writer = IndexWriter(f"postgresql://u:verysecret@/x?host={tmp_path}", "SITE")
    for call in (writer.ensure_schema, lambda: writer.record([row()]), lambda: writer.forget_all(["U"])):
        with pytest.raises(IndexAway) as caught:
            call()
        assert caught.value.transient
        assert "verysecret" not in str(caught.value) + caught.value.hint
    writer.close()


def test_index_away_and_back_when_the_connection_is_cut(postgres_url: str) -> None:
    """A server that drops every connection costs at most one step; the next one works."""
    writer = IndexWriter(postgres_url, "SITE")
    writer.ensure_schema()
    writer.record([row()])
    engine = sa.create_engine(postgres_url)
    with engine.connect() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        assert connection.exec_driver_sql(f"{others} AND pid <> pg_backend_pid()").all()
    writer.record([row("1.2.1.2")])
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT totalimagecount FROM Study").scalar() == 2
    engine.dispose()
    writer.close()


def test_index_away_while_sqlite_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that holds the file makes the stage wait, and nothing is half recorded."""
    monkeypatch.setattr("edge.index.writer._BUSY_MS", 50)
    path = tmp_path / "index.db"
    writer = IndexWriter(f"sqlite:///{path}", "SITE")
    writer.ensure_schema()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(IndexAway):
        writer.record([row()])
    other.execute("COMMIT")
    writer.record([row()])
    assert other.execute("SELECT count(*) FROM instance").fetchone() == (1,)
    other.close()
    writer.close()


@pytest.mark.parametrize("kind", ["garbage", "folder", "nowhere"])
def test_index_away_when_the_sqlite_file_is_no_database(tmp_path: Path, kind: str) -> None:
    """A damaged file, or a folder that is missing, is told with a hint and never overwritten."""
    path = tmp_path / "index.db"
    if kind == "garbage":
        path.write_bytes(b"no database" * 1000)
    elif kind == "folder":
        path.mkdir()
    else:
        path = tmp_path / "missing" / "index.db"
    writer = IndexWriter(f"sqlite:///{path}", "SITE")
    with pytest.raises(IndexAway) as caught:
        writer.ensure_schema()
    assert caught.value.hint
    if kind == "garbage":
        assert path.read_bytes() == b"no database" * 1000
    writer.close()


def test_index_fault_when_the_database_refuses_the_values(writer: IndexWriter, engine: sa.Engine) -> None:
    """A value that no waiting mends is a fault of the row, told without the value; nothing is half recorded."""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX trap ON instance (imagecomments)")
    with pytest.raises(IndexFault) as caught:
        writer.record([row("1.1", ImageComments="Doe^Jane"), row("1.2", ImageComments="Doe^Jane")])
    assert "Doe" not in str(caught.value)
    assert caught.value.__cause__ is None
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM study").scalar() == 0


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://u@h/d", "postgresql+pg8000://u@h/d", "nosuch://x"])
def test_a_url_that_is_no_index_is_a_fault_of_the_configuration(url: str) -> None:
    """What can be seen without a connection is said at once."""
    with pytest.raises(ConfigError) as caught:
        IndexWriter(url, "SITE")
    assert "sqlite:" in caught.value.hint


def test_the_header_reader_and_rows_load_without_sqlalchemy_or_alembic() -> None:
    """Parse workers and others that only carry rows do not pay for the database libraries."""
    code = (
        "import sys, edge.index.header, edge.index.rows, edge.parse.pool;"
        "sys.exit(any(m.split('.')[0] in ('sqlalchemy', 'alembic') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fault_17_a_deadlock_made_by_others_is_run_again(postgres_url: str) -> None:
    """Somebody who locks in the wrong order makes PostgreSQL break our transaction; the row is there all the same."""
    writer = IndexWriter(postgres_url, "SITE")
    writer.ensure_schema()
    writer.record([row(PatientID="P")])
    engine = sa.create_engine(postgres_url)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with ThreadPoolExecutor(1) as thread, engine.connect() as other, engine.connect() as watcher:
        other.exec_driver_sql("SELECT id FROM study FOR UPDATE")
        written = thread.submit(writer.record, [row("1.2.1.2", PatientID="P")])
        while not watcher.exec_driver_sql(waiting).scalar():  # bounded by the test's time-out
            watcher.rollback()
        # The writer holds the patient and waits for the study; it waits longer than we, so it is the one broken.
        other.exec_driver_sql("SELECT id FROM patient FOR UPDATE")
        other.commit()
        written.result(30)
        watcher.rollback()
        assert watcher.exec_driver_sql("SELECT totalimagecount FROM Study").scalar() == 2
    engine.dispose()
    writer.close()
