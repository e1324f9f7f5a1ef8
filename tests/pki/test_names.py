"""The five subject attributes: registering, offering, comparing, telling near misses."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Examination, Reason, Refused
from app.pki import names
from app.pki.check import describe
from app.pki.names import PresentedNames, SubjectMatch, register
from tests.kit.ca import name, san
from tests.kit.world import World

_WORLD = World()


def presented(subject: bytes, **sans: Any) -> PresentedNames:
    """The names of a real certificate."""
    draft = _WORLD.draft(*([san(**sans)] if sans else []), subject=subject)
    return describe(_WORLD.root.sign(draft)).names


def outcome(found: PresentedNames, attribute: str, text: str) -> tuple[Reason | None, str]:
    """Reason of the name finding, and what was seen."""
    exam = Examination(thorough=True)
    names.examine_name(exam, found, register(attribute, text))
    assert [finding.check for finding in exam.findings] == ["name"]
    return exam.findings[0].reason, exam.findings[0].seen


@pytest.mark.parametrize(
    ("attribute", "text", "value"),
    [
        ("san_dns", " Bot.Example ", b"bot.example"),
        ("san_dns", "xn--bcher-kva.example", b"xn--bcher-kva.example"),
        ("san_dns", "_svc.example", b"_svc.example"),
        ("san_uri", "spiffe://Kit/Bot", b"spiffe://Kit/Bot"),
        ("san_uri", "urn:uuid:1", b"urn:uuid:1"),
        ("san_ip", "10.0.0.1", b"\x0a\0\0\1"),
        ("san_ip", "2001:DB8:0::1", bytes.fromhex("20010db8000000000000000000000001")),
        ("san_ip", "::ffff:10.0.0.1", bytes(10) + b"\xff\xff\x0a\0\0\1"),
        ("san_email", "Bot@Example.COM", b"Bot@example.com"),
    ],
)
def test_canonical_values(attribute: str, text: str, value: bytes) -> None:
    """What is stored is the canonical form, and its text registers the same again."""
    match = register(attribute, text)
    assert match == SubjectMatch(attribute, value)
    assert register(attribute, match.text) == match


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        ("san_dns", "*.example"),
        ("san_dns", "bot.example."),
        ("san_dns", ".example"),
        ("san_dns", "bücher.example"),
        ("san_dns", "a b"),
        ("san_dns", "bot@example"),
        ("san_dns", "-x.example"),
        ("san_dns", "x" * 64),
        ("san_dns", ".".join(["x" * 60] * 5)),
        ("san_dns", ""),
        ("san_dns", "\u212aelvin"),
        ("san_uri", "bot.example"),
        ("san_uri", "//bot.example"),
        ("san_uri", "urn:a b"),
        ("san_uri", "urn:é"),
        ("san_uri", "urn:" + "x" * 3000),
        ("san_ip", "10.0.0.0/8"),
        ("san_ip", "010.0.0.1"),
        ("san_ip", "fe80::1%eth0"),
        ("san_ip", "host"),
        ("san_email", "bot"),
        ("san_email", "@example.com"),
        ("san_email", "a b@example.com"),
        ("san_email", "a@b@example.com"),
        ("san_email", "bot@*.example"),
        ("san_email", "bot@"),
        ("san_uri", "urn:a\x00b"),
        ("subject_dn", ""),
        ("subject_cn", "bot"),
    ],
)
def test_what_cannot_be_registered(attribute: str, text: str) -> None:
    """Wildcards, trailing dots, networks, half names: refused with words."""
    with pytest.raises(ValueError, match=r".{10}"):
        register(attribute, text)


@settings(max_examples=200)
@given(
    st.sampled_from(names.ATTRIBUTES),
    st.text(alphabet=st.sampled_from("aB1.-_@:/*%é\x00 =,"), max_size=20),
)
def test_registering_raises_nothing_else(attribute: str, text: str) -> None:
    """Any text registers, and then reads back, or raises ValueError."""
    try:
        match = register(attribute, text)
    except ValueError:
        return
    assert register(attribute, match.text) == match
    assert names.collision_key(match).startswith(attribute + ":")


def test_candidates_are_offered_narrowest_first() -> None:
    """URI, DNS, e-mail, IP, DN; nothing that registration would refuse; nothing twice."""
    found = presented(
        _WORLD.bot,
        dns=["*.kit.example", "Bot.Kit.example", "bot.kit.example", "x."],
        uri=["spiffe://kit/bot", "no-scheme"],
        ip=["10.0.0.1"],
        email=["bot@kit.example", "nobody"],
    )
    assert [(each.attribute, each.text) for each in names.candidates(found)] == [
        ("san_uri", "spiffe://kit/bot"),
        ("san_dns", "bot.kit.example"),
        ("san_email", "bot@kit.example"),
        ("san_ip", "10.0.0.1"),
        ("subject_dn", "CN=bot,O=Kit,C=US"),
    ]


def test_no_names_no_candidates() -> None:
    """An empty subject is not a name."""
    assert names.candidates(presented(name(), dns=["*"])) == []


def test_one_equal_name_among_many_suffices() -> None:
    """RFC 8705 asks for a match, not for the only name."""
    found = presented(_WORLD.bot, dns=["a.example", "BOT.example", "z.example"])
    assert outcome(found, "san_dns", "bot.EXAMPLE")[0] is None


@pytest.mark.parametrize(
    ("subject", "says"),
    [
        (name(("CN", "bot"), ("O", "Kit"), ("C", "US")), "same attributes in the other order"),
        (name(("O", "Kit"), ("C", "US"), ("CN", "bot")), "grouped or ordered otherwise"),
        (name(("C", "US"), ("O", "KIT"), ("CN", "bot ")), "only in case, blanks"),
        (name(("C", "US"), ("CN", "bot")), "lacks O=Kit"),
        (name(("C", "US"), ("O", "Kit"), ("OU", "x"), ("CN", "bot")), "has besides OU=x"),
        (name(), "subject is empty"),
    ],
)
def test_near_misses_of_a_dn(subject: bytes, says: str) -> None:
    """The operator reads what differs, not only that something does."""
    reason, seen = outcome(presented(subject, dns=["x.example"]), "subject_dn", "CN=bot,O=Kit,C=US")
    assert reason is Reason.DN_MISMATCH
    assert says in seen


@pytest.mark.parametrize(
    ("sans", "attribute", "text", "says"),
    [
        ({"uri": ["urn:x"]}, "san_uri", "URN:x", "only in case"),
        ({"uri": ["urn:x/"]}, "san_uri", "urn:x", "trailing dot or slash"),
        ({"dns": ["*.kit.example"]}, "san_dns", "bot.kit.example", "wildcard"),
        ({"ip": ["::ffff:10.0.0.1"]}, "san_ip", "10.0.0.1", "two addresses"),
        ({"dns": ["urn:x"]}, "san_uri", "urn:x", "as san_dns, not as san_uri"),
        ({"dns": ["y"]}, "san_dns", "bot", "in its subject"),
        ({"dns": ["y.example"]}, "san_email", "a@y.example", "no san_email in the certificate"),
    ],
)
def test_near_misses_of_a_san(
    sans: dict[str, list[str]], attribute: str, text: str, says: str
) -> None:
    """Type confusion, case, dots and wildcards are named."""
    reason, seen = outcome(presented(_WORLD.bot, **sans), attribute, text)
    assert reason is Reason.SAN_MISMATCH
    assert says in seen


def test_the_suggested_command_is_safe_to_paste() -> None:
    """A stranger's words never enter a command."""
    subject = name(("CN", "$(touch /tmp/x)'; rm -rf ~ #"))
    exam = Examination(thorough=True)
    names.examine_name(exam, presented(subject), register("subject_dn", "CN=bot"))
    command = exam.findings[0].action.partition("the client's: ")[2]
    assert command == "certbound client match ID --cert FILE"


