"""The edge from outside: what a sender, an operator and the cloud see of the main job and of its faults."""

import hashlib
import io
import json
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from edge.contract.edits import read_untagged
from edge.contract.manifest import load_manifest
from tests.association.wire import context, p_data, pdv, store_rq
from tests.e2e.edge_process import EdgeProcess, associated, dataset_bytes, raw_peer, running, scan, send
from tests.parts import program

pytestmark = pytest.mark.door("socket", "file")

DCMDATA = sorted((Path(__file__).parents[2] / "dcmdata").glob("*.dcm"))


def test_E001_E004_E008_I1_storescu_as_typed_is_answered_success_for_each(tmp_path):
    """Debian's storescu sends dcmdata/*.dcm to any AE title and reads Success for every file; titles are recorded."""
    with running(tmp_path) as edge:
        titles = ["-aec", "ANY_TITLE", "-aet", "CLIENT_AE"]
        done = subprocess.run(
            [program("storescu"), "-v", *titles, "127.0.0.1", str(edge.port), *DCMDATA],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert (done.stdout + done.stderr).count("Received Store Response (Success)") == len(DCMDATA)
        edge.until_states(ANNOUNCED=len(DCMDATA))
        recorded = edge.rows("SELECT DISTINCT calling_ae_title, called_ae_title FROM instance")
        assert recorded == [("CLIENT_AE", "ANY_TITLE")]


def test_E006_E012_D5_P028_the_stored_object_is_tagged_and_leads_back_to_the_sent_bytes(tmp_path):
    """The object in the store carries the ATRIUID; undoing the edits gives exactly what was sent."""
    sent = scan()
    with running(tmp_path) as edge:
        assert send(edge, sent) == [0]
        edge.until_states(ANNOUNCED=1)
        (raw,) = edge.manifests()
        instance = load_manifest(json.dumps(raw).encode()).instances[0]
        stored = (tmp_path / "store" / instance.key).read_bytes()
        tagged = dcmread(io.BytesIO(stored))
        block = tagged.private_block(0x0013, "ATRI EDGE 1.0")
        assert block[0x01].value in ("7000000001.1", b"7000000001.1")
        assert tagged.PixelData == sent.PixelData
        back = b"".join(read_untagged(io.BytesIO(stored), instance.edits))[instance.dataset_offset :]
        assert back == dataset_bytes(sent)
        assert hashlib.sha256(back).hexdigest() == instance.received_sha256


def test_E010_E013_E014_D4_keys_messages_and_manifest_name_the_generation(tmp_path):
    """One study is one generation: its key part, its two messages and its manifest agree."""
    with running(tmp_path) as edge:
        send(edge, scan(1), scan(2), scan(1, series="1.2.3.2"))
        edge.until_states(ANNOUNCED=3)
        (manifest,) = edge.manifests()
        keys = sorted(
            p.relative_to(tmp_path / "store").as_posix() for p in (tmp_path / "store/trial-edge").rglob("*.dcm")
        )
        job = manifest["JobId"]
        assert keys == [
            f"trial-edge/{job}/1.2.3/1.2.3.1/1.2.3.1.1.dcm",
            f"trial-edge/{job}/1.2.3/1.2.3.1/1.2.3.1.2.dcm",
            f"trial-edge/{job}/1.2.3/1.2.3.2/1.2.3.2.1.dcm",
        ]
        assert (manifest["Type"], manifest["Status"], manifest["Direction"]) == ("manifest", "completed", "inbound")
        assert (manifest["ObjectCount"], manifest["ObjectSentCount"]) == (3, 3)
        assert (manifest["SourceAE"], manifest["DestinationAE"]) == ("CT03", "ANY")
        kinds = [
            json.loads(body)["Kind"] for (body,) in edge.rows("SELECT body FROM message ORDER BY rowid", "queue.db")
        ]
        assert [k for k in kinds if k != "status"] == ["incoming", "completed"]


def test_P023_P027_a_study_is_one_file_id_and_its_series_are_numbered(tmp_path):
    """Two studies of two series give FileIDs n and n+1 with ScanIDs 1 and 2, the same after a restart."""
    with running(tmp_path) as edge:
        send(edge, scan(1), scan(1, series="1.2.3.2"), scan(1, study="1.5", series="1.5.1"))
        edge.until_states(ANNOUNCED=3)
        edge.stop()
        edge.start()
        send(edge, scan(2, series="1.2.3.2"))
        edge.until_states(ANNOUNCED=4)
        tags = {(i["SeriesInstanceUID"], i["ATRIUID"]) for m in edge.manifests() for i in m["Instances"]}
        assert tags == {("1.2.3.1", "7000000001.1"), ("1.2.3.2", "7000000001.2"), ("1.5.1", "7000000002.1")}


def test_E009_I5_an_abort_completes_nothing_and_loses_nothing(tmp_path):
    """After an abort in mid-study the instance acknowledged is kept; a second association adds to the generation."""
    with running(tmp_path, GENERATION_QUIET="3") as edge:
        with associated(edge) as association:
            assert association.send_c_store(scan(1)).Status == 0
            association.abort()
        assert send(edge, scan(2)) == [0]
        edge.until_states(ANNOUNCED=2)
        (manifest,) = edge.manifests()
        assert len({i["AssociationId"] for i in manifest["Instances"]}) == 2


def test_D4_late_instances_open_the_next_generation(tmp_path):
    """What comes after the close goes up under a new uuid4, alone."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        send(edge, scan(2))
        edge.until_states(ANNOUNCED=2)
        first, second = sorted(edge.manifests(), key=lambda m: m["OpenedAt"])
        assert first["JobId"] != second["JobId"]
        assert [i["SOPInstanceUID"] for i in second["Instances"]] == ["1.2.3.1.2"]


def test_D4_I4_the_same_instance_again_costs_nothing(tmp_path):
    """A re-send is acknowledged, uploads nothing and takes no disk."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        assert send(edge, scan(1), scan(1)) == [0, 0]
        edge.until_states(ANNOUNCED=1, DUPLICATE=2)
        edge.until(lambda: len(list((tmp_path / "spool/in").rglob("*.dcm"))) == 1, "the copies are gone")
        assert len(edge.manifests()) == 1


@pytest.mark.door("command")
def test_D4_I6_the_same_uid_with_other_bytes_is_kept_parked_and_shown(tmp_path):
    """Both are kept; the second is parked with a reason, lies under parked/ too, and blocks nothing."""
    with running(tmp_path) as edge:
        send(edge, scan(1), scan(1, ImageComments="another"), scan(2))
        edge.until_states(ANNOUNCED=2, PARKED=1)
        edge.until(lambda: len(list((tmp_path / "store/parked").rglob("*.dcm"))) == 1, "a copy under parked/")
        shown = edge.command("parked").stdout
        assert "other bytes" in shown
        assert "also in the store" in shown
        assert len(list((tmp_path / "spool/in").rglob("*.dcm"))) == 3


BAD = {
    "no study": {"StudyInstanceUID": None},
    "traversal": {"StudyInstanceUID": "../../etc"},
    "leading zero": {"SeriesInstanceUID": "1.02.3"},
    "too long": {"SeriesInstanceUID": "1." + "2" * 64},
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")  # pydicom warns the sender
@pytest.mark.parametrize("name", BAD)
def test_fault_26_D1_I6_a_bad_object_is_kept_and_parked_not_refused(tmp_path, name):
    """Malformed and missing UIDs: Success, kept, parked with reason and hint; the next instance goes on."""
    with running(tmp_path) as edge:
        assert send(edge, scan(1, **BAD[name]), scan(2)) == [0, 0]
        edge.until_states(ANNOUNCED=1, PARKED=1)
        (reason, hint) = edge.rows("SELECT reason, hint FROM instance WHERE state = 'PARKED'")[0]
        assert "UID" in reason
        assert hint
        outside = [p for p in tmp_path.rglob("*") if p.is_file() and p.parent == tmp_path]
        assert {p.name for p in outside} <= {"edge.log", "queue.db", "queue.db-wal", "queue.db-shm"}


@pytest.mark.door("command")
def test_retry_sends_a_parked_instance_through_the_line_again(tmp_path):
    """Retry takes effect in the running edge; what is still wrong is parked again, an unknown name is refused."""
    with running(tmp_path) as edge:
        send(edge, scan(1, StudyInstanceUID=None))
        edge.until_states(PARKED=1)
        (before,) = edge.rows("SELECT moved_at FROM instance")
        assert "goes through the line again" in edge.command("retry", "--all").stdout
        edge.until(
            lambda: edge.rows("SELECT moved_at FROM instance WHERE state = 'PARKED'") not in ([], [before]),
            "parked again",
        )
        refused = edge.command("retry", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        assert refused.returncode == 1
        assert "no instance" in refused.stderr


@pytest.mark.full
def test_I2_D5_two_gigabytes_go_through_with_a_flat_memory(tmp_path):
    """An object of 2 GB is received, tagged and stored; the edge's memory grows by less than 64 MiB."""
    frame = bytes(1 << 20)
    with running(tmp_path, MAX_OBJECT_MB="4000") as edge:
        assert edge.process is not None
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        status = Path(f"/proc/{edge.process.pid}/status")
        status.with_name("clear_refs").write_text("5")  # the peak counts from here
        before = _peak(status)
        digest = _send_big(edge, 2047, frame)
        edge.until(lambda: edge.states() == {"ANNOUNCED": 2}, "announced", 110)
        assert _peak(status) - before < 64 << 10
        big = next(i for m in edge.manifests() for i in m["Instances"] if i["ReceivedSize"] > 1 << 30)
        assert big["ReceivedSHA256"] == digest
        assert not big["HasError"]


def _peak(status: Path) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def _send_big(edge: EdgeProcess, megabytes: int, frame: bytes) -> str:
    """Send a dataset whose pixel data is made on the way, on a bare socket; returns its SHA-256."""
    small = scan(9)
    del small.PixelData
    head = dataset_bytes(small) + b"\xe0\x7f\x10\x00OB\x00\x00" + (megabytes << 20).to_bytes(4, "little")
    digest = hashlib.sha256(head)
    capture = small.SOPClassUID.encode()
    with raw_peer(edge) as peer:
        peer.associate(context(1, capture.decode(), "1.2.840.10008.1.2.1"))
        peer.send(p_data(pdv(1, 3, store_rq(small.SOPInstanceUID.encode(), sop_class=capture))))
        peer.send(p_data(pdv(1, 0, head)))
        half = len(frame) // 16
        for n in range(megabytes):
            digest.update(frame)
            for at in range(0, len(frame), half):
                last = n == megabytes - 1 and at + half == len(frame)
                peer.send(p_data(pdv(1, 2 if last else 0, frame[at : at + half])))
        assert peer.status() == 0
    return digest.hexdigest()


def test_E015_fault_29_a_full_disk_is_refused_with_A700_and_the_association_goes_on(tmp_path):
    """Below STORAGE_OOR every store is answered 0xA700, C-STORE after C-STORE, and nothing is kept of it."""
    with running(tmp_path, STORAGE_OOR="100000000", STORAGE_THROTTLE="100000000") as edge:
        assert send(edge, scan(1), scan(2)) == [0xA700, 0xA700]
        assert not list((tmp_path / "spool").rglob("*.dcm"))
        (first, _) = edge.events("store.refused")
        assert "reserve" in json.dumps(first)


def test_fault_01_fault_03_I3_nothing_is_released_while_the_store_is_away(tmp_path):
    """With S3 refusing connections scans are acknowledged, kept and reported; the stage says why it waits."""
    aws = {"STORE_DIR": "", "BUCKETNAME": "bucket", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    keys = {"AWS_ACCESS_KEY": "AKIAEXAMPLE", "AWS_SECRET_KEY": "very-secret-value"}
    with running(tmp_path, RETAIN_HOURS="0", **aws, **keys) as edge:
        assert send(edge, scan(1)) == [0]
        edge.until(
            lambda: any("stage upload" in e["text"] for e in edge.events("stage.waiting")),
            "the upload says that it waits",
        )
        edge.until_states(TAGGED=1)
        assert len(list((tmp_path / "spool/in").rglob("*.dcm"))) == 1
        assert send(edge, scan(2)) == [0]
        assert "very-secret-value" not in edge.log.read_text()


def test_E011_I3_local_bytes_go_only_after_the_store_was_asked_again(tmp_path):
    """Released: the file is gone, the proof is in the ledger, the object is in the store."""
    with running(tmp_path, RETAIN_HOURS="0") as edge:
        send(edge, scan(1))
        edge.until_states(RELEASED=1)
        edge.until(lambda: not list((tmp_path / "spool/in").rglob("*.dcm")), "the local file is gone")
        ((body,),) = edge.rows("SELECT body FROM entry WHERE kind = 'RELEASED'")
        assert json.loads(body)["crc64nvme"]
        key = json.loads(body)["key"]
        assert (tmp_path / "store" / key).exists()
        asked = "SELECT kind, key FROM instancelocation"
        edge.until(lambda: edge.rows(asked, "spool/index.db") == [("store", key)], "the index says where it lies")


@pytest.mark.full
def test_I3_an_object_that_vanished_from_the_store_is_not_released(tmp_path):
    """If the store no longer holds what it confirmed, the scan stays here and is parked; retry uploads it again."""
    with running(tmp_path, RETAIN_HOURS="1") as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        for path in (tmp_path / "store/trial-edge").rglob("*.dcm"):
            path.unlink()
        edge.settings["RETAIN_HOURS"] = "0"
        edge.start()
        edge.until_states(PARKED=1)
        assert len(list((tmp_path / "spool/in").rglob("*.dcm"))) == 1
        edge.command("retry", "--all")
        edge.until_states(RELEASED=1)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_fault_02_fault_27_a_restart_finds_everything_again(tmp_path, signum):
    """Killed or told to stop in the middle of the flow, the next start takes up every acknowledged instance."""
    with running(tmp_path) as edge:
        assert send(edge, *[scan(n) for n in range(1, 21)]) == [0] * 20
        edge.stop(signum)
        edge.start()
        edge.until_states(ANNOUNCED=20)
        assert edge.status()["Counts"]["ANNOUNCED"] == 20


def test_fault_27_sigterm_lets_the_instance_in_flight_finish(tmp_path):
    """A store begun before SIGTERM is answered Success, and its file is there."""
    d = scan(1)
    raw = dataset_bytes(d)
    with running(tmp_path) as edge:
        process = edge.process
        assert process is not None
        with raw_peer(edge) as peer:
            peer.associate(context(1, d.SOPClassUID, "1.2.840.10008.1.2.1"))
            peer.send(p_data(pdv(1, 3, store_rq(d.SOPInstanceUID.encode(), sop_class=d.SOPClassUID.encode()))))
            peer.send(p_data(pdv(1, 0, raw[:1000])))
            edge.until(lambda: bool(list((tmp_path / "spool/tmp").iterdir())), "the store has begun")
            process.send_signal(signal.SIGTERM)
            edge.until(lambda: bool(edge.events("stop")), "it stops")
            peer.send(p_data(pdv(1, 2, raw[1000:])))
            assert peer.status() == 0
        assert process.wait(30) == 0
        assert len(list((tmp_path / "spool/in").rglob("*.dcm"))) == 1


def test_fault_04_a_queue_that_is_away_at_the_start_is_waited_for(tmp_path):
    """With the queue unreachable the generation waits in the outbox; when it is there, it is announced."""
    (tmp_path / "queue").write_text("a file where the queue's folder should be")
    with running(tmp_path, QUEUE_FILE=str(tmp_path / "queue" / "q.db")) as edge:
        send(edge, scan(1))
        edge.until(lambda: edge.states() == {"UPLOADED": 1}, "uploaded")
        edge.until(lambda: bool(edge.events("stage.waiting") + edge.events("stage.failed")), "the stage says so")
        (tmp_path / "queue").unlink()
        (tmp_path / "queue").mkdir()
        edge.until_states(ANNOUNCED=1)


@pytest.mark.door("SQL", "command")
def test_E033_D8_D9_the_edges_index_answers_as_typed(tmp_path):
    """`SELECT * FROM Patient` and the other three work in sqlite3; the site is the issuer where none is named."""
    with running(tmp_path) as edge:
        send(edge, scan(1), scan(2))
        edge.until_states(ANNOUNCED=2)
        for table, rows in (("Patient", 1), ("Study", 1), ("Series", 1), ("Instance", 2)):
            done = subprocess.run(
                [program("sqlite3"), str(tmp_path / "spool/index.db"), f"SELECT * FROM {table};"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert len(done.stdout.splitlines()) == rows
        assert edge.rows("SELECT identityissuer, identityid FROM patient", "spool/index.db") == [("SITE-7", "PH-4711")]


@pytest.mark.door("command")
def test_E016_E018_fault_24_settings_are_read_and_secrets_never_shown(tmp_path):
    """check-config shows what is in force, from file and environment; a secret is only said to be set."""
    edge = EdgeProcess(tmp_path, STORE_DIR="", BUCKETNAME="bucket", AWS_REGION="eu-west-1", LOGLEVEL="warning",
                       AWS_ACCESS_KEY="AKIAEXAMPLE", AWS_SECRET_KEY="very-secret-value", THREADCOUNT="3")  # fmt: skip
    done = edge.command("check-config")
    assert done.returncode == 0, done.stderr
    assert "very-secret-value" not in done.stdout + done.stderr
    assert "AKIAEXAMPLE" not in done.stdout + done.stderr
    for line in ("LOGLEVEL                       WARNING", "THREADCOUNT                    3"):
        assert line in done.stdout


@pytest.mark.door("command")
def test_E018_every_fault_of_the_configuration_is_reported_at_once(tmp_path):
    """Five mistakes give five lines and a hint, and nothing is started."""
    wrong = {
        "EDGE_NUMBER": "", "SCP_PORT": "99999", "SCP_HOST": "999.1.1.1", "THREADCOUNT": "many", "LOGLEVEL": "LOUD",
        "STORAGE_OOR": "x", "BUCKETNAME": "Bad Bucket!", "QUEUE_URL": "zzz", "INDEX_URL": "garbage",
        "AWS_ENDPOINT_URL": "http://user:very-secret@host",
    }  # fmt: skip
    edge = EdgeProcess(tmp_path, QUEUE_FILE="", AWS_ACCESS_KEY="only-one-of-two", **wrong)
    done = edge.command("serve")
    assert done.returncode == 2
    for name in wrong:
        assert f"- {name} " in done.stderr
    assert "AWS_ACCESS_KEY and AWS_SECRET_KEY go together" in done.stderr  # found although others could not be read
    assert "very-secret" not in done.stderr + done.stdout
    assert not (tmp_path / "spool").exists()


@pytest.mark.door("command")
def test_a_second_edge_on_one_spool_and_a_strangers_spool_are_refused(tmp_path):
    """Both refusals name the cause and the way out, and the first edge goes on."""
    with running(tmp_path) as edge:
        second = edge.command("serve")
        assert second.returncode == 1
        assert "another edge is running" in second.stderr
        edge.settings["EDGE_NUMBER"] = "8"
        stranger = edge.command("serve")
        assert "belongs to edge 'trial-edge' number 7" in stranger.stderr
        edge.settings["EDGE_NUMBER"] = "7"
        assert send(edge, scan(1)) == [0]


def test_patient_data_is_neither_in_the_log_nor_in_keys_nor_open_to_others(tmp_path):
    """Name and id of the patient are in no log line and no key; spool and databases are for their owner alone."""
    with running(tmp_path, LOGLEVEL="DEBUG") as edge:
        send(edge, scan(1), scan(1, ImageComments="x"), scan(2, StudyInstanceUID=None))
        edge.until_states(ANNOUNCED=1, PARKED=2)
        assert "Zebedee" not in edge.log.read_text()
        assert "4711" not in edge.log.read_text()
        assert not [p for p in (tmp_path / "store").rglob("*") if "4711" in p.name or "Zebedee" in p.name]
        for name in ("spool/journal/journal.db", "spool/index.db"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) & 0o077 == 0


def test_fault_28_an_idle_edge_costs_next_to_nothing(tmp_path):
    """With nothing to do the edge uses less than a tenth of one processor."""
    with running(tmp_path, STATUS_SECONDS="60") as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        assert edge.process is not None
        path = Path(f"/proc/{edge.process.pid}/stat")

        def ticks() -> int:
            fields = path.read_text().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        first, began = ticks(), time.monotonic()
        edge.until(lambda: time.monotonic() - began > 3, "three seconds have passed")
        assert (ticks() - first) / 100 / (time.monotonic() - began) < 0.1


@pytest.mark.door("command")
def test_D3_status_verifies_the_custody_ledger(tmp_path):
    """`dicom-edge status --verify` says that the chain is whole, while the edge runs."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        shown = edge.command("status", "--verify").stdout
        assert "the chain is whole" in shown
        assert f"listening on 127.0.0.1 port {edge.port}" in shown


def test_I6_a_spool_file_damaged_behind_our_back_is_parked_and_blocks_nobody(tmp_path):
    """One file altered, one gone before the tag: both parked in plain words, the third goes all the way."""
    with running(tmp_path, STORE_DIR=str(tmp_path / "s3" / "store")) as edge:
        edge.stop()
        (tmp_path / "s3").rename(tmp_path / "s3-away")
        (tmp_path / "s3").write_text("a file where the store's folder should be")
        edge.start()
        send(edge, scan(1), scan(2), scan(3))
        edge.until_states(TAGGED=3)
        edge.stop()
        first, second, _ = sorted((tmp_path / "spool/in").rglob("*.dcm"))
        first.unlink()
        second.write_bytes(second.read_bytes()[:-1] + b"\xff")
        (tmp_path / "s3").unlink()
        edge.start()
        edge.until_states(PARKED=2, ANNOUNCED=1)
        assert (tmp_path / "spool/torn" / second.name).exists()


@pytest.mark.full
def test_I3_I6_a_damaged_twin_does_not_cost_the_good_copy_that_is_sent_again(tmp_path):
    """The file here was altered and parked; the sender sends again, as the hint says: the new bytes go all the way."""
    with running(tmp_path, STORE_DIR=str(tmp_path / "s3" / "store")) as edge:
        edge.stop()
        (tmp_path / "s3").rename(tmp_path / "s3-away")
        (tmp_path / "s3").write_text("a file where the store's folder should be")
        edge.start()
        send(edge, scan(1))
        edge.until_states(TAGGED=1)
        (path,) = (tmp_path / "spool/in").rglob("*.dcm")
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
        (tmp_path / "s3").unlink()
        (tmp_path / "s3-away").rename(tmp_path / "s3")
        edge.until_states(PARKED=1)
        assert send(edge, scan(1)) == [0]
        edge.until_states(PARKED=1, ANNOUNCED=1)
        assert send(edge, scan(1)) == [0]
        edge.until_states(PARKED=1, ANNOUNCED=1, DUPLICATE=1)


def test_I3_a_released_scan_that_the_store_lost_is_taken_again_from_its_sender(tmp_path):
    """Sent again after its object was deleted in the store: kept and uploaded; sent once more, it is a duplicate."""
    with running(tmp_path, RETAIN_HOURS="0") as edge:
        send(edge, scan(1))
        edge.until_states(RELEASED=1)
        for path in (tmp_path / "store/trial-edge").rglob("*.dcm"):
            path.unlink()
        assert send(edge, scan(1)) == [0]
        edge.until_states(RELEASED=2)
        assert len(list((tmp_path / "store/trial-edge").rglob("*.dcm"))) == 1
        send(edge, scan(1))
        edge.until_states(RELEASED=2, DUPLICATE=1)


@pytest.mark.full
def test_I6_what_others_left_in_the_spool_and_an_unreadable_file_stop_no_start(tmp_path):
    """A note beside the shards, a folder in tmp and a scan that cannot be read: the edge starts and serves."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        (tmp_path / "spool/in/README.txt").write_text("do not touch")
        (tmp_path / "spool/tmp/folder").mkdir()
        (path,) = (tmp_path / "spool/in").rglob("*.dcm")
        (path.parent / "01ARZ3NDEKTSV4RRFFQ69G5FAV.dcm").write_bytes(b"of another shard")
        unreadable = tmp_path / "spool/in/01ARZ3/01ARZ3NDEKTSV4RRFFQ69G5FAV.dcm"
        unreadable.parent.mkdir()
        unreadable.symlink_to(unreadable)  # ELOOP for every reader, whoever it is
        edge.start()
        assert send(edge, scan(2)) == [0]
        edge.until_states(ANNOUNCED=2)


@pytest.mark.door("command")
def test_a_port_that_is_taken_is_named_with_the_way_out(tmp_path):
    """`serve` on a busy port ends with status 1, the port, the reason and the settings to change; no traceback."""
    with running(tmp_path / "one") as first:
        second = EdgeProcess(tmp_path / "two", SCP_PORT=str(first.port))
        done = second.command("serve")
        assert done.returncode == 1
        assert f"cannot listen on 127.0.0.1 port {first.port}" in done.stderr
        assert "SCP_PORT" in done.stderr
        assert "Traceback" not in done.stderr


def test_E015_a_disk_that_runs_low_slows_stores_and_says_so(tmp_path):
    """Below STORAGE_THROTTLE a store takes longer and is still Success; the log names the cause and what to look at."""
    with running(tmp_path, STORAGE_THROTTLE="100000000", STORAGE_OOR="1") as edge:
        began = time.monotonic()
        assert send(edge, scan(1)) == [0]
        assert time.monotonic() - began > 0.3
        (told,) = edge.events("spool.low")
        assert "dicom-edge status" in told["hint"]


def test_D2_E008_a_spool_file_is_a_part_10_file_that_an_operator_can_open(tmp_path):
    """Pydicom and dcmdump open what lies in the spool; it names sender and receiver, and holds the dataset as sent."""
    with running(tmp_path) as edge:
        send(edge, scan(1), calling="MR_WARD_2", called="TRIAL")
        edge.until_states(ANNOUNCED=1)
        (path,) = (tmp_path / "spool/in").rglob("*.dcm")
        meta = dcmread(path).file_meta
        assert (meta.SendingApplicationEntityTitle, meta.ReceivingApplicationEntityTitle) == ("MR_WARD_2", "TRIAL")
        assert path.read_bytes().endswith(dataset_bytes(scan(1)))
        assert subprocess.run([program("dcmdump"), "-q", str(path)], capture_output=True, check=False).returncode == 0


def test_D4_a_generation_is_full_by_files_or_by_bytes(tmp_path):
    """Seven scans of one study at most three, or one MB, to a generation: none is over its limit, none is lost."""
    with running(tmp_path / "files", GENERATION_FILES="3") as edge:
        send(edge, *[scan(n) for n in range(1, 8)])
        edge.until_states(ANNOUNCED=7)
        assert sorted(len(m["Instances"]) for m in edge.manifests()) == [1, 3, 3]
    with running(tmp_path / "bytes", GENERATION_MB="1") as edge:
        send(edge, *[scan(n, size=640) for n in range(1, 5)])  # 410 kB each
        edge.until_states(ANNOUNCED=4)
        assert [len(m["Instances"]) for m in edge.manifests()] == [2, 2]
        assert {m["CloseReason"] for m in edge.manifests()} == {"full", "quiet"}
