"""SPIFFE IDs, patterns over them, and the rules of a leaf SVID."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Examination, Finding, Reason, Refused
from app.pki import check
from app.pki.anchors import TrustSet
from app.pki.leaf import read_leaf
from app.pki.leaf_policy import examine_usage
from app.pki.spiffe import (
    MAX_ID,
    SpiffeId,
    examine_pattern,
    examine_svid,
    is_spiffe_uri,
    parse_pattern,
)
from app.pki.subject_match import PresentedNames
from tests.kit.ca import basic, san, usage
from tests.kit.world import World
from tests.pki.judging import peer

_NOBODY = b"\x30\x00"
_DOMAIN = st.text("abz019._-", min_size=1, max_size=255)
_SEGMENT = st.text("AZaz09._-", min_size=1, max_size=40).filter(lambda s: s not in {".", ".."})


@pytest.fixture
def world() -> World:
    """Certificates of this second."""
    return World()


@pytest.mark.parametrize(
    ("text", "domain", "path"),
    [
        ("spiffe://acme.example", "acme.example", ""),
        ("spiffe://acme.example/ns/prod/sa/bot", "acme.example", "/ns/prod/sa/bot"),
        ("spiffe://a/B", "a", "/B"),
        ("spiffe://1_2-3.4/...", "1_2-3.4", "/..."),
        ("spiffe://10.0.0.1/x", "10.0.0.1", "/x"),
        ("spiffe://" + "d" * 255 + "/x", "d" * 255, "/x"),
    ],
)
def test_valid_ids_are_taken_apart(text: str, domain: str, path: str) -> None:
    """Trust domain and path of a valid ID are found, and it is written back as it was."""
    found = SpiffeId.parse(text)
    assert (found.trust_domain, found.path, str(found)) == (domain, path, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe:",
        "spiffe:/acme.example/x",
        "spiffe://",
        "spiffe:///x",
        "SPIFFE://acme.example/x",
        "Spiffe://acme.example/x",
        "https://acme.example/x",
        " spiffe://acme.example/x",
        "spiffe://acme.example/x ",
        "spiffe://acme.example/x\n",
        "spiffe://Acme.example/x",
        "spiffe://acme.example:443/x",
        "spiffe://acme.example:/x",
        "spiffe://user@acme.example/x",
        "spiffe://acme%2eexample/x",
        "spiffe://äcme.example/x",
        "spiffe://acme.example\u212a/x",
        "spiffe://[::1]/x",
        "spiffe://" + "d" * 256 + "/x",
        "spiffe://acme.example/",
        "spiffe://acme.example/x/",
        "spiffe://acme.example//x",
        "spiffe://acme.example/x//y",
        "spiffe://acme.example/.",
        "spiffe://acme.example/x/../y",
        "spiffe://acme.example/%61",
        "spiffe://acme.example/x%2fy",
        "spiffe://acme.example/x y",
        "spiffe://acme.example/x?y",
        "spiffe://acme.example/x#y",
        "spiffe://acme.example?x",
        "spiffe://acme.example#x",
        "spiffe://acme.example/x;y",
        "spiffe://acme.example/ö",
        "spiffe://acme.example/x\\y",
        "spiffe://acme.example/*",
        "spiffe://acme.example/x\0y",
        "spiffe://acme.example/" + "x" * (MAX_ID - len("spiffe://acme.example/") + 1),
    ],
)
def test_everything_else_is_no_id(text: str) -> None:
    """One spelling per identity: what could be another spelling of an ID is refused."""
    with pytest.raises(ValueError, match=r"SPIFFE ID|trust domain"):
        SpiffeId.parse(text)


def test_the_longest_id_is_2048_bytes() -> None:
    """SPIFFE-ID section 2.3, to the byte."""
    text = "spiffe://acme.example/"
    assert len(str(SpiffeId.parse(text + "x" * (MAX_ID - len(text))))) == MAX_ID


@given(_DOMAIN, st.lists(_SEGMENT, max_size=8))
def test_ids_round_trip(domain: str, segments: list[str]) -> None:
    """Whatever is built from the grammar is read back as it was built."""
    path = "".join(f"/{segment}" for segment in segments)
    assert SpiffeId.parse(f"spiffe://{domain}{path}") == SpiffeId(domain, path)


@given(st.text(max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    """A string is an ID to the byte, or a ValueError."""
    for candidate in (text, f"spiffe://{text}", f"spiffe://a/{text}"):
        try:
            assert str(SpiffeId.parse(candidate)) == candidate
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("pattern", "fits", "differs"),
    [
        (
            "spiffe://a/ns/prod/bot",
            ["spiffe://a/ns/prod/bot"],
            [
                "spiffe://a/ns/prod/bot/x",
                "spiffe://a/ns/prod",
                "spiffe://b/ns/prod/bot",
                "spiffe://a/ns/prod/Bot",
            ],
        ),
        (
            "spiffe://a/ns/prod/*",
            ["spiffe://a/ns/prod/bot", "spiffe://a/ns/prod/sa/bot"],
            [
                "spiffe://a/ns/prod",
                "spiffe://a/ns/production",
                "spiffe://a/ns/production/bot",
                "spiffe://a/ns/Prod/bot",
                "spiffe://b/ns/prod/bot",
                "spiffe://a.b/ns/prod/bot",
                "spiffe://a",
            ],
        ),
        ("spiffe://a/*", ["spiffe://a/x", "spiffe://a/x/y"], ["spiffe://a", "spiffe://b/x"]),
    ],
)
def test_patterns_match_whole_segments(pattern: str, fits: list[str], differs: list[str]) -> None:
    """``/*`` stands for one or more whole segments at the end; without it, one ID matches."""
    registered = parse_pattern(pattern)
    assert str(registered) == pattern
    assert all(registered.matches(SpiffeId.parse(each)) for each in fits)
    assert not any(registered.matches(SpiffeId.parse(each)) for each in differs)


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://a",
        "spiffe://a/",
        "spiffe://*/x",
        "spiffe://a/*/x",
        "spiffe://a/x*",
        "spiffe://a/**",
        "spiffe://a/x/*/*",
        "spiffe://a//*",
        "spiffe://a*",
        "spiffe:///*",
        "*",
        "/*",
        "",
    ],
)
def test_no_other_pattern_is_taken(text: str) -> None:
    """Wildcards elsewhere, in part of a segment, or for a whole trust domain unsaid are refused."""
    with pytest.raises(ValueError, match=r"SPIFFE ID|trust domain"):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("spiffe://a/x", "spiffe://a/x", True),
        ("spiffe://a/x", "spiffe://a/y", False),
        ("spiffe://a/x", "spiffe://b/x", False),
        ("spiffe://a/x/*", "spiffe://a/x", False),
        ("spiffe://a/x/*", "spiffe://a/x/y", True),
        ("spiffe://a/x/*", "spiffe://a/x/*", True),
        ("spiffe://a/x/*", "spiffe://a/x/y/*", True),
        ("spiffe://a/x/*", "spiffe://a/xy/*", False),
        ("spiffe://a/*", "spiffe://a/x", True),
    ],
)
def test_overlaps_are_found_in_both_directions(one: str, other: str, *, overlap: bool) -> None:
    """Two patterns overlap exactly when some workload matches both."""
    first, second = parse_pattern(one), parse_pattern(other)
    assert first.overlaps(second) is second.overlaps(first) is overlap


