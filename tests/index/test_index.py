"""The index's rows, counters and identities, on SQLite and on PostgreSQL."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from edge.contract.attributes import ATTRIBUTES, Level, SqlType
from edge.errors import ParseFault
from edge.index.locations import Place
from edge.index.models import SERIES, STUDY
from edge.index.writer import IndexWriter
from tests.index.conftest import Sql
from tests.index.samples import row

HOSTILE = (
    "'; DROP TABLE patient; --",
    "Robert'); DELETE FROM instance; --",
    '"; SELECT * FROM "study"; --',
    "%s %(name)s :name ? $1 {0} \\' \\\\",
    "a\0b",
    "\ud800 half a pair",
    "x" * 300,
    "日本語 \u202e bidi \x1b[31m",
)


def counts(sql: Sql) -> list[list[str]]:
    """Every counter of the index, in order of UIDs."""
    return [
        *sql("SELECT studyinstanceuid, seriescount, totalimagecount FROM Study ORDER BY studyinstanceuid;")[1:],
        *sql("SELECT seriesinstanceuid, imagecount FROM Series ORDER BY study_id, seriesinstanceuid;")[1:],
    ]


@pytest.mark.door("SQL")
@pytest.mark.parametrize("level", Level)
def test_E033_select_star_works_as_typed_and_every_attribute_is_a_column(
    writer: IndexWriter, sql: Sql, level: Level
) -> None:
    """A person types SELECT * FROM Patient; and sees each attribute of the level under its lower-case keyword."""
    writer.record([row(PatientID="P1", PatientName="Doe^Jane", Rows=512)])
    header, *found = sql(f"SELECT * FROM {level.value};")
    assert len(found) == 1
    assert {a.keyword.lower() for a in ATTRIBUTES if a.level is level} <= set(header)
    keyword = next(a.keyword for a in ATTRIBUTES if a.level is level)
    assert sql(f"SELECT {keyword} FROM {level.value};")[0] == [keyword.lower()]


def test_E033_instance_carries_what_the_wire_and_the_spool_said(writer: IndexWriter, sql: Sql) -> None:
    """Transfer syntax, size, digest, AE titles and the file's place stand beside the attributes."""
    writer.record([row()])
    assert sql("SELECT transfersyntaxuid, size, sha256, callingaetitle, calledaetitle, ulid FROM Instance;")[1] == [
        "1.2.840.10008.1.2.1", "1234", "ab" * 32, "CLIENT_AE", "EDGE_AE", "U1.2.1.1",
    ]  # fmt: skip
    assert sql("SELECT ulid, kind, key FROM Instancelocation;")[1:] == [["U1.2.1.1", "spool", "/spool/U1.2.1.1.dcm"]]
    assert sql("SELECT receivedat FROM Instance;")[1][0].startswith("2026-01-02 03:04:05")


def test_E032_E034_recording_again_changes_no_count(writer: IndexWriter, sql: Sql) -> None:
    """Counters are right for two series of one study, and stay so however often the rows come."""
    rows = [row(f"1.2.{s}.{i}", series=f"1.2.{s}") for s in (1, 2) for i in range(1, 4 + s)]
    for _ in range(3):
        writer.record(rows)
        assert counts(sql) == [["1.2", "2", "9"], ["1.2.1", "4"], ["1.2.2", "5"]]
    writer.record([row("1.2.2.99", series="1.2.2")])
    assert counts(sql) == [["1.2", "2", "10"], ["1.2.1", "4"], ["1.2.2", "6"]]


def test_E032_first_values_stay_and_later_rows_fill_gaps(writer: IndexWriter, sql: Sql) -> None:
    """The order of repeats does not change the index, and an empty value never wipes one that is there."""
    first = row("1.2.1.1", StudyDescription="knee", PatientID="P")
    second = row("1.2.1.2", StudyDescription="other", AccessionNumber="A7", PatientID="P")
    third = row("1.2.1.3", PatientID="P")
    for batch in ([first], [second], [third], [first], [second, third]):
        writer.record(batch)
    assert sql("SELECT studydescription, accessionnumber FROM Study;")[1:] == [["knee", "A7"]]


def test_fault_16_patients_of_two_issuers_stay_apart(writer: IndexWriter, sql: Sql) -> None:
    """The same PatientID of two issuers, or of none and one, is two patients or three."""
    writer.record(
        [
            row("1.1.1.1", series="1.1.1", study="1.1", PatientID="4711", IssuerOfPatientID="North"),
            row("1.2.1.1", series="1.2.1", study="1.2", PatientID="4711", IssuerOfPatientID="South"),
            row("1.3.1.1", series="1.3.1", study="1.3", PatientID="4711"),
            row("1.4.1.1", series="1.4.1", study="1.4", PatientID="4711"),
        ]
    )
    assert sql("SELECT identityissuer, identityid, issuerofpatientid FROM Patient ORDER BY 1;")[1:] == [
        ["North", "4711", "North"], ["SITE", "4711", ""], ["South", "4711", "South"],
    ]  # fmt: skip


