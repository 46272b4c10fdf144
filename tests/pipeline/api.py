"""The pipeline's API on a real socket, over a real database, with a token that may do what the test names."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from cloud.pipeline.api.app import Parts, build_app
from cloud.pipeline.api.tokens import BOT, Group, issue_token
from cloud.pipeline.edc.schema import DEMO, seed
from cloud.serving import bind, build_server

NOW = datetime(2026, 11, 27, 9, 5, 7, tzinfo=UTC)
FILE = "/pipeline/edcpipeline/file"
SCANS = f"{FILE}/dicom/add_scan_info"
#: The demo's EDC, with uploads: one DICOM file, its second revision, and one of another participant.
EDC = {
    **DEMO,
    "subjecteventcrffile": [
        {"id": 101, "subjecteventcrf_id": 11, "ddfile_id": 1, "versioncode": "a1", "extension": ".zip",
         "revisionnumber": 1},
        {"id": 102, "subjecteventcrf_id": 11, "ddfile_id": 1, "versioncode": "a2", "extension": ".dcm",
         "revisionnumber": 2},
        {"id": 201, "subjecteventcrf_id": 21, "ddfile_id": 2, "versioncode": "b1", "extension": "",
         "revisionnumber": 1},
    ],
}  # fmt: skip


@dataclass(kw_only=True)
class Api:
    """One API that answers under ``url``."""

    url: str
    token: str
    engine: sa.Engine
    http: httpx.Client

    def token_for(self, *groups: Group, user: str = "somebody") -> str:
        """Give a token of a user in these groups only."""
        with self.engine.begin() as connection:
            return issue_token(connection, user, groups, NOW)

    def post(self, path: str, token: str | None = None, **body: Any) -> httpx.Response:
        """Send a body with the bot's token, or another one."""
        return self.http.post(path, json=body, headers={"Authorization": f"Bearer {token or self.token}"})

    def get(self, path: str, token: str | None = None, **query: Any) -> httpx.Response:
        """Ask with the bot's token, or another one."""
        return self.http.get(path, params=query or None, headers={"Authorization": f"Bearer {token or self.token}"})

    def run(self, upload: int = 101, **more: Any) -> int:
        """Create a run; its FileID."""
        answer = self.post(FILE, pipeline_code="amypet", subject_event_crf_file_id=upload, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]["id"]


@contextlib.contextmanager
def serving(engine: sa.Engine, **parts: Any) -> Iterator[str]:
    """Serve the API until the block ends; gives its address."""
    listener = bind("127.0.0.1", 0, what="the test", setting="port")
    server = build_server(build_app(Parts(**{"engine": engine, "edc": engine, "clock": lambda: NOW, **parts})))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
    assert not thread.is_alive()


@contextlib.contextmanager
def open_api(engine: sa.Engine, **parts: Any) -> Iterator[Api]:
    """Serve the API over a database that is seeded, with two pipelines and the bot."""
    from cloud.pipeline.api.bodies import PipelineBody
    from cloud.pipeline.api.runs import register_pipeline

    seed(engine, EDC)
    with engine.begin() as connection:
        for code in ("amypet", "mri"):
            register_pipeline(connection, PipelineBody(code=code, label=code.title(), ddfiles="scan"))
        token = issue_token(connection, BOT, [Group.RUNS], NOW)
    with serving(engine, **parts) as url, httpx.Client(base_url=url, timeout=30) as http:
        yield Api(url=url, token=token, engine=engine, http=http)


def sqlite_url(folder: Path) -> str:
    """Give the address of a file that is not there yet."""
    return f"sqlite:///{folder / 'cloud.db'}"