def test_a_scheme_is_claimed_in_any_case() -> None:
    """What claims the scheme is judged as a SPIFFE ID, however it is spelt."""
    assert is_spiffe_uri("SPIFFE://x")
    assert is_spiffe_uri("spiffe:x")
    assert not is_spiffe_uri("spiffes://x")


def ask(der: bytes, *, thorough: bool = False) -> tuple[SpiffeId | None, list[Finding]]:
    """The claimed ID and the findings."""
    exam = Examination(thorough=thorough)
    try:
        return examine_svid(exam, peer(der)), exam.findings
    except Refused:
        return None, exam.findings


ID = "spiffe://acme.example/bot"


def test_a_leaf_svid_passes_also_from_memory(world: World) -> None:
    """An SVID with an empty subject tells its ID, the second time from memory alike."""
    leaf = world.root.sign(world.draft(san(uri=[ID], critical=True), subject=_NOBODY))
    first, findings = ask(leaf)
    assert str(first) == ID
    assert (first, findings) == ask(leaf)
    assert [f.check for f in findings] == ["spiffe id"]


def test_other_kinds_of_names_may_stand_beside(world: World) -> None:
    """X509-SVID section 2: any number of other SAN types is allowed, DNS names too."""
    names = san(uri=[ID], dns=["a.example", "*.b.example"], ip=["::1"], email=["a@b.example"])
    assert str(ask(world.root.sign(world.draft(names)))[0]) == ID


