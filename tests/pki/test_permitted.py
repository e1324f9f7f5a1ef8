"""Name bounds of trust sets: one CA never vouches for another's names."""

from typing import Any

import pytest

from app.errors import Examination, Finding, Reason, Refused
from app.pki import check, dn_text
from app.pki.anchors import TrustSet
from app.pki.dn import encode
from app.pki.permitted import ANYTHING, MAX_PATTERNS, Permitted, permit
from app.pki.spiffe import parse_pattern
from app.pki.subject_match import PresentedNames, register
from tests.kit import ca
from tests.kit.ca import PRINTABLE, name, san
from tests.kit.world import World
from tests.pki.judging import peer


@pytest.fixture
def world() -> World:
    """Certificates of this second."""
    return World()


def names(dn: str = "", **others: tuple[str, ...]) -> PresentedNames:
    """Names of a certificate; `dn` as text."""
    return PresentedNames(encode(dn_text.parse(dn)) if dn else b"\x30\x00", **others)  # type: ignore[arg-type]  # ip is never given


@pytest.mark.parametrize(
    ("subject", "inside"),
    [
        ("O=Acme,C=DE", True),
        ("CN=bot,O=Acme,C=DE", True),
        ("CN=bot,OU=x,O=Acme,C=DE", True),
        ("C=DE", False),
        ("O=Acme", False),
        ("C=DE,O=Acme", False),
        ("C=DE,O=Acme,CN=bot", False),
        ("CN=bot,O=Acme Ltd,C=DE", False),
        ("CN=bot,O=ACME,C=DE", False),
        ("CN=bot,O=Acme+OU=x,C=DE", False),
        ("CN=bot+O=Acme,C=DE", False),
        ("CN=bot,C=DE,O=Acme,C=US", False),
        ("CN=O\\=Acme\\,C\\=DE", False),
        ("", True),
    ],
)
def test_a_dn_is_inside_by_whole_rdns_from_its_root(subject: str, *, inside: bool) -> None:
    """The pattern's RDNs must be the subject's first in encoding order, each as a whole."""
    assert (permit("dn:O=Acme,C=DE").fault(names(subject)) is None) is inside


def test_multi_valued_rdns_and_string_types_are_structure() -> None:
    """Order inside an RDN and string types do not matter to a bound, as to names everywhere."""
    bound = permit("dn:OU=b+O=a,C=DE")
    presented = check.describe(
        ca.root(
            name(("C", "DE", PRINTABLE), [("O", "a"), ("OU", "b")], ("CN", "x")),
            ca.key(label="bounds"),
            2_000_000_000,
        ).certificate
    ).names
    assert bound.fault(presented) is None
    assert bound.fault(names("CN=x,O=a,C=DE")) is not None


@pytest.mark.parametrize(
    ("dns", "inside"),
    [
        ("acme.example", True),
        ("ACME.example", True),
        ("api.acme.example", True),
        ("a.b.acme.example", True),
        ("example", False),
        ("notacme.example", False),
        ("acme.example.evil.example", False),
        ("acme.example.", False),
        (".acme.example", False),
        ("*.acme.example", False),
        ("a..acme.example", False),
        ("a b.acme.example", False),
        ("", False),
    ],
)
def test_a_dns_name_is_inside_by_whole_labels(dns: str, *, inside: bool) -> None:
    """The domain itself and names below it; wildcards and what is no DNS name are outside."""
    assert (permit("dns:acme.example").fault(names(dns=("acme.example", dns))) is None) is inside


@pytest.mark.parametrize(
    ("uri", "inside"),
    [
        ("spiffe://acme.example/x", True),
        ("spiffe://acme.example", True),
        ("https://evil.example/", True),
        ("spiffe://evil.example/x", False),
        ("spiffe://sub.acme.example/x", False),
        ("spiffe://acme.example:1/x", False),
        ("spiffe://user@acme.example/x", False),
        ("SPIFFE://evil.example/x", False),
        ("SPIFFE://acme.example/x", False),
        ("spiffe:acme.example", False),
    ],
)
def test_a_spiffe_id_is_inside_its_exact_trust_domain(uri: str, *, inside: bool) -> None:
    """Every URI that claims the scheme must be a valid ID of the domain; subdomains are others."""
    bound = permit("spiffe:acme.example")
    assert (bound.fault(names(uri=("spiffe://acme.example/a", uri))) is None) is inside


