"""Revocation on the path: asked for every request, of what is in memory, by the set's policy."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
from cryptography import x509

from app.errors import Examination, Finding, Reason, Refused
from app.pki import check
from app.pki.anchors import TrustSet
from app.pki.crl import LoadedCrl, load_for
from app.pki.leaf import Leaf
from app.pki.ocsp import OcspAnswer
from app.pki.revocation import NO_SOURCE, RevocationSource
from app.pki.revocation_policy import RevocationPolicy
from tests.kit import ca, crls
from tests.kit.ca import Authority, below, extension, name, usage
from tests.kit.crls import DAY, draft, partition, point, serial_of
from tests.kit.stopwatch import cheapest
from tests.kit.world import World
from tests.pki.judging import peer

_WORLD = World()
_ROOT, _NOW, _BETWEEN = _WORLD.root, _WORLD.now, _WORLD.issuing
_LEAF = _ROOT.sign(_WORLD.draft())
_BELOW = _BETWEEN.sign(_WORLD.draft())
_HARD = RevocationPolicy("crl")


@dataclass
class Lists:
    """A source of CRLs that a test can exchange."""

    loaded: tuple[LoadedCrl, ...] = ()
    asked: list[str] = field(default_factory=list)
    more: bool = False
    """Whether a newer list is still to come."""

    def loading(self, trust_set: str) -> bool:
        """As the test says."""
        self.asked.append(trust_set)
        return self.more

    def crls(self, trust_set: str) -> Sequence[LoadedCrl]:
        """The lists."""
        self.asked.append(trust_set)
        return self.loaded

    def ocsp(self, trust_set: str, issuer: Leaf, serial: int) -> OcspAnswer | None:
        """Not asked here."""
        raise AssertionError((trust_set, issuer, serial))


def trusting(
    policy: RevocationPolicy = _HARD, anchor: bytes = _ROOT.certificate, *known: bytes
) -> TrustSet:
    """A set that knows the issuing CA."""
    return TrustSet("kit", (anchor,), known or (_BETWEEN.certificate,), revocation=policy)


def loaded(trust_set: TrustSet, *encoded: bytes) -> Lists:
    """Those lists, loaded for the set."""
    return Lists(tuple(load_for(trust_set, each) for each in encoded))


def judge(
    source: RevocationSource, *chain: bytes, trust_set: TrustSet | None = None, now: int = _NOW
) -> Finding:
    """The finding "revocation" of one login."""
    exam = Examination()
    try:
        check.by_path(exam, peer(*chain), [trust_set or trusting()], now, source)
    except Refused as refused:
        finding = refused.finding
    else:
        finding = exam.findings[-1]
    assert finding.check == "revocation"
    assert exam.findings.count(finding) == 1
    return finding


def test_off_says_so() -> None:
    """Without a policy nothing is asked, and the finding does not look like a check."""
    lists = Lists()
    finding = judge(lists, _LEAF, trust_set=trusting(RevocationPolicy()))
    assert finding.passed
    assert finding.seen == "off for trust set kit"
    assert lists.asked == []


def test_a_listed_leaf_is_refused_and_others_pass() -> None:
    """The finding names list, number and age; the action is a command."""
    lists = loaded(trusting(), crls.crl(_ROOT, _NOW, [serial_of(_LEAF)], count=17))
    finding = judge(lists, _LEAF)
    assert finding.reason is Reason.REVOKED
    assert "revoked on" in finding.seen
    assert "(key compromise)" in finding.seen
    assert "CRL 17 of CN=Kit Root" in finding.seen
    assert "certbound trust crl kit FILE" in finding.action
    other = judge(lists, _ROOT.sign(_WORLD.draft().with_(serial=b"\x05")))
    assert other.passed
    assert "is not in CRL 17 of CN=Kit Root,O=Kit, 1 h old" in other.seen


def test_a_revoked_intermediate_takes_its_leaves_along() -> None:
    """Every certificate below the anchor is looked up, each in its own CA's list."""
    empty = crls.crl(_BETWEEN, _NOW)
    lists = loaded(trusting(), empty, crls.crl(_ROOT, _NOW, [serial_of(_BETWEEN.certificate)]))
    finding = judge(lists, _BELOW, _BETWEEN.certificate)
    assert finding.reason is Reason.REVOKED
    assert "Kit Issuing CA" in finding.seen
    clean = loaded(trusting(), empty, crls.crl(_ROOT, _NOW))
    assert judge(clean, _BELOW, _BETWEEN.certificate).passed


def test_the_same_serial_of_another_ca_is_another_certificate() -> None:
    """A list speaks for its own CA alone."""
    lists = loaded(trusting(), crls.crl(_BETWEEN, _NOW, [serial_of(_LEAF)]), crls.crl(_ROOT, _NOW))
    assert judge(lists, _LEAF).passed


