"""What stands beside the protocol: the page for people, liveness and readiness."""

import pytest

from tests.kit.asgi import FORM, Stage


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"response_type=code&client_id=bot&redirect_uri=https://evil.example/cb&state=st4te",
        b"redirect_uri=https://evil.example/cb&state=%3Cscript%3Ealert(1)%3C/script%3E",
        b"client_id=bot&scope=%0d%0aLocation:%20https://evil.example",
        b"error=x&error=y&prompt=none&response_mode=form_post&request_uri=https://evil.example/r",
    ],
)
def test_the_authorization_endpoint_reads_nothing(
    standing: Stage, method: str, query: bytes
) -> None:
    """Always the same page: no redirect, nothing of the request in it, no place for scripts."""
    plain = standing.ask("GET", "/authorize")
    answer = standing.ask(method, "/authorize", query=query, headers=[FORM], body=query)
    assert (answer.status, answer.headers, answer.body) == (400, plain.headers, plain.body)
    assert answer.header("location") is None
    assert answer.header("set-cookie") is None
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "text/html; charset=utf-8"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "no-referrer"
    policy = answer.header("content-security-policy") or ""
    assert {"default-src 'none'", "frame-ancestors 'none'"} == set(policy.split("; "))
    for echoed in (b"evil", b"script", b"st4te", b"bot"):
        assert echoed not in answer.body


def test_the_page_is_for_people(standing: Stage) -> None:
    """It says in a sentence what is going on; automated browsers find it by a stable id."""
    body = standing.ask("GET", "/authorize").body.decode()
    assert "Interactive login is off" in body
    assert '<p id="message">' in body
    assert "<form" not in body


def test_no_browser_page_of_another_origin_may_read_it(standing: Stage) -> None:
    """CORS is for documents, never for the authorization endpoint (RFC 9700 section 2.6)."""
    headers = [("origin", "https://evil.example")]
    answer = standing.ask("GET", "/authorize", headers=headers)
    assert answer.header("access-control-allow-origin") is None


def test_alive_is_not_ready(standing: Stage) -> None:
    """Before the listeners are open, and from the moment they close, nobody is sent here."""
    assert standing.ask("GET", "/livez").status == 200
    lifecycle = standing.house.door.lifecycle
    assert not lifecycle.ready
    waiting = standing.ask("GET", "/readyz")
    assert (waiting.status, waiting.header("retry-after")) == (503, "2")
    lifecycle.ready = True
    ready = standing.ask("GET", "/readyz")
    lifecycle.ready = False
    assert (ready.status, ready.json()) == (200, {"status": "ready"})
    assert ready.header("cache-control") == "no-store"
