"""`app.jose.fetch`: when `RemoteKeys` fetches, what it serves meanwhile, and whom it never delays."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from app.jose import fetch as room
from app.jose.algorithms import public_jwk
from app.jose.document import JSON_DOCUMENT, FetchFailed, FetchRefused, RemoteDocuments
from app.jose.fetch import Keys, RemoteKeys
from tests.kit.https import Answer, serving
from tests.kit.patience import PATIENCE, patient

URI = "https://keys.example/jwks"
JWK = public_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())


def document(*kids: str) -> bytes:
    """A key set with these key ids."""
    return json.dumps({"keys": [{**JWK, "kid": kid} for kid in kids]}).encode()


class World:
    """A clock that stands, an origin that answers or fails, and the keys under test."""

    def __init__(self) -> None:
        self.now = 1_800_000_000
        self.answer: bytes | Exception = document("old")
        self.hold: asyncio.Event | None = None
        self.fetched: list[str] = []
        self.running = 0
        self.most_running = 0
        self.remote = RemoteKeys(fetch=self.fetch, now=lambda: self.now)

    async def fetch(self, uri: str) -> bytes:
        """The origin."""
        self.fetched.append(uri)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.hold is not None:
                await self.hold.wait()
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer
        finally:
            self.running -= 1

    def kids(self, uri: str = URI) -> list[str | None] | None:
        """What a decision would read now."""
        keys = self.remote.keys_for(uri, self.now)
        return None if keys is None else [key.kid for key in keys]

    async def ask(self, kid: str, uri: str = URI) -> list[str | None] | None:
        """A request whose certificate is known as `kid`."""
        await self.remote.ensure(uri, knows(kid))
        return self.kids(uri)


def knows(kid: str) -> Callable[[Keys], bool]:
    """Whether a key is called `kid`."""
    return lambda keys: any(key.kid == kid for key in keys)


async def settle() -> None:
    """Let what runs in the background run."""
    for _ in range(5):
        await asyncio.sleep(0)


def run(story: Callable[[World], Awaitable[None]]) -> None:
    """Tell `story` in a fresh world, within a minute."""

    async def told() -> None:
        world = World()
        async with asyncio.timeout(PATIENCE):
            await story(world)
            await world.remote.close()

    asyncio.run(told())


def test_the_first_request_waits_for_the_first_copy() -> None:
    """Nothing is held before; the request that needs the keys brings them."""

    async def story(world: World) -> None:
        assert world.kids() is None
        assert await world.ask("old") == ["old"]
        assert world.fetched == [URI]

    run(story)


def test_a_fresh_copy_is_used_without_a_fetch() -> None:
    """Within five minutes known certificates cause no traffic."""

    async def story(world: World) -> None:
        await world.ask("old")
        world.now += room.FRESH_FOR - 1
        for _ in range(100):
            assert await world.ask("old") == ["old"]
        assert len(world.fetched) == 1

    run(story)


def test_an_older_copy_is_refreshed_in_the_background() -> None:
    """The request that notices is answered from the old copy at once."""

    async def story(world: World) -> None:
        await world.ask("old")
        world.now += room.FRESH_FOR
        world.answer = document("old", "new")
        world.hold = asyncio.Event()
        assert await world.ask("old") == ["old"]
        world.hold.set()
        await settle()
        assert world.kids() == ["old", "new"]
        assert len(world.fetched) == 2

    run(story)


def test_after_a_quiet_time_the_request_waits() -> None:
    """A key withdrawn during the night is not accepted in the morning."""

    async def story(world: World) -> None:
        await world.ask("old")
        world.now += room.WAIT_FROM
        world.answer = document("new")
        assert await world.ask("old") == ["new"]

    run(story)


def test_an_unknown_certificate_fetches_once_a_minute() -> None:
    """However many requests bring it: one fetch a minute, and the last copy stays."""

    async def story(world: World) -> None:
        await world.ask("old")
        world.now += room.RETRY_AFTER
        for _ in range(50):
            assert await world.ask("stranger") == ["old"]
        assert len(world.fetched) == 2
        world.now += room.RETRY_AFTER - 1
        await world.ask("stranger")
        assert len(world.fetched) == 2
        world.now += 1
        world.answer = document("stranger")
        assert await world.ask("stranger") == ["stranger"]
        assert len(world.fetched) == 3

    run(story)


def test_those_who_miss_together_share_one_fetch() -> None:
    """A hundred requests at once are one fetch, and all see its result."""

    async def story(world: World) -> None:
        world.hold = asyncio.Event()
        requests = [asyncio.create_task(world.ask("old")) for _ in range(100)]
        await settle()
        world.hold.set()
        assert await asyncio.gather(*requests) == [["old"]] * 100
        assert len(world.fetched) == 1

    run(story)


def test_one_who_gives_up_does_not_end_the_fetch_of_others() -> None:
    """A client that disconnects takes nothing from those who wait with it."""

    async def story(world: World) -> None:
        world.hold = asyncio.Event()
        first = asyncio.create_task(world.ask("old"))
        second = asyncio.create_task(world.ask("old"))
        await settle()
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        world.hold.set()
        assert await second == ["old"]

    run(story)


def test_waiting_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch that takes longer than the wait is left alone, and its result used later."""
    monkeypatch.setattr(room, "WAIT_LIMIT", 0.05)

    async def story(world: World) -> None:
        world.hold = asyncio.Event()
        assert await world.ask("old") is None
        assert world.running == 1, "it goes on"
        world.hold.set()
        await settle()
        assert world.kids() == ["old"]

    run(story)


