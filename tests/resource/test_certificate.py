"""Whose certificate counts: the connection's own, or that in the header of a proxy that proved itself."""

import base64
import ssl
from typing import Any
from urllib.parse import quote

import pytest

from app.errors import Reason, Refused
from app.resource import Connection, Guard, Presented, Proxy, Verdict
from app.resource.certificate import UNKNOWN
from app.resource.testing import Authority, Caller, Certificate
from app.tls.peer import PeerCertificate
from tests.resource.desk import Desk, tell

CA = Authority()
BOT, THIEF, PROXY = CA.issue("bot"), CA.issue("thief"), CA.issue("proxy")
PINNED = Proxy("edge", PROXY.thumbprint)


def field(certificate: Certificate) -> bytes:
    """As RFC 9440 wants it."""
    return b":" + base64.b64encode(certificate.der) + b":"


def scope(certificate: Certificate | None = None, **headers: bytes) -> dict[str, Any]:
    """A request over TLS."""
    der = None if certificate is None else certificate.der
    return {
        "headers": [(name.replace("_", "-").encode(), value) for name, value in headers.items()],
        "extensions": {"tls": {"client_cert": der}},
    }


def reason(source: Connection, request: dict[str, Any]) -> Reason | None:
    """Why a request is refused."""
    with pytest.raises(Refused) as caught:
        source(request)
    return caught.value.finding.reason


def test_our_own_listener_tells() -> None:
    """Its scope has the peer, or None; nothing else is looked at then."""
    peer = PeerCertificate(BOT.der, (), "TLSv1.3", "x")
    for found, expected in ((peer, BOT.thumbprint), (None, None)):
        request = scope(THIEF) | {"state": {"certbound.peer": found}}
        assert Connection()(request) == Presented(expected, "direct")


@pytest.mark.parametrize(
    "extension",
    [
        {"client_cert": BOT.der},
        {"client_cert_chain": [BOT.pem.decode()]},
        {"client_cert_chain": (BOT.pem.decode(), THIEF.pem.decode())},
        {"client_cert_chain": iter([BOT.pem.decode()]), "client_cert_error": None},
        {"client_cert": BOT.der, "client_cert_chain": [THIEF.pem.decode()]},
    ],
)
def test_both_shapes_of_the_extension(extension: dict[str, Any]) -> None:
    """DER under ``client_cert``, or PEM under ``client_cert_chain``, of which the leaf counts."""
    request = {"headers": [], "extensions": {"tls": extension}}
    assert Connection()(request) == Presented(BOT.thumbprint)


@pytest.mark.parametrize(
    "extension",
    [
        {},
        {"client_cert": None},
        {"client_cert": b""},
        {"client_cert": "text"},
        {"client_cert_chain": []},
        {"client_cert_chain": None},
        {"client_cert_chain": ["no PEM"]},
        {"client_cert_chain": [BOT.der]},
        {"client_cert_chain": [BOT.pem.decode() + THIEF.pem.decode()]},
        {"client_cert_chain": ["\u00e9"]},
        {"client_cert_chain": ["\ud800"]},
        {"client_cert_chain": [None]},
        {"client_cert_chain": 7},
        {"client_cert_chain": True},
        {"client_cert_chain": BOT.pem.decode()},
        {"client_cert": BOT.der, "client_cert_error": "expired"},
    ],
)
def test_an_extension_without_certificate(extension: dict[str, Any]) -> None:
    """None, or one that the server has something against, is none."""
    request = {"headers": [], "extensions": {"tls": extension}}
    assert Connection()(request) == Presented(None)


@pytest.mark.parametrize(
    "request_",
    [
        {"headers": []},
        {"headers": [], "extensions": None},
        {"headers": [], "extensions": 7},
        {"headers": [], "extensions": {"tls": True}},
        {"headers": [], "extensions": {"tls": []}},
    ],
)
def test_a_server_that_says_nothing(request_: dict[str, Any]) -> None:
    """Then no bound token is accepted, and the record says why: nobody knows who ended TLS."""
    assert Connection()(request_) == UNKNOWN
    assert UNKNOWN.thumbprint is None


@pytest.mark.parametrize("form", ["rfc9440", "nginx"])
def test_a_pinned_proxy_is_believed(form: str) -> None:
    """The header's certificate is the caller's, and the record names the proxy."""
    source = Connection([Proxy("edge", PROXY.thumbprint, form)])
    pem = quote(BOT.pem.decode(), safe="").encode()
    headers = {"client_cert": field(BOT)} if form == "rfc9440" else {"x_client_cert": pem}
    assert source(scope(PROXY, **headers)) == Presented(BOT.thumbprint, "edge")


