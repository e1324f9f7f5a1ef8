"""Every endpoint and every error it can give: status, headers, body, and the private reason.

A row of `tests.endpoints.refusals` is one request. What all refusals have in common is asserted
here for each of them.
"""

import json

import pytest

from app import errors
from app.endpoints import gathering
from app.errors import OAuthError, PayloadTooLarge, Reason
from tests.endpoints import refusals
from tests.endpoints.refusals import ASTRAY, REFUSED, UNAUTHENTICATED, Row
from tests.endpoints.refusals_about_tokens import ABOUT_TOKENS, STRANGERS
from tests.kit.asgi import Answer, Stage
from tests.kit.cast import Cast, cast_on

MATRIX = (*refusals.MATRIX, *ABOUT_TOKENS)
SET_OF_5_2 = {chr(c) for c in (*range(0x20, 0x22), *range(0x23, 0x5C), *range(0x5D, 0x7F))}
"""The characters RFC 6749 section 5.2 allows in `error` and `error_description`."""
ELSEWHERE = {
    errors.RateLimited,
    *(errors.ServerError, errors.TemporarilyUnavailable),
    *(errors.InvalidToken, errors.InsufficientScope),
}
"""They need a broken server: test_unavailable.py; a proxy: test_forward_auth.py; or many
requests: test_limits.py."""
REF_LENGTH = 16


@pytest.fixture(scope="module")
def cast(standing: Stage, tmp_path_factory: pytest.TempPathFactory) -> Cast:
    """Everybody on one stage; the requests of this module change nothing."""
    return cast_on(standing, tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: row.name)
def test_the_wire_says_the_code_and_nothing_else(cast: Cast, row: Row) -> None:
    """Status, headers and body follow from the error alone; nothing the client sent is in them."""
    answer = row.ask(cast)
    assert answer.status == row.error.status
    assert dict(answer.headers).keys() <= {
        "cache-control",
        "pragma",
        "content-type",
        "content-length",
        "allow",
        "retry-after",
    }
    assert answer.header("cache-control") == "no-store"
    assert answer.header("pragma") == "no-cache"
    assert answer.header("content-type") == "application/json"
    members = answer.json()
    ref = members.pop("error_ref", None)
    assert members == {"error": row.error.error, "error_description": row.error.description}
    assert answer.body == json.dumps(answer.json(), separators=(",", ":")).encode()
    assert not [reason for reason in Reason if reason.value in members["error_description"]]
    assert (ref is None) == (row.reason is None)
    assert ref is None or (len(ref) == REF_LENGTH and ref.isalnum())


@pytest.mark.parametrize("row", [row for row in MATRIX if row.reason], ids=lambda row: row.name)
def test_the_audit_says_why(cast: Cast, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference leads to an entry with the reason, the endpoint and what was checked."""
    monkeypatch.setattr(gathering, "PER_KEY", 10_000)  # rows alike are not counted together
    entry = cast.stage.explained(row.ask(cast).json()["error_ref"])
    assert entry["reason"] == row.reason
    assert entry["event"] == "request.refused"
    assert entry["decision"] == "refused"
    assert (entry["endpoint"], entry["error"], entry["status"]) == (
        row.path,
        row.error.error,
        row.error.status,
    )
    failed = [one for one in entry["findings"] if one.get("reason")]
    assert [one["reason"] for one in failed] == [row.reason]
    assert all(len(text) <= 500 for one in entry["findings"] for text in one.values())
    assert "jti" not in entry


def test_a_refusal_is_found_by_client_and_certificate(cast: Cast) -> None:
    """As soon as the form could be read, the entry names the client that was claimed."""
    for row in (*UNAUTHENTICATED, *REFUSED):
        entry = cast.stage.explained(row.ask(cast).json()["error_ref"])
        if row.error is not PayloadTooLarge:
            assert entry["client_id"]
    entry = cast.stage.explained(cast.stage.token(cast.disabled).json()["error_ref"])
    assert entry["client_id"] == "bot"
    assert entry["certificate"]["thumbprint"] == cast.disabled.thumbprint
    assert entry["certificate"]["subject"] == "CN=disabled"
    assert entry["method"] == "tls_client_auth"


def test_all_failed_authentications_look_the_same(cast: Cast) -> None:
    """Unknown, disabled, no certificate, wrong certificate: one answer but for the reference."""
    seen = {_without_ref(row.ask(cast)) for row in (*UNAUTHENTICATED, *STRANGERS)}
    assert len(seen) == 1


def test_the_matrix_covers_every_error() -> None:
    """An error class without a row here has never been seen on the wire."""
    assert _below(OAuthError) - ELSEWHERE == {row.error for row in MATRIX}


def test_rows_differ() -> None:
    """A name says which row broke."""
    names = [row.name for row in MATRIX]
    assert len(set(names)) == len(names)


def test_texts_keep_to_the_characters_of_oauth() -> None:
    """Codes and descriptions use only what RFC 6749 section 5.2 allows, and no two say the same."""
    for error in _below(OAuthError):
        assert set(error.error + error.description) <= SET_OF_5_2
        assert error.status >= 400
    texts = [error.description for error in _below(OAuthError)]
    assert len(set(texts)) == len(texts)


def test_a_refused_method_names_the_allowed_ones(cast: Cast) -> None:
    """RFC 9110 section 15.5.6: a 405 carries Allow, with HEAD where GET is."""
    allowed = {}
    for row in ASTRAY:
        answer = row.ask(cast)
        if answer.status == 405:
            verb, _, path = row.name.partition(" ")
            names = set((answer.header("allow") or "").split(", "))
            assert verb not in names
            allowed[path] = names
    assert allowed["/token"] == {"POST"}
    assert allowed["/jwks"] == {"GET", "HEAD"}
    assert allowed["metadata"] == {"GET", "HEAD", "OPTIONS"}


def _without_ref(answer: Answer) -> tuple[object, ...]:
    members = answer.json()
    del members["error_ref"]
    return answer.status, answer.headers, json.dumps(members)


def _below(error: type[OAuthError]) -> set[type[OAuthError]]:
    return {one for each in error.__subclasses__() for one in (each, *_below(each))}
