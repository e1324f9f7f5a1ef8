"""A password in a URL that an operator types goes nowhere: refused, not stored, not repeated."""

import sqlite3
from pathlib import Path

import pytest

from tests.kit.command import call, refused

PASSWORD = "not-to-be-seen"  # noqa: S105 - a canary
URL = f"https://me:{PASSWORD}@api.example/v1"


def test_a_resource_with_a_password_is_refused(home: Path) -> None:
    """What was seen is told without it, and what to do; nothing of it is in the database."""
    error = refused(home, "resource", "add", URL)
    assert error["message"] == "a resource has no user name and no password"
    assert error["seen"] == "https://(hidden)@api.example/v1"
    assert error["do_this"].startswith("Leave out what stands before the host, up to the @.")
    assert PASSWORD not in str(error)
    with sqlite3.connect(home / "certbound.db") as db:
        assert not [line for line in db.iterdump() if PASSWORD in line]


@pytest.mark.parametrize(
    "url", ["https://me@api.example", "https://@api.example", "https://:@api.example/x@y"]
)
def test_a_user_name_alone_is_refused_too(home: Path, url: str) -> None:
    """RFC 3986 section 3.2.1: user information is all up to the @, a password or none."""
    assert refused(home, "resource", "add", url)["message"].endswith("no password")


@pytest.mark.parametrize("url", ["https://api.example/mail/a@b", "mailto:a@b", "urn:a:b@c"])
def test_an_at_sign_elsewhere_is_none(home: Path, url: str) -> None:
    """In a path, or in a URI without an authority, it separates nothing."""
    assert call(home, "resource", "add", url).code == 0


@pytest.mark.parametrize(
    "url", ["https://api.example:port", f"https://me:{PASSWORD}/x@api.example"]
)
def test_a_port_is_a_number(home: Path, url: str) -> None:
    """An unescaped slash in a password leaves a port that is none, and that is told without it."""
    error = refused(home, "resource", "add", url)
    assert error["message"] == "this is no resource"
    assert PASSWORD not in str(error)


@pytest.mark.parametrize(
    "words",
    [
        ("resource", "show", URL),
        ("resource", "remove", URL),
        ("client", "add", "j", "--san-dns", "j.example", "--resource", URL),
        ("client", "sight", "bot", "--serves", URL),
        ("proxy", "add", "edge", "certs/bot.crt", "--header", "nginx", "--resource", URL),
        ("trust", "revocation", "default", "crl", "--url", URL),
        ("trust", "bundle", "spiffe", URL, "--trust-domain", "acme.example"),
        ("client", "add", "j", "--method", "self_signed_tls_client_auth", "--jwks-uri", URL),
        ("token", "get", "--cert", "certs/bot.crt", "--key", "certs/bot.key", "--issuer", URL),
        ("token", "get", "--cert", "certs/bot.crt", "--key", "certs/bot.key", "--resource", URL),
        ("doctor", "cert", "certs/bot.crt", "--client", "bot", "--resource", URL),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_command_repeats_it(
    home: Path, words: tuple[str, ...], form: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a URL is an argument: it fails, and neither stream has the password."""
    monkeypatch.chdir(home)
    outcome = call(home, *words, *form)
    assert outcome.code in (1, 3), outcome
    assert PASSWORD not in outcome.out + outcome.err


@pytest.mark.parametrize("name", ["issuer", "mtls_base_url", "default_resource"])
def test_no_setting_repeats_it(home: Path, name: str) -> None:
    """A server does not start on it, and what it says of the setting is without the password."""
    outcome = call(home, "config", "show", environment={f"CERTBOUND_{name.upper()}": URL})
    assert outcome.code == 3
    assert f"{name} = 'https://(hidden)@api.example/v1' (environment)" in outcome.err
    assert PASSWORD not in outcome.out + outcome.err