def test_a_proxy_is_never_the_client() -> None:
    """Where it hands on no certificate, there is none: its own counts for nobody."""
    for value in ((), (b"",), (b"::",), (b"(null)",)):
        headers = [(b"client-cert", each) for each in value]
        request = scope(PROXY) | {"headers": headers}
        assert Connection([PINNED])(request) == Presented(None, "edge")


@pytest.mark.parametrize("sender", [None, BOT, THIEF])
@pytest.mark.parametrize("name", ["client_cert", "client_cert_chain", "x_client_cert"])
@pytest.mark.parametrize("proxies", [[], [PINNED]])
def test_anybody_elses_header_is_refused(
    sender: Certificate | None, name: str, proxies: list[Proxy]
) -> None:
    """Not ignored: with the certificate of a client, without any, and whatever it holds."""
    source = Connection(proxies)
    for value in (field(BOT), b"", b"::"):
        assert reason(source, scope(sender, **{name: value})) is Reason.HEADER_UNTRUSTED_PEER


@pytest.mark.parametrize("name", [b"Client_Cert", b"CLIENT_CERT", b"client_cert-chain"])
def test_an_underscore_twin_is_refused(name: bytes) -> None:
    """Some stacks read it as the header itself: the client may have sent it through the proxy."""
    request = scope(PROXY, client_cert=field(BOT))
    request["headers"].append((name, field(THIEF)))
    assert reason(Connection([PINNED]), request) is Reason.HEADER_UNTRUSTED_PEER


def test_what_a_proxy_garbles_is_refused() -> None:
    """Two headers, no certificate, a chain without end."""
    source = Connection([PINNED])
    twice = scope(PROXY, client_cert=field(BOT))
    twice["headers"] *= 2
    assert reason(source, twice) is Reason.HEADER_DUPLICATE
    assert reason(source, scope(PROXY, client_cert=b"x")) is Reason.HEADER_MALFORMED
    long = scope(PROXY, client_cert=field(BOT), client_cert_chain=b"x" * 40_000)
    assert reason(source, long) is Reason.HEADER_MALFORMED
    assert source(scope(PROXY, client_cert=field(BOT), client_cert_chain=field(PROXY))) == (
        Presented(BOT.thumbprint, "edge")
    )


def test_a_form_must_be_known() -> None:
    """A misspelt one must not end up as no check."""
    with pytest.raises(ValueError, match="rfc9440, nginx"):
        Proxy("edge", PROXY.thumbprint, "xfcc")


@pytest.mark.parametrize("thumbprint", ["", "edge", "A" * 43 + "=", "aa:" * 31 + "aa"])
def test_a_thumbprint_must_be_one(thumbprint: str) -> None:
    """One in another spelling would never match: better to hear of it at the start."""
    with pytest.raises(ValueError, match="43 characters"):
        Proxy("edge", thumbprint)


def test_the_guard_tells_holder_from_thief_behind_a_proxy() -> None:
    """And a header from a direct caller is 400, even from the holder with a good token."""
    desk = Desk()
    app = Guard(tell, desk.verifier, source=Connection([PINNED]))
    token = desk.token(BOT)
    for certificate, status in ((BOT, 200), (THIEF, 401)):
        headers = [("Client-Cert", field(certificate).decode())]
        headers.append(("Authorization", f"Bearer {token}"))
        assert Caller(app, PROXY).request("GET", "/", headers=headers).status == status
        assert desk.last.termination == "edge"
    assert Caller(app, PROXY).get("/", token).status == 401
    assert desk.last.verdict is Verdict.NO_CERTIFICATE
    assert Caller(app, BOT).get("/", token).status == 200
    direct = [("Client-Cert", field(BOT).decode()), ("Authorization", f"Bearer {token}")]
    answer = Caller(app, BOT).request("GET", "/", headers=direct)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert desk.last.reason == "header_untrusted_peer"


def test_the_hash_is_that_of_rfc_8705() -> None:
    """As OpenSSL and everybody computes it: over the whole DER."""
    assert ssl.PEM_cert_to_DER_cert(BOT.pem.decode()) == BOT.der
    assert Presented.of(BOT.der).thumbprint == BOT.thumbprint
    assert Presented.of(None).thumbprint is None
