"""The tool as an operator types it."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloud.config import (
    DashboardSettings,
    DatabaseSettings,
    IngestSettings,
    PollSettings,
    RedriveSettings,
    load_settings,
    url_of_secret,
)
from cloud.db.migrate import newest
from cloud.errors import ConfigError
from cloud.ingest.ingest import Ingester
from cloud.studies import delete_study
from tests.cloud.edges import ROOT, FakeEdge, scans
from tests.nursery import REPOSITORY, nursery

pytestmark = pytest.mark.door("command")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run dicom-cloud with these settings and no others."""
    told = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **environment}
    return nursery("cloud").run("cloud", *arguments, environ=told)


def test_P023_an_edge_gets_its_number_once(database):
    """Numbers count up, a second request is refused, a new spool gets a new number, none is given twice."""
    url = {"DATABASE_URL": database.url}
    first = run("register-edge", "lab1", "--site", "Lab One", **url)
    assert first.stdout.splitlines() == ["AWS_IOT_THING_NAME=lab1", "EDGE_NUMBER=1", "SITE=Lab One"]
    assert "EDGE_NUMBER=2" in run("register-edge", "lab2", **url).stdout
    refused = run("register-edge", "lab1", **url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "number 1 already" in refused.stderr
    assert "--again" in refused.stderr
    assert "EDGE_NUMBER=3" in run("register-edge", "lab1", "--again", **url).stdout
    assert "EDGE_NUMBER=4" in run("register-edge", "lab3", **url).stdout
    listed = run("list-edges", **url).stdout.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [["3", "lab1"], ["2", "lab2"], ["4", "lab3"]]


def test_P023_two_registrations_at_once_get_two_numbers(postgres):
    """Registered at the same moment, no two edges get one number."""
    import threading
    from datetime import UTC, datetime

    from cloud.fleet import register_edge

    numbers: list[int] = []
    barrier = threading.Barrier(4)

    def work(n: int) -> None:
        barrier.wait(20)
        with postgres.engine.begin() as connection:
            numbers.append(register_edge(connection, f"e{n}", None, datetime.now(UTC)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(numbers) == [1, 2, 3, 4]


def test_P023_a_number_that_an_edge_announced_is_never_given(database, store):
    """A number that an unregistered edge uses already is passed over."""
    Ingester(database.engine, store).handle(FakeEdge(store=store, edge_id="old", number=5).announce(scans(1)).completed)
    assert "EDGE_NUMBER=6" in run("register-edge", "lab1", DATABASE_URL=database.url).stdout
    assert "not registered here" in run("list-edges", DATABASE_URL=database.url).stdout


def test_E037_delete_study_leaves_the_objects(database, store):
    """A deleted study is gone from the index with its queued jobs; objects, FileID and others stay, repeats too."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    sent = edge.announce(scans(3))
    ingester.handle(sent.completed)
    ingester.handle(edge.announce(scans(1, series=f"{ROOT}.2.1"), study=f"{ROOT}.2", n=2).completed)
    done = run("delete-study", f"{ROOT}.1", DATABASE_URL=database.url)
    assert done.returncode == 0, done.stderr
    assert "3 instances" in done.stdout
    assert "untouched: 3 objects" in done.stdout
    ingester.handle(sent.completed)
    assert database.rows("SELECT studyinstanceuid FROM study") == [(f"{ROOT}.2",)]
    assert database.one("SELECT count(*) FROM instance") == 1
    assert database.one("SELECT count(*) FROM ahlijob") == 1
    assert database.one("SELECT count(*) FROM patient") == 1
    assert database.one("SELECT count(*) FROM edcpipelinefile") == 2
    assert all(store.head(i.key) for i in sent.manifest.instances)
    again = run("delete-study", f"{ROOT}.1", DATABASE_URL=database.url)
    assert again.returncode == 1
    assert "not in the index" in again.stderr


def test_E037_I3_a_deletion_swallows_nothing_that_is_on_its_way(database, store):
    """A generation announced but not taken over when its study is deleted brings back what it lists, no more."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.announce(scans(2)).completed)
    late = edge.announce(scans(2, start=3))
    ingester.handle(late.incoming)
    assert run("delete-study", f"{ROOT}.1", DATABASE_URL=database.url).returncode == 0
    ingester.handle(late.completed)
    assert database.one("SELECT count(*) FROM ingesterror") == 0
    assert sorted(database.rows("SELECT sopinstanceuid FROM instance")) == [(f"{ROOT}.1.1.3",), (f"{ROOT}.1.1.4",)]
    assert database.rows("SELECT seriescount, totalimagecount FROM study") == [(1, 2)]
    states = sorted(database.rows("SELECT state FROM generation"))
    assert states == [("DELETED",), ("VERIFIED",)]


def test_E037_fault_17_deleting_while_ingesters_work_on_the_study(postgres, store):
    """Deletions and ingesters of one study at once: no deadlock, and what the index holds is what generations say."""
    edge = FakeEdge(store=store)
    sent = [edge.announce(scans(2, start=1 + 2 * n)) for n in range(12)]

    def ingest(some):
        for announced in some:
            Ingester(postgres.engine, store).handle(announced.completed)

    def delete():
        for _ in range(12):
            with postgres.engine.begin() as connection:
                delete_study(connection, f"{ROOT}.1")

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(ingest, sent[::2]), pool.submit(ingest, sent[1::2]), pool.submit(delete)]:
            future.result(60)
    kept = {job for (job,) in postgres.rows("SELECT jobid FROM generation WHERE state = 'VERIFIED'")}
    assert kept == {job for (job,) in postgres.rows("SELECT DISTINCT jobid FROM instancelocation")}
    listed = {i.sop_instance_uid for a in sent if a.manifest.job_id in kept for i in a.manifest.instances}
    assert {uid for (uid,) in postgres.rows("SELECT sopinstanceuid FROM instance")} == listed
    assert postgres.rows("SELECT sum(totalimagecount) FROM study") in ([(len(listed),)], [(None,)])


def test_migrate_says_where_the_index_is(tmp_path):
    """On an empty database the command makes the tables and names the step."""
    done = run("migrate", DATABASE_URL=f"sqlite:///{tmp_path}/new/cloud.db")
    assert done.stdout == f"the index is at step {newest()}\n"


def test_status_prints_the_figures(database, store):
    """The figures of every edge in plain text, escape sequences of a device made harmless."""
    Ingester(database.engine, store).handle(FakeEdge(store=store, site="a\x1b[31mb").announce(scans(3)).completed)
    done = run("status", DATABASE_URL=database.url)
    assert "received 3, uploaded 3, ingested 3, held 0, parked 0" in done.stdout
    assert "\x1b" not in done.stdout + run("list-edges", DATABASE_URL=database.url).stdout


def test_every_fault_of_the_configuration_at_once():
    """Whatever is wrong is listed in one go, one line each, and no secret is shown."""
    done = run(
        "ingest",
        DATABASE_URL="mysql://root:hunter2@host/x",
        BUCKETNAME="b",
        STORE_DIR="/s",
        VERIFY_THREADS="many",
        LOGLEVEL="LOUD",
        EDGE_QUEUE_URL="https://sqs/x",
    )
    assert done.returncode == 1
    for words in ("DATABASE_URL", "BUCKETNAME", "VERIFY_THREADS", "LOGLEVEL", "QUEUE_FILE", "{EdgeId}"):
        assert words in done.stderr, words
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104 - refused
def test_D12_the_dashboard_is_not_shown_to_a_network(host, tmp_path):
    """It has no sign-in yet, so any address but the machine's own is refused, saying why."""
    done = run("dashboard", DATABASE_URL=f"sqlite:///{tmp_path}/x.db", DASHBOARD_HOST=host)
    assert done.returncode == 1
    assert "loopback" in done.stderr


def test_D12_a_busy_port_is_named(tmp_path):
    """When the port is taken, the message names it."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run("dashboard", DATABASE_URL=f"sqlite:///{tmp_path}/x.db", DASHBOARD_PORT=port)
    assert done.returncode == 1
    assert port in done.stderr


def test_a_file_gives_settings_and_the_environment_wins(tmp_path):
    """A TOML file holds the same names; an unknown name in it is a fault."""
    file = tmp_path / "cloud.toml"
    file.write_text('DATABASE_URL = "sqlite:///x.db"\nDASHBOARD_PORT = 9000\n')
    assert load_settings(DashboardSettings, file, {}).DASHBOARD_PORT == 9000
    assert load_settings(DashboardSettings, file, {"DASHBOARD_PORT": "9001"}).DASHBOARD_PORT == 9001
    file.write_text('DATABSE_URL = "x"\n')
    with pytest.raises(ConfigError, match="unknown setting DATABSE_URL"):
        load_settings(PollSettings, file, {})


@pytest.mark.parametrize(
    ("command", "model"),
    [
        ("status", DatabaseSettings),
        ("ingest", PollSettings),
        ("rebuild", IngestSettings),
        ("dashboard", DashboardSettings),
        ("redrive", RedriveSettings),
    ],
)
def test_the_help_of_a_command_lists_its_settings(command, model):
    """What the README says of ``--help`` is so: every setting of the command with its meaning."""
    shown = run(command, "--help").stdout
    for name, field in model.model_fields.items():
        assert f"  {name} " in shown
        assert field.description in shown


def test_E053_the_database_secret_becomes_an_address():
    """The secret as RDS writes it gives a PostgreSQL URL that insists on TLS; a damaged one is not quoted."""
    secret = '{"host": "h", "port": 5432, "username": "u", "password": "p@ss/w", "dbname": "iep", "engine": "postgres"}'
    assert url_of_secret(secret) == "postgresql+psycopg://u:p%40ss%2Fw@h:5432/iep?sslmode=require"
    with pytest.raises(ConfigError) as caught:
        url_of_secret('{"password": "hunter2"}')
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("region", [{}, {"AWS_REGION": "eu-west-1"}])
def test_E053_a_secret_that_cannot_be_read_is_said_in_plain_words(region):
    """Without region or credentials the cause and the way out are told, not a library's traceback."""
    arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:iep"
    done = run("status", DB_SECRET_ARN=arn, AWS_EC2_METADATA_DISABLED="true", HOME="/nonexistent", **region)
    assert done.returncode == 1
    assert done.stderr.startswith("dicom-cloud: the secret of DB_SECRET_ARN cannot be read")
    assert "GetSecretValue" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_database_is_said_without_its_address():
    """A database that does not answer is named in plain words, without the password in its address."""
    done = run("status", DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x")
    assert done.returncode == 1
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr
