"""What an operator decides and asks back, through the command's door, beside the running edge."""

import hashlib
import json
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from edge.contract.manifest import load_manifest
from tests.association.wire import context, p_data, pdv, store_rq
from tests.e2e.edge_process import EdgeProcess, raw_peer, running, scan, send
from tests.e2e.test_edge import dataset_bytes
from tests.parts import program

pytestmark = pytest.mark.door("command", "socket")

ME = pwd.getpwuid(os.getuid()).pw_name
NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def parked_ulids(edge: EdgeProcess) -> list[str]:
    return [ulid for (ulid,) in edge.rows("SELECT ulid FROM instance WHERE state = 'PARKED' ORDER BY ulid")]


def conflict(edge: EdgeProcess) -> str:
    """Send one UID twice with different bytes; return the ULID of the parked one, once its copy is in the store."""
    assert send(edge, scan(1), calling="FIRST") == [0]
    edge.until_states(ANNOUNCED=1)
    assert send(edge, scan(1, ImageComments="another"), calling="SECOND") == [0]
    edge.until_states(ANNOUNCED=1, PARKED=1)
    edge.until(lambda: edge.rows("SELECT 1 FROM instance WHERE parked_stored IS NOT NULL") == [(1,)], "its copy")
    (ulid,) = parked_ulids(edge)
    return ulid


def send_as(edge: EdgeProcess, sop_instance_uid: str, dataset) -> int:
    """Send a dataset under another SOP Instance UID in the command set."""
    with raw_peer(edge) as peer:
        peer.associate(context(1, dataset.SOPClassUID, "1.2.840.10008.1.2.1"))
        peer.send(p_data(pdv(1, 3, store_rq(sop_instance_uid.encode(), sop_class=dataset.SOPClassUID.encode()))))
        peer.send(p_data(pdv(1, 2, dataset_bytes(dataset))))
        return peer.status()


def last_entry(edge: EdgeProcess, ulid: str, kind: str) -> dict:
    rows = edge.rows(f"SELECT body FROM entry WHERE ulid = '{ulid}' AND kind = '{kind}' ORDER BY seq DESC")
    return dict(json.loads(rows[0][0]))


def dataset_of(path: Path, offset: int) -> bytes:
    return path.read_bytes()[offset:]


def test_D4_parked_show_tells_everything_but_the_patient(tmp_path):
    """Reason, hint, sender, UIDs, sizes, digest, ledger with times, and the instance that came first."""
    with running(tmp_path) as edge:
        ulid = conflict(edge)
        (first,) = edge.rows("SELECT ulid FROM instance WHERE state = 'ANNOUNCED'")
        shown = edge.command("parked", "show", ulid)
        assert shown.returncode == 0, shown.stderr
        sent = dataset_bytes(scan(1, ImageComments="another"))
        for text in (
            "other bytes", first[0], "SECOND", "127.0.0.1", "1.2.3.1.1", f"{len(sent)} bytes",
            "can be accepted: yes",
            hashlib.sha256(sent).hexdigest(), hashlib.sha256(dataset_bytes(scan(1))).hexdigest(),
            f"parked/trial-edge/{ulid}.dcm",
            "RECEIVED", "PARKED_COPY",
        ):  # fmt: skip
            assert text in shown.stdout, text
        everything = shown.stdout + edge.command("parked", "show", ulid, "--json").stdout
        assert "Zebedee" not in everything
        assert "4711" not in everything
        assert edge.command("parked").stdout == edge.command("parked", "list").stdout
        assert edge.command("parked", "show", NOBODY).returncode == 1


@pytest.mark.full
@pytest.mark.parametrize("verb", ["accept", "retry"])
def test_D4_I6_what_only_the_store_holds_is_brought_back_before_it_goes_on(tmp_path, verb):
    """Its spool file is gone and parked/ has the copy: accepted, it goes on; retried, it is judged again."""
    with running(tmp_path) as edge:
        ulid = conflict(edge)
        (path,) = edge.spool.rglob(f"in/**/{ulid}.dcm")
        whole = path.read_bytes()
        path.unlink()
        done = edge.command("parked", verb, ulid)
        assert done.returncode == 0, done.stderr
        if verb == "accept":
            edge.until_states(ANNOUNCED=2)
        else:
            edge.until(lambda: len(edge.rows("SELECT 1 FROM entry WHERE kind = 'PARKED'")) == 2, "the judgement")
            (row,) = edge.rows(f"SELECT state, reason FROM instance WHERE ulid = '{ulid}'")
            assert row[0] == "PARKED"
            assert "other bytes" in row[1]
        assert path.read_bytes() == whole
        assert not list((edge.spool / "tmp").iterdir())


