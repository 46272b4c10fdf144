"""The functions beside the ingester: the operator's commands, the figures for alarms, the pages behind a sign-in."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import sqlalchemy as sa

from cloud import operate, watch
from cloud.dashboard import handler as dashboard
from cloud.db.engine import open_engine
from cloud.fleet import register_edge
from cloud.ingest.ingest import Ingester
from tests.cloud.edges import FakeEdge, scans


@pytest.fixture
def environment(database, monkeypatch):
    """The functions' environment: the index."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    return database


@pytest.mark.door("command", "SQL")
def test_E050_the_operators_function_runs_commands(environment, capsys):
    """A command answers with its status and what it printed, and is on record in the function's log; a second
    registration is refused in plain words.
    """
    first = operate.handler({"command": ["register-edge", "lab1", "--site", "Lab One"]}, None)
    assert first["status"] == 0
    assert "edge.registered" in capsys.readouterr().err
    assert "EDGE_NUMBER=1" in first["out"]
    again = operate.handler({"command": ["register-edge", "lab1"]}, None)
    assert again["status"] == 1
    assert "lab1" in again["err"]
    assert "lab1" in operate.handler({"command": ["list-edges"]}, None)["out"]


@pytest.mark.door("command")
@pytest.mark.parametrize(
    "event",
    [
        {},
        {"command": []},
        {"command": "migrate"},
        {"command": [1]},
        {"command": ["dashboard"]},
        {"command": ["rm", "-r"]},
    ],
)
def test_E050_what_is_no_command_is_refused_with_the_way_out(environment, event):
    """Nothing, another shape, a command that never ends, and one that is none each get status 2 and the list."""
    told = operate.handler(event, None)
    assert told["status"] == 2
    assert "register-edge" in told["err"]


@pytest.mark.door("HTTP", "SQL")
def test_E050_a_deployment_makes_the_tables_and_is_told(environment):
    """CloudFormation's request is answered at its address with success; one that deletes touches nothing."""
    heard = []

    class Address(BaseHTTPRequestHandler):
        def do_PUT(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Address) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        event = {
            "ResponseURL": f"http://127.0.0.1:{server.server_port}/",
            "StackId": "s",
            "RequestId": "r",
            "LogicalResourceId": "Tables",
        }
        for kind in ("Create", "Update", "Delete"):
            operate.handler({**event, "RequestType": kind}, None)
        with pytest.raises(ValueError, match="no web address"):
            operate.handler({**event, "RequestType": "Create", "ResponseURL": "file:///etc/passwd"}, None)
        server.shutdown()
        thread.join()
    assert [answer["Status"] for answer in heard] == ["SUCCESS"] * 3
    assert environment.one("SELECT count(*) FROM patient") == 0


@pytest.mark.door("SQL")
def test_E040_the_figures_for_alarms(environment, store):
    """An edge that is silent, an import that waits, one that failed and a parked message are each counted."""
    database = environment
    now = datetime.now(UTC)
    with database.engine.begin() as connection:
        register_edge(connection, "lab9", None, now)
    measured, silent = _measure(database, now)
    assert (measured.silent_edges, silent) == (1, ["lab9"])
    assert (measured.oldest_unimported_minutes, measured.failed_jobs, measured.messages_parked) == (0, 0, 0)
    sent = FakeEdge(store=store, number=2).announce(scans(2))
    Ingester(database.engine, store).handle(sent.completed)
    later, _ = _measure(database, now + timedelta(hours=3))
    assert 175 <= later.oldest_unimported_minutes <= 190
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ahlijob SET status = 4")
    failed, _ = _measure(database, now)
    assert failed.failed_jobs == 1
    assert failed.oldest_unimported_minutes == 0


def _measure(database, now):
    with database.engine.connect() as connection:
        return watch.load_figures(connection, now, timedelta(minutes=15))


def _request(**headers):
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn"}},
        "httpMethod": "GET",
        "path": "/",
        "queryStringParameters": {},
        "headers": headers,
        "body": "",
        "isBase64Encoded": False,
    }


@pytest.mark.door("HTTP")
def test_E050_the_dashboard_shows_itself_to_who_has_signed_in(environment, monkeypatch):
    """Without the load balancer's word on who came there is 401; under another name 421; else the page."""
    monkeypatch.setenv("DASHBOARD_NAME", "images.example.org")
    dashboard._pages.cache_clear()
    try:
        assert dashboard.handler(_request(host="images.example.org"), None)["statusCode"] == 401
        who = {"x-amzn-oidc-identity": "someone"}
        assert dashboard.handler(_request(host="elsewhere.example.org", **who), None)["statusCode"] == 421
        page = dashboard.handler(_request(host="images.example.org", **who), None)
        assert page["statusCode"] == 200
        assert "<html" in page["body"]
        assert page["headers"]["content-security-policy"].startswith("default-src 'none'")
    finally:
        dashboard._pages.cache_clear()


@pytest.mark.door("SQL")
def test_E053_a_rotated_secret_is_asked_for_again(postgres):
    """A connection that is refused is tried once more with the secret as it is now; if that fails too, it is told."""
    right = sa.make_url(postgres.url)
    wrong = right.set(username="nobody_of_that_name").render_as_string(hide_password=False)
    asked = []

    def renew():
        asked.append(1)
        return postgres.url

    engine = open_engine(wrong, renew=renew)
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1
        engine.dispose()
    assert asked == [1]
    hopeless = open_engine(wrong, renew=lambda: wrong)
    with pytest.raises(sa.exc.OperationalError):
        hopeless.connect()
    hopeless.dispose()


@pytest.mark.door("command", "SQL")
def test_P047_P054_the_operators_function_registers_pipelines_and_gives_tokens(environment):
    """What asks the database alone runs beside it: the pipeline is listed, the token holds until it is revoked."""
    assert operate.handler({"command": ["pipeline", "register", "amypet", "Amyloid PET"]}, None)["status"] == 0
    assert "Amyloid PET" in operate.handler({"command": ["pipeline", "list"]}, None)["out"]
    token = operate.handler({"command": ["pipeline", "token"]}, None)["out"].strip()
    assert environment.one("SELECT count(*) FROM apitoken") == 1
    told = operate.handler({"command": ["pipeline", "tokens"]}, None)["out"]
    assert "image-pipeline-aws-integration-bot" in told
    assert token not in told
    assert "is revoked" in operate.handler({"command": ["pipeline", "revoke", "1"]}, None)["out"]


@pytest.mark.door("command")
@pytest.mark.parametrize(
    "command", [["pipeline", "lab", "add", "core"], ["pipeline", "setup", "x.config"], ["pipeline"], ["edc"]]
)
def test_P170_what_wants_a_persons_own_rights_says_where_it_runs(command):
    """Labs, setup and runs are refused with the command to type elsewhere, and why."""
    told = operate.handler({"command": command}, None)
    assert told["status"] == 2
    assert f"dicom-cloud {' '.join(command[:2])} … --pipeline CONFIG" in told["err"]
    assert "does not run here" in told["err"]
