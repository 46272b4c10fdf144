"""TLS on the real edge: dcmtk's tools, openssl's, and sslyze as the judge; a scan's whole way; expiry in status."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.association import tls_wire as t
from tests.association.test_rules import whole
from tests.certificates import SERVER
from tests.e2e.edge_process import EdgeProcess, running, scan
from tests.parts import program, sslyze_python

pytestmark = pytest.mark.door("socket")


@pytest.fixture
def site(tmp_path):
    """A CA, the edge's certificate and the scanner's."""
    return t.Site(tmp_path)


def served(site: t.Site, *, mutual: bool = False, **more: str) -> dict[str, str]:
    """The settings of an edge with TLS on a free port."""
    client_ca = {"TLS_CLIENT_CA": str(site.ca.path)} if mutual else {}
    return {
        "TLS_CERTIFICATE": str(site.edge.certificate), "TLS_KEY": str(site.edge.key), "TLS_PORT": "0",
        **client_ca, **more,
    }  # fmt: skip


def tls_port(edge: EdgeProcess) -> str:
    return str(json.loads((edge.spool / "run/listening.json").read_text())["tls_port"])


def dcmtk(tool: str, edge: EdgeProcess, site: t.Site, *more: str, mutual: bool) -> "subprocess.CompletedProcess[str]":
    """One of dcmtk's tools through TLS: anonymous, or with the scanner's certificate; it checks the edge's."""
    who = ["+tls", str(site.scanner.key), str(site.scanner.certificate)] if mutual else ["+tla"]
    return subprocess.run(
        [program(tool), "-v", *who, "+cf", str(site.ca.path), "-aec", "EDGE_AE", "127.0.0.1", tls_port(edge), *more],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.door("socket", "file")
@pytest.mark.parametrize("mutual", [False, True], ids=["server only", "mutual"])
def test_fault_22_D10_storescu_through_tls_a_scan_goes_its_whole_way(tmp_path, site, mutual):
    """Storescu +tls: stored, indexed, tagged, uploaded, announced; the object holds what was sent, and its ATRIUID."""
    file = tmp_path / "scan.dcm"
    d = scan()
    d.save_as(file, enforce_file_format=True)
    with running(tmp_path / "edge", **served(site, mutual=mutual)) as edge:
        done = dcmtk("echoscu", edge, site, mutual=mutual)
        assert done.returncode == 0, done.stderr
        done = dcmtk("storescu", edge, site, str(file), mutual=mutual)
        assert done.returncode == 0, done.stderr
        assert "Received Store Response (Success)" in done.stdout + done.stderr
        edge.until_states(ANNOUNCED=1)
        (item,) = [i for m in edge.manifests() for i in m["Instances"]]
        tagged = dcmread(edge.folder / "store" / item["Key"])
        assert tagged.SOPInstanceUID == d.SOPInstanceUID
        assert tagged.PixelData == d.PixelData
        assert tagged.private_block(0x0013, "ATRI EDGE 1.0")[1].value
        (accepted,) = edge.events("association.accepted")[1:]
        assert accepted["tls"] in ("TLSv1.2", "TLSv1.3")
        assert ("certificate" in accepted) is mutual


def test_D10_mutual_refuses_storescu_without_a_certificate(tmp_path, site):
    """Storescu +tla where certificates are asked for: not connected, named in the log; the plain port is as it was."""
    with running(tmp_path / "edge", **served(site, mutual=True)) as edge:
        assert dcmtk("echoscu", edge, site, mutual=False).returncode != 0
        edge.until(lambda: bool(edge.events("connection.broken")), "a line in the log")
        assert "shows no certificate" in edge.events("connection.broken")[0]["text"]
        plain = [program("echoscu"), "127.0.0.1", str(edge.port)]
        assert subprocess.run(plain, capture_output=True, timeout=60, check=False).returncode == 0


@pytest.mark.door("socket", "file")
def test_D10_the_certificate_is_bound_to_the_ae(tmp_path, site):
    """A rule with the scanner's fingerprint: its title comes with that certificate only, also when another is valid."""
    found = run_openssl("x509", "-in", str(site.scanner.certificate), "-noout", "-fingerprint", "-sha256")
    rules = tmp_path / "rules.toml"
    rules.write_text(whole(f'[CT03]\nfingerprint = "{found.strip().partition("=")[2]}"\n'))
    other = site.ca.issue("other")
    with running(tmp_path / "edge", **served(site, mutual=True, AE_RULES=str(rules), PROMISCUOUS="false")) as edge:
        assert dcmtk("echoscu", edge, site, "-aet", "CT03", mutual=True).returncode == 0
        assert dcmtk("echoscu", edge, site, "-aet", "CT04", mutual=True).returncode != 0
        site.scanner = other
        done = dcmtk("echoscu", edge, site, "-aet", "CT03", mutual=True)
        assert done.returncode != 0
        assert "Calling AE Title Not Recognized" in done.stdout + done.stderr
        edge.until(lambda: len(edge.events("association.rejected")) == 2, "both are named")
        assert "certificate" in edge.events("association.rejected")[1]["text"]


def run_openssl(*arguments: str) -> str:
    """What openssl says."""
    return subprocess.run(
        [program("openssl"), *arguments], capture_output=True, text=True, timeout=30, check=True
    ).stdout


def test_D10_TLS_ONLY_closes_the_plain_port(tmp_path, site):
    """One port in listening.json, status and log: that of TLS."""
    with running(tmp_path / "edge", **served(site, TLS_ONLY="true")) as edge:
        assert json.loads((edge.spool / "run/listening.json").read_text())["port"] is None
        assert f"port {tls_port(edge)} (TLS)" in edge.command("status").stdout
        assert dcmtk("echoscu", edge, site, mutual=False).returncode == 0


def test_D10_a_renegotiation_is_refused(tmp_path, site):
    """Openssl s_client asks for one inside TLS 1.2: the edge does not do it (RFC 9325 3.5)."""
    with running(tmp_path / "edge", **served(site)) as edge:
        done = subprocess.run(
            [program("openssl"), "s_client", "-connect", f"127.0.0.1:{tls_port(edge)}", "-tls1_2", "-CAfile",
             str(site.ca.path)], input="R\n", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert "Verify return code: 0 (ok)" in said
        assert "RENEGOTIATING" in said
        assert "no renegotiation" in said


@pytest.mark.full
def test_D10_sslyze_finds_nothing(tmp_path, site):
    """The scanner's verdict: TLS 1.2 and 1.3 only, forward secrecy, no known weakness of protocol or library."""
    out = tmp_path / "sslyze.json"
    commands = ["--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--heartbleed", "--robot",
                "--openssl_ccs", "--fallback", "--reneg", "--compression", "--resum"]  # fmt: skip
    with running(tmp_path / "edge", **served(site)) as edge:
        done = subprocess.run(
            [sslyze_python(), "-m", "sslyze", *commands, "--json_out", str(out), "--mozilla_config", "disable",
             f"127.0.0.1:{tls_port(edge)}"], capture_output=True, text=True, timeout=110, check=False,
        )  # fmt: skip
        assert out.exists(), done.stdout + done.stderr
        (server,) = json.loads(out.read_text())["server_scan_results"]
        assert server["connectivity_status"] == "COMPLETED", server
        found = {name: attempt["result"] for name, attempt in server["scan_result"].items() if attempt["result"]}
        for name in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
            assert found[f"{name}_cipher_suites"]["accepted_cipher_suites"] == [], name
        for name, least in (("tls_1_2", 3), ("tls_1_3", 3)):
            accepted = [s["cipher_suite"]["name"] for s in found[f"{name}_cipher_suites"]["accepted_cipher_suites"]]
            assert len(accepted) >= least
            assert all("GCM" in suite or "CHACHA20" in suite for suite in accepted), accepted
        assert found["heartbleed"]["is_vulnerable_to_heartbleed"] is False
        assert found["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"] is False
        assert found["robot"]["robot_result"].startswith("NOT_VULNERABLE")
        assert found["tls_fallback_scsv"]["supports_fallback_scsv"] is True
        assert found["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"] is False
        assert found["session_renegotiation"]["supports_secure_renegotiation"] is True
        assert found["tls_compression"]["supports_compression"] is False
        assert found["session_resumption"]["tls_ticket_resumption_result"] == "NOT_SUPPORTED"
        assert dcmtk("echoscu", edge, site, mutual=False).returncode == 0
        assert edge.events("association.handler-failed") == []


def test_D10_a_new_certificate_is_taken_by_the_running_edge(tmp_path, site):
    """Put in place by rename: the next handshake shows it; a broken one after it is told, and changes nothing."""
    with running(tmp_path / "edge", **served(site)) as edge:
        first = _serial(edge, site)
        for name, made in site_renewed(site).items():
            made.replace(Path(edge.settings[name]))
        assert _serial(edge, site) != first
        assert edge.process is not None
        assert edge.process.poll() is None
        (loaded,) = edge.events("tls.certificate-loaded")
        assert loaded["until"]
        second = _serial(edge, site)
        Path(edge.settings["TLS_CERTIFICATE"]).write_text("not what it should be")
        assert _serial(edge, site) == second, "the old one stays in use"
        (kept,) = edge.events("tls.certificate-kept")
        assert "the old certificate stays in use" in kept["text"]
        assert "holds no certificate in PEM" in edge.command("status").stdout
        edge.until(lambda: any("stays in use" in text for text in _error_texts(edge)), "it is in the heartbeat")


def site_renewed(site: t.Site) -> dict[str, Path]:
    """A second certificate, beside the first."""
    made = site.ca.issue("renewed", usage=SERVER)
    return {"TLS_KEY": made.key, "TLS_CERTIFICATE": made.certificate}


def _serial(edge: EdgeProcess, site: t.Site) -> str:
    done = subprocess.run(
        [program("openssl"), "s_client", "-connect", f"127.0.0.1:{tls_port(edge)}", "-CAfile", str(site.ca.path)],
        input="", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", done.stdout, re.DOTALL)
    assert pem is not None, done.stderr
    return pem[0]


@pytest.mark.door("command", "file")
def test_D10_the_end_of_the_certificate_is_in_status_log_and_heartbeat(tmp_path, site):
    """20 days before: a warning for the operator at the box, and an error line on the dashboard; TLS goes on."""
    site.edge = site.ca.issue("ending", usage=SERVER, ends=20.5)
    with running(tmp_path / "edge", **served(site)) as edge:
        status = edge.status()
        assert status["Tls"]["Faults"] == []
        (warning,) = status["Tls"]["Warnings"]
        assert "in 20 days" in warning
        assert "TLS: the TLS certificate expires on" in edge.command("status").stdout
        edge.until(lambda: bool(edge.events("tls.certificate-expires")), "a warning in the log")
        edge.until(lambda: any("in 20 days" in text for text in _error_texts(edge)), "it is in the heartbeat")
        assert edge.command("check-config").returncode == 0


def _error_texts(edge: EdgeProcess) -> list[str]:
    """What the messages to the cloud give as errors."""
    rows = edge.rows("SELECT body FROM message", "queue.db")
    bodies = [json.loads(body) for (body,) in rows]
    return [error["Text"] for b in bodies for error in (b.get("Body") or b).get("Errors", [])]


@pytest.mark.door("command", "socket")
def test_D10_an_expired_certificate_does_not_keep_the_edge_from_starting(tmp_path, site):
    """check-config refuses it; a box that comes up after a power cut receives all the same, and says what is wrong."""
    site.edge = site.ca.issue("old", usage=SERVER, begins=-60, ends=-1)
    with running(tmp_path / "edge", **served(site)) as edge:
        done = edge.command("check-config")
        assert done.returncode == 2
        assert "has expired on" in done.stderr
        plain = [program("echoscu"), "127.0.0.1", str(edge.port)]
        assert subprocess.run(plain, capture_output=True, timeout=60, check=False).returncode == 0
        edge.until(lambda: any("has expired" in text for text in _error_texts(edge)), "it is in the heartbeat")


@pytest.mark.door("command")
def test_D10_files_that_cannot_be_used_keep_the_edge_from_starting(tmp_path, site):
    """Serve ends with status 2 and every fault, before a port is opened."""
    site.edge.key.chmod(0o644)
    edge = EdgeProcess(tmp_path / "edge", **served(site, TLS_CLIENT_CA=str(tmp_path / "gone.pem")))
    done = edge.command("serve")
    assert done.returncode == 2
    assert "every user of this box" in done.stderr
    assert "gone.pem: there is no such file" in done.stderr
    assert not (edge.spool / "run/listening.json").exists()


@pytest.mark.door("socket", "command", "file")
def test_D10_files_spoilt_after_they_were_good_do_not_keep_the_edge_down(tmp_path, site):
    """A half-done renewal and a power cut: the plain port receives, TLS lets nobody in until the files are good."""
    settings = served(site)
    good = site.edge.certificate.read_bytes()
    with running(tmp_path / "edge", **settings) as edge:
        assert dcmtk("echoscu", edge, site, mutual=False).returncode == 0
        edge.stop(signal.SIGKILL)
    site.edge.certificate.write_bytes(good[:200])
    with running(tmp_path / "edge", **settings) as edge:
        plain = [program("echoscu"), "127.0.0.1", str(edge.port)]
        assert subprocess.run(plain, capture_output=True, timeout=60, check=False).returncode == 0
        assert dcmtk("echoscu", edge, site, mutual=False).returncode != 0
        edge.until(lambda: any("nobody gets in through TLS" in text for text in _error_texts(edge)), "it is told")
        site.edge.certificate.write_bytes(good)
        assert dcmtk("echoscu", edge, site, mutual=False).returncode == 0
        assert edge.stop(signal.SIGTERM) == 0


def test_D10_a_stop_ends_tls_associations_in_order(tmp_path, site):
    """SIGTERM inside an association through TLS: an abort that the sender can read, and status 0."""
    with running(tmp_path / "edge", **served(site)) as edge:
        listener = type("At", (), {"tls_address": ("127.0.0.1", int(tls_port(edge)))})
        with t.TlsPeer(listener, t.client_context(site.ca)) as peer:
            peer.associate()
            assert edge.stop(signal.SIGTERM) == 0
            assert peer.aborted() == (0, 0)
