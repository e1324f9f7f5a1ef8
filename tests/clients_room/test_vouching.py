"""SPIFFE clients of several trust domains, and which trust set may vouch for whom."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.clients.bundles import DEFAULT_REFRESH
from app.errors import Reason
from app.pki.permitted import permit
from app.store.trust import BundleRow
from tests.clients_room.federation import Federation
from tests.kit import ca
from tests.kit.asgi import staged
from tests.kit.stages import template

BOT = "spiffe://acme.example/ns/prod/bot"
FOREIGN = "spiffe://other.example/ns/prod/bot"


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """Two federated domains and a plain CA."""
    with staged(template(), tmp_path / "home") as stage:
        found = Federation(stage)
        found.trust("acme", "acme", domain="acme.example")
        found.trust("other", "other", domain="other.example")
        found.trust("plain", "plain")
        yield found


@pytest.mark.parametrize("registered", [BOT, "spiffe://acme.example/ns/prod/*"])
def test_an_svid_of_the_registered_workload_gets_in(
    federation: Federation, registered: str
) -> None:
    """By exact ID or by a path tail, through the trust set of its domain among several."""
    federation.client("other", "plain", "acme", spiffe_id=registered)
    found, findings = federation.ask(federation.svid("acme", BOT))
    assert found == "acme"
    checks = [each.check for each in findings]
    assert checks.index("spiffe id") < checks.index("chain") < checks.index("name")
    assert federation.ask(federation.svid("acme", BOT)) == (found, findings)


def test_other_names_beside_the_id_are_allowed(federation: Federation) -> None:
    """An SVID with a DNS name too is an SVID."""
    federation.client("acme", spiffe_id=BOT)
    assert federation.ask(federation.svid("acme", BOT, dns=["bot.acme.example"]))[0] == "acme"


def test_each_of_two_domains_has_its_own_workloads(federation: Federation) -> None:
    """With both domains federated, the same path in the other domain is another workload."""
    federation.client("acme", "other", spiffe_id=BOT)
    assert federation.ask(federation.svid("acme", BOT))[0] == "acme"
    assert federation.ask(federation.svid("other", FOREIGN))[0] is Reason.SAN_MISMATCH
    federation.client("acme", "other", spiffe_id=FOREIGN)
    assert federation.ask(federation.svid("other", FOREIGN))[0] == "other"
    assert federation.ask(federation.svid("acme", BOT))[0] is Reason.SAN_MISMATCH


@pytest.mark.parametrize("by", ["spiffe_id", "san_uri"])
def test_one_domain_never_vouches_for_the_other(federation: Federation, by: str) -> None:
    """An ID of one domain, signed by the other's CA, finds no issuer, though both are trusted."""
    if by == "spiffe_id":
        federation.client("acme", "other", spiffe_id=BOT)
    else:
        federation.client("acme", "other", subject=("san_uri", BOT))
    assert federation.ask(federation.svid("acme", BOT))[0] == "acme"
    assert federation.ask(federation.svid("other", BOT))[0] is Reason.ISSUER_UNKNOWN
    forged = federation.svid("other", BOT)
    assert federation.ask(forged, federation.authority("acme").certificate)[0] in {
        Reason.ISSUER_UNKNOWN,
        Reason.CHAIN_INVALID,
    }


def test_a_plain_ca_never_vouches_for_a_spiffe_client(federation: Federation) -> None:
    """A trust set without a trust domain is not asked, even where the client has it."""
    federation.client("plain", "acme", spiffe_id=BOT)
    assert federation.ask(federation.svid("plain", BOT))[0] is Reason.ISSUER_UNKNOWN
    federation.client("plain", "acme", subject=("san_uri", BOT))
    assert federation.ask(federation.svid("plain", BOT))[0] is Reason.ISSUER_UNKNOWN
    federation.client("plain", spiffe_id=BOT)
    assert federation.ask(federation.svid("plain", BOT))[0] is Reason.TRUST_DOMAIN_UNKNOWN


def test_a_uri_client_of_a_plain_ca_is_as_before(federation: Federation) -> None:
    """Without a trust domain in play, RFC 8705 alone counts: one equal URI among several suffices."""
    federation.client("plain", subject=("san_uri", BOT))
    assert federation.ask(federation.svid("plain", BOT, "urn:x"))[0] == "plain"
    federation.client("acme", subject=("san_uri", "urn:x"))
    assert federation.ask(federation.svid("acme", BOT, "urn:x"))[0] == "acme"


