"""The desk that these tests sit at."""

import pytest

from app.jose.document import JSON_DOCUMENT
from app.resource import status
from tests.kit.patience import PATIENCE, patient
from tests.resource.desk import Desk


@pytest.fixture(autouse=True)
def _all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An issuer in this process may take longer than the limits on a machine that is busy."""
    monkeypatch.setattr("app.resource.keys.JSON_DOCUMENT", patient(JSON_DOCUMENT))
    monkeypatch.setattr("app.resource.status.LIMITS", patient(status.LIMITS))
    monkeypatch.setattr("app.resource.introspection.TIME_LIMIT", PATIENCE)
    monkeypatch.setattr("app.resource.kept.WAIT_LIMIT", PATIENCE)


@pytest.fixture
def desk() -> Desk:
    """One per test."""
    return Desk()
