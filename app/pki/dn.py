"""Distinguished names as structure: OIDs and values, never text.

Guarantees: two Names have the same canonical DER exactly when they hold the same attributes with
the same values in the same RDN order, whatever string types encode them (UTF8, Printable, BMP,
Teletex, Universal, IA5, Visible, Numeric); inside one RDN order does not matter (X.501). Case,
spaces and Unicode normal forms are *not* folded: "Acme" and "ACME" are two names.
Canonical form: every string as UTF8String, SET OF in DER order. Errors: ValueError.
"""

from typing import NamedTuple

from app.pki import der
from app.pki.attribute_types import keyword_of
from app.pki.characters import require_visible

# Names in the field have about ten attributes. Reading costs some 10 µs each, also for strangers.
MAX_ATTRIBUTES = 256

_NUMERIC = frozenset("0123456789 ")
# X.680 41.4. Common lies inside PrintableString (@ _ * &) are refused: ill-formed is ill-formed.
_PRINTABLE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")
_UTF8, _NUMERIC_STRING, _PRINTABLE_STRING, _TELETEX = 0x0C, 0x12, 0x13, 0x14
_IA5, _VISIBLE, _UNIVERSAL, _BMP = 0x16, 0x1A, 0x1C, 0x1E
_CODECS = {
    _UTF8: "utf-8",
    _NUMERIC_STRING: "ascii",
    _PRINTABLE_STRING: "ascii",
    # T.61 and Latin-1 readings of the upper half both exist in the field. Two readings are no
    # identity, so only the half they agree on is taken.
    _TELETEX: "ascii",
    _IA5: "ascii",
    _VISIBLE: "ascii",
    _UNIVERSAL: "utf-32-be",
    _BMP: "utf-16-be",
}


_ESCAPED = {ord(c): "\\" + c for c in '"+,;<>\\='}  # RFC 4514 section 2.4


class Attribute(NamedTuple):
    """One AttributeTypeAndValue. `value` is text, or the DER of a value that is no string."""

    oid: str
    value: str | bytes


Rdn = tuple[Attribute, ...]
Name = tuple[Rdn, ...]
"""RDNs in encoding order (country first, as a rule), the reverse of how RFC 4514 writes them."""


def read(name_der: bytes) -> Name:
    """The structure of a DER Name. Refuses ill-formed strings and invisible characters."""
    pairs = [der.inside(rdn, der.SET) for rdn in der.inside(der.single(name_der), der.SEQUENCE)]
    if sum(map(len, pairs)) > MAX_ATTRIBUTES:
        raise ValueError(f"a distinguished name of more than {MAX_ATTRIBUTES} attributes")
    if not all(pairs):
        raise ValueError("empty relative distinguished name")
    return tuple(tuple(map(_attribute, rdn)) for rdn in pairs)


def value_of(element: der.Element) -> str | bytes:
    """An attribute value: its text for the string types, else its DER as it stands."""
    codec = _CODECS.get(element.tag)
    if codec is None:
        return element.encoded
    try:
        text = element.content.decode(codec)
    except UnicodeDecodeError as problem:
        raise ValueError("ill-formed string in a distinguished name") from problem
    if element.tag == _BMP and len(text) * 2 != len(element.content):
        raise ValueError("surrogates in a BMPString")  # UCS-2 has none
    if element.tag == _PRINTABLE_STRING and not _PRINTABLE.issuperset(text):
        raise ValueError("character outside PrintableString in a distinguished name")
    if element.tag == _NUMERIC_STRING and not _NUMERIC.issuperset(text):
        raise ValueError("character outside NumericString in a distinguished name")
    return require_visible(text, "a distinguished name")


def encode(name: Name) -> bytes:
    """Canonical DER of a Name: what is stored, and what is compared."""
    return der.encode(der.SEQUENCE, b"".join(_encoded_rdn(rdn) for rdn in name))


def text(name: Name) -> str:
    r"""RFC 4514, most specific RDN first, for people: ``CN=x\,O\=Admin,C=US``. Parses back."""
    return ",".join("+".join(map(_assertion, _ordered(rdn))) for rdn in reversed(name))


def shown(name_der: bytes) -> str:
    """Any Name for people, even one that `read` refuses: then ``#`` and its DER in hex."""
    try:
        return text(read(name_der))
    except ValueError:
        return "#" + name_der.hex()


def _attribute(pair: der.Element) -> Attribute:
    match der.inside(pair, der.SEQUENCE):
        case [der.Element(der.OID) as oid, value]:
            return Attribute(der.oid_text(oid.content), value_of(value))
    raise ValueError("ill-formed attribute in a distinguished name")


def _encoded_attribute(attribute: Attribute) -> bytes:
    value = attribute.value
    if isinstance(value, str):
        value = der.encode(der.UTF8_STRING, value.encode())
    oid = der.encode(der.OID, der.oid_content(attribute.oid))
    return der.encode(der.SEQUENCE, oid + value)


def _ordered(rdn: Rdn) -> list[Attribute]:
    return list(rdn) if len(rdn) == 1 else sorted(rdn, key=_encoded_attribute)


def _encoded_rdn(rdn: Rdn) -> bytes:
    return der.encode(der.SET, b"".join(map(_encoded_attribute, _ordered(rdn))))


def _assertion(attribute: Attribute) -> str:
    keyword, value = keyword_of(attribute.oid), attribute.value
    if isinstance(value, bytes):
        return f"{keyword}=#{value.hex()}"
    escaped = value.translate(_ESCAPED)
    if escaped[:1] in {"#", " "}:
        escaped = "\\" + escaped
    if len(value) > 1 and value.endswith(" "):
        escaped = escaped[:-1] + "\\ "
    return f"{keyword}={escaped}"
