"""The dashboard in a real browser while a real sender sends to a real edge: the numbers are the sender's own."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pydicom import dcmread

from edge.wire import WireTap
from tests.browser import SOON, figure, picture
from tests.e2e.cloud_process import cloud
from tests.e2e.edge_process import EdgeProcess, running
from tests.parts import program

pytestmark = pytest.mark.door("HTTP", "socket")

DCMDATA = sorted((Path(__file__).parents[2] / "dcmdata").glob("*.dcm"))
CARD = 'section[data-edge="trial-edge"]'


def store(tap: WireTap, *files: Path) -> None:
    """Send with Debian's storescu."""
    command = [program("storescu"), "-aec", "EDGE_AE", "-aet", "CLIENT_AE", "127.0.0.1", str(tap.port)]
    subprocess.run([*command, *map(str, files)], check=True, capture_output=True, timeout=60)


def expect_figures(page: Page, scope: str, **counts: int) -> None:
    """Wait until the page shows these figures, by its own doing."""
    for name, count in counts.items():
        shown = figure(page, scope, name)
        if scope == CARD:
            shown = shown.locator("dd")
        expect(shown).to_have_text(str(count), timeout=SOON)


def other_bytes(folder: Path, *files: Path) -> list[Path]:
    """The same instances with another comment in them: what a device sends that was used to edit a scan."""
    changed = []
    for file in files:
        d = dcmread(file)
        d.ImageComments = "edited at the console"
        changed.append(folder / file.name)
        d.save_as(changed[-1])
    return changed


@pytest.mark.full
@pytest.mark.timeout(240)
def test_D12_P028_the_page_shows_what_the_sender_sent_while_it_is_open(tmp_path, postgres_url, page):
    """Sent while somebody looks, the figures follow from the wire into the index, and every one is the ledger's."""
    settings = {
        "DATABASE_URL": postgres_url,
        "STORE_DIR": str(tmp_path / "store"),
        "QUEUE_FILE": str(tmp_path / "queue.db"),
    }
    study_of = {d.SOPInstanceUID: d.StudyInstanceUID for d in (dcmread(f, stop_before_pixels=True) for f in DCMDATA)}
    # A generation stays open until the operator closes it, so that what is shown before and after is certain.
    with (
        running(tmp_path, GENERATION_QUIET="3600") as edge,
        WireTap("127.0.0.1", "127.0.0.1", edge.port) as tap,
        cloud(tmp_path, "ingest", **settings),
        cloud(tmp_path, "dashboard", DATABASE_URL=postgres_url, DASHBOARD_PORT="0") as dashboard,
    ):
        page.goto(dashboard.address)
        page.evaluate("window.opened = 'once'")
        expect_figures(page, CARD, received=0)
        half = len(DCMDATA) // 2
        store(tap, *DCMDATA[:half])
        expect_figures(page, CARD, received=len(tap.ledger), uploaded=half, ingested=0)
        store(tap, *DCMDATA[half:])
        whole = len(DCMDATA)
        assert [e.status for e in tap.ledger] == [0] * whole
        assert tap.faults == []
        expect_figures(page, CARD, received=whole, uploaded=whole, ingested=0, parked=0)
        store(tap, *other_bytes(tmp_path, *DCMDATA[:2]))
        expect_figures(page, CARD, received=len(tap.ledger), uploaded=whole, ingested=0, parked=2)
        picture(page, "e2e-1-before-the-close")
        for study in set(study_of.values()):
            closed = edge.command("close", study)
            assert closed.returncode == 0, closed.stderr
        expect_figures(page, CARD, received=len(tap.ledger), uploaded=whole, ingested=whole, parked=2)
        assert page.evaluate("window.opened") == "once"  # nobody reloaded
        picture(page, "e2e-2-overview")
        page.get_by_role("link", name="trial-edge").click()
        _the_edge_page(page, edge, tap, study_of)
        _the_study_page(page, edge, tap, study_of)
        assert "Phantom" not in page.content()


def _the_edge_page(page: Page, edge: EdgeProcess, tap: WireTap, study_of: dict[str, str]) -> None:
    # What came a second time with other bytes is no part of a generation: it is the edge's, parked.
    new = Counter(study_of[uid] for uid in {e.sop_instance_uid for e in tap.ledger})
    jobs = {m["JobId"]: m["DCMObjs"][0]["d0020000D"] for m in edge.manifests()}
    assert sorted(jobs.values()) == sorted(new)
    for job, study in jobs.items():
        for scope in (f'tr[data-job="{job}"]', f'tr[data-study="{study}"]'):
            expect_figures(page, scope, received=new[study], uploaded=new[study], ingested=new[study])
        expect(page.locator(f'tr[data-job="{job}"] .state')).to_have_text("VERIFIED")
    parked = page.locator("#parked tbody tr")
    expect(parked).to_have_count(2)
    twice = sorted(uid for uid, n in Counter(e.sop_instance_uid for e in tap.ledger).items() if n == 2)
    for uid in twice:
        row = page.locator("#parked tbody tr", has_text=uid)
        expect(row.locator("td").nth(2)).to_contain_text("other bytes")
        expect(row.locator("td").nth(3)).to_have_text(re.compile(r"\w+( \w+){3,}"))  # a sentence, no code
    picture(page, "e2e-3-edge")


def _the_study_page(page: Page, edge: EdgeProcess, tap: WireTap, study_of: dict[str, str]) -> None:
    sent = {e.sop_instance_uid for e in tap.ledger}
    study = Counter(study_of[uid] for uid in sent).most_common(1)[0][0]
    page.locator("#studies").get_by_role("link", name=study).click()
    series = page.locator("section[data-series]")
    expect(series).to_have_count(2)
    shown: dict[str, str] = {}  # key -> the ATRIUID that the page gives for its series
    for n in range(2):
        section = series.nth(n)
        section.get_by_text("Objects in S3").click()
        keys = section.locator("details tbody tr td:first-child").all_inner_texts()
        expect(figure_in(section, "images")).to_have_text(str(len(keys)))
        atriuid = figure_in(section, "atriuid").inner_text()
        shown |= {key.removeprefix("s3://local/"): atriuid for key in keys}
    picture(page, "e2e-4-study")
    assert len(shown) == sum(1 for uid in sent if study_of[uid] == study)
    assert len(set(shown.values())) == 2
    for key, atriuid in shown.items():
        held = dcmread(edge.folder / "store" / key, stop_before_pixels=True)
        assert held.SOPInstanceUID in sent
        assert held.private_block(0x0013, "ATRI EDGE 1.0")[0x01].value in (atriuid, atriuid.encode())
    listed = {i["Key"]: i["ReceivedSHA256"] for m in edge.manifests() for i in m["Instances"]}
    on_the_wire = {e.sha256 for e in tap.ledger}
    assert {listed[key] for key in shown} <= on_the_wire


def figure_in(scope, name: str):
    """Find one figure inside of a part of the page."""
    return scope.locator(f'[data-figure="{name}"]').first
