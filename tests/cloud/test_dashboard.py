"""The dashboard over HTTP: figures, plain words, nothing that a device sends can run or break it."""

import html
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from cloud.dashboard.status import read_status
from cloud.db.migrate import newest
from cloud.ingest.ingest import Ingester
from edge.contract.envelope import Kind
from tests.cloud.edges import OPENED, ROOT, FakeEdge, Scan, scans, tampered
from tests.cloud.site import client

pytestmark = pytest.mark.door("HTTP")
NOW = OPENED + timedelta(minutes=3)
XSS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{ 7*7 }}${7*7}",
    "'-alert(1)-'",
    "</td></tr></table><svg/onload=alert(1)>",
)


class Markup(HTMLParser):
    """What a browser makes of a page: its tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str | None] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "script":
            self.scripts.append(dict(attrs).get("src"))


@pytest.fixture
def pages(database):
    """Give a client of the dashboard over the test's database."""
    with client(database.url, lambda: NOW) as http:
        yield http


def figures(page: str, name: str) -> dict[str, str]:
    """Read the figures of the first element that carries the attribute ``name``."""
    part = page[page.index(name) :]
    return dict(re.findall(r'data-figure="(\w+)"[^>]*>(?:<dt>[^<]*</dt><dd>)?([\d,]+)', part[:4000])[:5])


def status_body(**changes) -> dict:
    """Return a status as an edge sends it."""
    body = {
        "EdgeNumber": 1,
        "Site": "Site One",
        "SoftwareVersion": "0.1.0",
        "Counts": {
            "RECEIVED": 1,
            "INDEXED": 1,
            "TAGGED": 1,
            "UPLOADED": 2,
            "ANNOUNCED": 3,
            "RELEASED": 4,
            "PARKED": 2,
            "DUPLICATE": 9,
        },
        "OldestWaiting": "2026-03-01T08:00:00+00:00",
        "OldestOnOneDisk": "2026-03-01T08:10:00+00:00",
        "FreeBytes": 5_000_000,
        "Associations": 2,
        "OpenGenerations": [
            {
                "JobId": "11111111-1111-4111-8111-111111111111",
                "StudyInstanceUID": f"{ROOT}.9",
                "OpenedAt": "2026-03-01T09:31:00+00:00",
                "Received": 6,
                "Uploaded": 2,
                "Parked": 1,
            }
        ],
        "Parked": [
            {
                "Ulid": "01A",
                "At": "2026-03-01T09:00:00+00:00",
                "Reason": "no StudyInstanceUID",
                "Hint": "ask the sender",
                "SOPInstanceUID": "1.2.3",
            }
        ],
        "ParkedTotal": 2,
        "Errors": [
            {
                "At": "2026-03-01T09:00:00+00:00",
                "Event": "stage upload",
                "Text": "the store refuses the keys",
                "Hint": "give new keys",
            }
        ],
    }
    return body | changes


def test_E036_the_overview_tells_the_three_figures(database, store, pages):
    """Received, uploaded and ingested of an edge stand on the first page and in its JSON."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.announce(scans(3), parked_count=1).completed)
    ingester.handle(edge.message(Kind.STATUS, status_body(), NOW))
    page = pages.get("/").text
    assert figures(page, 'data-edge="demo-edge1"') == {
        "received": "14", "uploaded": "9", "ingested": "3", "held": "0", "parked": "2",
    }  # fmt: skip
    assert "the store refuses the keys" in page
    assert "give new keys" in page
    assert "nearly full: 5 MB" in page
    assert "waiting at the edge for" in page
    assert "2 instances are parked" in page
    line = pages.get("/api/overview.json").json()["edges"][0]
    assert line["figures"] == {"received": 14, "uploaded": 9, "ingested": 3, "held": 0, "parked": 2}


def test_I6_the_pages_tell_what_is_on_one_disk_only(database, store, pages):
    """The time of the oldest such scan, or that there is none; nothing of it where the edge does not say."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    untold = status_body()
    del untold["OldestOnOneDisk"]
    for n, (body, words) in enumerate(
        (
            (status_body(), 'Oldest scan that is on one disk only <time datetime="2026-03-01T08:10:00+00:00">'),
            (status_body(OldestOnOneDisk=None), "No scan is on one disk only."),
            (untold, ""),
        )
    ):
        ingester.handle(edge.message(Kind.STATUS, body, NOW + timedelta(seconds=n)))
        for address in ("/", "/edge?id=demo-edge1"):
            page = pages.get(address).text
            assert words in page
            assert ("on one disk only" in page) == bool(words)