@pytest.mark.parametrize("by", ["spiffe_id", "san_uri"])
@pytest.mark.parametrize(
    "uris",
    [
        (BOT, FOREIGN),
        (BOT, "urn:x"),
        (BOT, BOT),
        (),
        ("spiffe://acme.example",),
        ("spiffe://acme.example/ns/prod/bot/",),
        ("spiffe://ACME.example/ns/prod/bot",),
        ("spiffe://acme.example/ns/prod/b%6ft",),
    ],
)
def test_what_is_no_svid_is_refused(federation: Federation, uris: tuple[str, ...], by: str) -> None:
    """Two URIs, none, a root path or another spelling: from a SPIFFE trust set, whichever way registered."""
    if by == "spiffe_id":
        federation.client("acme", spiffe_id="spiffe://acme.example/*")
    else:
        federation.client("acme", subject=("san_uri", BOT))
    assert federation.ask(federation.svid("acme", *uris))[0] is Reason.SPIFFE_NOT_SINGLE_URI


def test_the_key_usage_of_an_svid_is_asked_for(federation: Federation) -> None:
    """A leaf that may sign CRLs is no leaf SVID, though our own leaf policy has no such rule."""
    leaf = federation.svid("acme", BOT, more=[ca.usage("digital_signature", "crl_sign")])
    federation.client("acme", spiffe_id=BOT)
    assert federation.ask(leaf)[0] is Reason.KEY_USAGE


def test_a_tail_matches_whole_segments_only(federation: Federation) -> None:
    """Neither the path itself nor a longer last segment is below it."""
    federation.client("acme", spiffe_id="spiffe://acme.example/ns/prod/*")
    deep = federation.svid("acme", "spiffe://acme.example/ns/prod/sa/bot")
    assert federation.ask(deep)[0] == "acme"
    for path in ("/ns/prod", "/ns/production/bot", "/ns/prod2", "/ns/Prod/bot", "/x/ns/prod/bot"):
        outside = federation.svid("acme", f"spiffe://acme.example{path}")
        assert federation.ask(outside)[0] is Reason.SAN_MISMATCH


def test_an_unknown_trust_domain_is_named(federation: Federation) -> None:
    """The finding says which domain came and which are trusted, in the doctor's look with the rest."""
    federation.client("acme", spiffe_id=BOT)
    foreign = federation.svid("other", FOREIGN)
    reason, findings = federation.ask(foreign)
    assert reason is Reason.TRUST_DOMAIN_UNKNOWN
    assert "other.example" in findings[-1].seen
    assert findings[-1].expected == "acme.example"
    reason, findings = federation.ask(foreign, thorough=True)
    assert reason is Reason.TRUST_DOMAIN_UNKNOWN
    assert {"readable", "dates", "chain", "name"} <= {each.check for each in findings}


def test_an_unreadable_leaf_is_malformed(federation: Federation) -> None:
    """Garbage is called garbage, not a missing SPIFFE ID."""
    federation.client("acme", spiffe_id=BOT)
    assert federation.ask(b"garbage")[0] is Reason.CERTIFICATE_MALFORMED


def test_a_client_with_both_names_must_bear_both(federation: Federation) -> None:
    """A second registered name narrows, never widens."""
    federation.client("acme", spiffe_id="spiffe://acme.example/*", subject=("san_dns", "a.example"))
    assert federation.ask(federation.svid("acme", BOT, dns=["a.example"]))[0] == "acme"
    assert federation.ask(federation.svid("acme", BOT))[0] is Reason.SAN_MISMATCH


@pytest.mark.parametrize("spiffe_id", [None, "spiffe://acme.example", "spiffe://a*/x", ""])
def test_without_a_usable_name_nobody_gets_in(
    federation: Federation, spiffe_id: str | None
) -> None:
    """A client without a name, or with a pattern that cannot be read, is refused."""
    federation.client("acme", spiffe_id=spiffe_id)
    assert federation.ask(federation.svid("acme", BOT))[0] is Reason.DN_MISMATCH


def test_a_broken_pattern_spoils_the_other_name(federation: Federation) -> None:
    """A spiffe_id that cannot be read is never dropped in favour of the subject attribute."""
    federation.client("acme", spiffe_id="spiffe://a*/x", subject=("san_uri", BOT))
    assert federation.ask(federation.svid("acme", BOT))[0] is Reason.DN_MISMATCH


@pytest.mark.parametrize("loaded", [None, 0, 2 * DEFAULT_REFRESH, 2 * DEFAULT_REFRESH + 1])
def test_a_stale_bundle_vouches_for_nobody(federation: Federation, loaded: int | None) -> None:
    """Two refresh intervals after the last load, to the second, the set fails closed."""
    at = None if loaded is None else federation.now - loaded
    bundle = BundleRow(source="/none", max_staleness=0, fetched_at=at)
    federation.trust("acme", "acme", domain="acme.example", bundle=bundle)
    federation.client("acme", spiffe_id=BOT)
    reason, findings = federation.ask(federation.svid("acme", BOT))
    if loaded is not None and loaded <= 2 * DEFAULT_REFRESH:
        assert reason == "acme"
        return
    assert reason is Reason.BUNDLE_STALE
    assert findings[-1].check == "bundle"
    federation.client("acme", subject=("san_dns", "a.example"))
    dns = federation.svid("acme", dns=["a.example"])
    assert federation.ask(dns)[0] is Reason.BUNDLE_STALE


