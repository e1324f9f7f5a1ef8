"""Trust sets: policies and bounds come back as written; a bundle's anchors change whole, forward."""

from dataclasses import replace

import pytest

from app.store import registry, trust
from app.store.engine import Database
from app.store.trust import BundleRow, RevocationRow, TrustAnchorRow, TrustSetRow

ANCHOR = TrustAnchorRow(
    thumbprint="t1", der=b"\x30", role="anchor", subject="CN=CA", not_after=99, added_at=4
)
BUNDLE = BundleRow(source="https://spire.example/bundle", max_staleness=3600)


@pytest.fixture
def partners(db: Database) -> str:
    """A trust set's name, its only member `ANCHOR`."""
    with registry.change(db) as conn:
        trust.add_set(conn, "partners", "", 3)
        trust.add_anchor(conn, "partners", ANCHOR)
    return "partners"


def stored(db: Database) -> TrustSetRow:
    """The one set there is, as the registry has it."""
    with db.read() as conn:
        (row,) = registry.load(conn).trust_sets
    return row


def test_a_new_set_has_no_bounds(db: Database, partners: str) -> None:
    """Nothing is permitted or revoked until somebody says so."""
    row = stored(db)
    assert (row.name, row.permitted, row.revocation) == (partners, {}, RevocationRow())
    assert (row.revocation.mode, row.trust_domain, row.bundle) == ("off", None, None)


def test_what_was_set_comes_back(db: Database, partners: str) -> None:
    """Every setter, one by one, each touching its member and the date alone."""
    policy = RevocationRow(
        mode="crl", fail="soft", max_staleness=60, urls=("https://ca.example/1.crl",)
    )
    names = {"dn": ["MAA="], "dns": ["example.com"]}
    wanted = stored(db)
    with registry.change(db) as conn:
        assert trust.describe(conn, partners, "Our partners", 11)
        assert trust.permit(conn, partners, names, 12)
        assert trust.set_policy(conn, partners, policy, 13)
        assert trust.set_trust_domain(conn, partners, "example.org", 14)
        assert trust.follow_bundle(conn, partners, BUNDLE, 15)
    wanted = replace(
        wanted,
        description="Our partners",
        permitted=names,
        revocation=policy,
        trust_domain="example.org",
        bundle=BUNDLE,
        updated_at=15,
    )
    assert stored(db) == wanted
    with registry.change(db) as conn:
        assert trust.permit(conn, partners, {}, 16)
        assert trust.set_trust_domain(conn, partners, None, 17)
        assert trust.follow_bundle(conn, partners, None, 18)
    wanted = replace(wanted, permitted={}, trust_domain=None, bundle=None, updated_at=18)
    assert stored(db) == wanted


def test_an_unknown_set_takes_nothing(db: Database) -> None:
    """False from every setter, and no set comes to be."""
    with registry.change(db) as conn:
        assert not trust.describe(conn, "x", "", 1)
        assert not trust.permit(conn, "x", {}, 1)
        assert not trust.set_policy(conn, "x", RevocationRow(), 1)
        assert not trust.set_trust_domain(conn, "x", "example.org", 1)
        assert not trust.follow_bundle(conn, "x", BUNDLE, 1)
        assert not trust.replace_bundle(conn, "x", [], sequence=1, refresh_hint=None, at=1)
        assert trust.listed(conn) == []


def test_a_bundle_changes_all_anchors_at_once(db: Database, partners: str) -> None:
    """Intermediates stay; an anchor that was there keeps its date; a promoted one is an anchor."""
    helper = replace(ANCHOR, thumbprint="t3", role="intermediate")
    promoted = replace(ANCHOR, thumbprint="t4", role="intermediate")
    fresh = replace(ANCHOR, thumbprint="t2", added_at=20)
    with registry.change(db) as conn:
        trust.add_anchor(conn, partners, helper)
        trust.add_anchor(conn, partners, promoted)
        trust.follow_bundle(conn, partners, BUNDLE, 19)
        both = [replace(ANCHOR, added_at=20), fresh, replace(promoted, role="anchor")]
        assert trust.replace_bundle(conn, partners, both, sequence=7, refresh_hint=300, at=20)
    row = stored(db)
    assert row.anchors == (ANCHOR, fresh, helper, replace(promoted, role="anchor"))
    assert row.bundle == replace(BUNDLE, sequence=7, refresh_hint=300, fetched_at=20)
    with registry.change(db) as conn:
        assert trust.replace_bundle(conn, partners, [fresh], sequence=7, refresh_hint=None, at=21)
    row = stored(db)
    assert row.anchors == (fresh, helper)
    assert row.bundle == replace(BUNDLE, sequence=7, fetched_at=21)


@pytest.mark.parametrize(
    ("known", "offered", "taken"),
    [
        (None, None, True),
        (None, 0, True),
        (0, 0, True),
        (9, 10, True),
        (10, 9, False),
        (10, None, False),
        (0, None, False),
        (2**63, 2**63 + 1, True),
        (10**30, 10**30 - 1, False),
    ],
)
def test_a_sequence_never_goes_back(
    db: Database, partners: str, known: int | None, offered: int | None, *, taken: bool
) -> None:
    """Compared as numbers, however wide; refused, the old anchors and dates are all kept."""
    with registry.change(db) as conn:
        trust.follow_bundle(conn, partners, replace(BUNDLE, sequence=known), 5)
    before = stored(db)
    assert before.bundle
    assert before.bundle.sequence == known
    fresh = replace(ANCHOR, thumbprint="t2")
    with registry.change(db) as conn:
        outcome = trust.replace_bundle(
            conn, partners, [fresh], sequence=offered, refresh_hint=1, at=6
        )
    assert outcome is taken
    after = stored(db)
    assert after.anchors == ((fresh,) if taken else (ANCHOR,))
    assert taken or after == before


def test_a_set_kept_by_hand_takes_no_bundle(db: Database, partners: str) -> None:
    """Who follows no bundle is not overwritten by one; a negative sequence is no sequence."""
    with registry.change(db) as conn:
        assert not trust.replace_bundle(conn, partners, [], sequence=1, refresh_hint=None, at=6)
        with pytest.raises(ValueError, match="negative"):
            trust.replace_bundle(conn, partners, [], sequence=-1, refresh_hint=None, at=6)
    assert stored(db).anchors == (ANCHOR,)