def test_D4_the_edge_page_names_what_can_be_done_with_the_parked(database, store, pages):
    """Each command as the edge's own parser takes it, with what it does."""
    Ingester(database.engine, store).handle(FakeEdge(store=store).message(Kind.STATUS, status_body(), NOW))
    page = pages.get("/edge?id=demo-edge1").text
    named = re.findall(r"<code>dicom-edge parked (\w+) ULID</code>", page)
    assert named == ["show", "retry", "accept", "reject"]
    told = subprocess.run([sys.executable, "-m", "edge", "parked", "-h"], capture_output=True, text=True, check=True)
    assert all(re.search(rf"^ +{name} ", told.stdout, re.MULTILINE) for name in named)


def test_D4_the_edge_page_tells_figures_by_generation_and_study(database, store, pages):
    """Each generation and study has its figures, open ones by the edge's own count, parked with reasons."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    first = edge.announce(scans(3), parked_count=1)
    second = edge.announce(scans(2, start=4))
    for sent in (first, second):
        ingester.handle(sent.completed)
    ingester.handle(edge.message(Kind.STATUS, status_body(), NOW))
    page = pages.get("/edge?id=demo-edge1").text
    assert figures(page, f'data-study="{ROOT}.1"') == {
        "received": "6", "uploaded": "5", "ingested": "5", "held": "0", "parked": "1",
    }  # fmt: skip
    assert figures(page, f'data-job="{first.manifest.job_id}"')["received"] == "4"
    assert figures(page, 'data-job="11111111-1111-4111-8111-111111111111"') == {
        "received": "6", "uploaded": "2", "ingested": "0", "held": "0", "parked": "1",
    }  # fmt: skip
    for words in ("no StudyInstanceUID", "ask the sender", "AT THE EDGE", f"/study?uid={ROOT}.9"):
        assert words in page
    assert f"{ROOT}.9" in pages.get(f"/study?uid={ROOT}.9").text


def test_P028_the_study_page_shows_series_atriuids_keys_and_jobs(database, store, pages):
    """A study's page names each series with its ATRIUID, count, import job and the keys of its objects."""
    sent = FakeEdge(store=store).announce(
        [*scans(3), *scans(1, series=f"{ROOT}.1.2", scan_id=2, modality="MR", has_error=True)]
    )
    Ingester(database.engine, store).handle(sent.completed)
    page = pages.get(f"/study?uid={ROOT}.1").text
    for i in sent.manifest.instances:
        assert f"s3://bucket/{i.key}" in page
        assert i.atriuid in page
    assert page.count('data-state="queued"') == 2
    assert "without ATRIUID" in page
    assert "Phantom" not in page


def test_the_errors_page_says_what_and_what_to_do(database, store, pages):
    """Parked messages and generations that do not go on are listed with reason and hint."""
    ingester = Ingester(database.engine, store)
    sent = FakeEdge(store=store).announce(scans(1))
    for text in ('{"EnvelopeVersion": 9}', tampered(sent.completed, Size=1)):
        with pytest.raises(Exception, match=r"."):
            ingester.handle(text)
    page = pages.get("/errors").text
    assert "unknown version" in page
    assert "upgrade this software" in page
    assert "is not the one that was announced" in page
    assert "1 message could not be acted on" in pages.get("/").text


