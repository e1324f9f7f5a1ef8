"""Distinguished names are compared as structure."""

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from app.pki import der, dn, dn_text
from app.pki.characters import forbidden
from tests.kit.ca import BMP, IA5, PRINTABLE, TELETEX, UNIVERSAL, UTF8, name

_TEXT = st.text(min_size=1, max_size=20).filter(lambda text: forbidden(text) is None)
_OIDS = st.sampled_from(["2.5.4.3", "2.5.4.10", "0.9.2342.19200300.100.1.25", "1.2.3.4.5"])
_NUMBERS = st.integers(0, 255).map(lambda value: b"\x02\x02\x00" + bytes((value | 0x80,)))
_ATTRIBUTES = st.builds(dn.Attribute, _OIDS, st.one_of(_TEXT, _NUMBERS))
_RDNS = st.lists(_ATTRIBUTES, min_size=1, max_size=3, unique=True).map(tuple)
_NAMES = st.lists(_RDNS, min_size=1, max_size=5).map(tuple)


def canonical(encoded: bytes) -> bytes:
    """Canonical DER of a DER name."""
    return dn.encode(dn.read(encoded))


@settings(max_examples=200)
@given(_NAMES)
def test_text_and_der_round_trip(structure: dn.Name) -> None:
    """RFC 4514 text parses back to the same name, and canonical DER reads back to itself."""
    encoded = dn.encode(structure)
    assert dn.encode(dn_text.parse(dn.text(structure))) == encoded
    assert canonical(encoded) == encoded


@settings(max_examples=100)
@given(_NAMES)
def test_cryptography_writes_the_same(structure: dn.Name) -> None:
    """An independent builder writes our canonical DER octet for octet."""
    values = [[a for a in rdn if isinstance(a.value, str)] for rdn in structure]
    kept = tuple(tuple(rdn) for rdn in values if rdn)
    # A Name alone has no loader there, so it travels as a directoryName.
    san = der.encode(der.SEQUENCE, der.encode(0xA4, dn.encode(kept)))
    read = x509.SubjectAlternativeName([x509.DirectoryName(_name_of(kept))])
    assert read.public_bytes() == san


def _name_of(structure: dn.Name) -> x509.Name:
    return x509.Name(
        x509.RelativeDistinguishedName(
            x509.NameAttribute(
                x509.ObjectIdentifier(a.oid), str(a.value), x509.name._ASN1Type.UTF8String
            )
            for a in rdn
        )
        for rdn in structure
    )


@pytest.mark.parametrize("tag", [UTF8, PRINTABLE, TELETEX, IA5, UNIVERSAL, BMP])
def test_string_types_do_not_matter(tag: int) -> None:
    """The same text in any string type is the same name."""
    assert canonical(name(("CN", "bot 1", tag))) == canonical(name(("CN", "bot 1")))


def test_wide_characters_agree() -> None:
    """Beyond ASCII too, where the type can hold it."""
    names = {canonical(name(("CN", "Zürich €", tag))) for tag in (UTF8, UNIVERSAL, BMP)}
    assert len(names) == 1


@pytest.mark.parametrize(
    "other",
    [
        name(("CN", "bot"), ("O", "Kit")),
        name([("O", "Kit"), ("CN", "bot")]),
        name(("O", "Kit"), ("CN", "Bot")),
        name(("O", "Kit"), ("CN", "bot ")),
        name(("O", "Kit"), ("CN", "bot"), ("CN", "bot")),
        name(("O", "Kit")),
        name(),
    ],
    ids=["order", "grouping", "case", "blank", "repetition", "missing", "empty"],
)
def test_what_makes_another_name(other: bytes) -> None:
    """Order, grouping, case, blanks and number of attributes all count."""
    assert canonical(name(("O", "Kit"), ("CN", "bot"))) != canonical(other)


def test_order_inside_one_rdn_does_not_matter() -> None:
    """An RDN is a set, also for an encoder that forgot to sort it."""
    a, b = ("CN", "bot"), ("UID", "1")
    assert dn.encode(dn_text.parse("CN=bot+UID=1")) == dn.encode(dn_text.parse("UID=1+CN=bot"))
    assert canonical(name([a, b])) == dn.encode(dn_text.parse("UID=1+CN=bot"))


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x30",
        b"\x31\x00",
        der.encode(der.SEQUENCE, b"\x31\x00"),
        der.encode(der.SEQUENCE, der.encode(der.SET, b"\x30\x00")),
        der.encode(der.SEQUENCE, der.encode(der.SET, b"\x30\x03\x06\x01\x55")),
        name(("CN", b"\xff")),
        name(("CN", b"a_b", PRINTABLE)),
        name(("CN", b"12x", 0x12)),
        name(("CN", b"\xe9", TELETEX)),
        name(("CN", b"\xe9", IA5)),
        name(("CN", b"\xd8\x00\xdc\x00", BMP)),
        name(("CN", b"\x00\x11\x00\x00", UNIVERSAL)),
        name(("CN", "a\u200bb")),
    ],
)
def test_ill_formed_names_are_refused(encoded: bytes) -> None:
    """Structure, string encodings and characters: each fault raises ValueError."""
    with pytest.raises(ValueError, match=r"."):
        dn.read(encoded)
    assert dn.shown(encoded) == "#" + encoded.hex()


def test_text_tells_a_comma_from_a_separator() -> None:
    """One CN that spells two RDNs looks different from two RDNs."""
    assert dn.text(dn.read(name(("CN", "x,O=Admin")))) == "CN=x\\,O\\=Admin"
    assert dn.text(dn.read(name(("O", "Admin"), ("CN", "x")))) == "CN=x,O=Admin"
