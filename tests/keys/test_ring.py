"""`app.keys.ring`: from stored rows to a signer and the document that verifies it."""

import dataclasses
import json

import pytest

from app.jose.jwt import verify
from app.keys import ring
from app.keys.ring import KeyRing
from app.keys.rotate import ensure_keys, make_key
from app.keys.seal import SealingError, SealingKey
from app.store import signing_keys
from app.store.engine import Database
from app.store.signing_keys import SigningKeyRow
from tests.kit.stopwatch import cheapest

SEALING = SealingKey(b"s" * 32, "a test")
NOW = 1_800_000_000


def row(algorithm: str = "ES256", **changes: object) -> SigningKeyRow:
    """A stored key."""
    made = make_key(algorithm).row(SEALING, NOW)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]  # names and types are the caller's


CURRENT = row(state="current")
NEXT = row("EdDSA", state="next")
RETIRED = row("PS256", state="retired")


def test_the_current_key_signs_and_the_document_verifies() -> None:
    """A token signed by the ring verifies against what the ring publishes."""
    made = KeyRing.from_rows([RETIRED, NEXT, CURRENT], SEALING)
    token = made.current.sign({"iss": "i", "aud": "a", "exp": NOW + 300})
    verified = verify(
        token, keys=made.published, algorithm="ES256", issuer="i", audience="a", now=NOW
    )
    assert verified.kid == CURRENT.kid == made.current.kid


def test_next_and_retired_are_published_too() -> None:
    """All keys are in the set, the current one first, no private member anywhere."""
    document = json.loads(KeyRing.from_rows([RETIRED, NEXT, CURRENT], SEALING).jwks)
    assert [key["kid"] for key in document["keys"]] == [CURRENT.kid, NEXT.kid, RETIRED.kid]
    assert [key["alg"] for key in document["keys"]] == ["ES256", "EdDSA", "PS256"]
    for key in document["keys"]:
        assert key["use"] == "sig"
        assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"}


def test_the_entity_tag_follows_the_document() -> None:
    """Equal documents have equal tags, others other ones; the tag is a quoted string."""
    one = KeyRing.from_rows([CURRENT, NEXT], SEALING)
    assert KeyRing.from_rows([NEXT, CURRENT], SEALING).etag == one.etag
    assert KeyRing.from_rows([CURRENT], SEALING).etag != one.etag
    assert one.etag.startswith('"')
    assert one.etag.endswith('"')


def test_an_unchanged_key_is_unsealed_once() -> None:
    """A registry change that leaves the current key alone does not touch its secret."""
    first = KeyRing.from_rows([CURRENT, NEXT], SEALING)
    ring._signer.cache_info()
    before = ring._signer.cache_info().misses
    assert KeyRing.from_rows([CURRENT], SEALING).current is first.current
    assert ring._signer.cache_info().misses == before


def test_no_current_key_is_an_error() -> None:
    """Without a key that signs there is no ring."""
    for rows in ([], [NEXT], [RETIRED, NEXT]):
        with pytest.raises(SealingError, match="no current signing key"):
            KeyRing.from_rows(rows, SEALING)


def test_another_sealing_key_opens_nothing() -> None:
    """The cache of one sealing key's signers serves no other."""
    KeyRing.from_rows([CURRENT], SEALING)
    with pytest.raises(SealingError, match="another sealing key"):
        KeyRing.from_rows([CURRENT], SealingKey(b"o" * 32, "elsewhere"))


def test_a_published_half_that_does_not_fit_is_refused() -> None:
    """A swapped public key would make every token unverifiable: it is found before the first."""
    other = row()
    with pytest.raises(SealingError, match="does not belong"):
        KeyRing.from_rows([dataclasses.replace(CURRENT, public_jwk=other.public_jwk)], SEALING)


def test_rows_as_the_database_returns_them(db: Database) -> None:
    """Stored and read again, the keys make the same ring; building it is quick."""
    ensure_keys(db, SEALING, "ES256", NOW, actor="test")
    with db.read() as conn:
        rows = signing_keys.listed(conn)
    made = KeyRing.from_rows(rows, SEALING)
    again = KeyRing.from_rows(rows, SEALING)
    assert cheapest(lambda: KeyRing.from_rows(rows, SEALING)) < 0.05
    assert again.jwks == made.jwks
    assert len(again.published) == 2


def test_a_ring_shows_no_secret() -> None:
    """Its repr holds public values only."""
    text = repr(KeyRing.from_rows([CURRENT], SEALING))
    assert "Signer" not in text
    assert repr(CURRENT.sealed) not in text
