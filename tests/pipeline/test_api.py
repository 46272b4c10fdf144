"""The pipeline's API on a real socket: runs, scans, errors, refusals."""

import threading

import pytest

from cloud.pipeline.api.tokens import Group
from tests.cloud.test_commands import run
from tests.pipeline.api import FILE, NOW, SCANS, open_api

pytestmark = pytest.mark.door("HTTP")
STUDY = "1.2.826.0.1.3680043.8.498.1"


def scans(*counts):
    """One study with so many instances in each of its series."""
    rows = [
        {"series_uid": f"{STUDY}.{n}", "series_number": n, "number_of_instance": count}
        for n, count in enumerate(counts, start=1)
    ]
    return [{"study_uid": STUDY, "series": rows}]


def named(run, **more):
    """What every call on a run names."""
    return {"pipeline_code": "amypet", "subject_event_crf_file_id": 101, "edc_pipeline_file_id": run, **more}


def test_P041_P050_P051_a_run_is_created_and_updated(both):
    """The record has the EDC's file name, starts as Started, and follows what it is told."""
    made = both.post(FILE, pipeline_code="amypet", subject_event_crf_file_id=101)
    assert made.status_code == 200
    assert made.json() == {
        "success": True,
        "data": {
            "id": 1, "pipeline_code": "amypet", "subject_event_crf_file_id": 101, "file_name": "a1.zip",
            "status": "Started", "has_error": False, "ts_create": "2026-11-27T09:05:07Z",
        },
    }  # fmt: skip
    for status in ("In Progress", "Completed"):
        moved = both.post(FILE, **named(1, status=status))
        assert (moved.status_code, moved.json()["data"]["status"]) == (200, status)
    assert both.get(f"{FILE}/1").json()["data"]["status"] == "Completed"


def test_P002_I4_a_file_again_is_another_run_and_an_execution_again_is_the_same(both):
    """Two runs of one file are two records; a repeated call of one execution is one."""
    first, second = both.run(), both.run()
    assert first != second
    again = {both.run(execution="1_11_scan_a1_20261127_090507") for _ in range(3)}
    assert len(again) == 1
    other = both.post(
        FILE, pipeline_code="amypet", subject_event_crf_file_id=102, execution="1_11_scan_a1_20261127_090507"
    )
    assert (other.status_code, other.json()["error_code"]) == (409, "ERRA1006")


