"""The dashboard on a real socket."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import datetime

import httpx

from cloud.dashboard.app import build_app
from cloud.db.engine import open_engine
from cloud.serving import bind, build_server


@contextlib.contextmanager
def serving(url: str, clock: Callable[[], datetime] | None = None, port: int = 0) -> Iterator[str]:
    """Serve the dashboard over a database until the block ends; gives its address."""
    engine = open_engine(url, read_only=True)
    listener = bind("127.0.0.1", port, what="the test", setting="port")
    server = build_server(build_app(engine, clock) if clock else build_app(engine))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        engine.dispose()
    assert not thread.is_alive()


@contextlib.contextmanager
def client(url: str, clock: Callable[[], datetime] | None = None) -> Iterator[httpx.Client]:
    """Serve the dashboard and give a client of it."""
    with serving(url, clock) as address, httpx.Client(base_url=address, timeout=30) as http:
        yield http