def test_fault_16_without_a_patient_id_each_study_is_one_patient(writer: IndexWriter, sql: Sql) -> None:
    """Objects without PatientID make one patient a study, not one an object, and do not merge across studies."""
    writer.record([row(f"1.{s}.1.{i}", series=f"1.{s}.1", study=f"1.{s}") for s in (1, 2) for i in (1, 2, 3)])
    assert sql("SELECT identityid, patientid FROM Patient ORDER BY 1;")[1:] == [["study:1.1", ""], ["study:1.2", ""]]


def test_D9_a_study_without_patient_goes_to_the_one_named_later(writer: IndexWriter, sql: Sql) -> None:
    """An id-less first object does not leave a nameless patient behind; a second name does not move the study."""
    writer.record([row("1.2.1.1")])
    writer.record([row("1.2.1.2", PatientID="P1", PatientName="Doe^Jane")])
    writer.record([row("1.2.1.3", PatientID="P2")])
    assert sql("SELECT identityid, patientname FROM Patient;")[1:] == [["P1", "Doe^Jane"]]
    assert counts(sql)[0] == ["1.2", "1", "3"]


def test_series_uid_shared_by_two_studies_mixes_nothing(writer: IndexWriter, sql: Sql) -> None:
    """Two studies that use one Series UID keep their own series row and counters."""
    writer.record([row("1.1.1", series="9.9", study="1.1"), row("1.2.1", series="9.9", study="1.2")])
    writer.record([row("1.2.2", series="9.9", study="1.2")])
    assert counts(sql) == [["1.1", "1", "1"], ["1.2", "1", "2"], ["9.9", "1"], ["9.9", "2"]]


def test_E035_fault_18_modalities_are_joined_and_matched_exactly(writer: IndexWriter, index_url: str, sql: Sql) -> None:
    """CT is not found in RTSTRUCT; the joined column lists each modality of the study's series once."""
    writer.record([row("1.1.1.1", series="1.1.1", study="1.1", Modality="RTSTRUCT")])
    writer.record(
        [
            row("1.2.1.1", series="1.2.1", study="1.2", Modality="RTSTRUCT"),
            row("1.2.2.1", series="1.2.2", study="1.2", Modality="CT", ModalitiesInStudy="XX"),
            row("1.2.3.1", series="1.2.3", study="1.2", Modality="CT"),
        ]
    )
    assert sql("SELECT modalitiesinstudy FROM Study ORDER BY studyinstanceuid;")[1:] == [["RTSTRUCT"], ["CT/RTSTRUCT"]]
    engine = sa.create_engine(index_url)
    with engine.connect() as connection:
        for modality, expected in (("CT", ["1.2"]), ("RTSTRUCT", ["1.1", "1.2"]), ("R", []), ("%", []), ("ct", [])):
            asked = sa.select(SERIES.c.study_id).where(SERIES.c.modality == modality)
            query = sa.select(STUDY.c.studyinstanceuid).where(STUDY.c.id.in_(asked)).order_by("studyinstanceuid")
            assert connection.scalars(query).all() == expected
    engine.dispose()


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_fault_20_hostile_and_long_text_goes_through_every_attribute(
    writer: IndexWriter, index_url: str, value: str
) -> None:
    """SQL, format marks, NUL, half surrogates and 300 characters come back from each text column as they went in."""
    uids = {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "ModalitiesInStudy"}
    texts = [a for a in ATTRIBUTES if a.sql_type is SqlType.TEXT and a.keyword not in uids]
    for _ in range(2):
        writer.record([row(**{a.keyword: value for a in texts})])
    expected = value.replace("\0", "").replace("\ud800", "\ufffd")
    engine = sa.create_engine(index_url)
    with engine.connect() as connection:
        for a in texts:
            query = sa.text(f"SELECT {a.column} FROM {a.level.value}")
            assert connection.scalars(query).all() == [expected], a.keyword
    engine.dispose()


def test_fault_20_a_key_too_long_for_a_b_tree_does_not_stop_the_index(writer: IndexWriter, sql: Sql) -> None:
    """Two patients whose ids differ after 4,000 characters stay two, and keep their ids whole."""
    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=4000))
    for n in (1, 2):
        writer.record([row(f"1.{n}.1.1", series=f"1.{n}.1", study=f"1.{n}", PatientID=f"{noise}{n}")])
    assert sql("SELECT patientid FROM Patient ORDER BY patientid;")[1:] == [[noise + "1"], [noise + "2"]]


def test_fault_20_empty_dates_and_times_are_null(writer: IndexWriter, sql: Sql) -> None:
    """No column holds an empty text where the sender gave no date or time."""
    writer.record([row()])
    for a in ATTRIBUTES:
        if a.vr in ("DA", "TM", "DT"):
            assert sql(f"SELECT count(*) FROM {a.level.value} WHERE {a.column} IS NULL;")[1] == ["1"], a.keyword


