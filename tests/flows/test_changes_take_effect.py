"""What an operator changes holds for the very next request, on connections opened long before."""

import threading
import time

import pytest

from tests.kit import tokens
from tests.kit.issuing import issue
from tests.kit.live import claims, live, reason
from tests.kit.running import Running
from tests.kit.timed import eventually
from tests.kit.wire import TIMEOUT

SELF_SIGNED = ("--method", "self_signed_tls_client_auth")


def test_the_life_of_a_client_on_one_connection(server: Running) -> None:
    """Unknown, added, disabled, enabled, removed, added again: each command shows at once."""
    server.certbound("ca", "issue", "lived")
    add = ("client", "add", "lived", "--cert", str(server.file("lived.crt")))
    with live(server, "lived") as ask:
        assert reason(server, ask()) == "client_unknown"
        server.certbound(*add)
        assert claims(ask())["sub"] == "lived"
        server.certbound("client", "disable", "lived")
        assert reason(server, ask()) == "client_disabled"
        server.certbound("client", "enable", "lived")
        assert claims(ask())["sub"] == "lived"
        server.certbound("client", "remove", "lived")
        assert reason(server, ask()) == "client_unknown"
        server.certbound(*add)
        assert claims(ask())["sub"] == "lived"


def test_resources_and_scopes_come_and_go(server: Running) -> None:
    """A resource may be named once it is registered, with its scopes, and not after its removal."""
    api = "https://api.example/changing"
    server.certbound("ca", "issue", "caller")
    server.certbound("resource", "add", api, "--scope", "read")
    server.certbound(
        *("client", "add", "caller", "--cert", str(server.file("caller.crt"))),
        *("--resource", api, "--scope", "read", "--scope", "write"),
    )
    with live(server, "caller") as ask:
        named = f"&resource={api}"
        assert claims(ask(named))["aud"] == api
        assert claims(ask(named))["scope"] == "read"
        assert reason(server, ask(f"{named}&scope=write")) == "scope_not_allowed"
        server.certbound("resource", "add", api, "--scope", "read", "--scope", "write")
        assert claims(ask(f"{named}&scope=write"))["scope"] == "write"
        server.certbound("resource", "remove", api)
        refused = ask(named)
        assert refused.json()["error"] == "invalid_target"
        assert reason(server, refused) == "resource_unknown"


def test_a_removed_trust_set_vouches_for_nobody(server: Running) -> None:
    """Although the path was found valid a moment ago, on this very connection."""
    server.certbound("ca", "issue", "vouched")
    add = ("trust", "add", "vouching", str(server.file("ca.crt")))
    server.certbound(*add)
    cert = ("--cert", str(server.file("vouched.crt")))
    server.certbound("client", "add", "vouched", *cert, "--trust", "vouching")
    with live(server, "vouched") as ask:
        assert claims(ask())["sub"] == "vouched"
        server.certbound("trust", "remove", "vouching")
        assert reason(server, ask()) == "issuer_unknown"
        server.certbound(*add)
        assert claims(ask())["sub"] == "vouched"


def test_a_rotated_key_signs_the_next_token(server: Running) -> None:
    """The token names the new key, which was published before; old tokens still verify."""
    with live(server, "bot") as ask:
        old = ask().json()["access_token"]
        server.certbound("key", "rotate", "--force")
        new = ask().json()["access_token"]
    before, after = (tokens.header(token)["kid"] for token in (old, new))
    assert before != after
    for token in (old, new):
        assert tokens.verified(server, token)["sub"] == "bot"
    eventually(lambda: len(published(server)) >= 3)
    assert {before, after} < published(server), "retired, current and the new next one"


def published(server: Running) -> set[str]:
    """The key identifiers in ``/jwks``."""
    with server.client(None) as http:
        return {key["kid"] for key in http.get(f"{server.issuer}/jwks").json()["keys"]}


def test_a_certificate_that_ends_during_its_connection(server: Running) -> None:
    """Good at the handshake and for the first token, refused from the second it has expired."""
    server.certbound("client", "add", "fleeting", "--subject-dn", "CN=fleeting")
    issue(server.home / "certs", "fleeting", seconds=10)
    with live(server, "fleeting") as ask:
        first = claims(ask())
        ends = first["exp"]
        assert isinstance(ends, int)
        time.sleep(max(0.0, ends + 1 - time.time()))
        assert reason(server, ask()) == "expired"


def test_a_retired_certificate_ends_on_its_open_connection(server: Running) -> None:
    """While the client moves to the next one, which works beside it before and alone after."""
    for name in ("turning-old", "turning-new"):
        server.certbound("ca", "issue", name, "--self-signed")
    old, new = (server.file(f"{name}.crt") for name in ("turning-old", "turning-new"))
    server.certbound("client", "add", "turning", *SELF_SIGNED, "--cert", str(old))
    with (
        live(server, "turning-old", "turning") as first,
        live(server, "turning-new", "turning") as second,
    ):
        assert claims(first())["sub"] == "turning"
        assert reason(server, second()) == "thumbprint_unregistered"
        server.certbound("client", "cert", "add", "turning", str(new))
        assert claims(first())["cnf"] != claims(second())["cnf"]
        server.certbound("client", "cert", "retire", "turning", str(old))
        assert reason(server, first()) == "certificate_retired"
        assert claims(second())["sub"] == "turning"


@pytest.mark.parametrize("command", ["disable", "remove"])
def test_no_token_after_the_command_returned(server: Running, command: str) -> None:
    """Under constant requests: not one that is sent after the command ended gets a token."""
    name = f"busy-{command}"
    server.certbound("ca", "issue", name)
    server.certbound("client", "add", name, "--cert", str(server.file(f"{name}.crt")))
    returned, done = threading.Event(), threading.Event()
    before: list[int] = []
    after: list[int] = []

    def keep_asking() -> None:
        with live(server, name) as ask:
            while not done.is_set():
                late = returned.is_set()
                (after if late else before).append(ask().status)

    askers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        eventually(lambda: 200 in before)
        server.certbound("client", command, name)
        returned.set()
        eventually(lambda: len(after) > 10)
    finally:
        done.set()
        for asker in askers:
            asker.join(TIMEOUT)
    assert set(after) == {401}
