"""Whatever is sent, the answer is one of ours: JSON, a known code, never a 5xx."""

from urllib.parse import quote_plus

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import OAuthError
from tests.kit.asgi import FORM, Answer, Stage

CODES = {error.error for error in OAuthError.__subclasses__()}
FEW = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

NAMES = st.sampled_from(
    ["grant_type", "client_id", "scope", "resource", "client_secret", "client_assertion", "x", ""]
) | st.text(max_size=8)
VALUES = st.sampled_from(
    [
        "client_credentials",
        "bot",
        "api:read",
        "https://localhost:9444",
        "",
        " ",
        "\0",
        "é",
        "\U0001d54f",
    ]
) | st.text(max_size=30)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
LATIN = st.characters(min_codepoint=0x20, max_codepoint=0xFF)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["content-type", "authorization", "accept", "origin", "content-encoding", "client-cert"]
        ),
        st.sampled_from(["application/x-www-form-urlencoded", "Basic Og==", "gzip", ""])
        | st.text(LATIN, max_size=30),
    ),
    max_size=3,
)


def assert_ours(answer: Answer) -> None:
    """A token or a known error, as JSON that no cache keeps."""
    assert answer.status < 500
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "no-store"
    members = answer.json()
    if answer.status == 200:
        assert members["access_token"].count(".") == 2
    else:
        assert members["error"] in CODES
        assert set(members) <= {"error", "error_description", "error_ref"}


def encode(fields: list[tuple[str, str]]) -> bytes:
    """A form as a library would send it, except that names may repeat or be empty."""
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in fields).encode()


@FEW
@given(fields=FIELDS, headers=HEADERS, proven=st.booleans())
def test_any_form(
    standing: Stage, fields: list[tuple[str, str]], headers: list[tuple[str, str]], *, proven: bool
) -> None:
    """Random parameters and headers, with and without the right certificate."""
    peer = standing.bot if proven else None
    given_headers = headers if any(k == FORM[0] for k, _ in headers) else [FORM, *headers]
    assert_ours(
        standing.ask("POST", "/token", peer=peer, headers=given_headers, body=encode(fields))
    )


@FEW
@given(body=st.lists(st.binary(max_size=60), max_size=4), query=st.binary(max_size=10))
def test_any_bytes(standing: Stage, body: list[bytes], query: bytes) -> None:
    """Random bytes in random pieces, with random bytes in the query."""
    assert_ours(
        standing.ask(
            "POST", "/token", peer=standing.bot, headers=[FORM], body=body or b"", query=query
        )
    )


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
