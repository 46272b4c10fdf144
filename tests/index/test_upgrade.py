"""The index's schema goes up with rows in it, all or nothing, and never down: shown with a next revision made here."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config

from edge.errors import ConfigError, EdgeError
from edge.index import migrations, schema
from edge.index.writer import IndexWriter
from tests.index.samples import row
from tests.restore.dump import dump

pytestmark = pytest.mark.door("SQL")

NEXT = '''"""A revision of tomorrow: one more column, filled for the rows that are there."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9001", {head!r}, None, None


def upgrade():
    op.add_column("study", sa.Column("tomorrow", sa.Text()))
    op.execute("UPDATE study SET tomorrow = 'from ' || studyinstanceuid")
    {then}
'''


@pytest.fixture
def engine(index_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(index_url.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    engine.dispose()


def heads(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return [r[0] for r in connection.exec_driver_sql(f"SELECT version_num FROM {schema.VERSION_TABLE}")]


@pytest.fixture
def tomorrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: sa.Engine, writer: IndexWriter):
    """Give what installs the software of tomorrow, and then again that of today."""
    (head,) = heads(engine)

    def install(then: str = "pass") -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(Path(migrations.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "versions/9001_tomorrow.py").write_text(NEXT.format(head=head, then=then))

        def config(connection: sa.Connection) -> Config:
            made = Config()
            made.set_main_option("script_location", str(folder).replace("%", "%%"))
            made.attributes["connection"] = connection
            return made

        monkeypatch.setattr(schema, "_config", config)

    return install, monkeypatch.undo


def test_D8_fault_19_an_upgrade_keeps_every_row_and_a_downgrade_is_refused(index_url, engine, writer, tomorrow):
    """Rows of today are there after the upgrade, filled in; today's software then refuses, and changes nothing."""
    install, uninstall = tomorrow
    writer.record([row(), row("1.3.1.1", study="1.3", series="1.3.1", PatientID="P")])
    before = dump(index_url)
    install()
    writer.ensure_schema()
    assert heads(engine) == ["9001"]
    assert dump(index_url) == before
    with engine.connect() as connection:
        filled = connection.exec_driver_sql("SELECT tomorrow FROM study ORDER BY studyinstanceuid").all()
    assert [tuple(r) for r in filled] == [("from 1.2",), ("from 1.3",)]
    writer.ensure_schema()  # a second start changes nothing
    uninstall()
    older = IndexWriter(index_url, "SITE")
    with pytest.raises(ConfigError, match="newer software"):
        older.ensure_schema()
    older.close()
    assert heads(engine) == ["9001"]
    assert dump(index_url) == before


def test_D8_I4_an_upgrade_that_fails_midway_leaves_all_as_it_was(index_url, engine, writer, tomorrow):
    """The column is added, the next statement fails: the old schema, every row and the old revision are there."""
    install, uninstall = tomorrow
    writer.record([row()])
    before, revision = dump(index_url), heads(engine)
    install('op.execute("INSERT INTO nosuchtable VALUES (1)")')
    with pytest.raises(EdgeError):
        writer.ensure_schema()
    assert heads(engine) == revision
    assert "tomorrow" not in {c["name"] for c in sa.inspect(engine).get_columns("study")}
    uninstall()
    writer.ensure_schema()
    writer.record([row("1.2.1.2")])
    assert len(dump(index_url)["instance"]) == len(before["instance"]) + 1
