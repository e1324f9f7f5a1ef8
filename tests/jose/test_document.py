"""`app.jose.document` against a real HTTPS server on loopback."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from app.jose.document import (
    JSON_DOCUMENT,
    MAX_DOCUMENT,
    FetchFailed,
    FetchRefused,
    Limits,
    RemoteDocuments,
    Target,
    examine_url,
)
from tests.kit.https import Answer, HttpsServer, serving, silent_listener
from tests.kit.patience import PATIENCE, patient, until

PATIENT = patient(JSON_DOCUMENT)


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsServer]:
    names = ("localhost", "keys.example", "127.0.0.1")
    with serving(tmp_path_factory.mktemp("https"), names) as running:
        yield running


@pytest.fixture
def server(_server: HttpsServer) -> HttpsServer:
    """The module's server with nothing seen and nothing to say."""
    _server.answers = {"/jwks": Answer()}
    _server.seen.clear()
    _server.server_names.clear()
    _server.connections = 0
    return _server


def fetch(server: HttpsServer, url: str | None = None, limits: Limits = PATIENT) -> bytes:
    """One fetch with loopback allowed and the server's CA trusted."""
    documents = RemoteDocuments(allow_private=True, ca_file=server.ca_file)
    return asyncio.run(documents.fetch(url or server.url(), limits))


def test_a_document_is_fetched_whole(server: HttpsServer) -> None:
    """A well-behaved server's document arrives octet for octet, in one request."""
    body = b'{"keys":[' + b" " * 30_000 + b"]}"
    server.answers["/k?v=1"] = Answer(body, content_type="Application/jwk-set+JSON; charset=utf-8")
    assert fetch(server, server.url("/k?v=1")) == body
    assert server.hits == 1