def test_staleness_bites_on_a_remembered_verdict(federation: Federation) -> None:
    """The next request on an open connection is refused when the copy has aged out meanwhile."""
    bundle = BundleRow(source="/none", max_staleness=200, fetched_at=federation.now)
    federation.trust("acme", "acme", domain="acme.example", bundle=bundle)
    federation.client("acme", spiffe_id=BOT)
    leaf = federation.svid("acme", BOT)
    assert federation.ask(leaf, later=200)[0] == "acme"
    assert federation.ask(leaf, later=201)[0] is Reason.BUNDLE_STALE
    assert federation.ask(leaf, later=201, thorough=True)[0] is Reason.BUNDLE_STALE


def test_another_set_of_the_domain_may_be_fresh(federation: Federation) -> None:
    """A stale copy beside a fresh one of the same domain does no harm, and no good."""
    stale = BundleRow(source="/none", max_staleness=0, fetched_at=1)
    federation.trust("old", "old", domain="acme.example", bundle=stale)
    federation.client("old", "acme", spiffe_id=BOT)
    assert federation.ask(federation.svid("acme", BOT))[0] == "acme"
    assert federation.ask(federation.svid("old", BOT))[0] is Reason.ISSUER_UNKNOWN


def test_bounds_hold_for_the_registered_name(federation: Federation) -> None:
    """A set bounded to one kind of names lets nobody in by another kind, good path or not."""
    federation.trust("plain", "plain", permitted=permit("dns:plain.example").to_json())
    leaf = federation.svid("plain", BOT, dns=["a.plain.example"], email=["a@plain.example"])
    federation.client("plain", subject=("san_dns", "a.plain.example"))
    assert federation.ask(leaf)[0] == "plain"
    for subject in (("san_uri", BOT), ("san_email", "a@plain.example"), ("san_dns", "b.example")):
        federation.client("plain", subject=subject)
        reason, findings = federation.ask(leaf)
        assert reason is Reason.NAME_CONSTRAINT
        assert findings[-1].check == "permitted names"
        assert federation.ask(leaf, thorough=True)[0] is Reason.NAME_CONSTRAINT


def test_a_bounded_set_passes_on_to_one_that_may(federation: Federation) -> None:
    """Of two sets with the same CA, the one permitted to vouch for this client does."""
    federation.trust("narrow", "shared", permitted=permit("dns:narrow.example").to_json())
    federation.trust("wide", "shared")
    federation.client("narrow", "wide", subject=("san_dns", "a.wide.example"))
    assert federation.ask(federation.svid("shared", dns=["a.wide.example"]))[0] == "wide"


def test_one_ca_cannot_vouch_for_anothers_names(federation: Federation) -> None:
    """A client of two bounded sets is reached through each set's own names only."""
    federation.trust("a", "a", permitted=permit("dns:a.example").to_json())
    federation.trust("b", "b", permitted=permit("dns:b.example").to_json())
    federation.client("a", "b", subject=("san_dns", "bot.b.example"))
    assert federation.ask(federation.svid("b", dns=["bot.b.example"]))[0] == "b"
    assert federation.ask(federation.svid("a", dns=["bot.b.example"]))[0] is Reason.ISSUER_UNKNOWN
    stray = federation.svid("b", dns=["bot.b.example", "bot.a.example"])
    assert federation.ask(stray)[0] is Reason.NAME_CONSTRAINT


def test_bounds_hold_for_spiffe_ids(federation: Federation) -> None:
    """A SPIFFE client is inside the bounds of its set's trust domain pattern, or not let in."""
    mine, foreign = (permit(f"spiffe:{each}.example").to_json() for each in ("acme", "other"))
    federation.client("acme", spiffe_id=BOT)
    for bounds, expected in ((mine, "acme"), (foreign, Reason.NAME_CONSTRAINT)):
        federation.trust("acme", "acme", domain="acme.example", permitted=bounds)
        assert federation.ask(federation.svid("acme", BOT))[0] == expected


def test_a_bound_that_cannot_be_read_closes_the_set(federation: Federation) -> None:
    """A stored bound of an unknown kind is never no bound."""
    federation.trust("plain", "plain", permitted={"ip": ["10.0.0.0/8"]})
    federation.client("plain", subject=("san_dns", "a.example"))
    leaf = federation.svid("plain", dns=["a.example"])
    assert federation.ask(leaf)[0] is Reason.ISSUER_UNKNOWN