@pytest.mark.full
@pytest.mark.parametrize("verb", ["accept", "retry"])
def test_D4_I6_what_no_place_holds_is_not_sent_through_the_line_again(tmp_path, verb):
    """Neither this disk nor the store has the recorded bytes: the command says what to do, and it stays parked."""
    with running(tmp_path) as edge:
        ulid = conflict(edge)
        (path,) = edge.spool.rglob(f"in/**/{ulid}.dcm")
        path.unlink()
        copy = tmp_path / "store" / "parked" / "trial-edge" / f"{ulid}.dcm"
        copy.write_bytes(copy.read_bytes()[:-1] + b"\x55")
        done = edge.command("parked", verb, ulid)
        assert done.returncode == 1
        assert "cannot be given" in done.stderr
        assert "backup of SPOOL_DIR" in done.stderr
        assert edge.states()["PARKED"] == 1
        assert edge.rows("SELECT count(*) FROM entry WHERE kind IN ('ACCEPTED', 'RETRIED')") == [(0,)]
        assert not path.exists()
        assert not list((edge.spool / "tmp").iterdir())


def test_D4_I2_an_accepted_conflict_goes_on_alone_and_overwrites_nothing(tmp_path):
    """Accepted: a generation of its own with a manifest that says so, another key, the first object as it was."""
    with running(tmp_path) as edge:
        ulid = conflict(edge)
        (before,) = edge.manifests()
        first = tmp_path / "store" / before["Instances"][0]["Key"]
        bytes_before = first.read_bytes()
        done = edge.command("parked", "accept", ulid, "--because", "header mended, ticket 812")
        assert done.returncode == 0, done.stderr
        assert "generation of its own" in done.stdout
        edge.until_states(ANNOUNCED=2)
        (after,) = [m for m in edge.manifests() if m["JobId"] != before["JobId"]]
        assert after["CloseReason"] == "conflict accepted by an operator"
        assert [i["SOPInstanceUID"] for i in after["Instances"]] == ["1.2.3.1.1"]
        assert after["Instances"][0]["Key"] != before["Instances"][0]["Key"]
        assert after["Instances"][0]["ATRIUID"] == before["Instances"][0]["ATRIUID"]
        assert first.read_bytes() == bytes_before
        decision = last_entry(edge, ulid, "ACCEPTED")
        assert decision["by"].startswith(ME)
        assert (decision["because"], decision["what"]) == ("header mended, ticket 812", "conflict")
        # Of two with one UID the index keeps the first; and the next variant is parked again, not waved through.
        assert edge.rows("SELECT count(*) FROM instance", "spool/index.db") == [(1,)]
        send(edge, scan(1, ImageComments="a third"))
        edge.until_states(ANNOUNCED=2, PARKED=1)
        assert "the chain is whole" in edge.command("status", "--verify").stdout


def test_D4_an_accepted_conflict_leaves_an_open_generation_open(tmp_path):
    """While the study's generation is still open, the accepted one goes out in its own, at once."""
    with running(tmp_path, GENERATION_QUIET="300") as edge:
        send(edge, scan(1), scan(1, ImageComments="another"), scan(2))
        edge.until_states(UPLOADED=2, PARKED=1)
        (ulid,) = parked_ulids(edge)
        edge.command("parked", "accept", ulid)
        edge.until_states(UPLOADED=2, ANNOUNCED=1)
        assert len(edge.status()["OpenGenerations"]) == 1


@pytest.mark.full
def test_D4_the_cloud_holds_an_accepted_conflict_and_imports_the_first_only(tmp_path):
    """The real ingester reads both manifests: the first is verified and to be imported, the accepted conflict held."""
    with running(tmp_path) as edge:
        edge.command("parked", "accept", conflict(edge))
        edge.until_states(ANNOUNCED=2)
        wanted = {m["JobId"]: "CONFLICT" if "operator" in m["CloseReason"] else "VERIFIED" for m in edge.manifests()}
        database = {"DATABASE_URL": f"sqlite:///{tmp_path / 'cloud.db'}"}
        cloud = subprocess.Popen([sys.executable, "-m", "cloud", "ingest"], env=edge.environ | database)
        try:
            edge.until(lambda: generations(edge) == wanted, "the ingester has read both")
        finally:
            cloud.terminate()
            cloud.wait(30)
        assert edge.rows("SELECT count(*) FROM ahlijob", "cloud.db") == [(1,)]
        assert edge.rows("SELECT count(*) FROM instance", "cloud.db") == [(1,)]


