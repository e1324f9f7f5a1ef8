"""The desk that these tests sit at."""

import pytest

from tests.resource.desk import Desk


@pytest.fixture
def desk() -> Desk:
    """One per test."""
    return Desk()