def test_nothing_but_the_request_is_sent(
    server: HttpsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cookie, credential or compression goes out, and no proxy of the environment is used."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answers["/jwks"] = Answer(headers={"Set-Cookie": "a=b"})
    documents = RemoteDocuments(allow_private=True, ca_file=server.ca_file)

    async def twice() -> None:
        await documents.fetch(server.url(), PATIENT)
        await documents.fetch(server.url(), PATIENT)

    asyncio.run(twice())
    for request in server.seen:
        assert set(request.headers) == {
            "Host",
            "Accept",
            "Accept-Encoding",
            "Connection",
            "User-Agent",
        }
        assert request.headers["Accept-Encoding"] == "identity"
        assert request.headers["Host"] == f"localhost:{server.port}"


@pytest.mark.parametrize("status", [201, 204, 301, 302, 303, 307, 308, 304, 401, 404, 500])
def test_no_redirect_and_no_other_status(server: HttpsServer, status: int) -> None:
    """A redirect is not followed; anything but 200 is a failure."""
    server.answers["/moved"] = Answer(
        b"" if status in {204, 304} else b"{}", status, {"Location": server.url("/jwks")}
    )
    with pytest.raises(FetchFailed, match=str(status)):
        fetch(server, server.url("/moved"))
    assert [request.path for request in server.seen] == ["/moved"]


@pytest.mark.parametrize("content_type", [None, "", "text/html", "text/json", "application/jsonp"])
def test_the_content_type_must_be_json(server: HttpsServer, content_type: str | None) -> None:
    """A page or a file that happens to parse is no key set."""
    server.answers["/jwks"] = Answer(content_type=content_type)
    with pytest.raises(FetchFailed, match="Content-Type"):
        fetch(server)


def test_a_compressed_answer_is_refused(server: HttpsServer) -> None:
    """A compression bomb is not unpacked: no compression is accepted at all."""
    server.answers["/jwks"] = Answer(b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    with pytest.raises(FetchFailed, match="compressed"):
        fetch(server)


@pytest.mark.parametrize("stated", [None, -1])
def test_an_oversized_document_is_cut_off(server: HttpsServer, stated: int | None) -> None:
    """The cap counts what arrives, with and without a stated length."""
    server.answers["/jwks"] = Answer(b" " * (MAX_DOCUMENT + 1), stated_length=stated)
    with pytest.raises(FetchFailed, match="larger"):
        fetch(server)
    server.answers["/jwks"] = Answer(b" " * MAX_DOCUMENT, stated_length=stated)
    assert len(fetch(server)) == MAX_DOCUMENT


def test_a_truncated_document_is_no_document(server: HttpsServer) -> None:
    """An answer shorter than its stated length is a failure, not a shorter key set."""
    server.answers["/jwks"] = Answer(b'{"keys":[]}', stated_length=100)
    with pytest.raises(FetchFailed):
        fetch(server)


@pytest.mark.parametrize("answer", [Answer(wait=600), Answer(b" " * 10_000, drip=0.05)])
def test_a_slow_server_is_left_on_time(server: HttpsServer, answer: Answer) -> None:
    """Two seconds in all, whether the server is silent or drips."""
    server.answers["/jwks"] = answer
    with pytest.raises(FetchFailed, match="no complete answer within 2 seconds"):
        fetch(server, limits=replace(JSON_DOCUMENT, connect_seconds=PATIENCE))


def test_a_server_that_never_shakes_hands_is_left_on_time() -> None:
    """A port that accepts and stays silent costs no more than the limits."""
    documents = RemoteDocuments(allow_private=True)
    with silent_listener() as port, pytest.raises(FetchFailed, match="no connection to"):
        asyncio.run(documents.fetch(f"https://127.0.0.1:{port}/"))


def test_an_unknown_ca_is_refused(server: HttpsServer) -> None:
    """Without the extra CA the server's certificate does not verify, and nothing is asked."""
    with pytest.raises(FetchFailed, match="certificate verify failed"):
        asyncio.run(RemoteDocuments(allow_private=True).fetch(server.url(), PATIENT))
    assert server.hits == 0


def test_a_certificate_that_does_not_name_its_issuers_key_is_refused(tmp_path: Path) -> None:
    """RFC 5280 section 4.2.1.1 demands it; Python 3.12 and older would let it pass by themselves."""
    with serving(tmp_path, lax=True) as server:
        server.answers["/jwks"] = Answer(b"{}")
        with pytest.raises(FetchFailed, match="Authority Key Identifier"):
            fetch(server)
        assert server.hits == 0


def test_a_missing_ca_file_is_named(tmp_path: Path) -> None:
    """A CA file that cannot be read fails the fetch and says which file."""
    documents = RemoteDocuments(allow_private=True, ca_file=tmp_path / "none.pem")
    with pytest.raises(FetchFailed, match=r"none\.pem"):
        asyncio.run(documents.fetch("https://127.0.0.1:1/"))


class Resolver:
    """Answers in turn, the last answer for ever; counts the questions."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        """Resolve."""
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def test_certificate_and_sni_are_those_of_the_name(server: HttpsServer) -> None:
    """The connection goes to the judged address, yet SNI, Host and verification use the name."""
    documents = RemoteDocuments(
        allow_private=True, ca_file=server.ca_file, resolve=Resolver(["127.0.0.1"])
    )
    asyncio.run(documents.fetch(server.url(host="KEYS.example"), PATIENT))
    assert server.server_names == ["keys.example"]
    assert server.seen[0].headers["Host"] == f"keys.example:{server.port}"
    with pytest.raises(FetchFailed, match="certificate verify failed"):
        asyncio.run(documents.fetch(server.url(host="other.example"), PATIENT))
    assert server.hits == 1


def test_an_address_is_verified_as_an_address(server: HttpsServer) -> None:
    """A URL with a literal address is checked against the certificate's IP SAN."""
    assert fetch(server, server.url(host="127.0.0.1"))


def test_a_second_address_is_tried(server: HttpsServer) -> None:
    """Where the first address does not answer, the next one may."""
    resolver = Resolver(["::1", "127.0.0.1"])
    documents = RemoteDocuments(allow_private=True, ca_file=server.ca_file, resolve=resolver)
    assert asyncio.run(documents.fetch(server.url(host="keys.example"), PATIENT))


def test_rebinding_finds_no_second_resolution(server: HttpsServer) -> None:
    """A name that changes its address after the check is asked only once per fetch."""
    resolver = Resolver(["127.0.0.1"], ["169.254.169.254"])
    documents = RemoteDocuments(allow_private=True, ca_file=server.ca_file, resolve=resolver)

    async def twice() -> None:
        await documents.fetch(server.url(host="keys.example"), PATIENT)
        assert len(resolver.asked) == 1
        with pytest.raises(FetchRefused, match="metadata"):
            await documents.fetch(server.url(host="keys.example"))

    asyncio.run(twice())
    assert server.connections == 1


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]"],
)
def test_loopback_is_never_even_connected_to(server: HttpsServer, host: str) -> None:
    """However loopback is spelt, without the setting the trap counts no connection."""
    with pytest.raises((FetchRefused, FetchFailed)):
        asyncio.run(RemoteDocuments(ca_file=server.ca_file).fetch(server.url(host=host)))
    assert server.connections == 0


def test_one_bad_address_spoils_the_name(server: HttpsServer) -> None:
    """A name with a public and a forbidden address is refused, in either order."""
    for addresses in (["1.1.1.1", "127.0.0.1"], ["127.0.0.1", "1.1.1.1"]):
        documents = RemoteDocuments(ca_file=server.ca_file, resolve=Resolver(addresses))
        with pytest.raises(FetchRefused, match="loopback"):
            asyncio.run(documents.fetch(server.url(host="keys.example")))
    assert server.connections == 0


def test_unresolvable_names_fail() -> None:
    """A resolver's error, a name it cannot take and an empty answer are failures."""

    def broken(_host: str, _port: int) -> Sequence[str]:
        raise OSError

    def unicode(_host: str, _port: int) -> Sequence[str]:
        raise UnicodeError

    for resolve in (broken, unicode, Resolver([])):
        with pytest.raises(FetchFailed):
            asyncio.run(RemoteDocuments(resolve=resolve).fetch("https://nowhere.example/"))


