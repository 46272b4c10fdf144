"""Keys of the image pipeline: read strictly, built by the rules."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.pipeline.names import Destination, NameFault, SourceKey, timestamp

AT = datetime(2026, 11, 27, 9, 5, 7, tzinfo=UTC)
WHERE = Destination(
    ddcrf_name="PET Amyloid",
    ddfile_name="scan file",
    participant_code="TRC 001",
    event_code="m06",
    subject_event_crf_id=34,
    revision_number=2,
    edc_pipeline_file_id=7,
    ts_create=AT,
    extension=".tar.gz",
)


@pytest.mark.parametrize(
    ("key", "version", "extension"),
    [
        ("subjecteventcrffile/12/34/scan/a1b2.dcm", "a1b2", ".dcm"),
        ("subjecteventcrffile/12/34/scan file/9-x_y.tar.gz", "9-x_y", ".tar.gz"),
        ("subjecteventcrffile/12/34/scan/1", "1", ""),
    ],
)
def test_P007_a_source_key_is_read_and_written_back(key, version, extension):
    """The four parts are read, and make the same key again."""
    found = SourceKey.parse(key)
    assert (found.subject_id, found.subject_event_crf_id) == (12, 34)
    assert (found.version_code, found.extension) == (version, extension)
    assert str(found) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "subjecteventcrffile/12/34/scan/",
        "subjecteventcrffile/12/34/a1.dcm",
        "subjecteventcrffile/12/34/scan/more/a1.dcm",
        "/subjecteventcrffile/12/34/scan/a1.dcm",
        "subjecteventcrffile/0/34/scan/a1.dcm",
        "subjecteventcrffile/012/34/scan/a1.dcm",
        "subjecteventcrffile/-1/34/scan/a1.dcm",
        "subjecteventcrffile/١٢/34/scan/a1.dcm",
        "subjecteventcrffile/12/34/../a1.dcm",
        "subjecteventcrffile/12/34/sc\x00an/a1.dcm",
        "subjecteventcrffile/12/34/ /a1.dcm",
        "subjecteventcrffile/12/34/scan/.dcm",
        "subjecteventcrffile/12/34/scan/a1.",
        "subjecteventcrffile/12/34/scan/a1.dcm\n",
        "subjecteventcrffile/12/34/scan/a.b.c.d",
        "quarantine/12/34/scan/a1.dcm",
        "SubjectEventCrfFile/12/34/scan/a1.dcm",
        f"subjecteventcrffile/{10**19}/34/scan/a1.dcm",
    ],
)
def test_P007_any_other_shape_is_refused(key):
    """A key of another shape is refused with a hint, and is not quoted, since it may hold anything."""
    with pytest.raises(NameFault) as caught:
        SourceKey.parse(key)
    assert "subjecteventcrffile/<subject.id>" in caught.value.hint


def test_P009_P010_P011_P012_the_destination_follows_the_rules():
    """Folder, name, time and extension stand as the rules say, without white space."""
    assert WHERE.key == ("quarantine/PETAmyloidscanfile/PETAmyloid_scanfile_TRC001_m06_34_2_7_20261127_090507.tar.gz")


def test_P012_the_time_is_that_of_the_record_in_utc():
    """The same instant in another zone gives the same name; a time without a zone is refused."""
    assert timestamp(AT.astimezone(timezone(timedelta(hours=9)))) == "20261127_090507"
    with pytest.raises(ValueError, match="timezone-aware"):
        timestamp(AT.replace(tzinfo=None))


def test_P120_the_error_log_bears_the_destinations_name():
    """The log lies under its pipeline's code and is named after the destination."""
    assert WHERE.error_log_key("amypet") == (
        "image_pipelines/error_logs/amypet/PETAmyloid_scanfile_TRC001_m06_34_2_7_20261127_090507_error_log.txt"
    )


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.text(max_size=20))
def test_P011_no_name_leaves_its_folder(form, field, participant, extension):
    """Whatever the EDC's names hold, the key has two slashes, no white space and nothing that cannot be printed."""
    where = Destination(
        ddcrf_name=form,
        ddfile_name=field,
        participant_code=participant,
        event_code="m06",
        subject_event_crf_id=1,
        revision_number=1,
        edc_pipeline_file_id=1,
        ts_create=AT,
        extension=extension,
    )
    try:
        key = where.key
    except NameFault:
        return
    assert key.count("/") == 2
    assert len(key.split()) == 1
    assert not any(ord(c) < 32 for c in key)


def test_a_key_that_s3_could_not_hold_is_refused():
    """A name of a thousand letters is refused with the way out."""
    with pytest.raises(NameFault, match="S3 takes 1024") as caught:
        _ = Destination(
            ddcrf_name="x" * 1000,
            ddfile_name="y",
            participant_code="p",
            event_code="e",
            subject_event_crf_id=1,
            revision_number=1,
            edc_pipeline_file_id=1,
            ts_create=AT,
        ).key
    assert "shorten" in caught.value.hint
