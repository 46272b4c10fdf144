"""What notices say and hide, both looks of them, and error logs read again."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from cloud.pipeline.names import Destination
from cloud.pipeline.notices.arrivals import Arrival, shortened
from cloud.pipeline.notices.error_log import RunError, entries
from cloud.pipeline.notices.notice import Notice, Table, one_line
from cloud.pipeline.notices.window import Window
from cloud.pipeline.notices.wording import Digest, digest_notice, error_notice, shown

AT = datetime(2026, 3, 1, 2, 14, 7, tzinfo=UTC)
ENTRY = RunError(
    at=AT, study="trc", pipeline="amypet", image_type="amypet", run="1_11_scan_a1_20260301_021407", file_id="7",
    source="s3://b/subjecteventcrffile/1/11/scan/a1.dcm", destination="s3://d/quarantine/x", error_code="ERRL4002",
    error="Error copy file to destination (it: broke)", raised_by="copy-to-destination", hint="look",
    in_quarantine="no",
)  # fmt: skip
WHERE = Destination(
    ddcrf_name="amypet", ddfile_name="scan", participant_code="TRC001", event_code="bl", subject_event_crf_id=11,
    revision_number=1, edc_pipeline_file_id=7, ts_create=AT, extension=".dcm",
)  # fmt: skip


def test_P127_both_looks_say_the_same_and_nothing_steers_them():
    """Values are escaped in HTML, and neither look carries what a terminal or a mail's header would act on."""
    notice = Notice(
        subject="a", opening="<script>", tables=[Table(rows=[("file", "<b>\x1b[2J"), ("code", "ERRL1003")])]
    )
    assert "&lt;script&gt;" in notice.html()
    assert "<b>" not in notice.html()
    assert "<script>" in notice.text()
    for look in (notice.text(), notice.html()):
        assert "\x1b" not in look
        assert "ERRL1003" in look
    assert one_line("a\r\nBcc: x@example.org\x00") == "a  Bcc: x@example.org"


def test_P127_an_error_notice_names_file_code_message_and_what_to_do():
    """In quarantine or not is said first; the command that goes on is its last line."""
    notice = error_notice(ENTRY, in_quarantine=False, log_address="s3://b/log")
    assert notice.subject == "[trc amypet] ERRL4002 file 7"
    for look in (notice.text(), notice.html()):
        for word in ("NOT in quarantine", "ERRL4002", "it: broke", "s3://b/log", "pipeline redrive 1_11_scan_a1"):
            assert word in look
    assert "is in quarantine, but" in error_notice(ENTRY, in_quarantine=True, log_address="").text()


def test_P126_participants_are_shown_only_where_that_is_switched_on():
    """The code is in the name by P010, and in no notice unless asked for."""
    assert "TRC001" not in shown(WHERE, participant_code=False).file_name
    assert shown(WHERE, participant_code=True).file_name == WHERE.file_name
    assert shortened(WHERE.file_name) == "…_11_1_7_20260301_021407.dcm"
    assert shortened("anything else") == "…"


def test_P124_a_digest_counts_what_came_and_what_is_still_missing():
    """A run that failed and came after all is counted as arrived."""
    came = Arrival(file_id="7", at=AT, folder="quarantine/x/", name="n", has_error=True, run=ENTRY.run)
    window = Window(since=AT, until=AT.replace(day=2))
    missing = Digest(study="trc", pipeline="amypet", window=window, arrivals=(), errors=(ENTRY, ENTRY))
    both = Digest(study="trc", pipeline="amypet", window=window, arrivals=(came,), errors=(ENTRY,))
    assert missing.failed == 1
    assert both.failed == 0
    assert "1 new files, 0 failed" in digest_notice(both).subject
    assert "with an error" in digest_notice(both).text()
    assert digest_notice(missing).text().count("none") == 1


@given(st.lists(st.text(min_size=1).filter(lambda t: t.strip() and t.isprintable()), min_size=2, max_size=2))
def test_P129_error_logs_are_read_again_whatever_stands_in_them(values):
    """Entries survive the way to text and back; a note that somebody wrote between them harms nothing."""
    said, hint = (" ".join(value.split()) for value in values)
    entry = RunError(**{**{f: getattr(ENTRY, f) for f in ENTRY.__slots__}, "error": said, "hint": hint})
    text = f"{ENTRY.to_text()}\nsomebody's note\n\n{entry.to_text()}"
    assert entries(text) == [ENTRY, entry]
