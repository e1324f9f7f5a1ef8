"""``certbound demo-api``: what a resource owes its callers (FAPI), and what it refuses to thieves."""

import json
import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from app import clock
from tests.kit import tokens
from tests.kit.certs import pki
from tests.kit.command import call
from tests.kit.demo import Demo, demo_api
from tests.kit.issuing import issue, key_of
from tests.kit.running import Running, certbound, running
from tests.kit.timed import eventually

INTERACTION = "x-fapi-interaction-id"
UUID = "c770aef3-6784-41f7-8e0e-ff5f97bddb3a"
EVENT_LIMIT = 60.0
"""Seconds until something that takes a second must have happened on a loaded machine."""


@pytest.fixture(scope="module")
def demo(server: Running) -> Iterator[Demo]:
    """One for all tests here; they only ask."""
    issue(server.home / "certs", "demo-thief")
    issue(server.home / "certs", "demo-renewed", key=key_of(server.file("bot.crt")))
    with demo_api(server.home, server.environment) as started:
        yield started


@pytest.fixture(scope="module")
def token(server: Running) -> str:
    """Of ``bot``, for the default resource."""
    return tokens.issued(tokens.ask_as(server, "bot"))


def test_a_holder_is_told_who_it_is(demo: Demo, token: str) -> None:
    """200 with client, scope and certificate, never kept by a cache, dated now."""
    answer = demo.ask(token)
    claims = tokens.read(token)
    assert answer.status_code == 200
    assert answer.json() == {
        "you_are": "the holder of the certificate that this token is bound to",
        "client_id": "bot",
        "scope": "api:read",
        "certificate": claims["cnf"],
    }
    assert answer.headers["cache-control"] == "no-store"
    sent_at = parsedate_to_datetime(answer.headers["date"]).timestamp()
    assert abs(sent_at - clock.now()) < 60


@pytest.mark.parametrize("name", ["demo-thief", "demo-renewed", None])
def test_others_get_nothing_with_the_same_token(demo: Demo, token: str, name: str | None) -> None:
    """Not another certificate of the same CA, not a new one with the same key, not none at all."""
    answer = demo.ask(token, name)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    assert "bot" not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_has_no_case(demo: Demo, token: str, scheme: str) -> None:
    """RFC 9110 section 11.1."""
    assert demo.ask(None, headers={"Authorization": f"{scheme} {token}"}).status_code == 200


def test_a_token_in_the_query_is_refused(demo: Demo, token: str) -> None:
    """RFC 9700 section 4.3.2: alone or beside the one in the header, the holder's too."""
    for sent in (None, token):
        answer = demo.ask(sent, query=f"?access_token={token}")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_without_a_token_it_says_where_to_get_one(demo: Demo) -> None:
    """401 without an error code (RFC 6750 section 3.1), with the way to its metadata (RFC 9728)."""
    answer = demo.ask(None)
    assert answer.status_code == 401
    challenge = answer.headers["www-authenticate"]
    assert "error" not in challenge
    assert f'resource_metadata="{tokens.DEFAULT_RESOURCE}/.well-known/' in challenge


def test_the_interaction_id_comes_back_where_it_is_one(demo: Demo, token: str) -> None:
    """A UUID, on answers of each kind; nothing else is ever sent back."""
    for sent, name in ((token, "bot"), (token, "demo-thief"), (None, "bot")):
        answer = demo.ask(sent, name, headers={INTERACTION: UUID})
        assert answer.headers.get_list(INTERACTION) == [UUID]
    for odd in ("", "1", f"{UUID}0", f"{{{UUID}}}", UUID.replace("-", ""), "x" * 36):
        answer = demo.ask(token, headers={INTERACTION: odd})
        assert answer.status_code == 200
        assert INTERACTION not in answer.headers


def test_headers_of_callers_are_tolerated(demo: Demo, token: str) -> None:
    """Those of FAPI and any other; those that would name a certificate are not (they could lie)."""
    fapi = {
        "x-fapi-auth-date": "Tue, 11 Sep 2012 19:43:31 GMT",
        "x-fapi-customer-ip-address": "198.51.100.119",
        "accept-charset": "utf-8",
        "x-something": "else",
    }
    assert demo.ask(token, headers=fapi).status_code == 200
    assert demo.ask(token, headers={"Client-Cert": ":AAAA:"}).status_code == 400


def test_it_publishes_what_it_takes(demo: Demo, server: Running) -> None:
    """RFC 9728: the resource is the default one, whatever the port."""
    document = demo.ask(None, None, query=".well-known/oauth-protected-resource").json()
    assert document["resource"] == tokens.DEFAULT_RESOURCE
    assert document["authorization_servers"] == [server.issuer]
    assert document["tls_client_certificate_bound_access_tokens"] is True
    assert document["scopes_supported"] == ["api:read"]