def test_kinds_without_patterns_are_not_looked_at() -> None:
    """A bound on DNS names leaves subject and SPIFFE IDs alone; they authenticate nobody then."""
    presented = names("CN=x,O=Other", dns=("a.acme.example",), uri=("spiffe://other/x",))
    assert permit("dns:acme.example").fault(presented) is None
    assert ANYTHING.fault(presented) is None


def test_several_patterns_of_a_kind_are_alternatives() -> None:
    """One of the patterns suffices for each name; all kinds must hold."""
    bound = permit("dns:a.example", "dns:b.example", "dn:O=A", "dn:O=B")
    assert bound.fault(names("CN=x,O=B", dns=("a.example", "b.example"))) is None
    assert bound.fault(names("CN=x,O=C", dns=("a.example",))) == "subject CN=x,O=C"
    assert bound.fault(names("CN=x,O=A", dns=("a.example", "c.example"))) == "DNS:c.example"


@pytest.mark.parametrize(
    ("attribute", "value", "admitting"),
    [
        ("subject_dn", "CN=bot,O=Acme,C=DE", {"dn"}),
        ("subject_dn", "CN=bot,O=Evil,C=DE", set()),
        ("san_dns", "api.acme.example", {"dns"}),
        ("san_dns", "api.evil.example", set()),
        ("san_uri", "spiffe://acme.example/bot", {"spiffe"}),
        ("san_uri", "spiffe://evil.example/bot", set()),
        ("san_uri", "https://acme.example/", set()),
        ("san_ip", "10.0.0.1", set()),
        ("san_email", "bot@acme.example", set()),
    ],
)
def test_only_a_name_of_a_bounded_kind_is_admitted(
    attribute: str, value: str, admitting: set[str]
) -> None:
    """As soon as there is a bound, a client registered by any other kind of name is out of it."""
    registered = register(attribute, value)
    for text in ("dn:O=Acme,C=DE", "dns:acme.example", "spiffe:acme.example"):
        bound = permit(text)
        assert bound.admits(registered) is (text.partition(":")[0] in admitting)
    assert ANYTHING.admits(registered)


def test_a_spiffe_pattern_is_admitted_by_trust_domain() -> None:
    """A client registered by a SPIFFE ID or a path below one is inside its trust domain only."""
    pattern = parse_pattern("spiffe://acme.example/ns/*")
    assert permit("spiffe:acme.example").admits(pattern)
    assert not permit("spiffe:evil.example").admits(pattern)
    assert not permit("dns:acme.example").admits(pattern)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no permitted name"),
        ("acme.example", "no permitted name"),
        ("ip:10.0.0.1", "no permitted name"),
        ("DNS:acme.example", "no permitted name"),
        ("dns:", "not a DNS name"),
        ("dns:*.acme.example", "domain alone"),
        ("dns:.acme.example", "domain alone"),
        ("dns:acme.example.", "trailing dot"),
        ("dns:a b", "not a DNS name"),
        ("dns:äcme.example", "A-label"),
        ("dn:", "names nobody"),
        ("dn:Acme", "TYPE=value"),
        ("spiffe:", "trust domain"),
        ("spiffe:Acme", "trust domain"),
        ("spiffe:acme/x", "trust domain"),
        ("spiffe:*.acme", "trust domain"),
        ("spiffe:spiffe://acme", "trust domain"),
    ],
)
def test_malformed_bounds_are_refused(text: str, message: str) -> None:
    """A bound that means nothing is refused when it is written, with what is wrong."""
    with pytest.raises(ValueError, match=message):
        permit("dns:ok.example", text)


def test_bounds_are_written_and_read_back() -> None:
    """Text and JSON forms hold the same bounds; repeats are dropped; nothing is ``{}``."""
    bound = permit(
        "dn:O=Acme\\, Inc,C=DE",
        "dns:Acme.Example",
        "dns:acme.example",
        "spiffe://acme.example",
        "spiffe:b",
    )
    assert bound.texts == (
        "dn:O=Acme\\, Inc,C=DE",
        "dns:acme.example",
        "spiffe:acme.example",
        "spiffe:b",
    )
    assert permit(*bound.texts) == Permitted.from_json(bound.to_json()) == bound
    assert permit() == Permitted.from_json({}) == ANYTHING
    assert ANYTHING.to_json() == {}
    assert bound
    assert not ANYTHING


