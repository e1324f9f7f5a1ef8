"""Status lists: a revoked token falls within the list's time, and a list in doubt lets nobody in."""

import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from app import clock
from app.jose import base64url
from app.jose.document import Fetched, FetchFailed, Limits
from app.resource import Verdict
from app.resource.status import MAX_LIST, MAX_LISTS
from app.resource.testing import Issuer
from tests.resource.desk import Desk

LIST = "https://issuer.test/status-lists/test"
TTL = 60


def settled(condition: Callable[[], bool]) -> None:
    """Wait for a fetch that nobody waits for, and until its thread has put away what it got."""
    deadline = time.monotonic() + 60
    while not condition() or any(each.name == "certbound-fetch" for each in threading.enumerate()):
        assert time.monotonic() < deadline, "not settled"
        time.sleep(0.01)


def test_a_revoked_token_falls_within_the_time_of_the_list(desk: Desk) -> None:
    """Revoked tokens are refused once the copy has ended; others on the list go on."""
    token, other = desk.token(), desk.token()
    assert desk.ask(token).status == 200
    desk.issuer.revoke(token)
    desk.now.ahead = TTL
    answer = desk.ask(token)
    assert (answer.status, answer.json()["error"]) == (401, "invalid_token")
    assert (desk.last.reason, desk.last.client_id) == ("token status", "bot")
    assert desk.ask(other).status == 200


def test_a_list_is_fetched_once_in_its_time(desk: Desk) -> None:
    """However many requests there are."""
    for _ in range(20):
        assert desk.ask(desk.token()).status == 200
    assert desk.issuer.fetched.count(LIST) == 1


def test_a_list_is_renewed_before_it_ends(desk: Desk) -> None:
    """In its last quarter a request starts the fetch, and does not wait for it."""
    token = desk.token()
    assert desk.ask(token).status == 200
    desk.now.ahead = TTL - 10
    assert desk.ask(token).status == 200
    settled(lambda: desk.issuer.fetched.count(LIST) == 2)
    desk.now.ahead = TTL + 20
    assert desk.ask(token).status == 200
    assert desk.issuer.fetched.count(LIST) == 2


def test_out_of_reach_is_borne_for_a_while_and_then_refused(desk: Desk) -> None:
    """Within the grace the old list counts; after it, 503: not 401, for the token may be good."""
    token = desk.token(lifetime=3600)
    assert desk.ask(token).status == 200
    desk.issuer.reachable = False
    desk.now.ahead = TTL + 50
    assert desk.ask(token).status == 200
    desk.now.ahead = TTL + 61
    answer = desk.ask(token)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert "www-authenticate" not in answer.headers
    assert desk.last.verdict is Verdict.UNAVAILABLE
    desk.issuer.reachable = True
    desk.now.ahead += 3
    assert desk.ask(token).status == 200


def test_an_outage_makes_nobody_wait_for_each_request(desk: Desk) -> None:
    """While the old list counts, requests use it and one fetch in two seconds is tried beside."""
    token = desk.token(lifetime=3600)
    assert desk.ask(token).status == 200
    desk.issuer.reachable = False
    desk.now.ahead = TTL + 1
    for _ in range(50):
        assert desk.ask(token).status == 200
    assert desk.issuer.fetched.count(LIST) == 2


def test_without_grace_a_list_ends_when_it_says() -> None:
    """``status_grace=0``: revocation is never later than promised, at the price of an outage."""
    desk = Desk({"status_grace": 0})
    token = desk.token(lifetime=3600)
    assert desk.ask(token).status == 200
    desk.issuer.reachable = False
    desk.now.ahead = TTL
    assert desk.ask(token).status == 503


