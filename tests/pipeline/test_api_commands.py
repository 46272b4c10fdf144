"""What an operator types around the API: tokens given and ended, pipelines registered, the API served."""

import httpx
import pytest

from tests.cloud.test_commands import run
from tests.e2e.cloud_process import cloud as process
from tests.pipeline.api import FILE

pytestmark = pytest.mark.door("command", "HTTP")


@pytest.mark.full
def test_P047_P054_P056_the_api_as_typed(sqlite, tmp_path):
    """Migrate, seed, register, token, serve: a run is created; a revoked token ends; switched off it refuses."""
    url = {"DATABASE_URL": sqlite.url}
    assert run("edc", "seed", "--demo", **url).returncode == 0
    for _ in range(2):
        done = run("pipeline", "register", "amypet", "Amyloid PET", "--ddfiles", "scan", **url)
        assert (done.returncode, done.stdout) == (0, "pipeline amypet is registered\n")
    assert "ERRA1006" in run("pipeline", "register", "amypet", "Other", **url).stderr
    assert "a code has 1 to 64" in run("pipeline", "register", "a b", "Other", **url).stderr
    assert "amypet" in run("pipeline", "list", **url).stdout
    token = run("pipeline", "token", **url).stdout.strip()
    short = run("pipeline", "token", "--user", "lab", "--group", "image_pipeline_inventory", "--days", "2", **url)
    assert short.returncode == 0
    assert run("pipeline", "token", "--days", "0", **url).returncode == 1
    listed = run("pipeline", "tokens", **url).stdout
    assert "image-pipeline-aws-integration-bot" in listed
    assert token not in listed
    with sqlite.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO subjecteventcrffile VALUES (101, 11, 1, 'a1', '.dcm', 1)")
    body = {"pipeline_code": "amypet", "subject_event_crf_file_id": 101}
    headers = {"Authorization": f"Bearer {token}"}
    with process(tmp_path, "pipeline api", PIPELINE_API_PORT="0", **url) as served:
        made = httpx.post(served.address + FILE, json=body, headers=headers, timeout=20)
        assert made.json()["data"]["file_name"] == "a1.dcm"
        assert run("pipeline", "revoke", "1", **url).stdout == "token 1 is revoked\n"
        assert httpx.post(served.address + FILE, json=body, headers=headers, timeout=20).status_code == 401
        assert "no token 1 that still holds" in run("pipeline", "revoke", "1", **url).stderr
    with process(tmp_path, "pipeline api", PIPELINE_API_PORT="0", EDC_IMAGE_PIPELINE_PLUGIN="0", **url) as served:
        served.until(lambda: served.log.read_text().count("pipeline API: http") == 2, "its address")
        off = httpx.post(served.address + FILE, json=body, headers=headers, timeout=20)
        assert (off.status_code, off.json()["error_code"]) == (503, "ERRA1003")
