"""Forward authentication on the wire: hostile headers, a real nginx, and what the API behind sees."""

import base64
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from tests.kit import ledger, tokens
from tests.kit.issuing import issue
from tests.kit.nginx import PROGRAM, WANTING, Nginx, nginx
from tests.kit.running import Running

Headers = list[tuple[str, str]]


@pytest.fixture(scope="module")
def edge(server: Running) -> Iterator[str]:
    """A registered proxy; a thief has a certificate too, and so has the client ``forwarded``."""
    folder = server.home / "certs"
    for name in ("forward-edge", "forward-thief"):
        issue(folder, name)
    issue(folder, "forwarded")
    client = ("client", "add", "forwarded", "--method", "tls_client_auth", "--scope", "api:read")
    server.certbound(*client, "--cert", str(server.file("forwarded.crt")))
    options = ("--header", "nginx", "--resource", tokens.DEFAULT_RESOURCE)
    file = str(server.file("forward-edge.crt"))
    server.certbound("proxy", "add", "forward-edge", file, *options)
    yield "forward-edge"
    server.certbound("proxy", "remove", "forward-edge")


@pytest.fixture(scope="module")
def token(server: Running, edge: str) -> str:
    """Of the client ``forwarded``."""
    assert edge
    return tokens.issued(tokens.ask_as(server, "forwarded"))


def forwarded(server: Running, name: str) -> str:
    """A certificate as nginx writes it."""
    return quote(server.file(f"{name}.crt").read_text(), safe="")


def ask(server: Running, peer: str | None, headers: Headers, query: str = "") -> httpx2.Response:
    """What somebody with the certificate ``certs/<peer>.crt`` asks."""
    with server.client(peer) as http:
        return http.get(f"{server.issuer}/forward-auth{query}", headers=headers)