@pytest.mark.parametrize(
    "uris",
    [
        [],
        [ID, "spiffe://acme.example/other"],
        [ID, ID],
        [ID, "https://acme.example/"],
        ["urn:uuid:1"],
        ["spiffe://acme.example"],
        ["spiffe://acme.example/"],
        ["spiffe://ACME.example/bot"],
        ["SPIFFE://acme.example/bot"],
        ["spiffe://acme.example/b%6ft"],
        ["spiffe://acme.example/bot/"],
        ["spiffe://acme.example/*"],
        ["spiffe://acme.example/" + "x" * 2048],
    ],
)
def test_exactly_one_valid_id_with_a_path(world: World, uris: list[str]) -> None:
    """None, two, invalid, or a trust domain alone is no SVID."""
    found, findings = ask(world.root.sign(world.draft(*([san(uri=uris)] if uris else []))))
    assert found is None
    assert findings[0].reason is Reason.SPIFFE_NOT_SINGLE_URI
    assert findings[0].seen
    assert findings[0].action


@pytest.mark.parametrize(
    "bits",
    [
        None,
        (),
        ("key_encipherment",),
        ("digital_signature", "key_cert_sign"),
        ("digital_signature", "crl_sign"),
    ],
)
def test_key_usage_is_that_of_a_leaf_svid(world: World, bits: tuple[str, ...] | None) -> None:
    """Section 4.3: set, with digitalSignature, without keyCertSign and cRLSign; never remembered."""
    draft = world.draft(san(uri=[ID]))
    draft = draft.without("2.5.29.15") if bits is None else draft.plus(usage(*bits))
    leaf = world.root.sign(draft)
    found, findings = ask(leaf)
    assert (found, findings[-1].reason) == (None, Reason.KEY_USAGE)
    assert ask(leaf) == (found, findings)
    assert "key usage" in findings[-1].seen or "digitalSignature" in findings[-1].seen


def test_key_usage_is_marked_critical(world: World) -> None:
    """Section 4.3 again: else a validator that does not know it may pass it over."""
    lenient = replace(usage("digital_signature"), critical=False)
    found, findings = ask(world.root.sign(world.draft(san(uri=[ID])).plus(lenient)))
    assert (found, findings[-1].reason) == (None, Reason.KEY_USAGE)
    assert findings[-1].seen == "key usage not marked critical"
    plain = Examination()  # a rule of SVIDs alone: other certificates are not asked for it
    examine_usage(plain, read_leaf(world.root.sign(world.draft().plus(lenient))))
    assert plain.findings[-1].passed