@pytest.mark.parametrize(
    "failure",
    [
        FetchFailed("down"),
        FetchRefused("metadata"),
        ValueError("odd"),
        RuntimeError("a bug"),
        b"{}",
        b"<html>",
        b'{"keys":[{"kty":"oct","k":"AA"}]}',
    ],
)
def test_failures_keep_the_last_good_copy_for_a_day(failure: bytes | Exception) -> None:
    """Whatever goes wrong is raised to nobody; after 24 hours the copy counts no more."""

    async def story(world: World) -> None:
        await world.ask("old")
        world.answer = failure
        world.now += room.USABLE_FOR
        assert await world.ask("old") == ["old"]
        assert world.remote.status(URI).problem
        assert len(world.fetched) == 2
        world.now += 1
        assert world.kids() is None
        world.now += room.RETRY_AFTER
        assert await world.ask("old") is None
        world.answer = document("old")
        world.now += room.RETRY_AFTER
        assert await world.ask("old") == ["old"]
        assert world.remote.status(URI).problem is None

    run(story)


def test_failures_are_not_retried_at_once() -> None:
    """A URI that is down costs one fetch a minute, however many ask."""

    async def story(world: World) -> None:
        world.answer = FetchFailed("down")
        for _ in range(20):
            assert await world.ask("old") is None
        assert len(world.fetched) == 1

    run(story)


def test_an_empty_set_withdraws_all_keys() -> None:
    """An empty set is an answer, not a failure that would keep the old keys alive."""

    async def story(world: World) -> None:
        await world.ask("old")
        world.answer = b'{"keys":[]}'
        world.now += room.RETRY_AFTER
        assert await world.ask("stranger") == []

    run(story)


def test_a_clock_set_back_fetches_again() -> None:
    """A copy from the future is not fresh for ever."""

    async def story(world: World) -> None:
        await world.ask("old")
        world.now -= 3600
        world.answer = document("new")
        assert await world.ask("old") == ["new"]

    run(story)


def test_fetches_are_few_at_once_and_uris_are_separate() -> None:
    """Hanging URIs hold the few places for fetches and no request of another client's copy."""

    async def story(world: World) -> None:
        assert await world.ask("old", "https://good.example/") == ["old"]
        world.hold = asyncio.Event()
        uris = [f"https://slow{n}.example/" for n in range(3 * room.MAX_FETCHES)]
        slow = [asyncio.create_task(world.ask("old", uri)) for uri in uris]
        await settle()
        assert world.most_running == room.MAX_FETCHES
        assert await world.ask("old", "https://good.example/") == ["old"]
        world.hold.set()
        await asyncio.gather(*slow)
        assert world.most_running == room.MAX_FETCHES

    run(story)


def test_copies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least recently used URI makes room."""
    monkeypatch.setattr(room, "MAX_URIS", 3)

    async def story(world: World) -> None:
        for name in ("a", "b", "c", "a", "d"):
            await world.ask("old", f"https://{name}.example/")
        assert world.kids("https://b.example/") is None
        for name in ("a", "c", "d"):
            assert world.kids(f"https://{name}.example/") == ["old"]

    run(story)


def test_close_ends_what_runs() -> None:
    """A hanging fetch does not hold up shutdown."""

    async def story(world: World) -> None:
        world.hold = asyncio.Event()
        request = asyncio.create_task(world.ask("old"))
        await settle()
        await world.remote.close()
        assert await request is None
        assert world.running == 0

    run(story)


def test_over_a_real_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """End to end: fetched over TLS, a slow moment survived, a rotation picked up."""
    now = [1_800_000_000]
    monkeypatch.setattr(room, "WAIT_LIMIT", PATIENCE)

    async def story(port_url: str, ca_file: Path, answers: dict[str, Answer]) -> None:
        documents = RemoteDocuments(allow_private=True, ca_file=ca_file)
        limits = [patient(JSON_DOCUMENT)]

        async def fetch(uri: str) -> bytes:
            return await documents.fetch(uri, limits[0])

        remote = RemoteKeys(fetch=fetch, now=lambda: now[0])
        await remote.ensure(port_url, knows("old"))
        assert remote.status(port_url).keys == 1
        now[0] += room.WAIT_FROM
        answers["/jwks"] = Answer(document("new"), wait=600)
        limits[0] = JSON_DOCUMENT
        await remote.ensure(port_url, knows("old"))
        assert remote.status(port_url).problem is not None
        limits[0] = patient(JSON_DOCUMENT)
        keys = remote.keys_for(port_url, now[0])
        assert keys is not None
        assert keys[0].kid == "old"
        answers["/jwks"] = Answer(document("new"))
        now[0] += room.RETRY_AFTER
        await remote.ensure(port_url, knows("new"))
        keys = remote.keys_for(port_url, now[0])
        assert keys is not None
        assert keys[0].kid == "new"
        await remote.close()

    with serving(tmp_path) as server:
        server.answers["/jwks"] = Answer(document("old"))
        asyncio.run(story(server.url(), server.ca_file, server.answers))
        assert server.hits == 3


def test_private_addresses_are_refused_by_default(tmp_path: Path) -> None:
    """Without the setting a URI on loopback brings nothing, and the trap counts no connection."""

    async def story(url: str, ca_file: Path) -> None:
        remote = RemoteKeys(ca_file=ca_file)
        await remote.ensure(url, knows("old"))
        problem = remote.status(url).problem
        assert problem is not None
        assert "loopback" in problem
        await remote.close()

    with serving(tmp_path) as server:
        asyncio.run(story(server.url(), server.ca_file))
        assert server.connections == 0
