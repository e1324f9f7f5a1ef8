"""Whatever is sent, the answer is one of ours: JSON, a known code, never a 5xx."""

from urllib.parse import quote_plus

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.endpoints import ROUTES
from app.errors import OAuthError
from tests.kit.asgi import FORM, Answer, Stage

CODES = {error.error for error in OAuthError.__subclasses__()}
FEW = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

NAMES = st.sampled_from(
    [
        "grant_type",
        "client_id",
        "scope",
        "resource",
        "client_secret",
        "client_assertion",
        "x",
        "",
        "token",
        "token_type_hint",
        "certificate",
        "certificate_thumbprint",
    ]
) | st.text(max_size=8)
VALUES = st.sampled_from(
    [
        "client_credentials",
        "bot",
        "api:read",
        "https://localhost:9444",
        "none",
        "MAA=",
        "a.b.c",
        "eyJhbGciOiJub25lIn0.e30.",
        "",
        " ",
        "\0",
        "é",
        "\U0001d54f",
    ]
) | st.text(max_size=30)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
PATHS = st.sampled_from([route.path for route in ROUTES if route.methods == ("POST",)])
PARTS = (
    st.sampled_from(["", "e30", "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IngifQ", "AAAA"])
    | st.text(max_size=20)
    | st.text("ABCabc019-_", max_size=40)
)
LATIN = st.characters(min_codepoint=0x20, max_codepoint=0xFF)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["content-type", "authorization", "accept", "origin", "content-encoding", "client-cert"]
        ),
        st.sampled_from(
            [
                "application/x-www-form-urlencoded",
                "Basic Og==",
                "gzip",
                "",
                "application/token-introspection+jwt",
                "*/*;q=0.5",
            ]
        )
        | st.text(LATIN, max_size=30),
    ),
    max_size=3,
)


def assert_ours(answer: Answer, path: str = "/token") -> None:
    """A token, what is said of one, or a known error, as JSON or a JWT that no cache keeps."""
    assert answer.status < 500
    assert answer.header("cache-control") == "no-store"
    if answer.status == 200 and path == "/revoke":
        assert answer.body == b""
        return
    if answer.header("content-type") == "application/token-introspection+jwt":
        assert (answer.status, path, answer.body.count(b".")) == (200, "/introspect", 2)
        return
    assert answer.header("content-type") == "application/json"
    members = answer.json()
    if answer.status == 200 and path == "/introspect":
        assert members == {"active": False}
        return
    if answer.status == 200:
        assert members["access_token"].count(".") == 2
    else:
        assert members["error"] in CODES
        assert set(members) <= {"error", "error_description", "error_ref"}


def encode(fields: list[tuple[str, str]]) -> bytes:
    """A form as a library would send it, except that names may repeat or be empty."""
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in fields).encode()


@FEW
@given(path=PATHS, fields=FIELDS, headers=HEADERS, proven=st.booleans())
def test_any_form(
    standing: Stage,
    path: str,
    fields: list[tuple[str, str]],
    headers: list[tuple[str, str]],
    *,
    proven: bool,
) -> None:
    """Random parameters and headers, with and without the right certificate."""
    peer = standing.bot if proven else None
    given_headers = headers if any(k == FORM[0] for k, _ in headers) else [FORM, *headers]
    body = encode(fields)
    assert_ours(standing.ask("POST", path, peer=peer, headers=given_headers, body=body), path)


@FEW
@given(path=st.sampled_from(["/introspect", "/revoke"]), parts=st.lists(PARTS, max_size=5))
def test_any_token(standing: Stage, path: str, parts: list[str]) -> None:
    """Random tokens of a proven client, told to be anybody's: never active, never a 5xx."""
    fields = [("client_id", "bot"), ("token", ".".join(parts) or "x")]
    answer = standing.ask("POST", path, peer=standing.bot, headers=[FORM], body=encode(fields))
    assert answer.status == 200 or any(c < " " or c == "\x7f" for c in ".".join(parts))
    assert_ours(answer, path)


@FEW
@given(path=PATHS, body=st.lists(st.binary(max_size=60), max_size=4), query=st.binary(max_size=10))
def test_any_bytes(standing: Stage, path: str, body: list[bytes], query: bytes) -> None:
    """Random bytes in random pieces, with random bytes in the query."""
    answer = standing.ask(
        "POST", path, peer=standing.bot, headers=[FORM], body=body or b"", query=query
    )
    assert_ours(answer, path)


@FEW
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "X"]),
    path=st.text(LATIN, max_size=20) | st.sampled_from(["token/", ".well-known", "jwks/.."]),
    query=st.binary(max_size=10),
)
def test_any_path(standing: Stage, method: str, path: str, query: bytes) -> None:
    """Random paths and methods: found or a JSON error, never a redirect."""
    answer = standing.ask(method, "/" + path, query=query)
    assert answer.status in {200, 204, 400, 404, 405}
    assert answer.header("location") is None
    if answer.status in {404, 405}:
        assert_ours(answer)
