"""The application: what the parts answer under one address, every refusal in one shape (P050-P056)."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cloud.db.migrate import newest
from cloud.events import Event, log
from cloud.pipeline.api.door import Door, failure
from cloud.pipeline.api.files import file_routes, pipeline_routes
from cloud.pipeline.api.inventory import inventory_routes
from cloud.pipeline.api.pages import add_pages
from cloud.pipeline.api.upload_routes import upload_routes
from cloud.pipeline.api.uploads import Uploads
from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.edc.names import EdcNames


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the API stands on."""

    engine: sa.Engine  # the index, with the pipeline's tables
    edc: sa.Engine | None = None  # the EDC's database; None: its records are not looked at
    names: EdcNames = field(default_factory=EdcNames)
    on: bool = True  # P056
    uploads: Uploads | None = None  # P169; None: there is no bucket for them
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


def build_app(parts: Parts) -> FastAPI:
    """Return the API over its parts."""
    # The generated documentation pages would load scripts from elsewhere; the document itself is served.
    app = FastAPI(
        title="dicom-cloud image pipeline",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        separate_input_output_schemas=False,
    )
    origins = [parts.uploads.origin()] if parts.uploads else []
    app.add_middleware(Door, engine=parts.engine, clock=parts.clock, on=parts.on, connect=origins)
    _add_refusals(app)
    _add_health(app, parts)
    app.include_router(file_routes(parts.engine, parts.edc, parts.names, parts.clock))
    for routes in (pipeline_routes(parts.engine), inventory_routes(parts.engine), upload_routes(parts.uploads)):
        app.include_router(routes)
    add_pages(app)
    return app


def _add_refusals(app: FastAPI) -> None:
    def refusal(e: ErrorMessage) -> JSONResponse:
        status, body = failure(e)
        return JSONResponse(body, status_code=status)

    @app.exception_handler(ErrorMessage)
    def _refused(_: Request, e: ErrorMessage) -> Response:
        return refusal(e)

    @app.exception_handler(RequestValidationError)
    def _not_understood(_: Request, e: RequestValidationError) -> Response:
        return refusal(not_understood(e))

    @app.exception_handler(HTTPException)
    def _no_such_address(_: Request, e: HTTPException) -> Response:
        words = {404: "nothing is served under this address", 405: "not with this method"}
        body = failure(ErrorMessage(Code.ERRA1005, words.get(e.status_code, "")))[1]
        return JSONResponse(body, status_code=e.status_code, headers=dict(e.headers or {}))

    @app.exception_handler(sa.exc.SQLAlchemyError)
    def _database(_: Request, e: sa.exc.SQLAlchemyError) -> Response:
        log(Event.PAGE_FAILED, "the database refused or does not answer", level=logging.ERROR, exc=e)
        is_away = isinstance(e, sa.exc.OperationalError | sa.exc.InterfaceError)
        return refusal(ErrorMessage(Code.ERRL1002 if is_away else Code.ERRL1004, type(e).__name__))


def not_understood(e: RequestValidationError) -> ErrorMessage:
    """Return the refusal that names the fields, never their values."""
    missing = [_where(error) for error in e.errors() if error["type"] == "missing"]
    if missing:
        return ErrorMessage(Code.ERRS1001, ", ".join(missing))
    faults = (f"{_where(error)}: {error['msg'].removeprefix('Value error, ')}" for error in e.errors())
    return ErrorMessage(Code.ERRA1005, "; ".join(list(dict.fromkeys(faults))[:10]))


def _where(error: dict[str, Any]) -> str:
    return ".".join(str(part) for part in error["loc"] if part != "body") or "body"


def _add_health(app: FastAPI, parts: Parts) -> None:
    @app.get("/health", include_in_schema=False)
    def _health() -> Response:
        try:
            with parts.engine.connect() as connection:
                schema = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        except sa.exc.SQLAlchemyError as e:
            log(Event.PAGE_FAILED, "the database cannot be read", level=logging.ERROR, exc=e)
            return JSONResponse({"status": "database cannot be read"}, status_code=503)
        ready = schema == newest()
        said = {
            "status": "ok" if ready else "database needs dicom-cloud migrate",
            "plugin": "on" if parts.on else "off",
        }
        return JSONResponse(said, status_code=200 if ready else 503)
