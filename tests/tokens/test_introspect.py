"""What counts as a token of ours, who may look at it, and what is said of it."""

from dataclasses import replace
from typing import Any

import pytest

from app.audit import CertificateEvidence
from app.clients.authentication import AuthenticatedClient
from app.clients.registry import Registry
from app.jose import jwt
from app.jose.jwks import VerificationKeys
from app.store.denied import Denied
from app.store.tokens import TokenRow
from app.tokens.genuine import Genuine, OwnTokens
from app.tokens.introspect import Observed, active, is_good, present, visible
from app.tokens.issue import complete, prepare
from app.tokens.model import Issue
from app.tokens.revoke import revoke
from app.tokens.status import StatusLists
from tests.kit.decisions import DEFAULT, NOW, authenticated, peer, pki_row, registry, ring
from tests.kit.forged import Forger, forgeries

ISSUER = "https://as.example"
LISTS = StatusLists(lambda list_id: f"{ISSUER}/status-lists/{list_id}", 300)
KEYS = ring().published
NO_KEYS = VerificationKeys({})
DISAGREEING = {
    "a jti of nobody",
    "another client",
    "another resource",
    "another subject",
    "more scope",
    "another certificate",
    "a longer life",
}
"""Forged with our own key, so genuine by itself: the record says something else."""


def token(now: int = NOW, scope: tuple[str, ...] = ("read",)) -> tuple[str, TokenRow]:
    """A token of ``bot`` and its record."""
    client = authenticated(registry(pki_row()))
    issue = Issue(client, "client_credentials", "bot", scope, DEFAULT, 300)
    made = prepare(issue, issuer=ISSUER, signer=ring().current, status=LISTS.place(now), now=now)
    return complete(made).access_token, made.token


TOKEN, ROW = token()
ODD = Forger(ring().current).odd(TOKEN)
FORGED = forgeries(TOKEN, ring().jwks)


def read(text: str, now: int = NOW) -> Genuine | None:
    """By a reader that saw nothing before."""
    return OwnTokens(ISSUER).read(text, KEYS, now)


def genuine() -> Genuine:
    """The good token, read."""
    found = read(TOKEN)
    assert found is not None
    return found


def with_denied(*thumbprints: str) -> Registry:
    """A registry in which these certificates are denied."""
    found = registry(pki_row())
    found.denied = Denied(thumbprints=frozenset(thumbprints))
    return found


def test_a_token_of_ours_says_what_its_record_says() -> None:
    """Member by member, with a scope and without."""
    assert genuine().agrees(ROW)
    plain, row = token(scope=())
    found = read(plain)
    assert found is not None
    assert (found.scope, found.agrees(row), found.agrees(ROW)) == ("", True, False)


@pytest.mark.parametrize("name", sorted(FORGED))
def test_no_forgery_is_genuine(name: str) -> None:
    """Without a signature by a published key nothing is a token, and nothing is raised."""
    assert read(FORGED[name]) is None


@pytest.mark.parametrize("name", sorted(ODD))
def test_what_our_key_signed_elsewhere_is_no_token(name: str) -> None:
    """Of another type, with forbidden members, out of date: nothing; else the record decides."""
    found = read(ODD[name])
    if name in DISAGREEING:
        assert found is not None
        assert not is_good(registry(pki_row()), found, ROW, NOW)
    else:
        assert found is None


def test_a_large_token_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the size cap neither hashing nor parsing begins."""

    def touched(*_: object, **__: object) -> Any:
        raise AssertionError("looked at")

    monkeypatch.setattr("app.tokens.genuine.hashlib.sha256", touched)
    monkeypatch.setattr(jwt, "verify_issued", touched)
    assert read("A" * (jwt.MAX_TOKEN + 1)) is None
    assert read("." * 5_000_000) is None
    with pytest.raises(AssertionError):
        read("A" * jwt.MAX_TOKEN)


def test_a_token_seen_before_costs_no_signature_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time it is recognised; what did not hold is checked, and refused, every time."""
    checks: list[str] = []
    plain = jwt.verify_issued

    def counted(text: str, **more: Any) -> jwt.VerifiedClaims:
        checks.append(text)
        return plain(text, **more)

    monkeypatch.setattr(jwt, "verify_issued", counted)
    own = OwnTokens(ISSUER)
    assert own.read(TOKEN, KEYS, NOW) == own.read(TOKEN, KEYS, NOW + 299)
    assert checks == [TOKEN]
    assert [own.read("x.y.z", KEYS, NOW) for _ in range(2)] == [None, None]
    assert (checks, len(own)) == ([TOKEN, "x.y.z", "x.y.z"], 1)


def test_it_ends_with_its_exp_to_the_second() -> None:
    """Remembered or not: there is no leeway, because the clock that ends it is the issuer's."""
    own = OwnTokens(ISSUER)
    for _ in range(2):
        assert own.read(TOKEN, KEYS, NOW + 299) is not None
        assert own.read(TOKEN, KEYS, NOW + 300) is None
        assert len(own) == 0


def test_a_clock_behind_another_node_of_ours_still_reads_it() -> None:
    """What a node issued a moment ago is a token to one whose clock is a minute behind."""
    assert read(TOKEN, NOW - 60) is not None
    assert read(TOKEN, NOW - 61) is None


