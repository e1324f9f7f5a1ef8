"""Introspection and revocation over real TLS: who may ask, what is told, what has become of it."""

import base64
import ssl
from collections.abc import Iterator

import pytest

from tests.kit import ledger, tokens
from tests.kit.asking import Post, posting, token_of, told
from tests.kit.running import Running
from tests.kit.wire import Response

INACTIVE = {"active": False}


def add(server: Running, name: str, *options: str) -> None:
    """A client by a certificate of the development CA."""
    server.certbound("ca", "issue", name, "--san-uri", f"spiffe://dev.local/{name}")
    server.certbound("client", "add", name, "--cert", str(server.file(f"{name}.crt")), *options)


@pytest.fixture(scope="module")
def seen(server: Running) -> Iterator[tuple[Post, Post]]:
    """A client ``intro-bot``, and ``intro-api`` that serves its resource; an open connection each."""
    add(server, "intro-bot")
    add(server, "intro-api", "--serves", tokens.DEFAULT_RESOURCE)
    with posting(server, "intro-bot") as bot, posting(server, "intro-api") as api:
        yield bot, api


def der_of(server: Running, name: str) -> bytes:
    """A certificate as the other side of a connection sees it."""
    return ssl.PEM_cert_to_DER_cert(server.file(f"{name}.crt").read_text())


def refused(response: Response) -> str:
    """The reference of a refusal."""
    assert (response.status, response.json()["error"]) == (401, "invalid_client")
    return str(response.json()["error_ref"])


def test_the_resource_s_server_is_told(seen: tuple[Post, Post]) -> None:
    """What the token says, for its own client too."""
    bot, api = seen
    token = token_of(bot)
    claims = tokens.read(token)
    for post in (api, bot):
        answer = told(post, token)
        assert answer["active"] is True
        assert {name: answer[name] for name in claims if name != "status"} == {
            name: claims[name] for name in claims if name != "status"
        }


def test_nobody_else_is(server: Running, seen: tuple[Post, Post]) -> None:
    """Another client learns nothing, a caller without certificate or with a wrong one is refused."""
    token = token_of(seen[0])
    add(server, "intro-other")
    with posting(server, "intro-other") as other:
        assert told(other, token) == INACTIVE
        response = other("/introspect", client_id="intro-api", token=token)
        assert ledger.reason(server, refused(response)) == "san_mismatch"
    with posting(server, None, "intro-api") as nobody:
        response = nobody("/introspect", token=token)
        assert ledger.reason(server, refused(response)) == "no_certificate"


def test_whose_certificate_it_came_with(server: Running, seen: tuple[Post, Post]) -> None:
    """The holder's, another one of the same client's names, none: told and written down."""
    bot, api = seen
    token = token_of(bot)
    jti = tokens.read(token)["jti"]
    server.certbound("ca", "issue", "intro-rotated", "--san-uri", "spiffe://dev.local/intro-bot")
    for name, verdict in (("intro-bot", "holder"), ("intro-rotated", "other_certificate")):
        sent = base64.b64encode(der_of(server, name)).decode()
        answer = told(api, token, certificate=sent)
        assert (answer["certificate_verdict"], answer["active"]) == (verdict, verdict == "holder")
    answer = told(api, token, certificate_thumbprint="none")
    assert answer == {"active": False, "certificate_verdict": "no_certificate"}
    found = [
        (entry.decision, entry.event)
        for entry in ledger.entries(server.home)
        if entry.jti == jti and entry.event == "token.presented"
    ]
    assert found == [
        ("accepted", "token.presented"),
        ("refused", "token.presented"),
        ("refused", "token.presented"),
    ]


def test_revoked_by_its_client(server: Running, seen: tuple[Post, Post]) -> None:
    """200 without a body; inactive in the next answer, on other connections too."""
    bot, api = seen
    token, other = token_of(bot), token_of(bot)
    response = api("/revoke", token=token)
    assert (response.status, response.json()["error"]) == (400, "invalid_request")
    assert told(api, token)["active"] is True
    response = bot("/revoke", token=token)
    assert (response.status, response.body) == (200, b"")
    assert told(api, token) == told(bot, token) == INACTIVE
    assert told(api, other)["active"] is True
    with posting(server, "intro-api") as fresh:
        assert told(fresh, token, certificate_thumbprint="none") == INACTIVE


def test_answers_as_jwt(server: Running, seen: tuple[Post, Post]) -> None:
    """Signed with the published keys, for the caller."""
    bot, api = seen
    token = token_of(bot)
    response = api("/introspect", token=token, accept="application/token-introspection+jwt")
    assert response.headers["content-type"] == "application/token-introspection+jwt"
    body = response.body.decode()
    assert tokens.header(body)["typ"] == "token-introspection+jwt"
    claims = tokens.verified(server, body)
    assert claims["aud"] == "intro-api"
    assert claims["token_introspection"] == told(api, token)


def test_both_listeners_answer(server: Running, seen: tuple[Post, Post]) -> None:
    """For clients that ignore the aliases."""
    token = token_of(seen[0])
    with server.client("intro-api") as http:
        form = {"client_id": "intro-api", "token": token}
        assert http.post(f"{server.issuer}/introspect", data=form).json()["active"] is True
    with server.client("intro-bot") as http:
        form = {"client_id": "intro-bot", "token": token}
        assert http.post(f"{server.issuer}/revoke", data=form).status_code == 200
    assert told(seen[1], token) == INACTIVE


@pytest.mark.parametrize("what", ["token", "client", "cert"])
def test_what_an_operator_revokes(server: Running, seen: tuple[Post, Post], what: str) -> None:
    """One token, a client's tokens, those bound to a certificate: inactive when the command is back."""
    name = f"intro-{what}"
    add(server, name)
    with posting(server, name) as post:
        token = token_of(post)
    target = {
        "token": str(tokens.read(token)["jti"]),
        "client": name,
        "cert": str(server.file(f"{name}.crt")),
    }[what]
    assert told(seen[1], token)["active"] is True
    server.certbound("revoke", what, target)
    assert told(seen[1], token) == INACTIVE