def test_sequences_are_kept_as_dicom_json(writer: IndexWriter, sql: Sql) -> None:
    """A sequence column holds the DICOM JSON that the header reader made."""
    writer.record([row(ProcedureCodeSequence=[{"00080100": {"vr": "SH", "Value": ["X1"]}}])])
    assert sql("SELECT procedurecodesequence FROM Study;")[1] == ['[{"00080100": {"vr": "SH", "Value": ["X1"]}}]']


def test_fault_17_concurrent_writers_make_no_double_rows_and_count_right(
    writer: IndexWriter, index_url: str, sql: Sql
) -> None:
    """Eight writers with the same studies in random order end with the counts that one writer would have."""
    rows = [row(f"1.{s}.{e}.{i}", series=f"1.{s}.{e}", study=f"1.{s}", PatientID="P", Modality=f"M{e}")
            for s in (1, 2, 3) for e in (1, 2) for i in range(1, 9)]  # fmt: skip

    def write(seed: int) -> None:
        chance = random.Random(seed)
        own = IndexWriter(index_url, "SITE")
        mine = chance.sample(rows, len(rows))
        while mine:
            cut = chance.randint(1, 9)
            own.record(mine[:cut])
            mine = mine[cut:]
        own.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    studies = [[f"1.{s}", "2", "16"] for s in (1, 2, 3)]
    assert sorted(counts(sql)) == sorted(studies + [[f"1.{s}.{e}", "8"] for s in (1, 2, 3) for e in (1, 2)])
    assert sql("SELECT count(*) FROM Patient;")[1] == ["1"]
    assert sql("SELECT DISTINCT modalitiesinstudy FROM Study;")[1:] == [["M1/M2"]]


def test_E033_the_stores_place_stands_beside_the_spools_until_it_is_released(writer: IndexWriter, sql: Sql) -> None:
    """Told twice it is there once, released it is the only one; an instance not held is passed over."""
    writer.record([row(), row("1.2.1.2")])
    asked = "SELECT kind, bucket, region, key, versionid FROM Instancelocation WHERE ulid = 'U1.2.1.1' ORDER BY kind;"
    for version, released in (("v1", False), ("v2", False), ("v2", True), ("v2", True)):
        place = Place(ulid="U1.2.1.1", bucket="b", region="r", key="k", version_id=version, released=released)
        writer.record_places([place, replace(place, ulid="unknown")])
        store, spool = ["store", "b", "r", "k", version], ["spool", "", "", "/spool/U1.2.1.1.dcm", ""]
        assert sql(asked)[1:] == ([store] if released else [spool, store])
    assert sql("SELECT kind FROM Instancelocation WHERE ulid = 'U1.2.1.2';")[1:] == [["spool"]]
    writer.record_places([replace(place, ulid="unknown")])
    assert sql("SELECT count(*) FROM Instancelocation;")[1] == ["2"]


def test_forget_takes_away_what_is_empty_and_counts_again(writer: IndexWriter, sql: Sql) -> None:
    """Forgetting the last instance leaves no series, study or patient; before that, the counts follow."""
    writer.record([row("1.2.1.1", Modality="CT"), row("1.2.2.1", series="1.2.2", Modality="MR")])
    writer.forget_all(["U1.2.2.1"])
    assert counts(sql) == [["1.2", "1", "1"], ["1.2.1", "1"]]
    assert sql("SELECT modalitiesinstudy FROM Study;")[1] == ["CT"]
    writer.forget_all(["U1.2.2.1", "U1.2.1.1"])
    for table in ("Patient", "Study", "Series", "Instance", "Instancelocation"):
        assert sql(f"SELECT count(*) FROM {table};")[1] == ["0"], table


def test_an_instance_recorded_under_another_study_moves_whole(writer: IndexWriter, sql: Sql) -> None:
    """The same SOP Instance UID again in another study: one row, and both studies count right."""
    writer.record([row("9.1", series="1.1.1", study="1.1"), row("9.2", series="1.1.1", study="1.1")])
    writer.record([row("9.1", series="1.2.1", study="1.2", ulid="NEW")])
    assert counts(sql) == [["1.1", "1", "1"], ["1.2", "1", "1"], ["1.1.1", "1"], ["1.2.1", "1"]]
    writer.record([row("9.2", series="1.2.1", study="1.2")])
    assert counts(sql) == [["1.2", "1", "2"], ["1.2.1", "2"]]
    assert sql("SELECT ulid FROM Instance ORDER BY ulid;")[1:] == [["NEW"], ["U9.2"]]


@pytest.mark.parametrize("bad", ["", "1.2.", "a" * 65, "1" * 65, "../../etc", "1.02"])
@pytest.mark.parametrize("which", ["sop", "series", "study"])
def test_a_row_needs_well_formed_uids(which: str, bad: str) -> None:
    """What hangs on a missing or malformed UID is refused before the database sees it, so that it is parked."""
    with pytest.raises(ParseFault, match=r"missing or malformed") as caught:
        row(**{"sop": "1.1", "series": "1.2", "study": "1.3", which: bad})
    assert not bad or bad not in str(caught.value)
