"""The API as API Gateway calls it: one event a request, the same application behind it."""

import base64
import json
from datetime import UTC, datetime

import pytest

from cloud.db.engine import open_engine
from cloud.errors import ConfigError
from cloud.pipeline.api import handler as function
from cloud.pipeline.api.bodies import PipelineBody
from cloud.pipeline.api.runs import register_pipeline
from cloud.pipeline.api.tokens import BOT, Group, issue_token
from cloud.pipeline.edc.schema import seed
from tests.pipeline.api import EDC, FILE

NOW = datetime.now(UTC)


@pytest.fixture
def token(sqlite, monkeypatch):
    """The bot's, in an index that the function's environment names, which is the EDC's database too."""
    monkeypatch.setenv("DATABASE_URL", sqlite.url)
    engine = open_engine(sqlite.url)
    seed(engine, EDC)
    with engine.begin() as connection:
        register_pipeline(connection, PipelineBody(code="amypet", label="Amyloid PET", ddfiles=None))
        made = issue_token(connection, BOT, [Group.RUNS], NOW)
    engine.dispose()
    function._api.cache_clear()
    yield made
    function._api.cache_clear()


def asked(method, path, body=None, token=None):
    """The answer to a request, which the gateway hands on in its format 2.0."""
    headers = {"content-type": "application/json", "host": "x.execute-api.eu-west-1.amazonaws.com"}
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers | ({"authorization": f"Bearer {token}"} if token else {}),
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "stage": "$default",
        },
        "body": base64.b64encode(json.dumps(body).encode()).decode() if body is not None else "",
        "isBase64Encoded": body is not None,
    }
    return function.handler(event, None)


def test_P050_P051_P054_the_gateway_s_request_is_answered(token, sqlite):
    """With a token a run gets its record; without one it is refused in the same words as everywhere."""
    body = {"pipeline_code": "amypet", "subject_event_crf_file_id": 101}
    refused = asked("POST", FILE, body)
    assert (refused["statusCode"], json.loads(refused["body"])["error_code"]) == (401, "ERRA1001")
    made = asked("POST", FILE, body, token)
    assert made["statusCode"] == 200, made
    assert json.loads(made["body"])["data"]["id"] == sqlite.one("SELECT id FROM edcpipelinefile")
    assert json.loads(asked("GET", "/health")["body"]) == {"status": "ok", "plugin": "on"}


def test_P047_the_page_is_served_with_its_policy(token):
    """A page and its script come whole, and nothing else may be loaded by them."""
    page = asked("GET", "/pipelines")
    assert "<form" in page["body"]
    assert "default-src 'none'" in page["headers"]["content-security-policy"]
    assert asked("GET", "/static/pipelines.js")["headers"]["content-type"].startswith("text/javascript")


def test_P056_settings_that_contradict_each_other_are_refused(token, monkeypatch):
    """Two places for the EDC's database: told before anything is answered."""
    monkeypatch.setenv("EDC_DATABASE_URL", "sqlite:///edc.db")
    monkeypatch.setenv("EDC_SECRET_ARN", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:edc-AbCdEf")
    with pytest.raises(ConfigError, match="at most one of EDC_DATABASE_URL and EDC_SECRET_ARN"):
        asked("GET", "/health")