def test_a_mismatch_ends_the_login() -> None:
    """Outside the doctor the first failure raises."""
    with pytest.raises(Refused):
        names.examine_name(Examination(), presented(_WORLD.bot), register("san_dns", "x"))


@pytest.mark.parametrize(
    ("attribute", "one", "other", "collide"),
    [
        ("subject_dn", "CN=Bot  One,O=Kit", "CN=bot one,O=KIT", True),
        ("subject_dn", "CN=\uff42ot", "CN=bot", True),
        ("subject_dn", "CN=a+UID=1", "UID=1+CN=A", True),
        ("subject_dn", "CN=a,O=b", "O=b,CN=a", False),
        ("subject_dn", "CN=a,O=b", "CN=a\\,O\\=b", False),
        ("san_uri", "spiffe://a/B", "SPIFFE://a/b", True),
        ("san_email", "Bot@a.example", "bot@a.example", True),
        ("san_ip", "10.0.0.1", "::ffff:10.0.0.1", False),
    ],
)
def test_look_alike_registrations_collide(
    attribute: str,
    one: str,
    other: str,
    collide: bool,  # noqa: FBT001 - the expected answer
) -> None:
    """Two registrations that people would read as one share a key; different ones do not."""
    keys = {names.collision_key(register(attribute, text)) for text in (one, other)}
    assert (len(keys) == 1) is collide


def test_types_do_not_collide() -> None:
    """The same value as DNS name and as URI is two registrations."""
    assert names.collision_key(register("san_dns", "a")) != names.collision_key(
        register("subject_dn", "CN=a")
    )
