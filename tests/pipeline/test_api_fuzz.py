"""The API against calls made from its own OpenAPI document: no crash, no answer that the document does not know."""

import subprocess
import sys
from pathlib import Path

import pytest

from cloud.pipeline.api.tokens import Group

pytestmark = pytest.mark.door("HTTP")
#: What is not asked: rejecting every value that a schema forbids in ways of which JSON knows nothing.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "negative_data_rejection", "ignored_auth", "unsupported_method",
)  # fmt: skip


def fuzz(api, folder, examples):
    """Run schemathesis with a token that may do everything."""
    token = api.token_for(*Group)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{api.url}/openapi.json",
            "--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS), "--seed", "7",
            "--max-examples", str(examples), "--generation-database", "none", "--no-color",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.full
@pytest.mark.timeout(300)
def test_P050_P055_many_calls_and_sequences_of_calls_find_nothing(api, tmp_path):
    """More of each, every limit of every field, and calls that use what others answered."""
    api.run()
    status, said = fuzz(api, tmp_path, 20)
    assert status == 0, said[-6000:]