def generations(edge: EdgeProcess) -> dict[str, str]:
    try:
        return {str(job): str(state) for job, state in edge.rows("SELECT jobid, state FROM generation", "cloud.db")}
    except sqlite3.Error:
        return {}  # the tables are not there yet


def test_D1_D4_an_accepted_mismatch_goes_on_by_the_uids_of_its_dataset(tmp_path):
    """Command and dataset named two UIDs: the key, the manifest and the index have the dataset's."""
    with running(tmp_path) as edge:
        assert send_as(edge, "1.2.3.999", scan(1)) == 0
        edge.until_states(PARKED=1)
        (ulid,) = parked_ulids(edge)
        assert "goes on by the UIDs of its dataset" in edge.command("parked", "accept", ulid).stdout
        edge.until_states(ANNOUNCED=1)
        (manifest,) = edge.manifests()
        instance = load_manifest(json.dumps(manifest).encode()).instances[0]
        assert instance.sop_instance_uid == "1.2.3.1.1"
        assert instance.key.endswith("/1.2.3/1.2.3.1/1.2.3.1.1.dcm")
        assert instance.received_sha256 == hashlib.sha256(dataset_bytes(scan(1))).hexdigest()
        assert edge.rows("SELECT sopinstanceuid FROM instance", "spool/index.db") == [("1.2.3.1.1",)]
        assert last_entry(edge, ulid, "RECEIVED")["was"] == "PARKED"
        assert (
            json.loads(edge.rows("SELECT body FROM entry WHERE kind = 'RECEIVED' ORDER BY seq")[0][0])[
                "sop_instance_uid"
            ]
            == "1.2.3.999"
        )


@pytest.mark.full
def test_D5_I2_an_accepted_mismatch_is_uploaded_as_a_valid_Part_10_file(tmp_path):
    """PS3.10 7.1: the object's File Meta names its dataset's UIDs, long ones too; untagging gives the received file."""
    for n, command in enumerate(("9", f"2.25.{'8' * 59}")):
        with running(tmp_path / str(n)) as edge:
            assert send_as(edge, command, scan(1)) == 0
            edge.until_states(PARKED=1)
            received = next((edge.spool / "in").rglob("*.dcm")).read_bytes()
            edge.command("parked", "accept", *parked_ulids(edge))
            edge.until_states(ANNOUNCED=1)
            instance = load_manifest(json.dumps(edge.manifests()[0]).encode()).instances[0]
            path = edge.folder / "store" / instance.key
            tagged = dcmread(path)
            meta = tagged.file_meta
            assert meta.MediaStorageSOPInstanceUID == tagged.SOPInstanceUID == "1.2.3.1.1"
            assert meta.MediaStorageSOPClassUID == tagged.SOPClassUID
            assert meta.FileMetaInformationGroupLength == instance.dataset_offset - 144
            assert (
                meta.SourceApplicationEntityTitle == dcmread(BytesIO(received)).file_meta.SourceApplicationEntityTitle
            )
            assert tagged[0x0013, 0x1001].value == instance.atriuid
            assert subprocess.run([program("dcmftest"), path], capture_output=True, check=False).returncode == 0
            with path.open("rb") as file:
                assert b"".join(instance.tagging.read_untagged(file)) == received
            assert next((edge.spool / "in").rglob("*.dcm")).read_bytes() == received, "the received file never changes"
            assert (
                edge.command("fetch", "1.2.3.1.1", "--as-received", "--output", str(tmp_path / f"{n}.dcm")).returncode
                == 0
            )


