"""Rules and diagnosis on the real edge: dcmtk's tools turned away and let in, what status says, and the dashboard."""

import json
import signal
import socket
import subprocess

import pytest
from playwright.sync_api import expect
from pydicom.uid import SecondaryCaptureImageStorage

from tests.association.test_rules import whole
from tests.association.wire import EXPLICIT, IMPLICIT, RELEASE_RQ, VERIFICATION, context
from tests.browser import SOON, picture
from tests.e2e.cloud_process import cloud
from tests.e2e.edge_process import EdgeProcess, raw_peer, running, scan, send
from tests.parts import program

pytestmark = pytest.mark.door("socket", "command")


def echoscu(edge: EdgeProcess, title: str, called: str = "EDGE_AE") -> "subprocess.CompletedProcess[str]":
    """Debian's echoscu."""
    command = [program("echoscu"), "-v", "-aet", title, "-aec", called, "127.0.0.1", str(edge.port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def refusals(edge: EdgeProcess) -> dict[str, dict]:
    """What status tells of refusals, by text."""
    return {row["Text"]: row for row in edge.status()["Admission"].get("Refusals", [])}


def used(edge: EdgeProcess) -> dict[str, int]:
    """What status tells of the quotas: instances by rule."""
    return {row["Rule"]: row["Instances"] for row in edge.status()["Admission"].get("Usage", [])}


def until_refused(edge: EdgeProcess, *texts: str) -> dict[str, dict]:
    """Wait until status tells each of them."""
    edge.until(lambda: set(texts) <= refusals(edge).keys(), f"status tells {texts}")
    return refusals(edge)


def test_fault_22_one_setting_closes_the_box_and_the_hint_opens_it_for_one(tmp_path):
    """The title CT03 is unknown: rejected, told with the lines to add; those added, it is let in, with no restart."""
    rules = tmp_path / "ae-rules.toml"
    rules.write_text(whole('# Nobody yet but the archive.\n[PACS]\naddress = "192.0.2.7"\n'))
    with running(tmp_path / "box", AE_RULES=str(rules), PROMISCUOUS="false") as edge:
        refused = echoscu(edge, "CT03")
        assert refused.returncode != 0
        assert "Calling AE Title Not Recognized" in refused.stdout + refused.stderr
        row = until_refused(edge, "calling title 'CT03' not listed")["calling title 'CT03' not listed"]
        assert (row["Peer"], row["CallingAETitle"], row["Count"]) == ("127.0.0.1", "CT03", 1)
        asked = edge.command("rules", "test", "CT03", "127.0.0.1")
        assert asked.returncode == 1
        lines = row["Hint"].partition("\n")[2]
        assert lines == '[CT03]\naddress = "127.0.0.1"'
        for line in lines.splitlines():
            assert line in asked.stdout
            assert line in edge.command("status").stdout
        rules.write_text(rules.read_text().replace("# end", f"{lines}\n# end"))
        assert edge.command("rules", "test", "CT03", "127.0.0.1").returncode == 0
        assert echoscu(edge, "CT03").returncode == 0
        assert send(edge, scan(1), calling="CT03") == [0]
        assert "[CT03]" in edge.command("rules").stdout
        # A called title that is not granted has its own reason.
        rules.write_text(whole('[CT03]\ncalled = "ARCHIVE"\n'))
        refused = echoscu(edge, "CT03")
        assert "Called AE Title Not Recognized" in refused.stdout + refused.stderr
        assert echoscu(edge, "CT03", "ARCHIVE").returncode == 0
        edge.until_states(ANNOUNCED=1)


@pytest.mark.full
def test_fault_22_a_broken_file_keeps_the_rules_also_over_a_restart(tmp_path):
    """A typing error in the file changes nobody's rights, is told by status and check-config, and by SIGHUP again."""
    rules = tmp_path / "ae-rules.toml"
    rules.write_text(whole("[CT03]\n"))
    with running(tmp_path / "box", AE_RULES=str(rules), PROMISCUOUS="false") as edge:
        assert edge.command("check-config").returncode == 0
        rules.write_text(whole('[CT03]\n[CT04]\naddress = "10.1.2"\nservices = ["fetch"]\n'))
        edge.until(lambda: len(edge.events("rules.kept")) == 1, "the edge says that it keeps the rules")
        assert echoscu(edge, "CT03").returncode == 0
        assert echoscu(edge, "CT04").returncode != 0
        for command in ("status", "check-config"):
            done = edge.command(command)
            said = done.stdout + done.stderr
            assert "ae-rules.toml line 3 [CT04] address" in said
            assert "ae-rules.toml line 4 [CT04] services" in said
        assert edge.command("check-config").returncode == 2
        edge.process.send_signal(signal.SIGHUP)
        edge.until(lambda: len(edge.events("rules.kept")) == 2, "SIGHUP reads it again")
        edge.stop(signal.SIGKILL)
        edge.start()
        assert echoscu(edge, "CT03").returncode == 0
        assert echoscu(edge, "CT04").returncode != 0
        rules.write_text(whole("[CT04]\n"))
        assert echoscu(edge, "CT04").returncode == 0
        assert echoscu(edge, "CT03").returncode != 0


def test_fault_22_a_box_whose_first_rules_are_broken_does_not_start(tmp_path):
    """Every fault at once, exit status 2; closed without rules is a fault as well."""
    rules = tmp_path / "ae-rules.toml"
    rules.write_text(whole('[CT03]\naddress = "x"\n[CT04]\ncolour = 1\n'))
    edge = EdgeProcess(tmp_path / "box", AE_RULES=str(rules))
    for command in ("serve", "check-config", "rules"):
        done = edge.command(command)
        assert done.returncode == 2
        assert "line 2 [CT03] address" in done.stderr
        assert "line 4 [CT04] colour" in done.stderr
    edge = EdgeProcess(tmp_path / "other", PROMISCUOUS="false")
    done = edge.command("check-config")
    assert done.returncode == 2
    assert "PROMISCUOUS=false needs AE_RULES" in done.stderr
    assert edge.command("rules", "test", "CT03", "10.1.2.300").returncode == 2


def test_D10_quotas_outlast_a_restart_and_lose_nothing(tmp_path):
    """Two a day: the third is told to come back, also after a kill; what was acknowledged arrives."""
    rules = tmp_path / "ae-rules.toml"
    rules.write_text(whole("[CT03]\ninstances_per_day = 2\n"))
    with running(tmp_path / "box", AE_RULES=str(rules)) as edge:
        assert send(edge, scan(1), scan(2), scan(3), calling="CT03") == [0, 0, 0xA700]
        for _ in range(2):
            edge.until(lambda: used(edge) == {"CT03": 2}, "what was used is written")
            edge.stop(signal.SIGKILL)
            edge.start()
        with raw_peer(edge) as peer, pytest.raises(AssertionError, match="not accepted"):
            peer.associate(calling=b"CT03")
        assert send(edge, scan(4), calling="CT04") == [0]
        edge.until_states(ANNOUNCED=3)


def test_D10_what_never_became_an_association_is_in_log_and_status(tmp_path):
    """HTTP, TLS, a query and a scan of the port: each once in the log, with its count in status, with what to do."""
    with running(tmp_path / "box") as edge:
        for first in (
            b"GET /index.html HTTP/1.1\r\nUser-Agent: curl/7.88\r\n\r\n",
            b"\x16\x03\x01\0\xa5\x01\0\0\xa1\x03\x03",
            b"",
        ):
            for _ in range(40):
                with socket.create_connection(("127.0.0.1", edge.port), timeout=20) as sock:
                    sock.sendall(first)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(100):
                        pass
        with raw_peer(edge) as peer:
            peer.associate(context(1, "1.2.840.10008.5.1.4.1.2.2.1", IMPLICIT) + context(3, VERIFICATION, IMPLICIT))
            peer.send(RELEASE_RQ)
            assert peer.read()[0] == 6
        http = "HTTP request on the DICOM port (GET): curl"
        query = (
            "refused: Study Root Query/Retrieve Information Model - FIND: this edge takes C-ECHO and storage only"
            " (abstract syntax not supported)"
        )
        edge.until(lambda: sum(r["Count"] for r in refusals(edge).values()) == 121, "all are counted")
        rows = until_refused(edge, http, "TLS hello on the plain port", "closed without a word", query)
        assert {rows[text]["Count"] for text in (http, "TLS hello on the plain port", "closed without a word")} == {40}
        assert len(edge.events("connection.broken")) <= 12, "forty times is six lines: 1, 2, 4, 8, 16, 32"
        (line,) = edge.events("association.context-refused")
        assert (line["text"], line["hint"]) == (query, rows[query]["Hint"])
        shown = edge.command("status").stdout
        assert f"127.0.0.1: {http} (40 times, last " in shown
        assert "index.html" not in shown + edge.log.read_text()
        stored = json.loads((edge.spool / "run/admission.json").read_text())
        assert len(stored["Refusals"]) == 4


@pytest.mark.full
@pytest.mark.door("HTTP")
@pytest.mark.timeout(240)
def test_fault_22_the_dashboard_shows_whom_the_edge_turned_away(tmp_path, postgres_url, page):
    """From the socket through the heartbeat to the page: who, why, how often, and the lines that would let it in."""
    rules = tmp_path / "ae-rules.toml"
    rules.write_text(whole(f'[OLD]\ntransfer_syntaxes = "{EXPLICIT}"\n'))
    box = tmp_path / "box"
    settings = {"DATABASE_URL": postgres_url, "STORE_DIR": str(box / "store"), "QUEUE_FILE": str(box / "queue.db")}
    with (
        running(box, AE_RULES=str(rules), PROMISCUOUS="false") as edge,
        cloud(tmp_path, "ingest", **settings),
        cloud(tmp_path, "dashboard", DATABASE_URL=postgres_url, DASHBOARD_PORT="0") as dashboard,
    ):
        for _ in range(3):
            assert echoscu(edge, "CT03").returncode != 0
        with raw_peer(edge) as peer:
            peer.associate(context(1, SecondaryCaptureImageStorage, "1.2.840.10008.1.2.4.80"), calling=b"OLD")
        with socket.create_connection(("127.0.0.1", edge.port), timeout=20) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert sock.recv(100)
        page.goto(f"{dashboard.address}/edge?id=trial-edge")
        table = page.locator("#turned-away")
        row = table.locator("tr", has_text="calling title 'CT03' not listed")
        expect(row).to_contain_text('address = "127.0.0.1"', timeout=SOON)
        expect(row.locator("td.number")).to_have_text("3", timeout=SOON)
        expect(table).to_contain_text("only JPEG-LS Lossless Image Compression proposed", timeout=SOON)
        expect(table).to_contain_text("HTTP request on the DICOM port (GET)", timeout=SOON)
        picture(page, "turned-away-e2e")
