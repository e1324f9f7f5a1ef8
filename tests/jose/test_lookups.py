"""Names to addresses while many of them hang: the others get theirs, and threads have an end.

The resolver is a stand-in: a name server that is silent cannot be given to the operating system's
one without being root.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from app.jose import lookups
from app.jose.document import FetchFailed, Limits, RemoteDocuments
from app.jose.lookups import HANGING, LOOKUPS, Lookups, ResolverBusy


class Resolver:
    """Names beginning with ``slow`` hang until they are let go; those under way are counted."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.inside = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, _port: int) -> Sequence[str]:
        """As the operating system's."""
        with self._lock:
            self.inside += 1
        if host.startswith("slow"):
            self.let_go.wait(30)
        with self._lock:
            self.inside -= 1
        return ["192.0.2.1"]


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    """Let go at the end, whatever happened."""
    made = Resolver()
    yield made
    made.let_go.set()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a twentieth of a second hangs."""
    monkeypatch.setattr(lookups, "HANGS_AFTER", 0.05)


async def ask(asked: Lookups, host: str, seconds: float = 10) -> Sequence[str] | None:
    """The addresses; None: not in time. Raises ResolverBusy."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await asked.addresses(host, 443)
    return None


async def hang(asked: Lookups, resolver: Resolver, names: Sequence[str]) -> None:
    """Have every name looked up, hang, and end: from then on they are known for it."""
    await asyncio.gather(*(ask(asked, name, 0.2) for name in names))
    await let_go(asked, resolver)
    resolver.let_go.clear()


async def let_go(asked: Lookups, resolver: Resolver) -> None:
    """Have every look-up that is under way end."""
    ending = [asyncio.wrap_future(each.answer) for each in list(asked._under_way.values())]
    resolver.let_go.set()
    await asyncio.gather(*ending)


def test_names_that_hang_leave_the_others_theirs(resolver: Resolver) -> None:
    """Far more than eight of them, at the first time and at every later one."""
    names = [f"slow{n}.example" for n in range(40)]

    async def scene() -> None:
        asked = Lookups(resolver)
        assert await asyncio.gather(*(ask(asked, name, 0.1) for name in names)) == [None] * 40
        assert await ask(asked, "quick.example") == ["192.0.2.1"]
        await hang(asked, resolver, names)
        for _ in range(5):
            outcomes = await asyncio.gather(
                *(ask(asked, name, 0.1) for name in names), return_exceptions=True
            )
            assert sum(isinstance(each, ResolverBusy) for each in outcomes) == 40 - HANGING
            assert resolver.inside == HANGING
            assert await ask(asked, "quick.example") == ["192.0.2.1"]
            assert await ask(asked, "never-asked.example") == ["192.0.2.1"]

    asyncio.run(scene())


def test_a_name_that_recovers_is_as_good_as_any(resolver: Resolver) -> None:
    """It gets a turn when another gives its place up; one quick answer, and all is forgotten."""
    names = [f"slow{n}.example" for n in range(HANGING)]

    async def scene() -> None:
        asked = Lookups(resolver)
        await hang(asked, resolver, [*names, "slow-but-well.example"])
        await asyncio.gather(*(ask(asked, name, 0.1) for name in names))
        with pytest.raises(ResolverBusy):
            await ask(asked, "slow-but-well.example")
        await let_go(asked, resolver)
        assert await ask(asked, "slow-but-well.example") == ["192.0.2.1"]
        assert "slow-but-well.example" not in asked._hung

    asyncio.run(scene())


def test_threads_have_an_end(resolver: Resolver) -> None:
    """Names that were never asked for before, more than there are places."""

    async def scene() -> None:
        asked = Lookups(resolver)
        names = [f"slow{n}.example" for n in range(LOOKUPS + 10)]
        outcomes = await asyncio.gather(
            *(ask(asked, name, 0.1) for name in names), return_exceptions=True
        )
        assert sum(isinstance(each, ResolverBusy) for each in outcomes) == 10
        assert resolver.inside == LOOKUPS
        assert await asked.addresses("192.0.2.7", 443) == ("192.0.2.7",)

    asyncio.run(scene())


def test_what_is_remembered_has_an_end(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that hung longest ago are forgotten first."""
    monkeypatch.setattr(lookups, "_REMEMBERED", 3)

    async def scene() -> None:
        asked = Lookups(resolver)
        for n in range(5):
            await hang(asked, resolver, [f"slow{n}.example"])
        assert list(asked._hung) == ["slow2.example", "slow3.example", "slow4.example"]

    asyncio.run(scene())


def test_a_fetch_says_that_the_resolver_is_busy(resolver: Resolver) -> None:
    """A failure like others, so that whoever fetches tries again later."""

    async def scene() -> None:
        documents = RemoteDocuments(resolve=resolver)
        names = [f"slow{n}.example" for n in range(HANGING + 1)]
        await hang(documents._lookups, resolver, names)
        outcomes = await asyncio.gather(
            *(documents.fetch(f"https://{name}/", Limits(seconds=0.2)) for name in names),
            return_exceptions=True,
        )
        assert all(isinstance(each, FetchFailed) for each in outcomes)
        assert sum("resolver does not answer" in str(each) for each in outcomes) == 1

    asyncio.run(scene())