@pytest.mark.parametrize("grace", [0, 60])
@pytest.mark.parametrize("reachable_for", [0, 110, 1000])
def test_an_old_copy_counts_no_longer_than_the_list_and_the_grace(
    grace: int, reachable_for: int
) -> None:
    """A cache that hands out the same list for ever delays a revocation by `grace`, no more."""
    issuer = Issuer()
    stale = issuer.status_list(exp=clock.now() + TTL).encode()

    def fetch(url: str, limits: Limits) -> Fetched:
        if url != LIST:
            return issuer.fetch(url, limits)
        if desk.now.ahead > reachable_for:
            raise FetchFailed("out of reach in this test")
        return Fetched(stale, None)

    desk = Desk({"fetch": fetch, "status_grace": grace}, issuer)
    token = desk.token(lifetime=3600)
    accepted = []
    for seconds in range(0, TTL + grace + 200, 3):
        desk.now.ahead = seconds
        if desk.ask(token).status == 200:
            accepted.append(seconds)
    assert accepted[0] == 0
    assert accepted[-1] < TTL + grace


def test_status_can_be_left_out() -> None:
    """``status="off"`` for issuers without lists: nothing is fetched, revocation is not seen."""
    desk = Desk({"status": "off"})
    token = desk.token(status=None)
    assert desk.ask(token).status == 200
    assert LIST not in desk.issuer.fetched


@pytest.mark.parametrize(
    "uri",
    [
        "https://attacker.test/status-lists/test",
        "https://issuer.test.attacker.test/status-lists/test",
        "https://issuer.test@attacker.test/status-lists/test",
        "https://issuer.test/status-lists/../jwks",
        "https://issuer.test/status-lists/test?x=1",
        "https://issuer.test/status-lists/test#x",
        "https://issuer.test/status-lists/%74est",
        "https://issuer.test/status-lists/",
        "https://issuer.test/other/test",
        "http://issuer.test/status-lists/test",
        "HTTPS://issuer.test/status-lists/test",
        "http://169.254.169.254/",
        "file:///etc/passwd",
        7,
        None,
    ],
)
def test_only_the_issuers_own_lists_are_fetched(desk: Desk, uri: Any) -> None:
    """A URL elsewhere refuses the token and is not asked for anything."""
    assert desk.ask(desk.token()).status == 200
    fetched = list(desk.issuer.fetched)
    token = desk.token(status={"status_list": {"idx": 0, "uri": uri}})
    assert (desk.ask(token).status, desk.last.reason) == (401, "token status")
    assert desk.issuer.fetched == fetched


@pytest.mark.parametrize("index", [-1, 1024, 10**12, "0", 0.0, True, None])
def test_a_place_must_be_on_the_list(desk: Desk, index: Any) -> None:
    """No number, a negative one, or one beyond the end: refused."""
    token = desk.token(status={"status_list": {"idx": index, "uri": LIST}})
    assert (desk.ask(token).status, desk.last.reason) == (401, "token status")


def test_neighbours_do_not_answer_for_each_other(desk: Desk) -> None:
    """Bits are counted from the least significant: each of twenty tokens has the answer of its own."""
    tokens = [desk.token() for _ in range(20)]
    for token in tokens[::3]:
        desk.issuer.revoke(token)
    answers = [desk.ask(token).status for token in tokens]
    assert answers == [401 if number % 3 == 0 else 200 for number in range(20)]


def _packed(octets: bytes) -> str:
    return base64url.encode(zlib.compress(octets, 9)).decode()


def _bits(**members: Any) -> dict[str, Any]:
    return {"status_list": {"bits": 1, "lst": _packed(bytes(128)), **members}}