def test_it_goes_with_its_key() -> None:
    """A key that left the set takes what it signed with it, remembered or not."""
    own = OwnTokens(ISSUER)
    assert own.read(TOKEN, KEYS, NOW) is not None
    assert own.read(TOKEN, NO_KEYS, NOW) is None
    assert own.read(TOKEN, KEYS, NOW) is not None
    bare = registry(pki_row())
    bare.keys = replace(ring(), published=NO_KEYS)
    assert is_good(registry(pki_row()), genuine(), ROW, NOW)
    assert not is_good(bare, genuine(), ROW, NOW)


def test_what_is_remembered_is_bounded() -> None:
    """The one that was not asked about for longest goes first."""
    own = OwnTokens(ISSUER, capacity=2)
    others = [token()[0] for _ in range(2)]
    for text in (TOKEN, others[0], TOKEN, others[1]):
        assert own.read(text, KEYS, NOW) is not None
    assert len(own) == 2
    known = list(own._known.values())
    assert [each.jti for each in known] == [ROW.jti, jwt.unverified(others[1])[1]["jti"]]


@pytest.mark.parametrize(
    ("row", "of", "good"),
    [
        (ROW, registry(pki_row()), True),
        (ROW._replace(revoked_at=NOW), registry(pki_row()), False),
        (ROW._replace(revoked_at=0), registry(pki_row()), False),
        (ROW, registry(), False),
        (ROW, registry(pki_row(disabled_at=NOW)), False),
        (ROW, with_denied(ROW.thumbprint), False),
        (ROW, with_denied("another"), True),
        (ROW._replace(scope="write"), registry(pki_row()), False),
    ],
    ids=[
        "good",
        "revoked",
        "revoked in 1970",
        "client removed",
        "client disabled",
        "certificate denied",
        "another denied",
        "record disagrees",
    ],
)
def test_a_token_is_good_while_everything_it_stands_on_is(
    row: TokenRow, of: Registry, *, good: bool
) -> None:
    """Record, client, certificate: whichever falls takes it along."""
    assert is_good(of, genuine(), row, NOW) is good
    assert not is_good(of, genuine(), row, ROW.expires_at)


@pytest.mark.parametrize(
    ("changes", "sees"),
    [
        ({"client_id": "bot"}, True),
        ({"client_id": "api"}, False),
        ({"client_id": "api", "serves": (DEFAULT,)}, True),
        ({"client_id": "api", "serves": (DEFAULT + "/", "https://other.example")}, False),
        ({"client_id": "api", "introspection": "all"}, True),
        ({"client_id": "Bot"}, False),
    ],
)
def test_who_may_look(changes: dict[str, Any], *, sees: bool) -> None:
    """A client sees its own, those for resources it serves, or all, as it is registered."""
    caller = registry(pki_row(**changes)).client(changes["client_id"])
    assert caller is not None
    assert visible(caller, genuine()) is sees


def caller() -> AuthenticatedClient:
    """The client ``api``, proven."""
    return authenticated(registry(pki_row("api")), "api")


def test_an_active_answer_says_these_members_and_no_others() -> None:
    """RFC 7662 section 2.2 and ``cnf``; nothing of audit or status lists."""
    assert active(ISSUER, ROW) == {
        "active": True,
        "iss": ISSUER,
        "sub": "bot",
        "client_id": "bot",
        "aud": DEFAULT,
        "scope": "read",
        "iat": NOW,
        "exp": NOW + 300,
        "jti": ROW.jti,
        "token_type": "Bearer",
        "cnf": {"x5t#S256": peer().thumbprint},
    }
    assert "scope" not in active(ISSUER, ROW._replace(scope=""))


@pytest.mark.parametrize(
    ("seen", "verdict", "reason"),
    [
        (ROW.thumbprint, "holder", None),
        (ROW.thumbprint.swapcase(), "other_certificate", "binding_mismatch"),
        ("é", "other_certificate", "binding_mismatch"),
        (None, "no_certificate", "no_certificate"),
    ],
    ids=["holder", "another", "no ASCII", "none"],
)
def test_whose_certificate_it_came_with(seen: str | None, verdict: str, reason: str | None) -> None:
    """The verdict, its audit entry, and active only for the holder."""
    evidence = CertificateEvidence(thumbprint=seen) if seen is not None else None
    made = present(caller(), ROW, Observed(evidence), NOW)
    members = made.members(ISSUER, ROW)
    event = made.event
    assert members["certificate_verdict"] == made.verdict == event.verdict == verdict
    assert event.reason == reason
    assert event.decision == ("accepted" if reason is None else "refused")
    assert (event.client_id, event.reporter, event.jti) == ("bot", "api", ROW.jti)
    assert (event.bound_to, event.thumbprint) == (ROW.thumbprint, seen)
    if reason is None:
        assert members == active(ISSUER, ROW) | {"certificate_verdict": "holder"}
    else:
        assert members == {"active": False, "certificate_verdict": verdict}
    assert (made.use.client_id, made.use.resource) == ("api", None)


def test_a_revocation_is_of_the_client_s_own_token() -> None:
    """The jti to revoke, the certificate it was asked with; another's token is no question of it."""
    made = revoke(authenticated(registry(pki_row())), ROW, NOW)
    assert (made.revokes, made.event.jti, made.event.client_id) == (ROW.jti, ROW.jti, "bot")
    assert made.event.thumbprint == made.use.thumbprint == peer().thumbprint
    with pytest.raises(ValueError, match="own"):
        revoke(caller(), ROW, NOW)