def test_P023_P028_runs_created_at_once_have_file_ids_of_their_own(both):
    """Twenty at a time, some for the same execution: every FileID once."""
    found, lock = [], threading.Lock()

    def create(n):
        run = both.run(execution=f"e{n % 15}")
        with lock:
            found.append((n % 15, run))

    threads = [threading.Thread(target=create, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 20
    assert len(set(found)) == len({run for _, run in found}) == 15


def test_P024_P027_P028_P043_P052_P053_series_get_their_atriuids_once(both):
    """Each pair of UIDs has one ATRIUID, FileID.ScanID; asked again it keeps it, and a new series counts on."""
    run = both.run()
    first = both.post(SCANS, **named(run, scans=scans(2, 3)))
    assert first.status_code == 200
    assert first.json() == {
        "success": True,
        "data": {
            "edc_pipeline_file_id": run,
            "pipeline_code": "amypet",
            "subject_event_crf_file_id": 101,
            "scans": [
                {
                    "study_uid": STUDY,
                    "series": [
                        {"series_uid": f"{STUDY}.1", "atri_uid": f"{run}.1"},
                        {"series_uid": f"{STUDY}.2", "atri_uid": f"{run}.2"},
                    ],
                }
            ],
        },
    }
    again = both.post(SCANS, **named(run, scans=scans(5, 3, 1))).json()["data"]["scans"][0]["series"]
    assert [row["atri_uid"] for row in again] == [f"{run}.1", f"{run}.2", f"{run}.3"]
    rows = both.get(f"{FILE}/{run}").json()["data"]["scans"]
    assert [(row["series_number"], row["number_of_instances"]) for row in rows] == [(1, 5), (2, 3), (3, 1)]


def test_P028_scans_recorded_at_once_agree(both):
    """Eight calls for one run at the same time get the same ATRIUIDs."""
    run, found = both.run(), []
    ask = lambda: found.append(both.post(SCANS, **named(run, scans=scans(*[1] * 6))).text)  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_P052_mistyped_names_are_taken_and_the_right_ones_given(api):
    """What the original's callers send works, and the answer has no typing error."""
    run = api.run()
    answer = api.post(
        SCANS,
        pipeline_code="amypet",
        subject_event_crf_file_id="101",
        edc_pipieline_file_id=str(run),
        scans=[{"studyuid": STUDY, "series": [{"seriesuid": f"{STUDY}.1", "serienum": 4, "number_of_instances": 2}]}],
    )
    assert answer.status_code == 200, answer.text
    assert "edc_pipeline_file_id" in answer.json()["data"]
    assert "pipieline" not in answer.text
    moved = api.post(
        FILE, pipeline_code="amypet", subject_event_crf_file_id=101, edc_pipieline_file_id=run, status="Failed"
    )
    assert moved.json()["data"]["status"] == "Failed"


def test_P044_P045_an_error_is_recorded_once_with_its_code(both):
    """The log holds code, words, part and hint; has_error is set, and stays after the run completed."""
    run = both.run()
    for _ in range(2):
        said = both.post(f"{FILE}/log_error", **named(run, error_code="ERRS1002", error="Failed to read", hint="see"))
        assert said.json()["data"]["has_error"] is True
    assert both.post(FILE, **named(run, status="Completed", has_error=False)).json()["data"]["has_error"] is True
    (row,) = both.get(f"{FILE}/{run}").json()["data"]["errors"]
    assert (row["error_code"], row["raised_by"], row["hint"]) == ("ERRS1002", "process_dicom", "see")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (FILE, {}, 422, "ERRS1001"),
        (FILE, {"pipeline_code": "amypet"}, 422, "ERRS1001"),
        (FILE, {"pipeline_code": "nobody", "subject_event_crf_file_id": 101}, 404, "ERRA1004"),
        (FILE, {"pipeline_code": "amypet", "subject_event_crf_file_id": 999}, 404, "ERRL1003"),
        (FILE, {"pipeline_code": "amypet", "subject_event_crf_file_id": 0}, 422, "ERRA1005"),
        (FILE, {"pipeline_code": "amypet", "subject_event_crf_file_id": 2**63}, 422, "ERRA1005"),
        (FILE, {"pipeline_code": "amypet", "subject_event_crf_file_id": 101, "statsu": "Failed"}, 422, "ERRA1005"),
        (FILE, {"pipeline_code": "amypet", "subject_event_crf_file_id": 101, "status": "Failed"}, 422, "ERRS1001"),
        (FILE, named(77, status="Completed"), 404, "ERRL1003"),
        (FILE, named(1, pipeline_code="mri", status="Completed"), 409, "ERRA1006"),
        (FILE, named(1, subject_event_crf_file_id=102, status="Completed"), 409, "ERRA1006"),
        (FILE, named(1, status="Done"), 422, "ERRA1005"),
        (SCANS, named(1), 422, "ERRS1001"),
        (SCANS, named(1, scans=[{"study_uid": "", "series": []}]), 422, "ERRA1005"),
        (SCANS, named(1, scans=[{"study_uid": "1.2\0", "series": []}]), 422, "ERRA1005"),
        (SCANS, named(1, scans=[{"study_uid": "1.2", "series": [{"series_uid": "1", "series_number": 1.5}]}]), 422,
         "ERRA1005"),
        (f"{FILE}/log_error", named(1, error_code="ERRX1", error="x"), 422, "ERRA1005"),
    ],
)  # fmt: skip
def test_P051_P096_a_refusal_says_code_and_field(api, path, body, status, code):
    """Each bad call gets its status, its code and words, and success F; none of them changes anything."""
    assert api.run() == 1
    before = api.get(f"{FILE}/1").json()
    answer = api.post(path, **body)
    assert answer.status_code == status, answer.text
    said = answer.json()
    assert (said["success"], said["error_code"]) == (False, code)
    assert said["error"]
    assert "data" not in said
    assert api.get(f"{FILE}/1").json() == before


