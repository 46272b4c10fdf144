"""The files of TLS: every fault at once, in plain words with the way out; and certificates that near their end."""

import os
import re
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from edge.__main__ import main
from edge.association.certificates import TlsFiles, examine
from edge.association.tls import faults_now
from tests.certificates import CLIENT, SERVER, Files, authority, rsa_key
from tests.parts import program

pytestmark = pytest.mark.door("file")


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    """A CA."""
    return authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def good(ca) -> Files:
    """A good certificate of the edge."""
    return ca.issue("good", usage=SERVER)


def faults(made: Files | None = None, **files) -> list[str]:
    """What check-config would say of these files."""
    values = {"certificate": made.certificate, "key": made.key} if made else {}
    return faults_now(TlsFiles(**{**values, **files}), datetime.now(UTC))


def test_D10_good_files_have_no_fault(ca, good):
    """Key beside or in the same file, with a chain, RSA or EC, with and without a CA for the senders."""
    assert faults(good, client_ca=ca.path) == []
    both = good.certificate.with_name("both.pem")
    both.touch(mode=0o600)
    both.write_bytes(good.certificate.read_bytes() + good.key.read_bytes())
    assert faults(certificate=both) == []
    assert faults(authority(ca.folder / "below", "Below", ca).issue("leaf", usage=SERVER, key=rsa_key(2048))) == []


def test_D10_the_readmes_commands_make_certificates_that_are_taken(tmp_path):
    """Typed as they stand there: CA, edge and scanner, which OpenSSL's own verification accepts too."""
    openssl = program("openssl")
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    typed = re.findall(r"^    (openssl .*|chmod 600 .*)$", readme, re.MULTILINE)
    assert len(typed) == 6
    for line in typed:
        subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    edge = {"certificate": tmp_path / "edge.pem", "key": tmp_path / "edge.key"}
    assert faults(**edge, client_ca=tmp_path / "ca.pem") == []
    for name in ("edge.pem", "ct03.pem"):
        check = [openssl, "verify", "-CAfile", tmp_path / "ca.pem", tmp_path / name]
        subprocess.run(check, check=True, capture_output=True, timeout=30)


def test_D10_an_old_fashioned_EC_key_is_read(tmp_path):
    """With its parameters before it, as `openssl ecparam -genkey` writes it."""
    openssl, cert, key = program("openssl"), tmp_path / "edge.pem", tmp_path / "edge.key"
    key.touch(mode=0o600)
    subprocess.run([openssl, "ecparam", "-name", "prime256v1", "-genkey", "-out", key], check=True, timeout=30)
    made = [openssl, "req", "-x509", "-key", key, "-days", "365", "-subj", "/CN=edge", "-out", cert]
    subprocess.run(made, check=True, capture_output=True, timeout=30)
    assert faults(certificate=cert, key=key) == []


