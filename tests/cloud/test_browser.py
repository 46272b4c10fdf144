"""The dashboard in a real browser, taken the way a person would."""

import re
import threading
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from cloud.ingest.ingest import Ingester
from edge.contract.envelope import Kind
from tests.browser import SOON, figure, picture
from tests.cloud.edges import ROOT, FakeEdge, scans
from tests.cloud.site import serving

pytestmark = pytest.mark.door("HTTP")


def status(received: int, uploaded: int, job: str, study: str) -> dict:
    """Return the status of an edge in the middle of a study."""
    return {
        "EdgeNumber": 1,
        "Site": "Site One",
        "SoftwareVersion": "0.1.0",
        "Counts": {"RECEIVED": received - uploaded - 1, "UPLOADED": uploaded, "PARKED": 1},
        "OldestWaiting": None,
        "OldestOnOneDisk": "2026-03-01T09:29:00+00:00",
        "FreeBytes": 200_000_000_000,
        "Associations": 1,
        "OpenGenerations": [
            {
                "JobId": job,
                "StudyInstanceUID": study,
                "OpenedAt": "2026-03-01T09:30:00+00:00",
                "Received": received,
                "Uploaded": uploaded,
                "Parked": 1,
            }
        ],
        "Parked": [
            {
                "Ulid": "01JNB6Z3F8",
                "At": "2026-03-01T09:31:00+00:00",
                "Reason": "The dataset ends before its header does.",
                "Hint": "Send it again from the scanner.",
                "SOPInstanceUID": "1.2.3",
            }
        ],
        "ParkedTotal": 1,
        "Errors": [],
    }


def test_D12_a_study_sent_while_the_page_is_open(sqlite, store, page):
    """While somebody looks, the figures follow the study from the edge into the index, and end as what was sent."""
    edge, ingester = FakeEdge(store=store), Ingester(sqlite.engine, store)
    sent = edge.announce([*scans(4), *scans(3, series=f"{ROOT}.1.2", scan_id=2, modality="MR")], parked_count=1)
    job, study = sent.manifest.job_id, f"{ROOT}.1"
    with serving(sqlite.url) as address:
        page.goto(address)
        expect(page.get_by_role("heading", name="No edge yet")).to_be_visible()
        picture(page, "1-empty")
        ingester.handle(sent.incoming)
        ingester.handle(edge.message(Kind.STATUS, status(5, 2, job, study), datetime.now(UTC)))
        card = 'section[data-edge="demo-edge1"]'
        expect(figure(page, card, "received").locator("dd")).to_have_text("5", timeout=SOON)
        expect(figure(page, card, "uploaded").locator("dd")).to_have_text("2")
        expect(figure(page, card, "ingested").locator("dd")).to_have_text("0")
        picture(page, "2-overview")
        page.get_by_role("link", name="demo-edge1").click()
        row = f'tr[data-job="{job}"]'
        expect(figure(page, row, "received")).to_have_text("5")
        expect(page.get_by_text("Send it again from the scanner.")).to_be_visible()
        expect(page.locator("#parked time").first).to_have_text(re.compile("15:01:00"))  # 09:31 UTC in Kolkata
        picture(page, "3-edge")
        ingester.handle(edge.message(Kind.STATUS, status(8, 7, job, study), datetime.now(UTC)))
        expect(figure(page, row, "received")).to_have_text("8", timeout=SOON)
        ingester.handle(sent.completed)
        for scope in (row, f'tr[data-study="{study}"]'):
            expect(figure(page, scope, "ingested")).to_have_text("7", timeout=SOON)
            expect(figure(page, scope, "uploaded")).to_have_text("7")
            expect(figure(page, scope, "parked")).to_have_text("1")
        page.locator("#studies").get_by_role("link", name=study).click()
        expect(figure(page, f'section[data-series="{ROOT}.1.2"]', "atriuid")).to_have_text("1000000001.2")
        expect(page.locator("main > p [data-figure='images']")).to_have_text("7")
        page.get_by_text("Objects in S3").first.click()
        expect(page.get_by_text(sent.manifest.instances[0].key)).to_be_visible()
        picture(page, "4-study")
        words = page.locator("#refresh-words").text_content()
        expect(page.locator("#refresh-words")).not_to_have_text(words or "", timeout=SOON)
        expect(page.get_by_text(sent.manifest.instances[0].key)).to_be_visible()
        assert "Phantom" not in page.content()


