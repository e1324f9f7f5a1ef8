"""Fixtures over `tests.kit.asgi`: a conftest imports the ones its folder uses."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.kit.asgi import Stage, make_home, staged

__all__ = ["opened", "stage", "standing"]


@functools.cache
def template() -> Path:
    """A home after quickstart, to copy from. Made once per process, removed when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="certbound-home-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_home(folder / "home")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """An open house of the test's own, as quickstart made it."""
    with staged(template(), tmp_path / "home") as found:
        yield found


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One open house for a whole module whose tests only ask, never change."""
    with staged(template(), tmp_path_factory.mktemp("standing") / "home") as found:
        yield found


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Opens a house with other settings: ``opened(issuer="https://…")``."""
    with ExitStack() as stack:

        def open_(**flags: Any) -> Stage:
            home = tmp_path / f"home-{len(list(tmp_path.iterdir()))}"
            return stack.enter_context(staged(template(), home, **flags))

        yield open_