def _locked(x) -> list[str]:
    path = x.folder / "locked.key"
    path.touch(mode=0o600)
    path.write_bytes(rsa_key(2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    return faults(x.ca.issue("locked", usage=SERVER, key=rsa_key(2048)), key=path)


def _open_to_all(x) -> list[str]:
    x.good.key.chmod(0o644)
    return faults(x.good)


def _text(folder: Path, text: str) -> Path:
    path = folder / "file.pem"
    path.touch(mode=0o600)
    path.write_text(text)
    return path


FAULTS = {
    "certificate gone": (
        lambda x: faults(x.good, certificate=x.folder / "gone.pem"),
        ["gone.pem: there is no such file"],
    ),
    "certificate unreadable": (
        lambda x: faults(x.good, certificate=x.folder),
        ["cannot be read (Is a directory); let the user"],
    ),
    "no PEM": (
        lambda x: faults(x.good, certificate=_text(x.folder, "0\x82 DER")),
        ["holds no certificate in PEM; if it is DER: openssl x509"],
    ),
    "damaged": (
        lambda x: faults(
            x.good, certificate=_text(x.folder, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        ),
        ["holds a damaged certificate"],
    ),
    "not for servers": (
        lambda x: faults(x.ca.issue("client", usage=CLIENT)),
        ["is not meant for servers; ask for one with the extended key usage serverAuth"],
    ),
    "another key": (
        lambda x: faults(x.good, key=x.ca.issue("other", usage=SERVER).key),
        ["is not the key of the first certificate in"],
    ),
    "CA before our own": (
        lambda x: faults(x.good, certificate=_text(x.folder, x.ca.path.read_text() + x.good.certificate.read_text())),
        ["put the edge's own certificate first"],
    ),
    "key locked": (_locked, ["is locked with a passphrase; a box that starts by itself cannot be asked"]),
    "key open to all": (_open_to_all, ["every user of this box may read or write the key; run: chmod o= "]),
    "no key in the file": (
        lambda x: faults(certificate=_text(x.folder, x.good.certificate.read_text())),
        ["holds no private key in PEM; set TLS_KEY"],
    ),
    "key damaged": (
        lambda x: faults(x.good, key=_text(x.folder, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")),
        ["the private key is damaged or of an unknown kind"],
    ),
    "key weak": (
        lambda x: faults(x.ca.issue("weak", usage=SERVER, key=rsa_key(1024))),
        ["OpenSSL refuses it (ee key too small); keys need 2048 bits"],
    ),
    "no CA among the CAs": (
        lambda x: faults(x.good, client_ca=x.good.certificate),
        ["no certificate in it is that of a CA"],
    ),
    "CAs empty": (
        lambda x: faults(x.good, client_ca=_text(x.folder, "")),
        ["TLS_CLIENT_CA", "holds no certificate in PEM"],
    ),
    "expired": (
        lambda x: faults(x.ca.issue("old", usage=SERVER, begins=-30, ends=-1)),
        ["the TLS certificate has expired on", "replace TLS_CERTIFICATE and TLS_KEY in place"],
    ),
    "not yet valid": (
        lambda x: faults(x.ca.issue("early", usage=SERVER, begins=3)),
        ["is not valid before", "look at the clock of this box"],
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_D10_a_fault_of_the_files_is_told_with_the_way_out(ca, good, tmp_path, name):
    """One fault, one line, and no passphrase is ever asked for on the terminal."""
    make, words = FAULTS[name]
    (line,) = make(SimpleNamespace(ca=ca, good=good, folder=tmp_path))
    assert all(word in line for word in words), line


@pytest.mark.door("command", "file")
def test_D10_check_config_tells_every_fault_of_the_files_at_once(ca, tmp_path, monkeypatch, capsys):
    """Three files, four faults, one run, exit status 2; nothing of a key is shown."""
    made = ca.issue("bad", usage=CLIENT, begins=-30, ends=-1)
    made.key.chmod(0o644)
    settings = {
        "AWS_IOT_THING_NAME": "trial-edge", "EDGE_NUMBER": "7", "SPOOL_DIR": str(tmp_path / "spool"),
        "STORE_DIR": str(tmp_path / "store"), "QUEUE_FILE": str(tmp_path / "queue.db"), "ALLOW_VOLATILE_SPOOL": "true",
        "TLS_CERTIFICATE": str(made.certificate), "TLS_KEY": str(made.key), "TLS_CLIENT_CA": str(tmp_path / "gone.pem"),
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert main(["check-config"]) == 2
    said = capsys.readouterr().err
    wanted = ("not meant for servers", "every user of this box", "there is no such file", "has expired on")
    assert all(word in said for word in wanted), said
    assert "PRIVATE KEY" not in said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"TLS_KEY": "/k.pem"}, "need TLS_CERTIFICATE"),
        ({"TLS_ONLY": "true"}, "need TLS_CERTIFICATE"),
        ({"TLS_CERTIFICATE": "/c.pem", "TLS_PORT": "11112"}, "TLS_PORT must be another port than SCP_PORT"),
    ],
)
def test_D10_settings_that_contradict_each_other_are_told(tmp_path, settings, said):
    """A key without a certificate, one port for both, no port at all."""
    from edge.config import load_config
    from edge.errors import ConfigError

    base = {
        "AWS_IOT_THING_NAME": "e", "EDGE_NUMBER": "7", "STORE_DIR": str(tmp_path), "QUEUE_FILE": str(tmp_path / "q"),
    }  # fmt: skip
    with pytest.raises(ConfigError, match=said):
        load_config({**base, **settings})


@pytest.mark.parametrize(
    ("days", "said"),
    [(45, []), (29.5, ["expires on", "in 29 days"]), (0.5, ["expires on", "in 0 days"]), (-1, ["has expired on"])],
)
def test_D10_the_end_of_a_certificate_is_told_30_days_before(ca, days, said):
    """Ours, its chain, or the last CA of the senders: whichever ends; a second CA that lives longer is enough."""
    made = ca.issue("ending", usage=SERVER, begins=-90, ends=days)
    told = examine(TlsFiles(certificate=made.certificate, key=made.key)).validity(datetime.now(UTC))
    assert len(told) == bool(said)
    assert all(word in told[0][0] for word in said)
    old, young = authority(ca.folder / "old", ends=days), authority(ca.folder / "young", ends=400)
    both = ca.folder / "both-cas.pem"
    for text, is_told in ((old.path.read_text(), bool(said)), (old.path.read_text() + young.path.read_text(), False)):
        both.write_text(text)
        good = ca.issue("long", usage=SERVER)
        told = examine(TlsFiles(certificate=good.certificate, key=good.key, client_ca=both)).validity(datetime.now(UTC))
        assert [("the last CA in TLS_CLIENT_CA" in text) for text, _ in told] == [True] * is_told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
@pytest.mark.parametrize("mode", [0o600, 0o604])
def test_D10_a_key_that_is_renewed_while_it_is_read_is_judged_as_it_was_opened(good, tmp_path, mode):
    """A pipe stands for the file, so that its name is gone for certain before the first byte is read."""
    pipe = tmp_path / "key.pem"
    os.mkfifo(pipe, 0o600)
    pipe.chmod(mode)

    def hand_over() -> None:
        with pipe.open("wb") as f:
            pipe.unlink()
            f.write(good.key.read_bytes())

    writer = threading.Thread(target=hand_over)
    writer.start()
    found = examine(TlsFiles(certificate=good.certificate, key=pipe))
    writer.join()
    assert ["every user" in fault for fault in found.faults] == ([] if mode == 0o600 else [True])


def test_D10_a_clock_that_is_not_set_is_told_and_does_not_stop_the_edge(good):
    """A box that wakes in 1970 still serves TLS: the certificate seems not to have begun, which is said."""
    examined = examine(TlsFiles(certificate=good.certificate, key=good.key))
    assert examined.faults == ()
    ((text, hint),) = examined.validity(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=1))
    assert "not valid before" in text
    assert "clock" in hint
