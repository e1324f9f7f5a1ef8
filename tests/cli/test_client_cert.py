"""Renewing a self-signed client's certificate without a gap."""

import base64
import hashlib
import ssl
from pathlib import Path

import pytest

from app.clock import iso, now
from tests.kit.command import call, done, refused

METHOD = ("--method", "self_signed_tls_client_auth")


@pytest.fixture
def old(home: Path) -> str:
    """The first certificate of the client ``c``."""
    cert = str(done(home, "ca", "issue", "old", "--self-signed")["certificate"])
    done(home, "client", "add", "c", *METHOD, "--cert", cert)
    return cert


@pytest.fixture
def new(home: Path) -> str:
    """A certificate not registered yet."""
    return str(done(home, "ca", "issue", "new", "--self-signed")["certificate"])


def _reason(home: Path, cert: str) -> str | None:
    outcome = call(home, "doctor", "cert", cert, "--client", "c", "--json")
    found: str | None = outcome.json["answer"]["reason"]
    return found


def _digest(cert: str) -> bytes:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(Path(cert).read_text())).digest()


def test_overlap_then_retirement(home: Path, old: str, new: str) -> None:
    """Both certificates count until the old one is retired; then the new one alone."""
    assert _reason(home, new) == "thumbprint_unregistered"
    done(home, "client", "cert", "add", "c", new)
    assert (_reason(home, old), _reason(home, new)) == (None, None)
    assert done(home, "client", "cert", "retire", "c", old)["active"] == 1
    assert (_reason(home, old), _reason(home, new)) == ("certificate_retired", None)
    states = [one["state"] for one in done(home, "client", "cert", "list", "c")["credentials"]]
    assert states == ["retired", "active"]


def test_every_spelling_of_a_thumbprint(home: Path, old: str) -> None:
    """base64url, padded or not, hex, and hex with colons all name the same certificate."""
    digest = _digest(old)
    plain = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    spellings = (plain, f"{plain}=", digest.hex(), digest.hex(":").upper())
    for spelling in spellings[1:]:
        assert refused(home, "revoke", "undo", spelling)["seen"] == spelling
    assert done(home, "client", "cert", "retire", "c", spellings[-1])["retired"] == plain


def test_not_before_its_time(home: Path, old: str, new: str) -> None:
    """A certificate with --activate-at in the future does not count yet."""
    assert old
    done(home, "client", "cert", "add", "c", new, "--activate-at", iso(now() + 3600))
    assert _reason(home, new) == "certificate_not_active"
    assert "(staged)" in call(home, "client", "cert", "list", "c").out


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-22", "2026-11-22T10:00:00", "1795364193"])
def test_a_time_says_its_offset(home: Path, new: str, text: str) -> None:
    """A time without an offset is refused rather than guessed."""
    assert refused(home, "client", "cert", "add", "c", new, "--activate-at", text, code=2)


def test_refusals(home: Path, old: str, new: str) -> None:
    """Twice the same, an unknown client, no thumbprint, and a thumbprint that is not there."""
    error = refused(home, "client", "cert", "add", "c", old)
    assert error["message"] == "c has this certificate already"
    assert refused(home, "client", "cert", "add", "nobody", old)["seen"] == "nobody"
    assert (
        refused(home, "client", "cert", "retire", "c", "zz")["message"] == "this is no thumbprint"
    )
    error = refused(home, "client", "cert", "retire", "c", new)
    assert error["message"] == "c has no active certificate or key of this thumbprint"


def test_a_retired_certificate_stays_retired(home: Path, old: str) -> None:
    """What was retired cannot be added again; and the last one's retirement is warned of."""
    outcome = call(home, "client", "cert", "retire", "c", old)
    assert "cannot authenticate until" in outcome.out
    assert "stays retired" in refused(home, "client", "cert", "add", "c", old)["expected"]


def test_a_name_needs_no_certificate(home: Path, new: str) -> None:
    """For a client matched by name the command explains that nothing need be registered."""
    error = refused(home, "client", "cert", "add", "bot", new)
    assert error["message"] == "bot needs no registration of its certificates"
    assert "client rehearse bot" in error["do_this"]


def test_a_publisher_publishes(home: Path, new: str) -> None:
    """A client with a jwks_uri is told to publish its certificate there."""
    done(home, "client", "add", "u", *METHOD, "--jwks-uri", "https://nowhere.invalid/jwks")
    assert refused(home, "client", "cert", "add", "u", new)["do_this"].startswith("Publish")
