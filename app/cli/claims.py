"""A token's claims in words (RFC 9068 section 2.2, RFC 7800, RFC 8705 section 3.1, status lists)."""

from collections.abc import Mapping
from typing import Any

from app.cli.dates import until
from app.cli.page import Page

_WORDS = {
    "iss": "issued by",
    "sub": "about (subject)",
    "aud": "for the resource",
    "client_id": "asked for by the client",
    "scope": "allows",
    "jti": "its own id",
    "iat": "issued at",
    "nbf": "valid from",
    "exp": "valid until",
    "cnf": "bound to",
    "status": "stands on",
}
_DATES = frozenset({"iat", "nbf", "exp"})


def add_claims(page: Page, claims: Mapping[str, Any]) -> None:
    """One line per claim."""
    for name, value in claims.items():
        page.fact(f"{name}, {_WORDS[name]}" if name in _WORDS else name, _text(name, value))


def _text(name: str, value: Any) -> str:
    if name in _DATES and type(value) is int and 0 <= value < 253_402_300_800:  # noqa: PLR2004 - year 10000
        return until(value)
    if name == "cnf" and isinstance(value, dict) and set(value) == {"x5t#S256"}:
        return f"the certificate with SHA-256 {value['x5t#S256']} (x5t#S256)"
    listed = value.get("status_list") if name == "status" and isinstance(value, dict) else None
    if isinstance(listed, dict) and set(listed) == {"idx", "uri"}:
        return f"status list {listed['uri']}, place {listed['idx']}"
    return str(value)
