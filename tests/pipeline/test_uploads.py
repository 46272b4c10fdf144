"""Direct uploads on a real S3: signed parts of one key, completion that records the file, and the page that does it."""

import os
import re
from datetime import UTC, datetime

import httpx
import pytest
from playwright.sync_api import expect

from cloud.pipeline.api.tokens import Group
from cloud.pipeline.api.uploads import open_uploads
from cloud.pipeline.edc.names import EdcNames
from cloud.pipeline.setup.buckets import Buckets
from tests.browser import SOON, picture
from tests.pipeline.api import open_api
from tests.waiting import until

UPLOAD = "/pipeline/upload"
PART = 5 << 20  # S3's smallest
WHERE = {"subject_event_crf_id": 11, "ddfile_name": "scan"}


@pytest.fixture
def served(sqlite, s3_endpoint, s3_bucket, monkeypatch):
    """The API with direct uploads into a bucket whose CORS rule knows the page."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_endpoint.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_endpoint.secret_key)
    uploads = open_uploads(
        sqlite.engine,
        sqlite.engine,
        EdcNames(),
        bucket=s3_bucket,
        region="us-east-1",
        endpoint_url=s3_endpoint.url,
        browser_url=None,
        clock=lambda: datetime.now(UTC),
    )
    object.__setattr__(uploads, "part_size", PART)
    with open_api(sqlite.engine, uploads=uploads) as api:
        buckets = Buckets(s3_endpoint.client(), region="us-east-1", kms_key_arn="", tags={})
        buckets.let_pages_upload(s3_bucket, [api.url])
        yield api


@pytest.fixture
def token(served):
    """A token that may upload only."""
    return served.token_for(Group.UPLOAD)


def put_parts(served, token, begun, content):
    """Send every part to its own address; what S3 answered."""
    numbers = list(range(1, begun["parts"] + 1))
    urls = served.post(f"{UPLOAD}/{begun['id']}/parts", token, numbers=numbers).json()["data"]
    done = []
    for row in urls:
        start = (row["number"] - 1) * begun["part_size"]
        answer = httpx.put(row["url"], content=content[start : start + begun["part_size"]], timeout=60)
        assert answer.status_code == 200, answer.text
        done.append({"number": row["number"], "etag": answer.headers["etag"]})
    return done


@pytest.mark.door("HTTP", "SQL")
def test_P169_a_file_in_parts_is_whole_and_recorded_once(served, token, sqlite, s3_endpoint, s3_bucket):
    """Three parts make the object; the EDC gets its next revision; completed again it is the same."""
    content = os.urandom(2 * PART + 1234)
    begun = served.post(UPLOAD, token, **WHERE, file_name="Ada Phantom.tar.gz", size=len(content)).json()["data"]
    assert begun["parts"] == 3
    assert re.fullmatch(r"subjecteventcrffile/1/11/scan/[0-9a-f]{32}\.tar\.gz", begun["key"])
    done = put_parts(served, token, begun, content)
    first = served.post(f"{UPLOAD}/{begun['id']}/complete", token, parts=done)
    assert first.status_code == 200, first.text
    assert served.post(f"{UPLOAD}/{begun['id']}/complete", token, parts=done).json() == first.json()
    held = s3_endpoint.client().get_object(Bucket=s3_bucket, Key=begun["key"])["Body"].read()
    assert held == content
    assert sqlite.rows("SELECT versioncode, extension, revisionnumber FROM subjecteventcrffile WHERE id > 201") == [
        (begun["id"], ".tar.gz", 3)
    ]


@pytest.mark.door("HTTP")
def test_P169_an_address_holds_300_s_for_one_part_of_one_key(served, token):
    """The signature ends after 300 s, and does not fit another key or part."""
    begun = served.post(UPLOAD, token, **WHERE, file_name="a.zip", size=3 * PART).json()["data"]
    (row,) = served.post(f"{UPLOAD}/{begun['id']}/parts", token, numbers=[1]).json()["data"]
    assert "X-Amz-Expires=300" in row["url"]
    assert httpx.put(row["url"].replace("partNumber=1", "partNumber=2"), content=b"x").status_code == 403
    assert httpx.put(row["url"].replace(begun["id"], "0" * 32), content=b"x").status_code == 403
    assert httpx.get(row["url"]).status_code == 403
    assert served.post(f"{UPLOAD}/{begun['id']}/parts", token, numbers=[4]).status_code == 422


@pytest.mark.door("HTTP")
def test_P169_what_is_not_as_announced_is_not_recorded(served, token, sqlite):
    """Too few bytes, another's upload, an aborted one and an unknown record are refused; nothing is recorded."""
    begun = served.post(UPLOAD, token, **WHERE, file_name="a.zip", size=PART + 5).json()["data"]
    done = put_parts(served, token, begun, os.urandom(PART + 2))
    short = served.post(f"{UPLOAD}/{begun['id']}/complete", token, parts=done)
    assert (short.status_code, short.json()["error_code"]) == (409, "ERRA1006")
    other = served.token_for(Group.UPLOAD, user="another")
    assert served.post(f"{UPLOAD}/{begun['id']}/parts", other, numbers=[1]).status_code == 404
    assert served.post(UPLOAD, served.token, **WHERE, file_name="a.zip", size=5).status_code == 403
    more = served.post(UPLOAD, token, **WHERE, file_name="b", size=5).json()["data"]
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(2):
        assert served.http.delete(f"{UPLOAD}/{more['id']}", headers=headers).status_code == 200
    assert served.post(f"{UPLOAD}/{more['id']}/parts", token, numbers=[1]).status_code == 409
    for body in (
        {"subject_event_crf_id": 999, "ddfile_name": "scan"},
        {"subject_event_crf_id": 11, "ddfile_name": "../x"},
    ):
        unknown = served.post(UPLOAD, token, **body, file_name="a.zip", size=5)
        assert (unknown.status_code, unknown.json()["error_code"]) == (404, "ERRL1003")
    assert served.post(UPLOAD, token, **WHERE, file_name="a.z p", size=5).status_code == 422
    assert sqlite.one("SELECT count(*) FROM subjecteventcrffile") == 3