def test_no_patient_is_shown_anywhere(database, store, pages):
    """Neither name nor id of a patient is on any page: there is no sign-in yet."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    patient = {"PatientName": "Secret^Name", "PatientID": "SECRET-ID", "PatientBirthDate": "19010203"}
    more = {"Study": {"AccessionNumber": "SECRET-ACC", "StudyDescription": "SECRET-DESC"}}
    ingester.handle(edge.announce(scans(2, patient=patient, more=more)).completed)
    ingester.handle(edge.announce(scans(1, patient=patient | {"PatientID": "SECRET-2"}, more=more, start=3)).completed)
    for path in ("/", "/edge?id=demo-edge1", f"/study?uid={ROOT}.1", "/errors", "/api/overview.json"):
        text = pages.get(path).text
        assert ROOT in text or path in ("/", "/api/overview.json")
        assert not re.search("secret|19010203", text, re.IGNORECASE), path


@pytest.mark.parametrize("evil", XSS)
def test_whatever_a_device_sends_is_shown_as_text(database, store, pages, evil):
    """Hostile text in every value that is rendered appears escaped and nowhere as markup."""
    edge, ingester = FakeEdge(store=store, site=evil), Ingester(database.engine, store)
    item = {"Ulid": evil, "At": evil, "Reason": evil, "Hint": evil, "SOPInstanceUID": evil}
    open_generation = {"JobId": evil, "StudyInstanceUID": evil, "OpenedAt": evil, "Received": 1}
    error = {"At": evil, "Event": evil, "Text": evil, "Hint": evil}
    refusal = {"Kind": evil, "Peer": evil, "CallingAETitle": evil, "Text": evil, "Hint": evil, "Count": 1, "At": evil}
    body = status_body(
        SoftwareVersion=evil,
        Site=evil,
        Parked=[item],
        OpenGenerations=[open_generation],
        Errors=[error],
        Refusals=[refusal],
    )
    odd = {"Series": {"Modality": evil}, "Study": {"ModalitiesInStudy": evil}}
    sent = edge.announce([Scan(sop=f"{ROOT}.1.1.1", more=odd)], region=evil)
    ingester.handle(sent.completed)
    ingester.handle(edge.announce([Scan(sop=f"{ROOT}.1.1.1", content=b"x", more=odd)]).completed)
    ingester.handle(edge.message(Kind.STATUS, body, NOW))
    ingester.handle(
        tampered(
            edge.announce(scans(1, series=f"{ROOT}.5.1"), study=f"{ROOT}.5", n=2).incoming, StudyInstanceUID=evil[:64]
        )
    )
    with pytest.raises(Exception, match=r"."):
        ingester.handle(json.dumps(json.loads(sent.completed) | {"Kind": evil, "EdgeId": evil}))
    seen = 0
    paths = ("/", "/edge?id=demo-edge1", f"/study?uid={ROOT}.1", "/errors")
    for path, params in [*((p, None) for p in paths), ("/edge", {"id": evil}), ("/study", {"uid": evil})]:
        for fragment in ("", "1"):
            text = pages.get(
                path, params=(params or dict(re.findall(r"(\w+)=([^&]+)", path))) | {"fragment": fragment}
            ).text
            markup = Markup()
            markup.feed(text)
            assert markup.tags.isdisjoint({"img", "svg", "iframe", "object", "style"}), path
            assert markup.tags.isdisjoint({"script"}) or (not fragment and markup.scripts == ["/static/refresh.js"]), (
                path
            )
            assert not any(name.startswith("on") or name == "style" for name, _ in markup.attributes), path
            assert not any(
                (value or "").startswith("javascript") for name, value in markup.attributes if name == "href"
            )
            seen += html.escape(evil).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in text
    assert seen >= 4


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Counts": None, "Parked": None, "OpenGenerations": None},
        {"Counts": "many", "Parked": {"a": 1}, "OpenGenerations": [1, None, "x", {}], "Errors": 5},
        {"Counts": {"RECEIVED": -1, "UPLOADED": "9", "PARKED": 2**70, "INDEXED": True}, "OldestWaiting": "yesterday"},
        {"OldestWaiting": ["2026"], "FreeBytes": -5, "Associations": 1.5, "SoftwareVersion": {"x": 1}},
        {"OldestWaiting": "0001-01-01T00:00:00+23:59", "ParkedTotal": "nan"},
        {"Parked": [{"At": 5, "Reason": ["x"], "Ulid": "u" * 1000}] * 900},
        {
            "OpenGenerations": [
                {"JobId": None, "OpenedAt": "2026-03-01T09:00:00"},
                {"OpenedAt": "2026-03-01T09:00:00+00:00"},
            ]
        },
    ],
)
def test_a_damaged_status_breaks_no_page(database, store, pages, body):
    """Whatever the body of a status holds, the pages stand and the figures are whole numbers."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.announce(scans(2)).completed)
    ingester.handle(edge.message(Kind.STATUS, body, NOW))
    for path in ("/", "/edge?id=demo-edge1", "/errors", f"/study?uid={ROOT}.1", "/api/overview.json"):
        assert pages.get(path).status_code == 200, path
    assert figures(pages.get("/").text, 'data-edge="demo-edge1"')["received"] == "2"


