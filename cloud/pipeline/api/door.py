"""The API's door: the flag, the token and the size are looked at before anything of a body is read (P054, P056)."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.pipeline.api.tokens import Caller, Group, find_caller
from cloud.pipeline.codes import Code, ErrorMessage

GUARDED: Final = "/pipeline/"
MOST_BYTES: Final = 8 << 20  # of a body: 20,000 series need half of it
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{connect};"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: The HTTP status of a refusal by its code; 400 for the rest.
STATUS: Final = {
    Code.ERRS1001: 422,
    Code.ERRA1001: 401,
    Code.ERRA1002: 403,
    Code.ERRA1003: 503,
    Code.ERRA1004: 404,
    Code.ERRA1005: 422,
    Code.ERRA1006: 409,
    Code.ERRA1007: 502,
    Code.ERRL1002: 503,
    Code.ERRL1003: 404,
    Code.ERRL1004: 500,
}


def failure(e: ErrorMessage) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of a refusal (P051)."""
    said = f"{e.error}. {e.hint}" if e.hint else e.error
    return STATUS.get(e.code, 400), {"success": False, "error_code": e.code.value, "error": said}


class Door:
    """An ASGI middleware; what passes has ``caller`` in its state, and every answer the headers above.

    ``connect`` are the origins beside our own that a page of ours may speak to: where S3 takes direct uploads.
    """

    def __init__(
        self, app: ASGIApp, *, engine: sa.Engine, clock: Callable[[], datetime], on: bool, connect: Iterable[str] = ()
    ) -> None:
        self._app = app
        self._engine = engine
        self._clock = clock
        self._on = on
        policy = HEADERS["Content-Security-Policy"].format(connect="".join(f" {origin}" for origin in connect))
        named = HEADERS | {"Content-Security-Policy": policy}
        self._headers = [(k.lower().encode(), v.encode()) for k, v in named.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        try:
            if scope["path"].startswith(GUARDED):
                if not self._on:
                    raise ErrorMessage(Code.ERRA1003, hint="EDC_IMAGE_PIPELINE_PLUGIN=1 switches it on")
                scope.setdefault("state", {})["caller"] = await self._caller(scope)
            body = await _whole_body(scope, receive)
        except ErrorMessage as e:
            await _refuse(e, send_guarded)
            return
        await self._app(scope, body, send_guarded)

    async def _caller(self, scope: Scope) -> Caller:
        said = next((v for k, v in scope["headers"] if k == b"authorization"), b"").decode("latin-1")
        scheme, _, token = said.partition(" ")
        if scheme.lower() not in ("bearer", "token") or not token.strip():
            raise ErrorMessage(Code.ERRA1001, hint="send the header Authorization: Bearer TOKEN")
        caller = await run_in_threadpool(self._find, token.strip())
        if caller is None:
            raise ErrorMessage(Code.ERRA1001)
        return caller

    def _find(self, token: str) -> Caller | None:
        try:
            with self._engine.connect() as connection:
                return find_caller(connection, token, self._clock())
        except sa.exc.SQLAlchemyError as e:
            raise ErrorMessage(Code.ERRL1002, type(e).__name__) from e


def require(caller: Caller, *groups: Group) -> None:
    """Raise ErrorMessage with ERRA1002 unless the caller is in one of ``groups``."""
    if caller.groups.isdisjoint(groups):
        raise ErrorMessage(Code.ERRA1002, hint=f"needed: {' or '.join(groups)}")


async def _whole_body(scope: Scope, receive: Receive) -> Receive:
    """Return the body as one message: never more than MOST_BYTES of it are held."""
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return receive
    held = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        held += message.get("body", b"")
        if len(held) > MOST_BYTES:
            raise ErrorMessage(Code.ERRA1005, f"the body is larger than {MOST_BYTES} bytes")
        more = message.get("more_body", False)
    parts = [{"type": "http.request", "body": bytes(held), "more_body": False}]

    async def again() -> Message:
        return parts.pop() if parts else await receive()

    return again


async def _refuse(e: ErrorMessage, send: Send) -> None:
    status, body = failure(e)
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