def test_P042_a_completed_run_does_not_become_failed(api):
    """What is in quarantine stays Completed; what failed may be run again."""
    run = api.run()
    for status in ("Failed", "In Progress", "Failed", "Completed", "Completed"):
        assert api.post(FILE, **named(run, status=status)).status_code == 200
    refused = api.post(FILE, **named(run, status="Failed"))
    assert (refused.status_code, refused.json()["error_code"]) == (409, "ERRA1006")


def test_P054_only_tokens_that_hold_get_in(api, sqlite):
    """No token, a wrong one, a revoked one and one of another group are refused; the database has no token in it."""
    body = {"pipeline_code": "amypet", "subject_event_crf_file_id": 101}
    assert api.http.post(FILE, json=body).status_code == 401
    assert api.post(FILE, "wrong", **body).json()["error_code"] == "ERRA1001"
    assert api.http.post(FILE, json=body, headers={"Authorization": f"Token {api.token}"}).status_code == 200
    reader = api.token_for(Group.INVENTORY)
    assert api.post(FILE, reader, **body).json()["error_code"] == "ERRA1002"
    assert sqlite.rows("SELECT u.name, g.groupname FROM apiuser u JOIN apiusergroup g ON g.apiuser_id = u.id")[0] == (
        "image-pipeline-aws-integration-bot",
        "image_pipeline_aws_integration",
    )
    kept = "".join(str(row) for row in sqlite.rows("SELECT * FROM apitoken"))
    assert api.token not in kept
    from cloud.pipeline.api.tokens import list_tokens, revoke_token

    with sqlite.engine.begin() as connection:
        mine = next(t for t in list_tokens(connection) if t.user.endswith("bot"))
        assert revoke_token(connection, mine.id, NOW)
        assert not revoke_token(connection, mine.id, NOW)
    assert api.post(FILE, **body).status_code == 401


def test_P056_the_flag_switches_the_plug_in_off(sqlite):
    """Every call is refused with its own code, also with a right token; health still answers."""
    with open_api(sqlite.engine, on=False) as api:
        refused = api.post(FILE, pipeline_code="amypet", subject_event_crf_file_id=101)
        assert (refused.status_code, refused.json()["error_code"]) == (503, "ERRA1003")
        assert api.http.get("/health").json() == {"status": "ok", "plugin": "off"}
    assert sqlite.one("SELECT count(*) FROM edcpipelinefile") == 0


def test_P047_a_pipeline_is_registered_once(both):
    """An administrator registers; the same again changes nothing, another label under the code is refused."""
    admin = both.token_for(Group.ADMIN)
    body = {"code": "audio", "label": "Speech", "ddfiles": "recording"}
    first = both.post("/pipeline/edcpipeline", admin, **body)
    assert first.status_code == 200
    assert both.post("/pipeline/edcpipeline", admin, **body).json() == first.json()
    assert both.post("/pipeline/edcpipeline", admin, **{**body, "label": "Other"}).status_code == 409
    assert both.post("/pipeline/edcpipeline", **{**body, "code": "x"}).status_code == 403
    listed = both.get("/pipeline/edcpipeline").json()["data"]
    assert [row["code"] for row in listed] == ["amypet", "mri", "audio"]


def test_a_body_too_large_or_no_json_is_refused(api):
    """Nine megabytes, and bytes that are no JSON, get a refusal in the same shape."""
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    for content in (b"[" + b" " * (9 << 20), b"{", b"\xff\xfe", b"null", b'"x"', b'{"pipeline_code": "\\ud800"}'):
        answer = api.http.post(FILE, content=content, headers=headers)
        assert answer.status_code == 422, content[:10]
        assert answer.json()["success"] is False


@pytest.mark.door("command", "HTTP")
def test_P023_after_a_rebuild_file_ids_go_on_above_those_ever_given(api, sqlite):
    """The operator says from where; nothing is lowered, and what is out of range is refused."""
    assert api.run() == 1
    url = {"DATABASE_URL": sqlite.url}
    assert run("pipeline", "file-ids", "--from", "4712", **url).stdout == "the next FileID is 4712\n"
    assert api.run() == 4712
    assert run("pipeline", "file-ids", "--from", "7", **url).stdout == "the next FileID is 4713\n"
    assert run("pipeline", "file-ids", "--from", str(10**9), **url).returncode == 1
    assert api.run() == 4713