@pytest.mark.parametrize("missing", ["leaf's", "intermediate's", "both"])
def test_a_missing_list_is_unknown(missing: str) -> None:
    """Each of the two lists is needed; the finding says which is missing."""
    encoded = {"leaf's": crls.crl(_BETWEEN, _NOW), "intermediate's": crls.crl(_ROOT, _NOW)}
    lists = loaded(
        trusting(), *(each for kind, each in encoded.items() if missing not in {kind, "both"})
    )
    finding = judge(lists, _BELOW, _BETWEEN.certificate)
    assert finding.reason is Reason.REVOCATION_UNKNOWN
    assert "no CRL of" in finding.seen
    assert finding.action == "certbound trust crl kit FILE"


def test_knowing_nothing_fails_hard() -> None:
    """Where nobody wired a source, a policy is no decoration."""
    assert judge(NO_SOURCE, _LEAF).reason is Reason.REVOCATION_UNKNOWN


@pytest.mark.parametrize("fail", ["hard", "soft"])
def test_while_a_newer_list_is_loaded_nobody_passes(fail: Literal["hard", "soft"]) -> None:
    """The old list's silence proves nothing any more, whatever the policy does about doubt."""
    policy = trusting(RevocationPolicy("crl", fail))
    lists = loaded(policy, crls.crl(_ROOT, _NOW))
    lists.more = True
    finding = judge(lists, _LEAF, trust_set=policy)
    assert finding.reason is Reason.REVOCATION_UNKNOWN
    assert "still being loaded" in finding.seen
    revoking = loaded(policy, crls.crl(_ROOT, _NOW, [serial_of(_LEAF)]))
    revoking.more = True
    assert judge(revoking, _LEAF, trust_set=policy).reason is Reason.REVOKED
    lists.more = False
    assert judge(lists, _LEAF, trust_set=policy).passed


def test_a_list_that_was_replaced_only_revokes() -> None:
    """Where the newer one cannot be used, the old one's silence is no good word."""
    lists = loaded(trusting(), crls.crl(_ROOT, _NOW, [serial_of(_LEAF)]))
    old = Lists(tuple(each.only_revoking() for each in lists.loaded))
    assert judge(old, _LEAF).reason is Reason.REVOKED
    other = judge(old, _ROOT.sign(_WORLD.draft().with_(serial=b"\x05")))
    assert other.reason is Reason.REVOCATION_UNKNOWN
    assert "was replaced by one that is not at hand" in other.seen


def test_soft_failure_lets_in_and_says_so_each_time() -> None:
    """Also from a remembered path; what is known to be revoked stays out."""
    soft = trusting(RevocationPolicy("crl", "soft"))
    for _ in range(2):
        finding = judge(NO_SOURCE, _LEAF, trust_set=soft)
        assert finding.passed
        assert "not known, let in because kit fails soft" in finding.seen
        assert finding.doubt
    lists = loaded(soft, crls.crl(_ROOT, _NOW, [serial_of(_LEAF)]))
    assert judge(lists, _LEAF, trust_set=soft).reason is Reason.REVOKED


def test_a_stale_list_proves_no_innocence() -> None:
    """After nextUpdate, or beyond the policy's age, silence is unknown; an entry still convicts."""
    week = 7 * DAY
    lists = loaded(trusting(), crls.crl(_ROOT, _NOW))
    assert judge(lists, _LEAF, now=_NOW + week - 1).passed
    finding = judge(lists, _LEAF, now=_NOW + week)
    assert finding.reason is Reason.REVOCATION_UNKNOWN
    assert "due for replacement" in finding.seen
    aged = trusting(RevocationPolicy("crl", max_staleness=7200))
    assert judge(lists, _LEAF, trust_set=aged, now=_NOW + 3600).passed
    assert judge(lists, _LEAF, trust_set=aged, now=_NOW + 3601).reason
    convicted = loaded(trusting(), crls.crl(_ROOT, _NOW, [serial_of(_LEAF)]))
    assert judge(convicted, _LEAF, now=_NOW + week).reason is Reason.REVOKED


def test_a_new_list_bites_on_the_next_request() -> None:
    """The path is remembered, revocation is not: revoked, restored, unknown, request by request."""
    lists = loaded(trusting(), crls.crl(_ROOT, _NOW))
    revoking = loaded(trusting(), crls.crl(_ROOT, _NOW, [serial_of(_LEAF)], count=2))
    restoring = loaded(trusting(), crls.crl(_ROOT, _NOW, count=3))
    seen = []
    for now_loaded in (lists, revoking, restoring, Lists()):
        lists.loaded = now_loaded.loaded
        seen.append(judge(lists, _LEAF).reason)
    assert seen == [None, Reason.REVOKED, None, Reason.REVOCATION_UNKNOWN]