def test_a_hung_resolver_is_left() -> None:
    """A resolver that hangs costs the time limit, then holds its threads and nobody else's."""
    release, answered = threading.Event(), []

    def hang(host: str, _port: int) -> Sequence[str]:
        release.wait(PATIENCE)
        answered.append(host)
        return []

    documents = RemoteDocuments(resolve=hang)

    async def many() -> list[BaseException]:
        fetches = (documents.fetch(f"https://slow{n}.example/") for n in range(9))
        failures = await asyncio.gather(*fetches, return_exceptions=True)
        assert answered == [], "nobody waited for it"
        await asyncio.to_thread(lambda: None)  # the default pool is free
        return [failure for failure in failures if isinstance(failure, BaseException)]

    try:
        failures = asyncio.run(many())
    finally:
        release.set()
    assert len(failures) == 9
    assert all(isinstance(failure, FetchFailed) for failure in failures)


def test_a_name_that_hangs_takes_nothing_from_the_others(server: HttpsServer) -> None:
    """However often it is asked for it holds one look-up, and leaves the rest to other names."""
    release, asked = threading.Event(), Resolver(["127.0.0.1"])

    def resolve(host: str, port: int) -> Sequence[str]:
        addresses = asked(host, port)
        if host == "slow.example":
            release.wait(PATIENCE)
        return addresses

    documents = RemoteDocuments(allow_private=True, ca_file=server.ca_file, resolve=resolve)
    soon = Limits(seconds=0.2)

    async def scene() -> None:
        fetches = (documents.fetch("https://slow.example/", soon) for _ in range(16))
        failures = await asyncio.gather(*fetches, return_exceptions=True)
        assert all("0.2 seconds" in str(each) for each in failures)
        await until(lambda: asked.asked)
        assert [host for host, _ in asked.asked] == ["slow.example"]
        assert await documents.fetch(server.url(host="keys.example"), PATIENT)
        late = asyncio.create_task(documents.fetch(server.url(host="slow.example"), PATIENT))
        await asyncio.sleep(0.05)
        release.set()
        with pytest.raises(FetchFailed, match="certificate verify failed"):
            await late  # it got the address that the others had no time for
        with pytest.raises(FetchFailed):
            await documents.fetch("https://slow.example:1/", PATIENT)
        assert [host for host, _ in asked.asked].count("slow.example") == 2

    try:
        asyncio.run(scene())
    finally:
        release.set()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_an_address_needs_no_resolver(host: str) -> None:
    """It is judged as it stands, whatever the resolver is busy with."""
    resolver = Resolver(["1.1.1.1"])
    with pytest.raises(FetchRefused, match="loopback"):
        asyncio.run(RemoteDocuments(resolve=resolver).fetch(f"https://{host}/"))
    assert resolver.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://keys.example/",
        "HTTP://keys.example/",
        "ftp://keys.example/",
        "file:///etc/passwd",
        "https:/keys.example",
        "https:keys.example",
        "//keys.example/",
        "https://",
        "https:///jwks",
        "https://user@keys.example/",
        "https://user:pw@keys.example/",
        "https://@keys.example/",
        "https://keys.example/#",
        "https://keys.example/#f",
        "https://keys.example:0/",
        "https://keys.example:65536/",
        "https://keys.example:x/",
        "https://keys.example:-1/",
        "https://keys.example\\@127.0.0.1/",
        "https://keys.example\t/",
        "https://keys.example/a b",
        "https://keys.example/\n",
        "https://kéys.example/",
        "https://%6beys.example/",
        "https://keys..example[/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://-keys.example/",
        "https://keys.example/" + "a" * 2048,
    ],
)
def test_urls_that_are_not_plain_https_are_refused(url: str) -> None:
    """Registration refuses what the fetch would; nothing is resolved for it."""
    with pytest.raises(FetchRefused):
        examine_url(url)
    resolver = Resolver(["1.1.1.1"])
    with pytest.raises(FetchRefused):
        asyncio.run(RemoteDocuments(resolve=resolver).fetch(url))
    assert resolver.asked == []


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://keys.example", Target("keys.example", 443, "/")),
        ("https://Keys.Example:443/jwks", Target("keys.example", 443, "/jwks")),
        ("HTTPS://keys.example:8443?a=b", Target("keys.example", 8443, "/?a=b")),
        ("https://[2606:4700::1]:8443/%2e", Target("2606:4700::1", 8443, "/%2e")),
        ("https://xn--kys-9la.example/", Target("xn--kys-9la.example", 443, "/")),
    ],
)
def test_plain_urls_are_taken_apart(url: str, target: Target) -> None:
    """Host, port and path of an acceptable URL are found."""
    assert examine_url(url) == target
