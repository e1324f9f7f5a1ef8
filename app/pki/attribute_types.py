"""Attribute types of distinguished names: which keyword means which OID (RFC 4514, X.520, CA/B Forum).

Keywords are looked up without case. The first keyword of an OID is the one printed.
"""

import difflib
import re

_TYPES: dict[str, tuple[str, ...]] = {
    "2.5.4.3": ("CN", "commonName"),
    "2.5.4.4": ("SN", "surname"),
    "2.5.4.5": ("serialNumber",),
    "2.5.4.6": ("C", "countryName", "country"),
    "2.5.4.7": ("L", "localityName", "locality"),
    "2.5.4.8": ("ST", "S", "stateOrProvinceName"),
    "2.5.4.9": ("STREET", "streetAddress"),
    "2.5.4.10": ("O", "organizationName", "organization"),
    "2.5.4.11": ("OU", "organizationalUnitName", "organizationalUnit"),
    "2.5.4.12": ("title", "T"),
    "2.5.4.13": ("description",),
    "2.5.4.15": ("businessCategory",),
    "2.5.4.17": ("postalCode",),
    "2.5.4.20": ("telephoneNumber",),
    "2.5.4.41": ("name",),
    "2.5.4.42": ("givenName", "GN", "G"),
    "2.5.4.43": ("initials",),
    "2.5.4.44": ("generationQualifier",),
    "2.5.4.45": ("x500UniqueIdentifier",),
    "2.5.4.46": ("dnQualifier",),
    "2.5.4.65": ("pseudonym",),
    "2.5.4.97": ("organizationIdentifier",),
    "0.9.2342.19200300.100.1.1": ("UID", "userId"),
    "0.9.2342.19200300.100.1.25": ("DC", "domainComponent"),
    "1.2.840.113549.1.9.1": ("emailAddress", "E", "Email"),
    "1.2.840.113549.1.9.2": ("unstructuredName",),
    "1.3.6.1.4.1.311.60.2.1.1": ("jurisdictionL", "jurisdictionLocalityName"),
    "1.3.6.1.4.1.311.60.2.1.2": ("jurisdictionST", "jurisdictionStateOrProvinceName"),
    "1.3.6.1.4.1.311.60.2.1.3": ("jurisdictionC", "jurisdictionCountryName"),
}
_BY_KEYWORD = {word.lower(): oid for oid, words in _TYPES.items() for word in words}
_DOTTED = re.compile(r"(?:0|[1-9][0-9]{0,15})(?:\.(?:0|[1-9][0-9]{0,15})){1,19}\Z")


def oid_of(keyword: str) -> str:
    """The OID a person meant: a keyword in any case, ``2.5.4.3`` or ``OID.2.5.4.3``. Raises ValueError."""
    if (oid := _BY_KEYWORD.get(keyword.lower())) is not None:
        return oid
    dotted = keyword[4:] if keyword[:4].lower() == "oid." else keyword
    if _DOTTED.match(dotted):
        return dotted
    near = difflib.get_close_matches(keyword.lower(), _BY_KEYWORD, 1)
    hint = f"did you mean {near[0]}?" if near else "write it as a dotted OID, for example 2.5.4.3"
    raise ValueError(f"unknown attribute type {keyword[:40]!r}: {hint}")


def keyword_of(oid: str) -> str:
    """How an OID is printed: its keyword, or the OID itself."""
    return _TYPES[oid][0] if oid in _TYPES else oid
