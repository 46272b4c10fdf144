"""What the crash tests share."""

from collections.abc import Iterator

import pytest

from tests.crash.box import Nursery


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """One process that the edges are forked from."""
    with Nursery() as one:
        yield one