def test_a_token_needs_the_scope(demo: Demo, server: Running) -> None:
    """403 for a client without it, and what it would take."""
    issue(server.home / "certs", "demo-scopeless")
    file = str(server.file("demo-scopeless.crt"))
    server.certbound(
        "client", "add", "demo-scopeless", "--method", "tls_client_auth", "--cert", file
    )
    without = tokens.issued(tokens.ask_as(server, "demo-scopeless"))
    answer = demo.ask(without, "demo-scopeless")
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="api:read"' in answer.headers["www-authenticate"]


def test_other_paths_and_methods(demo: Demo, token: str) -> None:
    """Errors in JSON, for holders only."""
    answer = demo.ask(token, query="elsewhere")
    assert (answer.status_code, answer.json()) == (404, {"error": "not_found"})
    assert demo.ask(None, query="elsewhere").status_code == 401


def test_its_log_tells_thief_from_holder(demo: Demo, token: str) -> None:
    """By thumbprints and the token's id; the token itself is in no line."""
    demo.ask(token, "demo-thief")
    claims = tokens.read(token)
    lines = [line for line in demo.log.splitlines() if "other_certificate" in line]
    assert any(claims["cnf"]["x5t#S256"] in line and claims["jti"] in line for line in lines)
    assert token.rpartition(".")[2] not in demo.log


def test_what_it_prints_can_be_pasted(demo: Demo) -> None:
    """Commands for a token, for the holder, and for a thief, with its own port."""
    assert f"✔ demo API: 127.0.0.1:{demo.port}" in demo.announced
    for name in ("bot", "thief"):
        assert (
            f'--key certs/{name}.key -H "Authorization: Bearer $TOKEN" {demo.url}' in demo.announced
        )
    assert "token get --cert certs/bot.crt --key certs/bot.key --raw" in demo.announced


def test_a_revoked_certificate_falls_within_the_time_of_the_list(tmp_path: Path) -> None:
    """Introspection and the list say so at once, the demo API once its copy has ended."""
    with running(tmp_path / "home", status_list_ttl="5") as server:
        token = tokens.issued(tokens.ask_as(server, "bot"))
        with demo_api(server.home, server.environment) as demo:
            assert demo.ask(token).status_code == 200
            server.certbound("revoke", "cert", str(server.file("bot.crt")))
            deadline = time.monotonic() + EVENT_LIMIT
            while (answer := demo.ask(token)).status_code == 200:
                assert time.monotonic() < deadline, "the revoked token goes on"
                time.sleep(0.1)
            assert answer.status_code == 401
            eventually(lambda: 'reason="token status"' in demo.log)
        issue(server.home / "certs", "seer")
        file = str(server.file("seer.crt"))
        options = ("--method", "tls_client_auth", "--cert", file, "--introspect-all")
        server.certbound("client", "add", "seer", *options)
        with server.client("seer") as http:
            url = f"{server.issuer}/introspect"
            said = http.post(url, data={"client_id": "seer", "token": token})
        assert said.json() == {"active": False}


def test_it_starts_before_the_server(tmp_path: Path) -> None:
    """Until keys can be had it answers 503 and says when to come back; nobody is blamed for that."""
    home = tmp_path / "home"
    certbound(home, "quickstart", environment={})
    with demo_api(home, {}, "--ca", str(home / "certs" / "ca.crt")) as demo:
        answer = demo.ask("a.b.c")
        assert (answer.status_code, answer.headers["retry-after"].isdigit()) == (503, True)
        assert "www-authenticate" not in answer.headers
        assert demo.ask(None).status_code == 401


def test_it_says_why_it_cannot_start(tmp_path: Path) -> None:
    """A port in use, a CA file that is none, a home without certificates."""
    home = tmp_path / "home"
    certbound(home, "quickstart", environment={})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = call(home, "demo-api", "--port", port, "--json")
        assert (done.code, done.error["message"]) == (3, "the demo API cannot listen")
    done = call(home, "demo-api", "--port", "0", "--ca", str(home / "certbound.db"), "--json")
    assert done.code == 3
    assert "the CA file" in done.error["message"]
    done = call(tmp_path, "demo-api", "--port", "0", "--json")
    assert (done.code, done.error["message"]) == (3, "the server cannot start")


def test_another_ca_decides_whether_the_issuer_is_believed(server: Running, token: str) -> None:
    """With CAs that did not vouch for the issuer's server there are no keys, so nobody gets in."""
    with demo_api(server.home, server.environment, "--ca", str(pki().ca_file)) as demo:
        assert demo.ask(token).status_code == 503


def test_json_says_where_it_stands(demo: Demo, server: Running) -> None:
    """For programs: one object when it is ready."""
    with demo_api(server.home, server.environment, "--json") as started:
        told = json.loads(started.announced)
    assert told["listening"] == [f"127.0.0.1:{started.port}"]
    assert told["audience"] == tokens.DEFAULT_RESOURCE
    assert demo.port != started.port