def test_no_other_set_is_tried_after_a_revocation() -> None:
    """The set that vouches decides; the next one with the same anchor does not forgive."""
    lists = loaded(trusting(), crls.crl(_ROOT, _NOW, [serial_of(_LEAF)]))
    lenient = replace(trusting(RevocationPolicy()), name="lenient")
    with pytest.raises(Refused) as refused:
        check.by_path(Examination(), peer(_LEAF), [trusting(), lenient], _NOW, lists)
    assert refused.value.finding.reason is Reason.REVOKED


def test_a_thorough_examination_shows_it_beside_other_faults() -> None:
    """The doctor sees a weak usage and the revocation in one look, fresh or remembered."""
    leaf = _ROOT.sign(_WORLD.draft().plus(usage("key_agreement")))
    lists = loaded(trusting(), crls.crl(_ROOT, _NOW, [serial_of(leaf)]))
    for _ in range(2):
        exam = Examination(thorough=True)
        with pytest.raises(Refused) as refused:
            check.by_path(exam, peer(leaf), [trusting()], _NOW, lists)
        failed = [each.reason for each in exam.findings if each.reason]
        assert failed == [Reason.KEY_USAGE, Reason.REVOKED]
        assert refused.value.finding.reason is Reason.KEY_USAGE


def _signer(issuer: Authority, label: str, *usages: str, until: int = 30 * DAY) -> Authority:
    """Another key for the name of the issuing CA."""
    key = ca.key(label=label)
    made = ca.ca_draft(_BETWEEN.subject, key, _NOW).plus(usage(*(usages or ("crl_sign",))))
    return Authority(_BETWEEN.subject, key, issuer.sign(made.with_(not_after=_NOW + until)))


