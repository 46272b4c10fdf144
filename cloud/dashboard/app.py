"""The dashboard's pages: rendered on the server, escaped, refreshed by fetching their own middle part."""

import dataclasses
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import sqlalchemy as sa
from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from cloud.dashboard.alarms import number
from cloud.dashboard.errors import load_errors
from cloud.dashboard.figures import load_edge, load_overview
from cloud.dashboard.study import load_study
from cloud.db.migrate import known_steps, newest
from cloud.events import Event, log

HERE = Path(__file__).parent
HEADERS = {
    # Nothing inline, nothing from elsewhere: a value from a header can be shown, never run.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
#: Only these names reach it: a page elsewhere cannot rebind its own name to our address and read us.
HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


def utc(at: datetime | None) -> str:
    """Return an instant as the page shows it before the browser turns it into the viewer's zone."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "-"


def size(count: int | None) -> str:
    """Return bytes as a person says them."""
    if count is None:
        return "not known"
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


class Pages:
    """Renders pages from templates; ``fragment`` asks for the part that refreshes."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"utc": utc, "size": size, "counted": number}

    def page(self, request: Request, name: str, title: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return the page ``name``, or only its refreshing part."""
        fragment = request.query_params.get("fragment") == "1"
        template = self._templates.get_template(f"{name}.html" if fragment else "page.html")
        return HTMLResponse(template.render(title=title, part=f"{name}.html", **values), status_code=status)


def build_app(
    engine: sa.Engine, clock: Callable[[], datetime] = lambda: datetime.now(UTC), *, hosts: frozenset[str] = HOSTS
) -> FastAPI:
    """Return the dashboard over a read-only ``engine``, answering to the names ``hosts`` only."""
    # The generated API pages would load scripts from elsewhere.
    app = FastAPI(title="dicom-cloud", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.middleware("http")(_guard(hosts))
    _add_pages(app, engine, clock)
    _add_machine_readable(app, engine, clock)
    return app


def _guard(hosts: frozenset[str]) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        host = request.headers.get("host", "")
        name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
        response = await call_next(request) if name.lower() in hosts else Response("unknown host", status_code=421)
        response.headers.update(HEADERS)
        return response

    return guard


def _add_pages(app: FastAPI, engine: sa.Engine, clock: Callable[[], datetime]) -> None:
    pages = Pages()

    @app.exception_handler(sa.exc.SQLAlchemyError)
    def _database_away(request: Request, e: sa.exc.SQLAlchemyError) -> Response:
        log(Event.PAGE_FAILED, "the index cannot be read", level=logging.ERROR, exc=e)
        return pages.page(request, "away", "Index cannot be read", 503)

    @app.get("/")
    def _overview(request: Request) -> Response:
        with engine.connect() as connection:
            return pages.page(request, "overview", "Overview", overview=load_overview(connection, clock()))

    @app.get("/edge")
    def _edge(request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        with engine.connect() as connection:
            edge = load_edge(connection, storable(id), clock())
        if edge is None:
            return pages.page(request, "unknown", "Unknown edge", 404, what="edge")
        return pages.page(request, "edge", f"Edge {id}", edge=edge)

    @app.get("/study")
    def _study(request: Request, uid: str) -> Response:
        with engine.connect() as connection:
            study = load_study(connection, storable(uid), clock())
        if study is None:
            return pages.page(request, "unknown", "Unknown study", 404, what="study")
        return pages.page(request, "study", f"Study {uid}", study=study)

    @app.get("/errors")
    def _errors(request: Request) -> Response:
        with engine.connect() as connection:
            return pages.page(request, "errors", "Errors", errors=load_errors(connection, clock()))


def _add_machine_readable(app: FastAPI, engine: sa.Engine, clock: Callable[[], datetime]) -> None:
    @app.get("/api/overview.json")
    def _overview_json() -> Response:
        with engine.connect() as connection:
            overview = load_overview(connection, clock())
        return JSONResponse(jsonable_encoder(dataclasses.asdict(overview)))

    @app.get("/health")
    def _health() -> Response:
        try:
            with engine.connect() as connection:
                schema = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        except sa.exc.SQLAlchemyError as e:
            log(Event.PAGE_FAILED, "the index cannot be read", level=logging.ERROR, exc=e)
            return JSONResponse({"status": "index cannot be read"}, status_code=503)
        if schema != newest():
            words = "index needs dicom-cloud migrate" if schema in known_steps() else "index is of newer software"
            return JSONResponse({"status": words, "schema": schema}, status_code=503)
        return JSONResponse({"status": "ok", "schema": schema})


def storable(text: str) -> str:
    """Return a value from the address as the index could hold it: PostgreSQL refuses NUL."""
    return text.replace("\x00", "\ufffd")[:200]
