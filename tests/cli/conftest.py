"""Homes to run commands on, servers on the same home, and the CA that the home trusts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.asgi import Stage, settings_for
from tests.kit.command import call, copy_of


@pytest.fixture(scope="session")
def home_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as quickstart makes it; to be copied, never changed."""
    home = tmp_path_factory.mktemp("template") / "home"
    outcome = call(home, "quickstart")
    assert outcome.code == 0, outcome
    return home


@pytest.fixture
def home(home_template: Path, tmp_path: Path) -> Path:
    """A home of the test's own, as quickstart makes it."""
    return copy_of(home_template, tmp_path / "home")


@pytest.fixture
def stage(home: Path) -> Iterator[Stage]:
    """A running server on `home`, asked without sockets."""
    with Stage(settings_for(home)) as opened:
        yield opened