@pytest.mark.parametrize(
    ("signer", "passes"),
    [
        (_signer(_ROOT, "delegated"), True),
        (_signer(_BETWEEN, "by itself"), False),
        (_signer(_WORLD.evil, "by a stranger"), False),
        (_signer(_WORLD.rsa_root, "by another root"), False),
        (_signer(_ROOT, "out of date", until=-60), False),
    ],
    ids=["by the CA above", "circular", "by a stranger", "by another root", "out of date"],
)
def test_a_delegated_signer_is_certified_and_itself_good(
    signer: Authority,
    passes: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A second key of the CA counts where the CA above certified it for CRLs, and not otherwise.

    One that the CA itself certified is good only by a list that it did not sign.
    """
    trust_set = TrustSet(
        "kit",
        (_ROOT.certificate, _WORLD.rsa_root.certificate),
        (_BETWEEN.certificate, signer.certificate),
        revocation=_HARD,
    )
    lists = loaded(trust_set, crls.crl(signer, _NOW), crls.crl(_ROOT, _NOW))
    finding = judge(lists, _BELOW, _BETWEEN.certificate, trust_set=trust_set)
    assert finding.passed is passes
    revoked = loaded(
        trust_set,
        crls.crl(signer, _NOW, [serial_of(_BELOW)]),
        crls.crl(_ROOT, _NOW, [serial_of(signer.certificate)]),
    )
    finding = judge(revoked, _BELOW, _BETWEEN.certificate, trust_set=trust_set)
    assert finding.reason is Reason.REVOCATION_UNKNOWN


def test_a_second_key_of_the_ca_may_be_vouched_for_by_the_first() -> None:
    """The CA's own key lists nobody, so its CRL signer is good, and that signer's list counts."""
    signer = _signer(_BETWEEN, "by itself")
    trust_set = trusting(_HARD, _ROOT.certificate, _BETWEEN.certificate, signer.certificate)
    for_cas = draft(_NOW).plus(partition(only_contains_ca_certs=True))
    lists = loaded(
        trust_set,
        crls.crl(signer, _NOW),
        crls.sign(for_cas, _BETWEEN),
        crls.crl(_ROOT, _NOW),
    )
    assert judge(lists, _BELOW, _BETWEEN.certificate, trust_set=trust_set).reason is None


def _at(*urls: str, **more: object) -> bytes:
    """A leaf whose certificate names distribution points."""
    points = [x509.DistributionPoint(point(url), None, None, None) for url in urls]
    return _ROOT.sign(_WORLD.draft(extension(x509.CRLDistributionPoints(points)), **more))  # type: ignore[arg-type] # -- passed on


@pytest.mark.parametrize(
    ("leaf", "options", "covered"),
    [
        (_at("http://a.example/1"), {"full_name": point("http://a.example/1")}, True),
        (_at("http://a.example/1"), {"full_name": point("http://a.example/2")}, False),
        (_at("http://b", "http://a"), {"full_name": point("http://a")}, True),
        (_at("http://a.example/1"), {"full_name": point("HTTP://a.example/1")}, False),
        (_LEAF, {"full_name": point("http://a.example/1")}, False),
        (_LEAF, {"only_contains_user_certs": True}, True),
        (_LEAF, {"only_contains_ca_certs": True}, False),
    ],
)
def test_a_partition_speaks_for_its_part(
    leaf: bytes,
    options: dict[str, object],
    covered: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Names of distribution points are compared as they stand; nothing is fetched from them."""
    part = draft(_NOW).plus(partition(**options))
    finding = judge(loaded(trusting(), crls.sign(part, _ROOT)), leaf)
    assert finding.passed is covered
    if not covered:
        assert "does not cover it" in finding.seen


def test_partitions_together_cover_a_ca() -> None:
    """One list for clients, one for CAs, as big private CAs publish them."""
    clients = draft(_NOW).plus(partition(only_contains_user_certs=True))
    authorities = draft(_NOW, [serial_of(_BETWEEN.certificate)])
    authorities = authorities.plus(partition(only_contains_ca_certs=True))
    lists = loaded(
        trusting(),
        crls.sign(clients, _ROOT),
        crls.sign(authorities, _ROOT),
        crls.crl(_BETWEEN, _NOW),
    )
    assert judge(lists, _LEAF).passed
    assert judge(lists, _BELOW, _BETWEEN.certificate).reason is Reason.REVOKED


def test_a_certificate_listed_elsewhere_is_not_cleared_here() -> None:
    """Where all its points are of another CRL issuer, its own CA's list says nothing of it."""
    other = x509.DirectoryName(x509.Name([]))
    elsewhere = x509.DistributionPoint(point("http://a"), None, None, [other])
    leaf = _ROOT.sign(_WORLD.draft(extension(x509.CRLDistributionPoints([elsewhere]))))
    finding = judge(loaded(trusting(), crls.crl(_ROOT, _NOW)), leaf)
    assert finding.reason is Reason.REVOCATION_UNKNOWN


def test_the_check_costs_a_token_next_to_nothing() -> None:
    """Two look-ups in a list of 100,000 on each request: well below 5 % of a token's millisecond."""
    listed = draft(_NOW).with_(entries=crls.many(100_000, _NOW)[0])
    lists = loaded(trusting(), crls.sign(listed, _ROOT), crls.sign(listed, _BETWEEN))
    plain = trusting(RevocationPolicy())
    presented = peer(_BELOW, _BETWEEN.certificate)

    def cost(trust_set: TrustSet) -> float:
        def log_in() -> None:
            for _ in range(200):
                check.by_path(Examination(), presented, [trust_set], _NOW, lists)

        log_in()
        return cheapest(log_in) / 200

    assert cost(trusting()) - cost(plain) < 40e-6


def test_bombs_of_same_named_cas_and_lists_are_cheap() -> None:
    """A hundred CAs and fifty lists of one name and many keys: still no more than 50 ms."""
    twins = [below(_ROOT, name(("CN", "Twin")), ca.key(label=f"twin {n}"), _NOW) for n in range(50)]
    trust_set = trusting(_HARD, _ROOT.certificate, *(each.certificate for each in twins))
    encoded = [crls.crl(each, _NOW) for each in twins]
    lists = loaded(trust_set, *encoded, crls.crl(_ROOT, _NOW))
    leaf = twins[0].sign(_WORLD.draft())
    drafts = iter(range(1, 1000))

    def stranger() -> None:
        """A certificate not seen before, so that nothing is remembered."""
        serial = b"\x07" + next(drafts).to_bytes(2, "big")
        fresh = peer(twins[1].sign(_WORLD.draft().with_(serial=serial)))
        check.by_path(Examination(), fresh, [trust_set], _NOW, lists)

    assert judge(lists, leaf, trust_set=trust_set).passed
    assert cheapest(stranger) < 0.05


def test_lists_that_delegate_to_each_other_end() -> None:
    """Keys that vouch for each other in a ring are judged in bounded time, and not believed."""
    ring = [_signer(_BETWEEN, f"ring {n}") for n in range(40)]
    trust_set = trusting(
        _HARD, _ROOT.certificate, _BETWEEN.certificate, *(each.certificate for each in ring)
    )
    lists = loaded(trust_set, *(crls.crl(each, _NOW) for each in ring), crls.crl(_ROOT, _NOW))
    judge(lists, _BELOW, _BETWEEN.certificate, trust_set=trust_set)
    finding = judge(lists, _BELOW, _BETWEEN.certificate, trust_set=trust_set)
    cost = cheapest(lambda: judge(lists, _BELOW, _BETWEEN.certificate, trust_set=trust_set))
    assert cost < 0.05
    assert finding.reason is Reason.REVOCATION_UNKNOWN
