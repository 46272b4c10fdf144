"""The EDC that the query reads: our own small one, a portal's with other names, and every way in which it fails."""

import json

import pytest
import sqlalchemy as sa

from cloud.errors import ConfigError, SeedFault
from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.edc.names import EdcNames
from cloud.pipeline.edc.query import edc_connection, find_upload, load_upload
from cloud.pipeline.edc.schema import seed
from cloud.pipeline.edc.write import ensure_upload
from cloud.pipeline.names import SourceKey
from tests.cloud.test_commands import run
from tests.pipeline.api import EDC

KEY = SourceKey.parse("subjecteventcrffile/1/11/scan/a2.dcm")
PORTAL = {
    "subject": {"table": "portal_participant", "code": "participant_code"},
    "ddfile": {"table": "portal_field", "name": "field_name"},
    "subjecteventcrffile": {"versioncode": "file_version"},
}


def code_of(action):
    """The code that an action is refused with."""
    with pytest.raises(ErrorMessage) as caught:
        action()
    return caught.value.code


@pytest.mark.door("SQL")
def test_P020_P060_an_upload_is_found_by_its_key(database):
    """Form, field, participant, event, record, revision and number of the row, on both databases."""
    seed(database.engine, EDC)
    with edc_connection(database.url) as connection:
        found = find_upload(connection, KEY)
        assert load_upload(connection, 102) == found
    assert found.to_json() == {
        "ddcrf_name": "amypet",
        "ddfile_name": "scan",
        "participant_code": "TRC001",
        "event_code": "bl",
        "subject_event_crf_id": 11,
        "revision_number": 2,
        "subject_event_crf_file_id": 102,
        "file_name": "a2.dcm",
    }


@pytest.mark.parametrize(
    "key",
    ["1/11/scan/zz.dcm", "1/12/scan/a2.dcm", "2/11/scan/a2.dcm", "1/11/other/a2.dcm"],
)
@pytest.mark.door("SQL")
def test_P092_ERRL1003_a_key_that_the_edc_does_not_know(sqlite, key):
    """Every part of the key must be the row's own."""
    seed(sqlite.engine, EDC)
    with edc_connection(sqlite.url) as connection:
        where = SourceKey.parse(f"subjecteventcrffile/{key}")
        assert code_of(lambda: find_upload(connection, where)) is Code.ERRL1003


@pytest.mark.door("SQL")
def test_P091_P093_ERRL1002_ERRL1004_a_replica_that_is_away_or_another(sqlite, tmp_path):
    """Nobody listens; the tables are not there: each with its code, and no address or password in the words."""

    def ask(url):
        with edc_connection(url) as connection:
            find_upload(connection, KEY)

    with pytest.raises(ErrorMessage) as caught:
        ask("postgresql://reader:s3cret@127.0.0.1:1/edc?connect_timeout=2")
    assert caught.value.code is Code.ERRL1002
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"
    assert code_of(lambda: ask(f"sqlite:///{tmp_path / 'empty.db'}")) is Code.ERRL1004


@pytest.mark.door("SQL")
def test_P060_a_portals_own_names_are_read(database):
    """Tables and columns that a real replica calls otherwise are found by the names that were configured."""
    seed(database.engine, EDC)
    with database.engine.begin() as connection:
        for statement in (
            "ALTER TABLE subject RENAME TO portal_participant",
            "ALTER TABLE portal_participant RENAME COLUMN code TO participant_code",
            "ALTER TABLE ddfile RENAME TO portal_field",
            "ALTER TABLE portal_field RENAME COLUMN name TO field_name",
            "ALTER TABLE subjecteventcrffile RENAME COLUMN versioncode TO file_version",
        ):
            connection.exec_driver_sql(statement)
    names = EdcNames.read(PORTAL)
    with edc_connection(database.url) as connection:
        assert find_upload(connection, KEY, names).participant_code == "TRC001"
    with database.engine.begin() as connection:
        new = SourceKey.parse("subjecteventcrffile/1/11/scan/a3.zip")
        assert ensure_upload(connection, new, names) == ensure_upload(connection, new, names)
        assert find_upload(connection, new, names).revision_number == 3


def test_P060_names_that_are_none_are_all_said_at_once():
    """Unknown tables and columns, and what could not be a name, are listed together."""
    with pytest.raises(ConfigError) as caught:
        EdcNames.read(
            {"schema": "a b", "patient": {}, "subject": {"nmae": "x", "code": "x; DROP TABLE subject"}, "event": 3}
        )
    assert len(str(caught.value).splitlines()) == 5
    with pytest.raises(ConfigError):
        EdcNames.read([])


@pytest.mark.door("command", "SQL")
def test_P060_edc_seed_makes_tables_and_first_rows(sqlite, tmp_path):
    """Typed twice it changes nothing; a file of rows adds to them; one with faults is refused whole."""
    for _ in range(2):
        done = run("edc", "seed", "--demo", DATABASE_URL=sqlite.url)
        assert done.returncode == 0, done.stderr
    assert sqlite.one("SELECT count(*) FROM subjecteventcrf") == 3
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"subject": [{"id": 9, "code": "TRC009"}]}))
    assert run("edc", "seed", str(path), DATABASE_URL=sqlite.url).returncode == 0
    assert sqlite.one("SELECT count(*) FROM subject") == 3
    faulty = {"subject": [{"id": "9", "code": 9}, {"id": 10}], "nothing": []}
    path.write_text(json.dumps(faulty))
    refused = run("edc", "seed", str(path), DATABASE_URL=sqlite.url)
    assert refused.returncode == 1
    for words in ("nothing: none of", "row 1: id is no number", "row 1: code is no text", "row 2: expected exactly"):
        assert words in refused.stderr
    path.write_text("{")
    assert "cannot be read as JSON" in run("edc", "seed", str(path), DATABASE_URL=sqlite.url).stderr
    with pytest.raises(SeedFault):
        seed(sqlite.engine, {"ddfile": [{"id": 5, "ddcrf_id": 77, "name": "x"}]})


@pytest.mark.door("SQL")
def test_P060_seeded_rows_are_counted_on_from(database):
    """Rows that come without an id are numbered behind those that came with one."""
    seed(database.engine, EDC)
    with database.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO subject (code) VALUES ('TRC010')"))
    assert database.one("SELECT id FROM subject WHERE code = 'TRC010'") == 3