@pytest.mark.door("HTTP", "SQL")
def test_P169_a_completion_that_was_cut_off_is_gone_on_with(served, token, sqlite, s3_endpoint, s3_bucket):
    """The object was made and nothing recorded: completing again records it."""
    content = os.urandom(100)
    begun = served.post(UPLOAD, token, **WHERE, file_name="a.zip", size=100).json()["data"]
    done = put_parts(served, token, begun, content)
    s3_endpoint.client().complete_multipart_upload(
        Bucket=s3_bucket,
        Key=begun["key"],
        UploadId=sqlite.one(f"SELECT uploadid FROM directupload WHERE id = '{begun['id']}'"),
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": done[0]["etag"]}]},
    )
    answer = served.post(f"{UPLOAD}/{begun['id']}/complete", token, parts=done)
    assert answer.status_code == 200, answer.text
    assert sqlite.one("SELECT count(*) FROM subjecteventcrffile") == 4


@pytest.mark.full
@pytest.mark.door("HTTP")
def test_P169_the_page_uploads_in_parts_with_a_progress_bar(served, token, page, tmp_path, s3_endpoint, s3_bucket):
    """A person fills the form; the bar fills; the number that the EDC gave is shown; the object is the file."""
    path = tmp_path / "scan.zip"
    path.write_bytes(os.urandom(3 * PART + 77))
    page.goto(f"{served.url}/upload")
    page.fill("#token", token)
    page.fill("#record", "11")
    page.fill("#field", "scan")
    page.set_input_files("#file", path)
    picture(page, "upload-form")
    page.click("#send")
    expect(page.locator("#said")).to_contain_text("Uploaded", timeout=SOON)
    assert page.locator("#bar").evaluate("bar => bar.value") == 1
    picture(page, "upload-done")
    client = s3_endpoint.client()
    (row,) = client.list_objects_v2(Bucket=s3_bucket, Prefix="subjecteventcrffile/")["Contents"]
    assert client.get_object(Bucket=s3_bucket, Key=row["Key"])["Body"].read() == path.read_bytes()
    page.fill("#record", "999")
    page.click("#send")
    expect(page.locator("#said")).to_contain_text("ERRL1003", timeout=SOON)
    picture(page, "upload-refused")