def test_a_ca_is_no_leaf_svid(world: World) -> None:
    """Section 4.1: its ID and key usage may be those of a leaf, the path check refuses it."""
    draft = world.draft(san(uri=[ID])).plus(basic(ca=True))
    leaf = world.root.sign(draft)
    assert str(ask(leaf)[0]) == ID
    sets = [TrustSet("kit", (world.root.certificate,), trust_domain="acme.example")]
    with pytest.raises(Refused) as refused:
        check.by_path(Examination(), peer(leaf), sets, world.now)
    assert refused.value.finding.reason is Reason.KEY_USAGE
    assert refused.value.finding.seen == "a CA certificate"


@pytest.mark.parametrize("uris", [[ID], []])
def test_an_empty_subject_needs_critical_names(world: World, uris: list[str]) -> None:
    """Section 3.1, after RFC 5280 section 4.1.2.6: then the name in the SAN is all there is."""
    names = san(uri=uris, dns=["a.example"])
    leaf = world.root.sign(world.draft(names, subject=_NOBODY))
    found, findings = ask(leaf, thorough=True)
    assert str(found) == (ID if uris else "None")
    assert findings[-1].reason is Reason.CERTIFICATE_MALFORMED
    assert "not marked critical" in findings[-1].seen
    assert ask(leaf)[0] is None
    nameless = world.root.sign(world.draft(subject=_NOBODY))
    assert [f.reason for f in ask(nameless, thorough=True)[1]] == [Reason.SPIFFE_NOT_SINGLE_URI]
    named = world.root.sign(world.draft(names))
    assert "critical" not in ask(named, thorough=True)[1][-1].seen


def test_other_bits_do_not_matter(world: World) -> None:
    """KeyEncipherment and keyAgreement may stand beside digitalSignature."""
    bits = usage("digital_signature", "key_encipherment", "key_agreement")
    assert ask(world.root.sign(world.draft(san(uri=[ID])).plus(bits)))[0] is not None


def test_a_doctor_sees_both_faults(world: World) -> None:
    """A thorough look names the missing ID and the wrong key usage together."""
    leaf = world.root.sign(world.draft().plus(usage("digital_signature", "crl_sign")))
    _, findings = ask(leaf, thorough=True)
    assert [f.reason for f in findings] == [Reason.SPIFFE_NOT_SINGLE_URI, Reason.KEY_USAGE]
    leaf = world.root.sign(world.draft(san(uri=[ID])).plus(usage("crl_sign")))
    found, findings = ask(leaf, thorough=True)
    assert str(found) == ID
    assert [f.reason for f in findings] == [Reason.KEY_USAGE]


def test_an_unreadable_leaf_is_left_to_the_path_check() -> None:
    """Garbage gives no ID and no finding: the check that reads certificates names it."""
    assert ask(b"garbage") == (None, [])


@pytest.mark.parametrize(
    ("uris", "near"),
    [
        (["spiffe://a/ns/prod"], "not for the path itself"),
        (["spiffe://a/NS/PROD"], "only in case"),
        (["spiffe://b/ns/prod"], "another trust domain"),
        (["spiffe://a/ns/production/bot"], "register it"),
        ([], "only URI"),
        (["urn:x"], "only URI"),
        (["spiffe://a/ns/prod/x", "spiffe://a/ns/prod/y"], "only URI"),
    ],
)
def test_near_misses_are_named(uris: list[str], near: str) -> None:
    """A wrong ID is refused as a SAN mismatch, with what it almost was."""
    exam = Examination(thorough=True)
    examine_pattern(
        exam, PresentedNames(_NOBODY, uri=tuple(uris)), parse_pattern("spiffe://a/ns/prod/*")
    )
    assert exam.findings[0].reason is Reason.SAN_MISMATCH
    assert near in exam.findings[0].action


def test_a_match_is_noted() -> None:
    """The finding tells which workload it was, the pattern may hide it."""
    exam = Examination()
    names = PresentedNames(_NOBODY, uri=("spiffe://a/ns/prod/bot",))
    examine_pattern(exam, names, parse_pattern("spiffe://a/ns/prod/*"))
    assert exam.findings == [Finding("name", "spiffe_id spiffe://a/ns/prod/bot")]