def test_D4_accepting_a_mismatch_does_not_accept_a_conflict(tmp_path):
    """Under its dataset's UID it meets other bytes: parked as a conflict, decided on its own."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        assert send_as(edge, "1.2.3.999", scan(1, ImageComments="another")) == 0
        edge.until_states(ANNOUNCED=1, PARKED=1)
        (ulid,) = parked_ulids(edge)
        edge.command("parked", "accept", ulid)
        edge.until(
            lambda: (
                edge.rows("SELECT reason FROM instance WHERE state = 'PARKED' AND reason LIKE '%other bytes%'") != []
            ),
            "a conflict",
        )
        edge.command("parked", "accept", ulid)
        edge.until_states(ANNOUNCED=2)
        assert len({i["Key"] for m in edge.manifests() for i in m["Instances"]}) == 2


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")  # pydicom warns the sender
def test_D4_I6_what_cannot_go_on_is_refused_with_the_way_out(tmp_path):
    """Missing or malformed UIDs, a cut-off dataset, a name nobody knows: not accepted, and still parked."""
    with running(tmp_path) as edge:
        send(edge, scan(1, StudyInstanceUID=None), scan(2, SeriesInstanceUID="1.02.3"))
        with raw_peer(edge) as peer:
            peer.associate(context(1, scan(3).SOPClassUID, "1.2.840.10008.1.2.1"))
            peer.send(p_data(pdv(1, 3, store_rq(b"1.2.3.1.3", sop_class=scan(3).SOPClassUID.encode()))))
            peer.send(p_data(pdv(1, 2, dataset_bytes(scan(3))[:-100])))
            assert peer.status() == 0
        edge.until_states(PARKED=3)
        done = edge.command("parked", "accept", *parked_ulids(edge), NOBODY)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.count("cannot be accepted") == 3
        assert done.stderr.count("reject") == 3
        assert "no instance" in done.stderr
        assert edge.states() == {"PARKED": 3}
        assert "one line" in edge.command("parked", "accept", NOBODY, "--because", "two\nlines").stderr


@pytest.mark.full
def test_I3_I6_rejected_stays_in_the_store_and_leaves_the_disk_after_proof_only(tmp_path):
    """Rejected: terminal, counted, its copy under parked/ stays; local bytes go once the store confirmed that copy."""
    with running(tmp_path, RETAIN_HOURS="24") as edge:
        ulid = conflict(edge)
        local = next((tmp_path / "spool/in").rglob(f"{ulid}.dcm"))
        whole = local.read_bytes()
        done = edge.command("parked", "reject", ulid, "--because", "phantom")
        assert "copy under parked/ in the store stays" in done.stdout
        edge.until_states(ANNOUNCED=1, REJECTED=1)
        assert edge.status()["Counts"]["REJECTED"] == 1
        assert "REJECTED" in edge.command("status").stdout
        assert last_entry(edge, ulid, "REJECTED")["because"] == "phantom"
        for again in ("accept", "reject", "retry"):
            assert edge.command("parked", again, ulid).returncode == 1
        edge.stop()
        assert local.exists()  # RETAIN_HOURS has not passed
        copy = tmp_path / "store/parked/trial-edge" / f"{ulid}.dcm"
        copy.rename(tmp_path / "away.dcm")
        edge.settings["RETAIN_HOURS"] = "0"
        edge.start()
        edge.until(
            lambda: bool([e for e in edge.events("instance.parked") if "rejected" in e["text"]]), "it is not released"
        )
        assert local.exists()
        edge.stop()
        shutil.move(tmp_path / "away.dcm", copy)
        edge.start()
        edge.until(lambda: not local.exists(), "released")
        assert copy.read_bytes() == whole
        assert last_entry(edge, ulid, "REJECTED_RELEASED")["key"] == f"parked/trial-edge/{ulid}.dcm"
        edge.stop()
        edge.start()
        assert edge.states()["REJECTED"] == 1


def test_I6_what_was_rejected_and_comes_again_is_judged_again(tmp_path):
    """The same bytes after a rejection are no duplicate of it: they are kept and parked."""
    with running(tmp_path) as edge:
        ulid = conflict(edge)
        edge.command("parked", "reject", ulid)
        send(edge, scan(1, ImageComments="another"))
        edge.until_states(ANNOUNCED=1, REJECTED=1, PARKED=1)


def test_D4_an_operator_closes_a_generation(tmp_path):
    """By study, by job id, or all; each goes out at once, its manifest says who closed; later ones open the next."""
    with running(tmp_path, GENERATION_QUIET="300") as edge:
        send(edge, scan(1), scan(1, study="1.5", series="1.5.1"), scan(1, study="1.6", series="1.6.1"))
        edge.until_states(UPLOADED=3)
        assert "study 1.2.3" in edge.command("close", "1.2.3", "--because", "the patient has left").stdout
        edge.until_states(UPLOADED=2, ANNOUNCED=1)
        assert edge.manifests()[0]["CloseReason"] == "operator"
        (job,) = [g["JobId"] for g in edge.status()["OpenGenerations"] if g["StudyInstanceUID"] == "1.5"]
        edge.command("close", job)
        edge.until_states(UPLOADED=1, ANNOUNCED=2)
        assert "study 1.6" in edge.command("close", "--all").stdout
        edge.until_states(ANNOUNCED=3)
        bodies = [
            json.loads(b) for (b,) in edge.rows("SELECT body FROM entry WHERE kind = 'GENERATION_CLOSED' ORDER BY seq")
        ]
        assert bodies[0]["because"] == "the patient has left"
        assert all(b["by"].startswith(ME) for b in bodies)
        send(edge, scan(2))
        edge.until_states(UPLOADED=1, ANNOUNCED=3)
        assert len(edge.status()["OpenGenerations"]) == 1
        unknown = "11111111-2222-4333-8444-555555555555"
        done = edge.command("close", job, "1.5", "9.9.9", "what", unknown)
        assert done.returncode == 1
        assert done.stderr.count("hint:") == 5
        for why in ("closed already", "nothing of study", "no study", "neither", "no generation"):
            assert why in done.stderr
        assert edge.command("close").returncode == 2


def test_fetch_gives_back_what_was_sent_from_disk_and_from_the_store(tmp_path):
    """As uploaded and as received, before and after the release, with the proof; the patient's name is in no output."""
    sent = dataset_bytes(scan(1))
    with running(tmp_path, RETAIN_HOURS="24") as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        here = edge.command("fetch", "1.2.3.1.1", "--as-received", "--output", str(tmp_path / "a.dcm"))
        assert here.returncode == 0, here.stderr
        tagged = edge.command("fetch", "1.2.3.1.1", "--output", str(tmp_path / "b.dcm"))
        assert "from      the spool" in here.stdout
        edge.stop()
        edge.settings["RETAIN_HOURS"] = "0"
        edge.start()
        edge.until_states(RELEASED=1)
        edge.until(lambda: not list((tmp_path / "spool/in").rglob("*.dcm")), "gone")
        there = edge.command("fetch", "1.2.3.1.1", "--as-received", "--output", str(tmp_path / "c.dcm"))
        assert there.returncode == 0, there.stderr
        assert "its tag undone" in there.stdout
        edge.command("fetch", "1.2.3.1.1", "--output", str(tmp_path / "d.dcm"))
        (manifest,) = edge.manifests()
        instance = load_manifest(json.dumps(manifest).encode()).instances[0]
        for name in ("a.dcm", "c.dcm"):
            assert dataset_of(tmp_path / name, instance.dataset_offset) == sent
            assert dcmread(tmp_path / name).SOPInstanceUID == "1.2.3.1.1"
            assert (tmp_path / name).stat().st_mode & 0o077 == 0
        assert (tmp_path / "b.dcm").read_bytes() == (tmp_path / "d.dcm").read_bytes()
        assert (tmp_path / "d.dcm").read_bytes() == (tmp_path / "store" / instance.key).read_bytes()
        for done in (here, there):
            assert hashlib.sha256(sent).hexdigest() in done.stdout
            assert "Zebedee" not in done.stdout
        assert instance.sha256 in tagged.stdout
        again = edge.command("fetch", "1.2.3.1.1", "--output", str(tmp_path / "a.dcm"))
        assert (again.returncode, "already" in again.stderr) == (1, True)


