"""Whom an edge turned away, on its page: peer, title, cause, count and what to do, as text whatever they hold."""

import html
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from cloud.ingest.ingest import Ingester
from edge.contract.envelope import Kind
from tests.browser import picture
from tests.cloud.edges import OPENED, FakeEdge
from tests.cloud.site import client, serving

LINES = 'allow it with these lines in the file of AE_RULES, above # end:\n[CT03]\naddress = "10.1.2.3"'
AT = "2026-03-01T09:31:00+00:00"


def refusal(kind: str, text: str, hint: str, *, peer: str = "10.1.2.3", title: str = "", count: int = 1) -> dict:
    """A row as the edge's heartbeat has it."""
    return {
        "Kind": kind, "Peer": peer, "CallingAETitle": title, "Text": text, "Hint": hint, "Count": count,
        "FirstAt": AT, "At": AT,
    }  # fmt: skip


ROWS = [
    refusal("rejected", "calling title 'CT03' not listed", LINES, title="CT03", count=12),
    refusal("stranger", "TLS hello on the plain port, offers up to TLS 1.3", "send it to TLS_PORT", peer="10.1.2.77"),
    refusal(
        "context-refused",
        "refused: CT Image Storage: only JPEG-LS Lossless Image Compression proposed, and the rule of this AE names"
        " other transfer syntaxes (transfer syntaxes not supported)",
        "[CT03] grants Explicit VR Little Endian; add the syntax to transfer_syntaxes there, or change the sender",
        title="CT03",
    ),
    refusal("silent", "closed without a word", "a health check", peer="10.0.0.250", count=100_000),
]


@pytest.mark.door("HTTP")
def test_fault_22_the_page_tells_whom_the_edge_turned_away(database, store):
    """Every row with its count and hint; an edge of before says nothing of it, and what is damaged breaks nothing."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.message(Kind.STATUS, {"Counts": {}}, OPENED))
    with client(database.url, lambda: OPENED) as http:
        assert "Nobody was turned away." in http.get("/edge?id=demo-edge1").text
        body = {"Counts": {}, "Refusals": [*ROWS, {"Text": 5, "Count": -1}, "x"], "RefusalsNotListed": 7}
        ingester.handle(edge.message(Kind.STATUS, body, OPENED.replace(minute=31)))
        page = http.get("/edge?id=demo-edge1").text
    for row in ROWS:
        assert html.escape(row["Text"]).replace("&#x27;", "&#39;") in page
        assert f">{row['Count']:,}<" in page
    assert "address = &#34;10.1.2.3&#34;" in page
    assert "7 further cases are not listed" in page
    assert "Parts of this edge" in page


@pytest.mark.door("HTTP")
def test_fault_22_a_person_reads_the_lines_to_add(sqlite, store, page):
    """In a browser the lines of the hint stand under each other, and markup in a title is text."""
    evil = "<img src=x>"
    edge, ingester = FakeEdge(store=store), Ingester(sqlite.engine, store)
    body = {
        "Counts": {},
        "Refusals": [*ROWS, refusal("rejected", f"calling title '{evil}' not listed", "x", title=evil)],
    }
    ingester.handle(edge.message(Kind.STATUS, body, datetime.now(UTC)))
    with serving(sqlite.url) as address:
        page.goto(f"{address}/edge?id=demo-edge1")
        table = page.locator("#turned-away")
        expect(table.locator("tbody tr")).to_have_count(5)
        first = table.locator("tbody tr").first
        assert first.locator("td").nth(4).inner_text().splitlines()[1:] == ["[CT03]", 'address = "10.1.2.3"']
        expect(table.get_by_text(f"as {evil}")).to_be_visible()
        assert table.locator("img").count() == 0
        picture(page, "turned-away")
