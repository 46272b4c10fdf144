"""Two pages: register pipelines (P047, P167), upload a file in parts (P169). They hold no data and ask the API."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, RedirectResponse

_HERE: Final = Path(__file__).parent / "static"
_STYLE: Final = Path(__file__).parents[2] / "dashboard" / "static"
#: Address: file and media type. Nothing else of the disk is served.
_FILES: Final = {
    "/pipelines": (_HERE / "pipelines.html", "text/html"),
    "/upload": (_HERE / "upload.html", "text/html"),
    "/static/api.js": (_HERE / "api.js", "text/javascript"),
    "/static/pipelines.js": (_HERE / "pipelines.js", "text/javascript"),
    "/static/upload.js": (_HERE / "upload.js", "text/javascript"),
    "/static/pages.css": (_HERE / "pages.css", "text/css"),
    "/static/style.css": (_STYLE / "style.css", "text/css"),
    "/static/icon.svg": (_STYLE / "icon.svg", "image/svg+xml"),
}


def add_pages(app: FastAPI) -> None:
    """Serve the pages and what they load."""
    for address, (path, kind) in _FILES.items():
        app.add_api_route(address, _serve(path, kind), include_in_schema=False, methods=["GET"])

    @app.get("/", include_in_schema=False)
    def _root() -> Response:
        return RedirectResponse("/pipelines")


def _serve(path: Path, kind: str) -> Callable[[], Response]:
    def serve() -> Response:
        return FileResponse(path, media_type=kind)

    return serve
