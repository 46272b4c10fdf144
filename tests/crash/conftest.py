"""What the crash tests share."""

import pytest

from tests import nursery as shared


@pytest.fixture
def nursery() -> shared.Nursery:
    """What the edges are forked from."""
    return shared.nursery()
