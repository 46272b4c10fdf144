"""A token service as Greengrass runs one: credentials over HTTP on loopback, good, stale or none, as a test says."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class TokenService:
    """Answers ``keys`` to whoever shows the token of authorization; stale after its expiry, None is an error 500."""

    def __init__(self) -> None:
        self.keys: tuple[str, str] | None = None
        self.expires_in = timedelta(hours=1)
        self.session = ""  # the session token of a role, which Greengrass gives with the keys
        self.asked = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked += 1
                allowed = self.headers.get("Authorization") == service.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
                known = service.keys if allowed else None
                body = b"" if known is None else json.dumps(service.answer(*known)).encode()
                self.send_response(200 if body else 500 if allowed else 403)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.environment = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{self._server.server_port}/",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "invented",
        }

    def answer(self, access: str, secret: str) -> dict[str, str]:
        """What the service says of one pair of keys."""
        until = f"{datetime.now(UTC) + self.expires_in:%Y-%m-%dT%H:%M:%SZ}"
        return {"AccessKeyId": access, "SecretAccessKey": secret, "Token": self.session, "Expiration": until}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
