"""The real parts that the edge and the cloud are tried on: browser, database, object store, queue."""

from tests.browser import browser, page
from tests.ministack import aws_endpoint
from tests.postgres import postgres_server, postgres_url

__all__ = ["aws_endpoint", "browser", "page", "postgres_server", "postgres_url"]
