"""What is written down of what a client sent has no secrets with a form."""

import pytest

from app.endpoints.refusal import MAX_RECORDED
from app.unsaid import without_secrets
from tests.kit.stopwatch import cheapest

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJib3QifQ.c2lnbmF0dXJl"  # noqa: S105 - opens nothing


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://api.example/x?y=z", "https://api.example/x?y=z"),
        ("client_id 'bot', not bot@acme.example", "client_id 'bot', not bot@acme.example"),
        (f"client_id '{TOKEN}'", f"client_id '(a token, {len(TOKEN)} characters)'"),
        (f"{TOKEN} {TOKEN}", " ".join(2 * [f"(a token, {len(TOKEN)} characters)"])),
        (TOKEN[:30], "(a token, 30 characters)"),
        (f"{TOKEN}.more.parts", f"(a token, {len(TOKEN) + 11} characters)"),
        ("https://me:secret@api.example/x", "https://(hidden)@api.example/x"),
        ("https://a:b@c:d@api.example", "https://(hidden)@api.example"),
        ("https://a:b/c@api.example/x, and", "https://(hidden)@api.example/x, and"),
        ("issuer = 'https://a:b/c@d' (file)", "issuer = 'https://(hidden)@d' (file)"),
        ("https://api.example:8443/mail/a@b", "https://api.example:8443/mail/a@b"),
        ("https://api.example:8443 and a@b", "https://api.example:8443 and a@b"),
    ],
)
def test_secrets_are_named_and_not_quoted(text: str, shown: str) -> None:
    """Tokens, whole or cut, and what stands before the host of a URL; all else is as it was."""
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "piece", ["eyJ", "eyJ" + 8 * "a", "://", "://@", "eyJ.://", "://a:", "://:b"]
)
def test_nobody_makes_it_slow(piece: str) -> None:
    """As much as is recorded, of what makes it look again and again: within a hundredth of a second."""
    text = (piece * MAX_RECORDED)[:MAX_RECORDED]
    assert cheapest(lambda: without_secrets(text)) < 0.01