@pytest.mark.parametrize(
    "stored",
    [
        {"dns": ("*.acme.example",)},
        {"dns": ("Acme.example",)},
        {"dns": (" acme.example",)},
        {"dns": ("",)},
        {"dn": (b"",)},
        {"dn": (b"\x30\x00",)},
        {"dn": (name(("O", "Acme", PRINTABLE)),)},
        {"spiffe": ("Acme",)},
        {"spiffe": ("",)},
        {"dns": tuple(f"a{i}.example" for i in range(MAX_PATTERNS + 1))},
    ],
)
def test_a_bound_that_is_not_understood_is_no_bound_less(stored: dict[str, Any]) -> None:
    """Whatever is stored and no pattern raises; none of it widens a trust set."""
    with pytest.raises(ValueError, match=r"."):
        Permitted(**stored)


@pytest.mark.parametrize(
    "stored",
    [
        {"ip": ["10.0.0.1"]},
        {"dns": []},
        {"dns": "acme.example"},
        {"dns": [1]},
        {"dns": ["*.acme.example"]},
        {"dn": ["!"]},
        {"dn": ["MAA="]},
        {"dn": ["AAAA"]},
        {"spiffe": None},
    ],
)
def test_stored_json_that_is_not_understood_raises(stored: dict[str, Any]) -> None:
    """Unknown kinds, empty lists and broken values are never read as fewer bounds."""
    with pytest.raises(ValueError, match=r"."):
        Permitted.from_json(stored)


def ask(
    world: World, der: bytes, *sets: TrustSet, thorough: bool = False
) -> tuple[str | Reason | None, list[Finding]]:
    """The trust set that vouches, or the reason; and the findings."""
    exam = Examination(thorough=thorough)
    try:
        return check.by_path(exam, peer(der), sets, world.now).trust_set, exam.findings
    except Refused as refused:
        return refused.finding.reason, exam.findings


def test_the_path_check_refuses_names_out_of_bounds(world: World) -> None:
    """A certificate on a good path is refused for one name that its CA may not vouch for."""
    anchors = (world.root.certificate,)
    bounded = TrustSet("acme", anchors, permitted=permit("dns:acme.example"))
    good = world.root.sign(world.draft(san(dns=["api.acme.example"])))
    bad = world.root.sign(world.draft(san(dns=["api.acme.example", "api.evil.example"])))
    found, findings = ask(world, good, bounded)
    assert found == "acme"
    checks = [f.check for f in findings]
    assert checks.index("permitted names") == checks.index("chain") + 1
    assert ask(world, good, bounded) == (found, findings)
    for thorough in (False, True):
        reason, findings = ask(world, bad, bounded, thorough=thorough)
        assert reason is Reason.NAME_CONSTRAINT
        assert findings[-1].check == "permitted names"
        assert "DNS:api.evil.example" in findings[-1].seen
        assert findings[-1].expected == "dns:acme.example"


def test_bounds_are_part_of_a_set(world: World) -> None:
    """A verdict reached without bounds, with others, or for another domain is not used again."""
    anchors = (world.root.certificate,)
    der = world.root.sign(world.draft(san(dns=["api.acme.example"])))
    free = TrustSet("acme", anchors)
    sets = [
        free,
        TrustSet("acme", anchors, permitted=permit("dns:evil.example")),
        TrustSet("acme", anchors, permitted=permit("dns:acme.example")),
        TrustSet("acme", anchors, trust_domain="acme"),
    ]
    assert len({each.digest for each in sets}) == len(set(sets)) == 4
    assert [ask(world, der, each)[0] for each in sets] == [
        "acme",
        Reason.NAME_CONSTRAINT,
        "acme",
        "acme",
    ]


def test_another_set_may_vouch_for_what_one_may_not(world: World) -> None:
    """A set whose bounds the certificate breaks is passed over, in whichever order."""
    anchors = (world.root.certificate,)
    der = world.root.sign(world.draft(san(dns=["api.acme.example"])))
    other = TrustSet("other", anchors, permitted=permit("dns:evil.example"))
    mine = TrustSet("mine", anchors, permitted=permit("dns:acme.example"))
    stranger = TrustSet("stranger", (world.rsa_root.certificate,))
    assert ask(world, der, other, mine)[0] == ask(world, der, mine, other)[0] == "mine"
    assert ask(world, der, other, stranger)[0] is Reason.NAME_CONSTRAINT


def test_a_trust_domain_is_one(world: World) -> None:
    """A trust set cannot be made for what is no trust domain."""
    with pytest.raises(ValueError, match="trust domain"):
        TrustSet("x", (world.root.certificate,), trust_domain="Acme")
