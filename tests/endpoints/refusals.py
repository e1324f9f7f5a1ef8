"""The rows of the error matrix: one request each, and the error and private reason it must give."""

from collections.abc import Callable
from dataclasses import dataclass

from app.endpoints import ROUTES
from app.errors import (
    InvalidClient,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    NotSupported,
    OAuthError,
    PayloadTooLarge,
    Reason,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from tests.kit.asgi import FORM, Answer
from tests.kit.cast import OTHER_RESOURCE, UNUSED_RESOURCE, Cast

Ask = Callable[[Cast], Answer]


@dataclass(frozen=True)
class Row:
    """One refused request, and what must come of it."""

    name: str
    ask: Ask
    error: type[OAuthError]
    reason: Reason | None = None
    """In the audit; None where nothing is recorded, because nobody asked an endpoint."""
    path: str = "/token"
    """The endpoint, as the audit names it."""


def token(peer: str | None = "bot", **parameters: str) -> Ask:
    """A client credentials request over the certificate of `peer`."""
    return lambda cast: cast.stage.token(getattr(cast, peer) if peer else None, **parameters)


def pairs(*fields: tuple[str, str], headers: tuple[tuple[str, str], ...] = ()) -> Ask:
    """A form in which names may repeat, from ``bot``."""
    plain = (("grant_type", "client_credentials"), ("client_id", "bot"))
    return lambda cast: cast.stage.post("/token", (*plain, *fields), peer=cast.bot, headers=headers)


def body(content: bytes, *, content_types: tuple[str, ...] = (FORM[1],), query: bytes = b"") -> Ask:
    """Raw bytes to the token endpoint, from ``bot``."""
    headers = [("content-type", value) for value in content_types]
    return lambda cast: cast.stage.ask(
        "POST", "/token", peer=cast.bot, headers=headers, body=content, query=query
    )


def basic(peer: str | None) -> Ask:
    """A request with a password in the Authorization header."""
    headers = (("authorization", "Basic Ym90OnNlY3JldA=="),)
    return lambda cast: cast.stage.post(
        "/token",
        {"grant_type": "client_credentials", "client_id": "bot"},
        peer=getattr(cast, peer) if peer else None,
        headers=headers,
    )


def method(verb: str, path: str) -> Ask:
    """Another HTTP method than the endpoint has."""
    return lambda cast: cast.stage.ask(verb, path, peer=cast.bot)


def oversized(cast: Cast) -> Answer:
    """A certificate chain that the TLS room did not take."""
    return cast.stage.ask(
        "POST",
        "/token",
        peer_error="chain too large",
        headers=(FORM,),
        body=b"grant_type=client_credentials&client_id=bot",
    )


def status_list(query: bytes = b"", accept: str = "*/*") -> Ask:
    """A status list, whichever."""
    return lambda cast: cast.stage.ask(
        "GET", f"/status-lists/{'A' * 16}", query=query, headers=[("accept", accept)]
    )


GOOD = b"grant_type=client_credentials&client_id=bot"
R = Reason
UNAUTHENTICATED = (
    Row("no certificate", token(None), InvalidClient, R.NO_CERTIFICATE),
    Row("unknown client", token(client_id="nobody"), InvalidClient, R.CLIENT_UNKNOWN),
    Row("unknown, no certificate", token(None, client_id="x"), InvalidClient, R.CLIENT_UNKNOWN),
    Row(
        "disabled client", token("disabled", client_id="disabled"), InvalidClient, R.CLIENT_DISABLED
    ),
    Row("another client's certificate", token("disabled"), InvalidClient, R.SAN_MISMATCH),
    Row("same name, unknown CA", token("stranger"), InvalidClient, R.ISSUER_UNKNOWN),
    Row("same name, a CA of the same name", token("impostor"), InvalidClient, R.CHAIN_INVALID),
    Row("self-signed at a PKI client", token("selfsigned"), InvalidClient, R.ISSUER_UNKNOWN),
    Row(
        "PKI at a self-signed client",
        token(client_id="selfsigned"),
        InvalidClient,
        R.THUMBPRINT_UNREGISTERED,
    ),
    Row(
        "retired certificate",
        token("retired", client_id="selfsigned"),
        InvalidClient,
        R.CERTIFICATE_RETIRED,
    ),
    Row(
        "certificate of tomorrow",
        token("pending", client_id="selfsigned"),
        InvalidClient,
        R.CERTIFICATE_NOT_ACTIVE,
    ),
    Row("no certificate at all in it", token("malformed"), InvalidClient, R.CERTIFICATE_MALFORMED),
    Row("a chain over the limits", oversized, InvalidClient, R.CERTIFICATE_MALFORMED),
    Row(
        "a trust set that is gone",
        token("orphan", client_id="orphan"),
        InvalidClient,
        R.ISSUER_UNKNOWN,
    ),
    Row(
        "a jwks_uri never fetched",
        token("selfsigned", client_id="remote"),
        InvalidClient,
        R.THUMBPRINT_UNREGISTERED,
    ),
    Row(
        "a method of another release",
        token("selfsigned", client_id="futuristic"),
        InvalidClient,
        R.METHOD_NOT_ALLOWED,
    ),
    Row("a password instead of a certificate", basic(None), InvalidClient, R.METHOD_NOT_ALLOWED),
    Row(
        "a secret instead of a certificate",
        token(None, client_secret="x"),  # noqa: S106 - no password of anybody
        InvalidClient,
        R.METHOD_NOT_ALLOWED,
    ),
    Row(
        "an assertion instead of a certificate",
        token(None, client_assertion="a.b.c"),
        InvalidClient,
        R.METHOD_NOT_ALLOWED,
    ),
)
"""All of them must look the same from outside."""

MALFORMED = tuple(
    Row(name, ask, InvalidRequest, R.REQUEST_MALFORMED)
    for name, ask in {
        "no client_id": token(client_id=""),
        "empty client_id": body(b"grant_type=client_credentials&client_id="),
        "no grant_type": token(grant_type=""),
        "nothing at all": body(b""),
        "client_id twice": pairs(("client_id", "bot")),
        "client_id twice, once empty": pairs(("client_id", "")),
        "scope twice": pairs(("scope", "api:read"), ("scope", "api:read")),
        "an unknown name twice": pairs(("x", "1"), ("x", "2")),
        "a query string": body(GOOD, query=b"scope=api:read"),
        "JSON": body(b"{}", content_types=("application/json",)),
        "multipart": body(GOOD, content_types=("multipart/form-data; boundary=x",)),
        "text": body(GOOD, content_types=("text/plain",)),
        "no content type": body(GOOD, content_types=()),
        "two content types": body(GOOD, content_types=(FORM[1], FORM[1])),
        "another charset": body(GOOD, content_types=(FORM[1] + "; charset=utf-16",)),
        "101 fields": body(GOOD + b"".join(b"&x%d=1" % n for n in range(99))),
        "no UTF-8": body(GOOD + b"&scope=%ff"),
        "a lone surrogate": body(GOOD + b"&scope=%ED%A0%80"),
        "a broken escape": body(GOOD + b"&scope=%4"),
        "NUL": body(GOOD + b"&scope=%00"),
        "a line break": body(GOOD + b"&scope=a%0D%0Ab"),
    }.items()
)

REFUSED = (
    Row("password and certificate", basic("bot"), InvalidRequest, R.METHOD_NOT_ALLOWED),
    Row(
        "secret and certificate",
        token(client_secret="x"),  # noqa: S106 - no password of anybody
        InvalidRequest,
        R.METHOD_NOT_ALLOWED,
    ),
    Row(
        "assertion and certificate",
        token(client_assertion="a.b.c"),
        InvalidRequest,
        R.METHOD_NOT_ALLOWED,
    ),
    Row(
        "assertion and secret",
        token(None, client_assertion="a.b.c", client_secret="x"),  # noqa: S106 - nobody's password
        InvalidRequest,
        R.METHOD_NOT_ALLOWED,
    ),
    Row("an unknown grant", token(grant_type="password"), UnsupportedGrantType, R.GRANT_UNKNOWN),
    Row(
        "a grant with capitals",
        token(grant_type="Client_Credentials"),
        UnsupportedGrantType,
        R.GRANT_UNKNOWN,
    ),
    Row(
        "a grant not granted",
        token("selfsigned", client_id="grantless"),
        UnauthorizedClient,
        R.GRANT_NOT_ALLOWED,
    ),
    Row("an unknown scope", token(scope="admin"), InvalidScope, R.SCOPE_NOT_ALLOWED),
    Row("one scope too many", token(scope="api:read admin"), InvalidScope, R.SCOPE_NOT_ALLOWED),
    Row("a quoted scope", token(scope='api:"read"'), InvalidScope, R.SCOPE_NOT_ALLOWED),
    Row("two spaces", token(scope="api:read  api:read"), InvalidScope, R.SCOPE_NOT_ALLOWED),
    Row("a scope of 5 KB", token(scope="x" * 5000), InvalidScope, R.SCOPE_NOT_ALLOWED),
    Row(
        "101 scopes", token(scope=" ".join(map(str, range(101)))), InvalidScope, R.SCOPE_NOT_ALLOWED
    ),
    Row(
        "an unknown resource",
        token(resource="https://x.example"),
        InvalidTarget,
        R.RESOURCE_UNKNOWN,
    ),
    Row(
        "a resource with a fragment",
        token(resource="https://localhost:9444#x"),
        InvalidTarget,
        R.RESOURCE_UNKNOWN,
    ),
    Row(
        "a slash too many",
        token(resource="https://localhost:9444/"),
        InvalidTarget,
        R.RESOURCE_UNKNOWN,
    ),
    Row("no URL", token(resource="nonsense"), InvalidTarget, R.RESOURCE_UNKNOWN),
    Row(
        "another's resource", token(resource=UNUSED_RESOURCE), InvalidTarget, R.RESOURCE_NOT_ALLOWED
    ),
    Row(
        "two resources",
        pairs(("resource", "https://localhost:9444"), ("resource", OTHER_RESOURCE)),
        InvalidTarget,
        R.RESOURCE_NOT_ALLOWED,
    ),
    Row(
        "one resource twice",
        pairs(("resource", "https://localhost:9444"), ("resource", "https://localhost:9444")),
        InvalidTarget,
        R.RESOURCE_NOT_ALLOWED,
    ),
    Row("65 KiB", body(GOOD + b"&x=" + b"y" * 65_536), PayloadTooLarge, R.REQUEST_MALFORMED),
)

ASTRAY = (
    *(
        Row(f"{verb} {route.path}", method(verb, route.path), MethodNotAllowed)
        for route in ROUTES
        for verb in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW")
        if verb not in route.methods
    ),
    *(
        Row(
            f"{verb} metadata",
            method(verb, "/.well-known/oauth-authorization-server"),
            MethodNotAllowed,
        )
        for verb in ("POST", "PUT", "DELETE")
    ),
    *(
        Row(path or "no path", method("GET", path), NotFound)
        for path in (
            "/",
            "/nothing",
            "/token/",
            "//token",
            "/%74oken",
            "/Token",
            "/token;x=1",
            "/token%00",
            "/../token",
            "/introspect/",
            "/revoke/x",
            "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server/",
            "/.well-known/oauth-authorization-server/tenant",
            "/.well-known/oauth-protected-resource",
        )
    ),
)

STATUS_LISTS = (
    Row("no such status list", status_list(), NotFound),
    Row("a status list of the past", status_list(b"time=1686925000"), NotSupported),
    Row("a status list as CWT", status_list(accept="application/statuslist+cwt"), NotAcceptable),
)

MATRIX = (*STATUS_LISTS, *UNAUTHENTICATED, *MALFORMED, *REFUSED, *ASTRAY)
