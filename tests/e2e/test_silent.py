"""A database and a store that say nothing at all: neither refuses nor answers; only what needs them waits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from sqlalchemy import make_url

from tests.e2e.edge_process import running, scan, send
from tests.seaweed import make_bucket, s3_endpoint
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.door("socket", "command"), pytest.mark.full]
__all__ = ["s3_endpoint"]


class Silence:
    """Holds back every answer that comes through a proxy, for as long as it is kept."""

    def __init__(self, proxy: TcpProxy) -> None:
        self._speaks = threading.Event()
        self._speaks.set()
        proxy.down = self._pass

    def _pass(self, data: bytes) -> bytes:
        self._speaks.wait()
        return data

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Nothing is answered until the block ends."""
        self._speaks.clear()
        try:
            yield
        finally:
            self._speaks.set()


def test_I1_E033_a_database_that_hangs_holds_up_the_index_and_nothing_else(tmp_path, postgres_url):
    """While PostgreSQL says nothing, scans are taken and entered, uploads and an operator's decisions go on."""
    server = make_url(postgres_url)
    with TcpProxy(f"unix://{server.query['host']}/.s.PGSQL.{server.port or 5432}") as proxy:
        url = server.set(host="127.0.0.1", port=urlsplit(proxy.url).port, query={}).render_as_string(
            hide_password=False
        )
        silence = Silence(proxy)
        with running(tmp_path, INDEX_URL=url) as edge:
            assert send(edge, scan(1)) == [0]
            edge.until_states(ANNOUNCED=1)
            with silence.kept():
                assert send(edge, scan(2), scan(3, study="1.2.9", series="1.2.9.1")) == [0, 0]
                edge.until_states(ANNOUNCED=1, RECEIVED=2)
                assert send(edge, scan(4)) == [0]  # while the index stage hangs in its work
                edge.until_states(ANNOUNCED=1, RECEIVED=3)
                closed = edge.command("close", "--all")
                assert closed.returncode == 0, closed.stderr
            edge.until_states(ANNOUNCED=4)


@pytest.mark.timeout(400)
def test_I1_I3_a_store_that_hangs_while_copies_come_holds_up_no_other_scan(tmp_path, s3_endpoint):
    """Released scans come again while S3 says nothing: the copies are kept, and new studies are entered and tagged."""
    bucket = make_bucket(s3_endpoint)
    with TcpProxy(s3_endpoint.url) as proxy:
        silence = Silence(proxy)
        settings = {
            "STORE_DIR": "",
            "BUCKETNAME": bucket,
            "REGION_NAME": "eu-west-1",
            "AWS_ENDPOINT_URL": proxy.url,
            "AWS_ACCESS_KEY": s3_endpoint.access_key,
            "AWS_SECRET_KEY": s3_endpoint.secret_key,
            "RETAIN_HOURS": "0",
            "JOURNAL_COPY_MINUTES": "0",
        }
        with running(tmp_path, **settings) as edge:
            old = [scan(n) for n in (1, 2, 3)]
            assert send(edge, *old) == [0] * 3
            edge.until_states(RELEASED=3)
            with silence.kept():
                assert send(edge, *old) == [0] * 3
                assert send(edge, scan(1, study="1.2.9", series="1.2.9.1")) == [0]
                edge.until(lambda: sum(edge.states().values()) == 7, "all four are entered")
                # One question without an answer, not three; then the new study and the copies go on alike.
                edge.until(lambda: edge.states().get("TAGGED", 0) == 4, "all four are tagged", 200)
            edge.until(lambda: set(edge.states()) == {"RELEASED"}, "everything is in the store", 120)