def test_a_proxy_learns_who_the_holder_is(server: Running, edge: str, token: str) -> None:
    """Over the proxy's own mutual TLS, on either listener."""
    headers = [
        ("Authorization", f"Bearer {token}"),
        ("X-Client-Cert", forwarded(server, "forwarded")),
    ]
    answer = ask(server, edge, headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-certbound-client-id"] == "forwarded"
    with server.client(edge) as http:
        url = f"https://localhost:{server.mtls_port}/forward-auth"
        assert http.get(url, headers=headers).status_code == 200
    headers[1] = ("X-Client-Cert", forwarded(server, "forward-thief"))
    answer = ask(server, edge, headers)
    assert answer.status_code == 401
    told = server.certbound("explain", answer.json()["error_ref"])
    assert "✘ token: other_certificate (binding_mismatch)" in told
    assert "told by: proxy:forward-edge" in told
    assert "✘ answered: 401 invalid_token" in told
    assert "do this: Use the certificate the token was issued to" in told


def test_hostile_headers_on_the_wire(server: Running, edge: str, token: str) -> None:
    """Nothing that a client adds makes a second certificate, or a first; each try is recorded."""
    good = forwarded(server, "forwarded")
    stolen = [("Authorization", f"Bearer {token}")]
    der = ssl.PEM_cert_to_DER_cert(server.file("forwarded.crt").read_text())
    field = f":{base64.b64encode(der).decode()}:"
    for headers, reason in (
        ([("X-Client-Cert", good)] * 2, "header_duplicate"),
        ([("X-Client-Cert", good), ("x-client-cert", "")], "header_duplicate"),
        ([("X-Client-Cert", good), ("X_Client_Cert", good)], "header_duplicate"),
        ([("X-Client-Cert", good), ("Client-Cert", field)], "header_duplicate"),
        ([("X-Client-Cert", good), ("X-Forwarded-Client-Cert", "Hash=1")], "header_duplicate"),
        ([("Client-Cert", field)], "header_malformed"),
        ([("client_cert", field)], "header_malformed"),
        ([("X-SSL-Cert", good)], "header_malformed"),
        ([("X-Client-Cert", f"{good}{good}")], "header_malformed"),
        ([("X-Client-Cert", f"{good}, {good}")], "header_malformed"),
        ([("X-Client-Cert", good[: len(good) // 2])], "header_malformed"),
        ([("X-Client-Cert", good.replace("BEGIN", "END"))], "header_malformed"),
        ([("X-Client-Cert", f"{good}%00")], "header_malformed"),
        ([("X-Client-Cert", "x" * 33_000)], "header_malformed"),
    ):
        answer = ask(server, edge, [*stolen, *headers])
        if answer.status_code == 431:  # more than any request here may have: nothing was read
            continue
        assert answer.status_code == 400, headers
        assert ledger.reason(server, answer.json()["error_ref"]) == reason, headers


@pytest.mark.parametrize("peer", ["forwarded", "forward-thief", None])
def test_a_client_cannot_speak_for_a_proxy(server: Running, token: str, peer: str | None) -> None:
    """Whoever it is, a certificate header from no proxy is refused and recorded."""
    sent = [("Authorization", f"Bearer {token}"), ("X-Client-Cert", forwarded(server, "forwarded"))]
    answer = ask(server, peer, sent)
    assert answer.status_code == 400
    assert ledger.reason(server, answer.json()["error_ref"]) == "header_untrusted_peer"
    assert ask(server, peer, sent[:1]).status_code == 401


needs_nginx = pytest.mark.skipif(PROGRAM is None, reason=WANTING)


def through(
    server: Running, port: int, name: str | None, headers: Headers, path: str = "/"
) -> httpx2.Response:
    """A request of a client to nginx."""
    tls = server.tls(server.file(f"{name}.crt") if name else None)
    with httpx2.Client(verify=tls, trust_env=False, timeout=60) as http:
        return http.get(f"https://localhost:{port}{path}", headers=headers)


@pytest.fixture(scope="module")
def front(server: Running, edge: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """Nginx as docs/proxies.md sets it up."""
    with nginx(server, tmp_path_factory.mktemp("nginx"), edge) as started:
        yield started


@needs_nginx
def test_the_api_behind_nginx_is_told_the_truth(server: Running, front: Nginx, token: str) -> None:
    """Whatever the client claims in headers, the API sees what certbound said, and no token."""
    lies = [
        ("Authorization", f"Bearer {token}"),
        ("X-Certbound-Client-Id", "admin"),
        ("X-Certbound-Subject", "root"),
        ("X-Certbound-Scope", "everything"),
        ("X-Certbound-Thumbprint", "x"),
        ("X-Client-Cert", forwarded(server, "forward-thief")),
        ("Client-Cert", ":AAAA:"),
    ]
    assert through(server, front.port, "forwarded", lies).text == "ok"
    seen = front.backend.seen[-1]
    assert seen["x-certbound-client-id"] == "forwarded"
    assert seen["x-certbound-subject"] == "forwarded"
    assert seen["x-certbound-scope"] == "api:read"
    assert seen["x-certbound-thumbprint"] == tokens.read(token)["cnf"]["x5t#S256"]
    assert not seen.keys() & {"authorization", "x-client-cert", "client-cert"}


@needs_nginx
@pytest.mark.parametrize(
    "name",
    ["X-Client-Cert", "Client-Cert", "X-SSL-Cert", "X-Forwarded-Client-Cert", "X_Client_Cert"],
)
def test_a_thief_gains_nothing_by_headers(
    server: Running, front: Nginx, token: str, name: str
) -> None:
    """With the holder's certificate in a header, and with its own or none on the connection."""
    before = len(front.backend.seen)
    headers = [("Authorization", f"Bearer {token}"), (name, forwarded(server, "forwarded"))]
    for thief in ("forward-thief", None):
        assert through(server, front.port, thief, headers).status_code == 401
    assert len(front.backend.seen) == before
    assert through(server, front.port, "forwarded", headers).status_code == 200


@needs_nginx
def test_refusals_keep_their_meaning(server: Running, front: Nginx, token: str) -> None:
    """401 with the challenge, with and without a token; 403 without the scope; no way around."""
    answer = through(server, front.port, "forwarded", [])
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    answer = through(server, front.port, "forward-thief", [("Authorization", f"Bearer {token}")])
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    folder = server.home / "certs"
    file = issue(folder, "forward-scopeless")
    server.certbound(
        *("client", "add", "forward-scopeless", "--method", "tls_client_auth"), "--cert", str(file)
    )
    without = tokens.issued(tokens.ask_as(server, "forward-scopeless"))
    sent = [("Authorization", f"Bearer {without}")]
    assert through(server, front.port, "forward-scopeless", sent).status_code == 403
    assert through(server, front.port, "forwarded", sent, "/certbound").status_code == 404


def _keeps_client_headers(text: str) -> str:
    return text.replace("proxy_pass_request_headers off;", "")


def _proves_nothing(text: str) -> str:
    kept = [line for line in text.splitlines() if "proxy_ssl_certificate" not in line]
    return "\n".join(kept)


@needs_nginx
@pytest.mark.parametrize("change", [_keeps_client_headers, _proves_nothing])
def test_a_careless_nginx_lets_nobody_in(
    server: Running, edge: str, token: str, tmp_path: Path, change: Callable[[str], str]
) -> None:
    """One that hands on its client's headers, or does not prove itself: 500, and it is recorded why."""
    holder, before = forwarded(server, "forwarded"), len(ledger.refusals(server.home))
    with nginx(server, tmp_path, edge, change) as front:
        headers = [("Authorization", f"Bearer {token}"), ("Client-Cert", holder)]
        for name in ("forwarded", "forward-thief"):
            assert through(server, front.port, name, headers).status_code == 500
            assert "unexpected status: 400" in front.log
        assert not front.backend.seen
    reasons = [each["reason"] for each in ledger.refusals(server.home)[before:]]
    is_proxy = change is _keeps_client_headers
    assert reasons == 2 * ["header_duplicate" if is_proxy else "header_untrusted_peer"]


@needs_nginx
def test_a_revoked_token_is_refused_by_the_next_request(
    server: Running, front: Nginx, edge: str
) -> None:
    """No cache lies in between: the proxy asks, and the server looks, each time."""
    assert edge
    mine = tokens.issued(tokens.ask_as(server, "forwarded"))
    headers = [("Authorization", f"Bearer {mine}")]
    assert through(server, front.port, "forwarded", headers).status_code == 200
    server.certbound("revoke", "token", str(tokens.read(mine)["jti"]))
    assert through(server, front.port, "forwarded", headers).status_code == 401
