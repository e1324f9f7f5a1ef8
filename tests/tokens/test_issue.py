"""From a decision to a token: bound, capped, recorded, then signed."""

import pytest

from app.jose import jwt
from app.tokens.issue import complete, prepare
from app.tokens.model import Issue, TokenResponse
from app.tokens.status import Place, StatusLists
from tests.kit.decisions import DEFAULT, END, NOW, authenticated, peer, pki_row, registry, ring

ISSUER = "https://as.example"


LISTS = StatusLists(lambda list_id: f"{ISSUER}/status-lists/{list_id}", 300)


def place() -> Place:
    """A place for one token."""
    return LISTS.place(NOW)


def issue(scope: tuple[str, ...] = ("read",), lifetime: int = 300) -> Issue:
    """A decision for ``bot``."""
    client = authenticated(registry(pki_row()))
    return Issue(client, "client_credentials", "bot", scope, DEFAULT, lifetime)


def test_row_event_and_claims_are_one_story() -> None:
    """What is recorded is what will be signed."""
    made = prepare(issue(), issuer=ISSUER, signer=ring().current, status=place(), now=NOW)
    claims, row, event = made.claims, made.token, made.event
    assert claims["jti"] == row.jti == event.jti
    assert claims["exp"] == row.expires_at == event.expires_at == NOW + 300
    assert claims["iat"] == row.issued_at == event.issued_at == NOW
    assert claims["sub"] == row.subject == event.subject == "bot"
    assert claims["aud"] == row.resource == event.resource == DEFAULT
    assert claims["scope"] == row.scope == event.scope == "read"
    assert claims["cnf"]["x5t#S256"] == row.thumbprint == event.thumbprint == peer().thumbprint
    assert row.kid == event.kid == ring().current.kid
    assert row.revoked_at is None
    on_list = claims["status"]["status_list"]
    assert on_list == {
        "idx": row.status_index,
        "uri": f"{ISSUER}/status-lists/{row.status_list}",
    }
    assert made.status_list.id == row.status_list


def test_the_record_tells_what_was_not_known() -> None:
    """And has no such member where everything was."""
    for doubts in ("not known: no OCSP answer", None):
        made = prepare(
            issue(), issuer=ISSUER, signer=ring().current, status=place(), now=NOW, doubts=doubts
        )
        assert made.event.body().get("revocation") == doubts


@pytest.mark.parametrize(
    ("now", "lifetime", "left"),
    [(NOW, 300, 300), (END - 300, 300, 300), (END - 299, 300, 299), (END - 1, 300, 1)],
)
def test_no_token_outlives_its_certificate(now: int, lifetime: int, left: int) -> None:
    """The lifetime ends at notAfter at the latest, and expires_in says so."""
    made = prepare(
        issue(lifetime=lifetime), issuer=ISSUER, signer=ring().current, status=place(), now=now
    )
    assert made.claims["exp"] == now + left
    assert complete(made).expires_in == left


def test_the_token_is_signed_by_the_key_it_was_recorded_with() -> None:
    """And verifies with the published half."""
    answer = complete(
        prepare(issue(), issuer=ISSUER, signer=ring().current, status=place(), now=NOW)
    )
    verified = jwt.verify(
        answer.access_token,
        keys=ring().published,
        algorithm="ES256",
        issuer=ISSUER,
        audience=DEFAULT,
        now=NOW,
    )
    assert verified.kid == ring().current.kid
    assert verified.claims["client_id"] == "bot"


def test_an_identifier_is_never_given_twice() -> None:
    """A thousand within milliseconds, all different and safe in a URL or a command."""
    decision = issue()
    found = {
        prepare(decision, issuer=ISSUER, signer=ring().current, status=place(), now=NOW).token.jti
        for _ in range(1000)
    }
    assert len(found) == 1000
    assert all(jti.replace("-", "").replace("_", "").isalnum() for jti in found)


def test_the_evidence_names_the_certificate_not_its_bytes() -> None:
    """The audit gets names and numbers; the certificate itself stays out."""
    event = prepare(issue(), issuer=ISSUER, signer=ring().current, status=place(), now=NOW).event
    certificate = event.certificate
    assert certificate is not None
    assert (certificate.subject, certificate.issuer) == ("CN=bot", "CN=Root")
    assert certificate.trust_set == "default"
    assert certificate.not_after == END
    assert peer().der.hex() not in str(event.body())


@pytest.mark.parametrize(("scope", "members"), [("", 3), ("read", 4)])
def test_an_empty_scope_is_no_scope(scope: str, members: int) -> None:
    """RFC 6749 knows no empty scope, so the member is left out of token and answer."""
    answer = TokenResponse("t", "Bearer", 300, scope).members()
    assert len(answer) == members
    made = prepare(
        issue(scope=tuple(scope.split())),
        issuer=ISSUER,
        signer=ring().current,
        status=place(),
        now=NOW,
    )
    assert ("scope" in made.claims) is bool(scope)
