"""Generations at the limits of a HealthImaging import job: 5,000 files at their real number, bytes by the setting.

Nobody can send 10 GB through a test, so that bound is proven in two halves: the shipped setting is 10,000 MB and no
more is taken, and at 1 MB what is *uploaded* (tagged, so a little more than was received) never passes it.
"""

import pytest
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from tests.association.wire import RELEASE_RQ, context, p_data, pdv, store_rq
from tests.cloud.test_commands import run
from tests.e2e.cloud_process import cloud, index_of
from tests.e2e.edge_process import EdgeProcess, associated, dataset_bytes, raw_peer, running, scan, send

pytestmark = pytest.mark.door("socket", "command")

MANY = 5003
SERIES = "1.2.3.1"


def send_many(edge: EdgeProcess, count: int) -> list[int]:
    """Send small instances of one series in one association; encoded once, the number put in its place."""
    first = 100_000  # numbers of one length
    sample = dataset_bytes(scan(first, series=SERIES, size=8, InstanceNumber=None))
    uid = f"{SERIES}.{first}".encode()
    assert sample.count(uid) == 1
    statuses = []
    with raw_peer(edge) as peer:
        peer.associate(context(1, SecondaryCaptureImageStorage, ExplicitVRLittleEndian))
        for n in range(count):
            mine = f"{SERIES}.{first + n}".encode()
            command = store_rq(mine, n % 65535 + 1, sop_class=SecondaryCaptureImageStorage.encode())
            peer.send(p_data(pdv(1, 3, command)), p_data(pdv(1, 2, sample.replace(uid, mine))))
            statuses.append(peer.status())
        peer.send(RELEASE_RQ)
        assert peer.read()[0] == 6
    return statuses


@pytest.mark.full
@pytest.mark.timeout(400)
@pytest.mark.door("SQL")
def test_D4_E012_E014_E034_five_thousand_files_close_a_generation(tmp_path, postgres_url):
    """Of 5,003 the first 5,000 are one manifest, the rest the next, which an operator closes; both are taken over."""
    cloud_settings = {
        "DATABASE_URL": postgres_url,
        "STORE_DIR": str(tmp_path / "store"),
        "QUEUE_FILE": str(tmp_path / "queue.db"),
    }
    with running(tmp_path, GENERATION_QUIET="3600") as edge:
        assert send_many(edge, MANY) == [0] * MANY
        first = {"UPLOADED": MANY - 5000, "ANNOUNCED": 5000}
        edge.until(lambda: edge.states() == first, "the first is full", 100, moves=edge.states)
        (full,) = edge.manifests()
        assert (full["CloseReason"], full["ObjectCount"], full["ObjectSentCount"]) == ("full", 5000, 5000)
        assert edge.command("close", "1.2.3").returncode == 0
        edge.until(lambda: edge.states() == {"ANNOUNCED": MANY}, "all are announced", 100, moves=edge.states)
        (rest,) = (m for m in edge.manifests() if m["JobId"] != full["JobId"])
        assert len(rest["Instances"]) == MANY - 5000
        uids = [i["SOPInstanceUID"] for m in (full, rest) for i in m["Instances"]]
        assert sorted(uids) == [f"{SERIES}.{100_000 + n}" for n in range(MANY)]
        # What a HealthImaging job would take is what lies below the prefix: exactly the manifest's.
        below = {p.name for p in (tmp_path / "store/trial-edge" / full["JobId"]).rglob("*.dcm")}
        assert below == {f"{i['SOPInstanceUID']}.dcm" for i in full["Instances"]}
        edge.stop()
    # The manifest is far larger than a message may be.
    assert max(p.stat().st_size for p in (tmp_path / "store/manifests").rglob("*.json")) > 1 << 20
    with cloud(tmp_path, "ingest", **cloud_settings) as ingester, index_of(postgres_url) as rows:
        whole = "SELECT count(*) FROM generation WHERE state = 'VERIFIED'"
        ingester.until(lambda: rows(whole) == [(2,)], "both are taken over", 180)
        assert rows("SELECT objectcount, indexedcount FROM generation ORDER BY 1") == [(3, 3), (5000, 5000)]
        assert rows("SELECT seriescount, totalimagecount FROM study") == [(1, MANY)]
        assert rows("SELECT number_of_instances FROM edcpipelinefiledicom") == [(MANY,)]
        assert rows("SELECT count(*) FROM instance") == rows("SELECT count(*) FROM instancelocation") == [(MANY,)]
    assert f"{MANY} instances in the index" in run("status", DATABASE_URL=postgres_url).stdout


def test_D4_E018_the_shipped_limits_are_those_of_an_import_job(tmp_path):
    """5,000 files and 10 GB are in force where nothing is set, and a setting above either is refused."""
    edge = EdgeProcess(tmp_path)
    lines = [line.split() for line in edge.command("check-config").stdout.splitlines()]
    assert ["GENERATION_FILES", "5000"] in lines
    assert ["GENERATION_MB", "10000"] in lines
    for name, most in (("GENERATION_FILES", 5000), ("GENERATION_MB", 10_000)):
        over = EdgeProcess(tmp_path, **{name: str(most + 1)}).command("check-config")
        assert over.returncode == 2
        assert f"{name} must lie between 1 and {most}" in over.stderr


def test_D4_what_is_uploaded_of_a_generation_stays_below_its_bytes(tmp_path):
    """Scans that just fit as received do not pass the limit once they are tagged: the last opens the next."""
    with running(tmp_path, GENERATION_MB="1") as edge:
        send(edge, scan(1, size=64))
        edge.until_states(ANNOUNCED=1)
        (path,) = (tmp_path / "spool/in").rglob("*.dcm")
        around = path.stat().st_size - 64 * 64
        half = scan(2, study="1.5", series="1.5.1", PixelData=bytes(500_000 - around - 8))
        other = scan(3, study="1.5", series="1.5.1", PixelData=bytes(500_000 - around - 8))
        send(edge, half, other)
        edge.until_states(ANNOUNCED=3)
        held = [p.stat().st_size for p in (tmp_path / "spool/in").rglob("*.dcm") if p.stat().st_size > 400_000]
        assert 999_000 < sum(held) <= 1_000_000  # as received they would fit
        sizes = [sum(i["Size"] for i in m["Instances"]) for m in edge.manifests()]
        assert len(sizes) == 3
        assert max(sizes) <= 1_000_000


def test_D4_E009_I5_two_associations_share_the_generation_of_one_study(tmp_path):
    """Interleaved, one aborted and one released: one generation, each instance with its association, ended by quiet."""
    with running(tmp_path, GENERATION_QUIET="1") as edge:
        with associated(edge, calling="CT03") as one, associated(edge, calling="PACS1") as two:
            for n in range(1, 5):
                assert (one if n % 2 else two).send_c_store(scan(n)).Status == 0
            two.abort()
            assert one.send_c_store(scan(5)).Status == 0
        edge.until_states(ANNOUNCED=5)
        (manifest,) = edge.manifests()
        by_title: dict[str, set[str]] = {}
        for i in manifest["Instances"]:
            by_title.setdefault(i["CallingAETitle"], set()).add(i["AssociationId"])
        assert len(manifest["Instances"]) == 5
        assert sorted(by_title) == ["CT03", "PACS1"]
        assert [len(ids) for ids in by_title.values()] == [1, 1]
        assert by_title["CT03"] != by_title["PACS1"]