@pytest.mark.full
def test_the_page_keeps_its_place_while_it_refreshes(sqlite, store, page):
    """Scrolled down, the page stays where it is when new figures come in."""
    edge, ingester = FakeEdge(store=store), Ingester(sqlite.engine, store)
    for n in range(25):
        study = f"{ROOT}.{n + 1}"
        ingester.handle(edge.announce(scans(1, series=f"{study}.1"), study=study, n=n + 1).completed)
    with serving(sqlite.url) as address:
        page.goto(f"{address}/edge?id=demo-edge1")
        page.mouse.wheel(0, 500)
        page.wait_for_function("scrollY > 300")
        before = page.evaluate("scrollY")
        ingester.handle(edge.message(Kind.STATUS, {"Counts": {"UPLOADED": 99}}, datetime.now(UTC)))
        expect(figure(page, "main", "uploaded").locator("dd")).to_have_text("99", timeout=SOON)
        assert page.evaluate("scrollY") == before


@pytest.mark.full
def test_a_failed_refresh_is_said_and_mended(sqlite, store, page):
    """When the server goes away the page says so and keeps its figures; when it is back it goes on."""
    Ingester(sqlite.engine, store).handle(FakeEdge(store=store).announce(scans(2)).completed)
    with serving(sqlite.url) as address:
        page.goto(address)
        expect(page.locator("#refresh")).to_have_attribute("data-state", "fresh")
    note = page.locator("#refresh")
    expect(note).to_have_attribute("data-state", "failed", timeout=SOON)
    expect(note).to_contain_text("refresh failed at")
    expect(figure(page, "main", "ingested").locator("dd")).to_have_text("2")
    picture(page, "5-failed")
    with serving(sqlite.url, port=int(address.rsplit(":", 1)[1])):
        expect(note).to_have_attribute("data-state", "fresh", timeout=SOON)


@pytest.mark.full
def test_the_errors_page_and_the_dark(sqlite, store, browser):
    """From the first page one click leads to what went wrong; in the dark scheme the page is dark."""
    edge, ingester = FakeEdge(store=store), Ingester(sqlite.engine, store)
    ingester.handle(edge.announce(scans(3)).completed)
    ingester.handle(edge.announce(scans(1, content=b"other")).completed)
    with pytest.raises(Exception, match="version"):
        ingester.handle('{"EnvelopeVersion": 7}')
    context = browser.new_context(color_scheme="dark", viewport={"width": 1200, "height": 700})
    page = context.new_page()
    with serving(sqlite.url) as address:
        page.goto(address)
        picture(page, "6-overview-dark")
        page.get_by_role("link", name="Errors").click()
        expect(page.get_by_text("unknown version")).to_be_visible()
        expect(page.get_by_text("same SOPInstanceUID")).to_be_visible()
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, re.findall(r"\d+", colour)[:3])) < 200
        picture(page, "7-errors-dark")
    context.close()


@pytest.mark.full
def test_hostile_values_run_nothing(sqlite, store, page):
    """Markup in what a device sends is seen as text, and no dialogue opens."""
    evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
    opened = threading.Event()
    page.on("dialog", lambda d: (opened.set(), d.dismiss()))
    edge, ingester = FakeEdge(store=store, site=evil), Ingester(sqlite.engine, store)
    sent = edge.announce(scans(1, modality=evil))
    ingester.handle(sent.completed)
    body = status(3, 1, evil, evil) | {"Errors": [{"Text": evil, "Hint": evil}]}
    ingester.handle(edge.message(Kind.STATUS, body, datetime.now(UTC)))
    with serving(sqlite.url) as address:
        for path in ("/", "/edge?id=demo-edge1", f"/study?uid={ROOT}.1"):
            page.goto(address + path)
            expect(page.get_by_text("<img src=x").first).to_be_visible()
            assert page.locator("main img, main script").count() == 0
            words = page.locator("#refresh-words").text_content()
            expect(page.locator("#refresh-words")).not_to_have_text(words or "", timeout=SOON)
    assert not opened.is_set()
