"""The outline of a certificate, read before any parser works on it: how much is in it, and where.

Guarantees that a certificate with an outline holds at most `MAX_ELEMENTS` DER elements, those
inside its extensions included, so that no parser after this one can be made to build thousands of
objects from a few kilobytes; and that its serial is a positive integer of at most 20 octets, which
`cryptography` only warns about. Judges nothing else. Errors: ValueError.
"""

from typing import NamedTuple

from cryptography.x509.oid import ExtensionOID, ObjectIdentifier

from app.pki import der

# An ordinary certificate has about a hundred, one with a hundred alternative names two hundred.
# An attribute of a name is four, and the dearest of all: 128 of them cost half a millisecond.
MAX_ELEMENTS = 512
_MAX_SERIAL_OCTETS = 20  # RFC 5280 section 4.1.2.2
# The extensions that somebody opens: all that `cryptography` knows, and all of RFC 5280's arcs,
# for OpenSSL knows some more. Others are carried as they stand, DER or not, and cost nothing.
_OPENED = frozenset(
    der.oid_content(known.dotted_string)
    for known in vars(ExtensionOID).values()
    if isinstance(known, ObjectIdentifier)
)
_ARCS = (der.oid_content("2.5.29"), der.oid_content("1.3.6.1.5.5.7.1"))


class Outline(NamedTuple):
    """The raw parts of a certificate that are compared or judged as bytes."""

    serial: bytes
    """Content octets."""
    issuer: bytes
    """The issuer's Name as encoded."""
    subject: bytes
    """The subject's Name as encoded."""
    elements: int
    """How many DER elements the certificate holds, opened extensions included."""


def read_outline(encoded: bytes) -> Outline:
    """The outline of one DER certificate. Raises ValueError."""
    elements = der.count(encoded, MAX_ELEMENTS)
    certificate = der.inside(der.single(encoded), der.SEQUENCE)
    fields = der.inside(certificate[0], der.SEQUENCE) if certificate else []
    match fields:
        case [
            der.Element(der.VERSION),
            der.Element(der.INTEGER) as serial,
            _,
            issuer,
            _,
            subject,
            _,
            *rest,
        ]:
            pass
        case [der.Element(der.INTEGER), *_]:
            raise ValueError("an X.509 v1 certificate; version 3 is needed")
        case _:
            raise ValueError("not the outline of a certificate")
    number = serial.content
    if not number or len(number) > _MAX_SERIAL_OCTETS or number[0] & 0x80 or not any(number):
        raise ValueError("the serial number is not a positive integer of at most 20 octets")
    for field in rest:
        if field.tag == der.EXTENSIONS:
            elements = _with_extensions(field, elements)
    return Outline(number, issuer.encoded, subject.encoded, elements)


def _with_extensions(field: der.Element, elements: int) -> int:
    """`elements` and those inside the extensions that somebody opens."""
    for extension in der.inside(der.single(field.content), der.SEQUENCE):
        match der.inside(extension, der.SEQUENCE):
            case [der.Element(der.OID) as kind, *_, der.Element(der.OCTET_STRING) as value]:
                if kind.content in _OPENED or kind.content.startswith(_ARCS):
                    elements += der.count(value.content, MAX_ELEMENTS)
                if elements > MAX_ELEMENTS:
                    raise ValueError(f"more than {MAX_ELEMENTS} DER elements")
            case _:
                raise ValueError("not the outline of an extension")
    return elements
