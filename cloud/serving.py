"""Serving a page or an API: bound before anything is said, stopped by a signal."""

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from cloud.errors import ConfigError


def bind(host: str, port: int, *, what: str, setting: str) -> socket.socket:
    """Return a listening socket for ``what``; raises ConfigError that names a port in use and the setting for it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as e:
        listener.close()
        raise ConfigError(
            f"{what} cannot listen on {host} port {port}: {e.strerror}",
            hint=f"end what uses that port, or set {setting} to another one",
        ) from e
    return listener


def build_server(app: ASGIApp) -> uvicorn.Server:
    """Return the server; it says nothing about requests, whose addresses hold UIDs."""
    return uvicorn.Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=5
        )
    )


def serve(app: ASGIApp, listener: socket.socket, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``ready`` is told the address."""
    host, port = listener.getsockname()[:2]
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
    build_server(app).run(sockets=[listener])