BAD_LISTS: dict[str, dict[str, Any]] = {
    "about another URL": {"sub": "https://issuer.test/status-lists/other"},
    "about nothing": {"sub": None},
    "another issuer": {"iss": "https://other.test"},
    "expired": {"exp": 1_000_000_000},
    "without end": {"exp": None},
    "without date": {"iat": None},
    "from the future": {"iat": 4_000_000_000},
    "ttl is text": {"ttl": "60"},
    "ttl is zero": {"ttl": 0},
    "ttl is true": {"ttl": True},
    "no list": {"status_list": None},
    "list is text": {"status_list": "AAAA"},
    "two bits": _bits(bits=2),
    "bits is true": _bits(bits=True),
    "bits is text": _bits(bits="1"),
    "no lst": _bits(lst=None),
    "not base64url": _bits(lst="+/=="),
    "not zlib": _bits(lst="AAAA"),
    "cut off": _bits(lst=base64url.encode(zlib.compress(bytes(range(256)) * 9)[:-6]).decode()),
    "followed by something": _bits(
        lst=base64url.encode(zlib.compress(bytes(128)) + b"more").decode()
    ),
    "a bomb": _bits(lst=_packed(bytes(200 * 2**20))),
    "a little too large": _bits(lst=_packed(bytes(MAX_LIST + 1))),
}


class Spoiling:
    """Hands out the issuer's documents, the status list with other claims."""

    def __init__(self, issuer: Issuer, document: Callable[[], bytes], typ: str = "") -> None:
        self.issuer, self.document = issuer, document
        self.content_type = typ or "application/statuslist+jwt"

    def __call__(self, url: str, limits: Limits) -> Fetched:
        """As `Issuer.fetch`."""
        if url != LIST:
            return self.issuer.fetch(url, limits)
        if limits.content_types is not None and self.content_type not in limits.content_types:
            raise FetchFailed("another content type")
        return Fetched(self.document(), None)


def refused_with(issuer: Issuer, fetch: Spoiling) -> bool:
    """Whether a good token is refused for the list's sake."""
    desk = Desk({"fetch": fetch, "status_grace": 0}, issuer)
    answer = desk.ask(desk.token())
    return (answer.status, desk.last.verdict) == (503, Verdict.UNAVAILABLE)


@pytest.mark.parametrize("case", BAD_LISTS)
def test_a_list_in_doubt_lets_nobody_in(case: str) -> None:
    """Wrong in whatever way, even signed by the issuer: as good as none."""
    issuer = Issuer()
    document = issuer.status_list(**BAD_LISTS[case]).encode()
    assert refused_with(issuer, Spoiling(issuer, lambda: document))


def test_a_list_must_be_signed_by_the_issuer() -> None:
    """Another's signature, another type, no list at all: as good as none."""
    issuer, other = Issuer(), Issuer()
    good = issuer.status_list()
    assert not refused_with(issuer, Spoiling(issuer, good.encode))
    assert refused_with(issuer, Spoiling(issuer, lambda: other.status_list().encode()))
    assert refused_with(issuer, Spoiling(issuer, lambda: issuer.token(None).encode()))
    assert refused_with(issuer, Spoiling(issuer, lambda: b"{}"))
    assert refused_with(issuer, Spoiling(issuer, lambda: b""))
    assert refused_with(issuer, Spoiling(issuer, good.encode, "text/html"))


def test_a_list_signed_with_a_new_key_is_read(desk: Desk) -> None:
    """The list may be the first to bear a new key: the keys are fetched again for it."""
    token = desk.token()
    assert desk.ask(token).status == 200
    desk.issuer.rotate()
    desk.now.ahead = TTL
    assert desk.ask(token).status == 200


def test_only_so_many_lists_are_kept() -> None:
    """The least recently used is dropped, and fetched again when it is wanted."""
    issuer = Issuer()
    asked: list[str] = []

    def fetch(url: str, limits: Limits) -> Fetched:
        if "/status-lists/" not in url:
            return issuer.fetch(url, limits)
        asked.append(url)
        return Fetched(issuer.status_list(sub=url).encode(), None)

    desk = Desk({"fetch": fetch}, issuer)

    def ask(number: int) -> None:
        uri = f"https://issuer.test/status-lists/list{number}"
        assert desk.ask(desk.token(status={"status_list": {"idx": 0, "uri": uri}})).status == 200

    for number in range(MAX_LISTS + 1):
        ask(number)
    assert len(asked) == MAX_LISTS + 1
    ask(MAX_LISTS)
    assert len(asked) == MAX_LISTS + 1
    ask(0)
    assert len(asked) == MAX_LISTS + 2