def test_fetch_writes_nothing_that_is_not_proved(tmp_path):
    """A damaged spool file is passed over for the store; if that is damaged too, no file appears and each is named."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        local = next((tmp_path / "spool/in").rglob("*.dcm"))
        local.write_bytes(local.read_bytes()[:-1] + b"\xff")
        done = edge.command("fetch", "1.2.3.1.1", "--as-received", "--output", str(tmp_path / "a.dcm"))
        assert "the store" in done.stdout, done.stderr
        stored = next((tmp_path / "store/trial-edge").rglob("*.dcm"))
        stored.write_bytes(stored.read_bytes()[:-1] + b"\xff")
        for way in ((), ("--as-received",)):
            done = edge.command("fetch", "1.2.3.1.1", "--output", str(tmp_path / "b.dcm"), *way)
            assert done.returncode == 1
            assert done.stderr.count("SHA-256 is not the recorded one") == 2, done.stderr
        assert not [p for p in tmp_path.iterdir() if "b.dcm" in p.name]


def test_fetch_names_several_and_gives_a_parked_one_by_its_ulid(tmp_path):
    """Two with one UID: both are listed and none is chosen; the parked one has no tagged object, but its bytes."""
    with running(tmp_path) as edge:
        ulid = conflict(edge)
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1, PARKED=1, DUPLICATE=1)
        done = edge.command("fetch", "1.2.3.1.1")
        assert done.returncode == 1
        assert "2 instances have this SOP Instance UID" in done.stderr
        assert ulid in done.stderr
        untagged = edge.command("fetch", ulid)
        assert "--as-received" in untagged.stderr
        next((tmp_path / "spool/in").rglob(f"{ulid}.dcm")).unlink()
        done = edge.command("fetch", ulid, "--as-received", "--output", str(tmp_path / "p.dcm"))
        assert f"parked/trial-edge/{ulid}.dcm" in done.stdout, done.stderr
        assert (tmp_path / "p.dcm").read_bytes().endswith(dataset_bytes(scan(1, ImageComments="another")))
        ((duplicate,),) = edge.rows("SELECT ulid FROM instance WHERE state = 'DUPLICATE'")
        done = edge.command("fetch", duplicate, "--as-received", "--output", str(tmp_path / "q.dcm"))
        assert (tmp_path / "q.dcm").read_bytes().endswith(dataset_bytes(scan(1))), done.stderr
        assert edge.command("fetch", "9.9.9").returncode == 1


@pytest.mark.full
def test_I3_rejected_before_its_copy_was_made_it_is_copied_first(tmp_path):
    """With the store away a parked instance is rejected: it stays here until the store is back and holds the copy."""
    aws = {"STORE_DIR": "", "BUCKETNAME": "bucket", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    keys = {"AWS_ACCESS_KEY": "AKIAEXAMPLE", "AWS_SECRET_KEY": "very-secret-value"}
    with running(tmp_path, RETAIN_HOURS="0") as edge:
        edge.stop()  # at its very first start an edge asks the store what it knows; from now on that is away
        edge.settings |= aws | keys
        edge.start()
        send(edge, scan(1, StudyInstanceUID=None))
        edge.until_states(PARKED=1)
        (ulid,) = parked_ulids(edge)
        assert edge.status()["OldestOnOneDisk"] is not None
        assert "before its local bytes may go" in edge.command("parked", "reject", ulid).stdout
        edge.until(lambda: bool(edge.events("stage.waiting")), "the upload stage waits")
        local = next((tmp_path / "spool/in").rglob("*.dcm"))
        whole = local.read_bytes()
        edge.stop()
        edge.settings |= {"STORE_DIR": str(tmp_path / "store"), "BUCKETNAME": "", "AWS_ENDPOINT_URL": ""}
        edge.start()
        edge.until(lambda: not local.exists(), "released")
        assert (tmp_path / "store/parked/trial-edge" / f"{ulid}.dcm").read_bytes() == whole
        assert edge.states() == {"REJECTED": 1}
        assert edge.status()["OldestOnOneDisk"] is None
        done = edge.command("fetch", ulid, "--as-received", "--output", str(tmp_path / "back.dcm"))
        assert (tmp_path / "back.dcm").read_bytes() == whole, done.stderr


#: All is loaded first: the tests' Python may not be open to another user either.
AS_NOBODY = """
import os, sys
import edge.compose, edge.services.report
from edge.__main__ import main
os.setgid(65534)
os.setuid(65534)
sys.exit(main(["parked"]))
"""


def test_a_user_who_may_not_is_told_whose_command_it_is(tmp_path):
    """Another user of the box gets the way out, not a trace."""
    if os.getuid() != 0:
        pytest.skip("only root can run a command as another user")
    with running(tmp_path) as edge:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY], env=edge.environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1, done.stderr
        assert "sudo -u USER" in done.stderr