def test_a_status_that_is_no_object_at_all():
    """A list, a number or text in the place of the status counts as a damaged one."""
    for doc in ([], 5, "x", True):
        assert read_status(doc).damaged
    assert not read_status(None).damaged


def test_every_answer_carries_the_security_headers(pages):
    """Pages, fragments, files and refusals alike forbid inline scripts, framing, sniffing and caching."""
    for path in ("/", "/?fragment=1", "/errors", "/edge?id=x", "/nowhere", "/static/style.css", "/health", "/edge"):
        answer = pages.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(
            r"<script>|<style|\sstyle=|\son\w+=",
            answer.text if "html" in answer.headers.get("content-type", "") else "",
        )


def test_only_the_machines_own_names_reach_it(pages):
    """A name that was rebound to our address gets nothing."""
    for host in ("evil.example", "evil.example:8042", "127.0.0.1.evil.example", ""):
        assert pages.get("/", headers={"host": host}).status_code == 421, host
    for host in ("localhost:8042", "[::1]:8042", "127.0.0.1"):
        assert pages.get("/", headers={"host": host}).status_code == 200, host


def test_nothing_can_be_changed_through_it(pages):
    """Every other method is refused."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/", "/edge", "/study", "/errors", "/health", "/api/overview.json"):
            assert pages.request(method, path).status_code == 405


def test_health_tells_a_database_that_is_away_or_old(database, tmp_path, pages):
    """200 with the schema's step; 503 in plain words when the index is away or has no tables."""
    assert pages.get("/health").json() == {"status": "ok", "schema": newest()}
    for url in ("postgresql://u:hunter2@127.0.0.1:1/x", f"sqlite:///{tmp_path}/empty.db"):
        with client(url) as http:
            assert http.get("/health").status_code == 503
            page = http.get("/")
            assert page.status_code == 503
            assert "cannot be read" in page.text
            assert "hunter2" not in page.text


def test_a_reader_does_not_wait_for_a_writer(sqlite, store):
    """While an ingester holds SQLite's write lock, the pages are served."""
    Ingester(sqlite.engine, store).handle(FakeEdge(store=store).announce(scans(1)).completed)
    with client(sqlite.url) as http, sqlite.engine.begin():
        assert http.get("/").status_code == 200


def test_silence_is_said(database, store):
    """An edge that was not heard of for hours is named with the time."""
    Ingester(database.engine, store).handle(FakeEdge(store=store).announce(scans(1)).completed, OPENED)
    with client(database.url, lambda: datetime(2026, 3, 3, tzinfo=UTC)) as http:
        assert "Nothing was heard from this edge for 38 hours" in http.get("/").text