@pytest.mark.door("HTTP", "SQL")
def test_P169_a_broken_upload_says_what_is_held_and_goes_on(served, token, sqlite, s3_endpoint, s3_bucket):
    """Only whole parts count as held; with the others sent it is completed. What was made and not recorded is recorded
    on asking; what S3 has dropped is ended; another's is not found.
    """
    content = os.urandom(2 * PART + 9)
    begun = served.post(UPLOAD, token, **WHERE, file_name="a.zip", size=len(content)).json()["data"]
    urls = served.post(f"{UPLOAD}/{begun['id']}/parts", token, numbers=[1, 2, 3]).json()["data"]
    assert httpx.put(urls[0]["url"], content=content[:PART], timeout=60).status_code == 200
    assert httpx.put(urls[2]["url"], content=b"short", timeout=60).status_code == 200
    data = served.post(f"{UPLOAD}/{begun['id']}/resume", token).json()["data"]
    assert (data["state"], [part["number"] for part in data["held"]], data["parts"]) == ("OPEN", [1], 3)
    done = data["held"]
    for number in (2, 3):
        part = httpx.put(urls[number - 1]["url"], content=content[(number - 1) * PART : number * PART], timeout=60)
        done.append({"number": number, "etag": part.headers["etag"]})
    client = s3_endpoint.client()
    named = {"Bucket": s3_bucket, "Key": begun["key"]}
    s3_id = sqlite.one(f"SELECT uploadid FROM directupload WHERE id = '{begun['id']}'")
    listed = [{"PartNumber": part["number"], "ETag": part["etag"]} for part in done]
    client.complete_multipart_upload(**named, UploadId=s3_id, MultipartUpload={"Parts": listed})
    data = served.post(f"{UPLOAD}/{begun['id']}/resume", token).json()["data"]
    assert data["state"] == "COMPLETED"
    assert data["subject_event_crf_file_id"] == sqlite.one("SELECT max(id) FROM subjecteventcrffile")
    assert client.get_object(**named)["Body"].read() == content
    more = served.post(UPLOAD, token, **WHERE, file_name="b.zip", size=5).json()["data"]
    s3_id = sqlite.one(f"SELECT uploadid FROM directupload WHERE id = '{more['id']}'")
    client.abort_multipart_upload(Bucket=s3_bucket, Key=more["key"], UploadId=s3_id)
    assert served.post(f"{UPLOAD}/{more['id']}/resume", token).json()["data"]["state"] == "ABORTED"
    other = served.token_for(Group.UPLOAD, user="another")
    assert served.post(f"{UPLOAD}/{more['id']}/resume", other).status_code == 404


