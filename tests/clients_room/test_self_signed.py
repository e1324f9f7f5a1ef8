"""`self_signed_tls_client_auth`, with keys registered here or published at a `jwks_uri`."""

from app.clients.authentication import AuthenticatedClient, Credentials, authenticate
from app.clients.methods.evidence import RemoteKeyReader
from app.clients.methods.self_signed_tls_client_auth import is_published
from app.clients.registry import Registry
from app.errors import Examination, Reason, Refused
from app.jose.jwks import ClientKey
from app.pki import check
from app.tls.peer import PeerCertificate
from tests.kit import ca
from tests.kit.decisions import (
    NOW,
    credential,
    no_remote_keys,
    peer,
    pki_row,
    registry,
    self_signed_row,
)

SOLO = peer("solo", issued=False)
OTHER = peer("other", issued=False)
URI = "https://keys.example/jwks"


def decided(
    of: Registry, presented: PeerCertificate, keys: RemoteKeyReader = no_remote_keys
) -> AuthenticatedClient | Reason | None:
    """The client, or why not."""
    try:
        return authenticate(Examination(), of, Credentials("solo", presented), keys, NOW)
    except Refused as verdict:
        return verdict.finding.reason


def published(of: PeerCertificate, *, whole: bool) -> ClientKey:
    """The key of a certificate as fetched, with or without the certificate itself."""
    facts = check.describe(of.der)
    return ClientKey("k", facts.spki_der, facts.spki_sha256, of.der if whole else None)


def renewed() -> PeerCertificate:
    """Another certificate that the same key signed over itself."""
    key = ca.key(label="decisions solo")
    subject = ca.name(("CN", "solo, renewed"))
    der = ca.sign(ca.client_draft(subject, key, NOW), subject, key)
    return PeerCertificate(der, (), "TLSv1.3", "TLS_AES_128_GCM_SHA256")


def certified() -> PeerCertificate:
    """A certificate of the same key, issued by a CA."""
    found: PeerCertificate = peer("solo")
    return found


def test_a_registered_certificate_is_compared_as_a_whole() -> None:
    """The same key in another certificate is another certificate."""
    of = registry(self_signed_row(), credentials=[credential(SOLO)])
    assert isinstance(decided(of, SOLO), AuthenticatedClient)
    assert decided(of, renewed()) is Reason.THUMBPRINT_UNREGISTERED
    assert decided(of, OTHER) is Reason.THUMBPRINT_UNREGISTERED


def test_a_registered_key_takes_what_it_signed_over_itself() -> None:
    """A client renews its certificate without a new registration; a CA cannot do it for it."""
    of = registry(
        self_signed_row(), credentials=[credential(SOLO, kind="key", thumbprint=None, der=None)]
    )
    assert isinstance(decided(of, SOLO), AuthenticatedClient)
    assert isinstance(decided(of, renewed()), AuthenticatedClient)
    assert decided(of, certified()) is Reason.THUMBPRINT_UNREGISTERED
    assert decided(of, OTHER) is Reason.THUMBPRINT_UNREGISTERED


def test_nothing_registered_lets_nobody_in() -> None:
    """A client whose last certificate was retired is not let in by any."""
    assert decided(registry(self_signed_row()), SOLO) is Reason.THUMBPRINT_UNREGISTERED
    retired = credential(SOLO, state="retired", retired_at=NOW - 1)
    of = registry(self_signed_row(), credentials=[retired])
    assert decided(of, SOLO) is Reason.CERTIFICATE_RETIRED


def test_credentials_are_those_of_the_client_named() -> None:
    """Another client's registered certificate is no credential of this one."""
    of = registry(
        self_signed_row(), self_signed_row("other"), credentials=[credential(OTHER, "other")]
    )
    assert decided(of, OTHER) is Reason.THUMBPRINT_UNREGISTERED


def test_published_keys_count_like_registered_ones() -> None:
    """From a jwks_uri: with x5c that certificate alone, without it whatever the key signed."""
    of = registry(self_signed_row(jwks_uri=URI))
    whole, key = published(SOLO, whole=True), published(SOLO, whole=False)
    assert isinstance(decided(of, SOLO, lambda *_: (whole,)), AuthenticatedClient)
    assert decided(of, renewed(), lambda *_: (whole,)) is Reason.THUMBPRINT_UNREGISTERED
    assert isinstance(decided(of, renewed(), lambda *_: (key,)), AuthenticatedClient)
    assert decided(of, certified(), lambda *_: (key,)) is Reason.THUMBPRINT_UNREGISTERED
    assert decided(of, OTHER, lambda *_: (key,)) is Reason.THUMBPRINT_UNREGISTERED


def test_no_copy_and_an_empty_one_let_nobody_in() -> None:
    """A URL that was never reachable, and one that withdrew every key."""
    of = registry(self_signed_row(jwks_uri=URI))
    assert decided(of, SOLO) is Reason.THUMBPRINT_UNREGISTERED
    assert decided(of, SOLO, lambda *_: ()) is Reason.THUMBPRINT_UNREGISTERED


def test_keys_are_read_for_the_url_registered() -> None:
    """Of this client, at this moment; a PKI client's certificate never leads to a look."""
    asked: list[tuple[str, int]] = []

    def reader(uri: str, now: int) -> tuple[ClientKey, ...]:
        asked.append((uri, now))
        return (published(SOLO, whole=True),)

    decided(registry(self_signed_row(jwks_uri=URI)), SOLO, reader)
    decided(registry(pki_row("solo")), SOLO, reader)
    decided(registry(self_signed_row(jwks_uri=URI, disabled_at=NOW)), SOLO, reader)
    assert asked == [(URI, NOW)]


def test_is_published_judges_nothing_else() -> None:
    """It only tells whether fetching again could help; garbage is not published."""
    whole, key = published(SOLO, whole=True), published(SOLO, whole=False)
    assert is_published((whole,), SOLO)
    assert is_published((key,), renewed())
    assert not is_published((whole,), renewed())
    assert not is_published((), SOLO)
    assert not is_published((whole, key), PeerCertificate(b"junk", (), "", ""))