@pytest.mark.full
@pytest.mark.door("HTTP")
def test_P169_the_page_goes_on_where_it_was_broken_off(served, token, page, tmp_path, s3_endpoint, s3_bucket, sqlite):
    """A bucket whose rule knows another origin takes nothing, and it is said why; with setup's rule it goes on; closed
    in the middle and opened again, it sends only what is missing. Cancelled, nothing is left.
    """
    path = tmp_path / "scan.zip"
    path.write_bytes(os.urandom(3 * PART + 77))
    client, sent = s3_endpoint.client(), []
    buckets = Buckets(client, region="us-east-1", kms_key_arn="", tags={})
    buckets.let_pages_upload(s3_bucket, ["https://elsewhere.example.org"])
    page.on("dialog", lambda dialog: dialog.accept())  # "leave the page?"
    page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)

    def upload():
        page.fill("#token", token)
        page.fill("#record", "11")
        page.fill("#field", "scan")
        page.set_input_files("#file", path)
        page.click("#send")

    page.goto(f"{served.url}/upload")
    upload()
    expect(page.locator("#said")).to_contain_text("its CORS rule does not know this page", timeout=2 * SOON)
    expect(page.locator("#said")).to_contain_text("Press Upload again to go on")
    picture(page, "upload-broken")
    buckets.let_pages_upload(s3_bucket, [served.url])
    page.route(re.compile("partNumber=3"), lambda _: None)  # on its way for ever
    page.click("#send")
    expect(page.locator("#bar")).to_have_js_property("value", (2 * PART + 77) / (3 * PART + 77), timeout=SOON)
    resume = f"{UPLOAD}/{sqlite.one('SELECT id FROM directupload')}/resume"
    until(lambda: len(served.post(resume, token).json()["data"]["held"]) == 3, "three parts are held")
    page.goto("about:blank")  # before the way is free again: the page would try once more
    page.unroute_all(behavior="ignoreErrors")
    page.goto(f"{served.url}/upload")
    sent.clear()
    upload()
    expect(page.locator("#said")).to_contain_text("Uploaded", timeout=SOON)
    assert "3 of 4 parts are there" in page.locator("#what").inner_text()
    assert [re.search(r"partNumber=(\d+)", url)[1] for url in sent] == ["3"]
    (row,) = client.list_objects_v2(Bucket=s3_bucket, Prefix="subjecteventcrffile/")["Contents"]
    assert client.get_object(Bucket=s3_bucket, Key=row["Key"])["Body"].read() == path.read_bytes()
    asked = []
    page.route(re.compile("/parts$"), lambda route: asked.append(route))  # noqa: PLW0108 - Playwright takes no builtin
    page.route(re.compile("partNumber="), lambda _: None)
    with page.expect_request(re.compile("/parts$")):
        page.click("#send")
    page.click("#cancel")  # before there is an address to send to, let alone a request to break off
    page.unroute(re.compile("/parts$"))
    for route in asked:
        route.continue_()
    expect(page.locator("#said")).to_have_text("Cancelled. Nothing was kept.", timeout=SOON)
    assert sqlite.rows("SELECT state FROM directupload ORDER BY createdat") == [("COMPLETED",), ("ABORTED",)]
    assert client.list_multipart_uploads(Bucket=s3_bucket).get("Uploads", []) == []


@pytest.mark.full
@pytest.mark.door("HTTP")
def test_P047_P167_a_pipeline_is_registered_from_the_page(api, page):
    """A wrong token is said; with a right one the pipelines are listed and one is registered; markup stays text."""
    page.goto(f"{api.url}/")
    page.fill("#token", "wrong")
    page.click("#sign button")
    expect(page.locator("#said")).to_contain_text("ERRA1001", timeout=SOON)
    page.fill("#token", api.token_for(Group.ADMIN))
    page.click("#sign button")
    expect(page.locator("#rows tr")).to_have_count(2, timeout=SOON)
    page.fill("#code", "audio")
    page.fill("#label", "<b onclick=alert(1)>Speech</b>")
    page.fill("#ddfiles", "recording")
    page.click("#register button")
    expect(page.locator("#said")).to_have_text("Pipeline audio is registered.", timeout=SOON)
    expect(page.locator("#rows tr")).to_have_count(3)
    expect(page.locator("#rows tr").last).to_contain_text("<b onclick=alert(1)>Speech</b>recording")
    picture(page, "pipelines")
    page.fill("#code", "audio")
    page.fill("#label", "Another")
    page.click("#register button")
    expect(page.locator("#said")).to_contain_text("another pipeline has this code", timeout=SOON)
