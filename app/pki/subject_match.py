"""The five subject attributes of RFC 8705 section 2.1.2 in canonical form.

Guarantees: two values of one attribute are the same name exactly when their canonical bytes are
equal: the DN by OID and value in RDN order, a dNSName without ASCII case, a URI byte for byte, an
address octet for octet, an e-mail address with its domain without ASCII case.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from app.pki import dn, dn_text
from app.pki.characters import forbidden

ATTRIBUTES = ("subject_dn", "san_dns", "san_uri", "san_ip", "san_email")

MAX_URI = 2048  # bytes, the SPIFFE ID limit; other URIs in certificates are shorter still
_MAX_EMAIL = 254  # RFC 5321 errata 1690
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+\Z")  # RFC 3986: a scheme, then visible ASCII
_LOCAL_PART = re.compile(r"[!-?A-~]{1,64}\Z")  # visible ASCII without @


@dataclass(frozen=True, slots=True)
class SubjectMatch:
    """One registered value in canonical form; made by `register` or read back from the store."""

    attribute: str
    """One of `ATTRIBUTES`."""
    value: bytes
    """DER of the canonical Name; lower-case ASCII; URI bytes; 4 or 16 octets; e-mail bytes."""

    @property
    def text(self) -> str:
        """The value for people; `register` reads it back."""
        if self.attribute == "subject_dn":
            return _dn_text(self.value)
        if self.attribute == "san_ip":
            return str(ip_address(self.value))
        return self.value.decode("ascii")


@dataclass(frozen=True, slots=True)
class PresentedNames:
    """Every name of one certificate that RFC 8705 can match, in the certificate's order."""

    dn: bytes
    """Canonical DER of the subject; an empty subject is an empty SEQUENCE."""
    dns: tuple[str, ...] = ()
    uri: tuple[str, ...] = ()
    ip: tuple[bytes, ...] = ()
    email: tuple[str, ...] = ()

    @property
    def has_subject(self) -> bool:
        """Whether the subject holds any attribute at all."""
        return len(self.dn) > 2  # noqa: PLR2004 - an empty SEQUENCE is two octets

    def values(self, attribute: str) -> list[bytes]:
        """Canonical values of one attribute. What cannot be canonical (no ``@``) is left out."""
        match attribute:
            case "subject_dn":
                return [self.dn] if self.has_subject else []
            case "san_dns":
                return [_ascii_lower(value).encode() for value in self.dns]
            case "san_uri":
                return [value.encode() for value in self.uri]
            case "san_ip":
                return list(self.ip)
            case "san_email":
                return [_email(value).encode() for value in self.email if "@" in value]
        raise ValueError(f"{attribute} is not a subject attribute of RFC 8705")

    def described(self) -> list[str]:
        """The SANs for people: ``URI:spiffe://…``, ``DNS:…``, ``IP:…``, ``email:…``."""
        return [
            *(f"URI:{value}" for value in self.uri),
            *(f"DNS:{value}" for value in self.dns),
            *(f"IP:{ip_address(value)}" for value in self.ip),
            *(f"email:{value}" for value in self.email),
        ]


@lru_cache(maxsize=1024)  # registered names come back at every request; rendering takes 25 µs
def _dn_text(value: bytes) -> str:
    return dn.text(dn.read(value))


def register(attribute: str, text: str) -> SubjectMatch:
    """The match a person asks for. Raises ValueError with a message for people."""
    if attribute not in _REGISTER:
        raise ValueError(f"{attribute} is not a subject attribute of RFC 8705")
    if len(text) > dn_text.MAX_TEXT:
        raise ValueError(f"more than {dn_text.MAX_TEXT} characters")
    if attribute != "subject_dn" and (bad := forbidden(text)) is not None:
        raise ValueError(f"the value holds the invisible or control character {bad}")
    return SubjectMatch(attribute, _REGISTER[attribute](text))


def candidates(names: PresentedNames) -> list[SubjectMatch]:
    """What a certificate could be registered by, narrowest first: URI, DNS, e-mail, IP, DN.

    Holds only values that `register` takes: never a wildcard or an empty name.
    """
    return list(dict.fromkeys(_offered(names)))


def has_candidate(names: PresentedNames) -> bool:
    """Whether `candidates` would offer anything, without looking further than the first."""
    return next(_offered(names), None) is not None


def _offered(names: PresentedNames) -> Iterator[SubjectMatch]:
    for attribute in ("san_uri", "san_dns", "san_email", "san_ip", "subject_dn"):
        for value in names.values(attribute):
            match = SubjectMatch(attribute, value)
            try:
                takes = register(attribute, match.text) == match
            except ValueError:
                continue
            if takes:
                yield match


def collision_key(match: SubjectMatch) -> str:
    """A spelling-blind form: two registrations with equal keys look alike to people.

    RFC 4518 in spirit: compatibility forms, case and runs of blanks are folded. Only for refusing
    a second registration in the same trust set; authentication never uses it.
    """
    if match.attribute == "subject_dn":
        rdns = [
            "+".join(sorted(f"{a.oid}={_prepared(a.value)!r}" for a in rdn))
            for rdn in dn.read(match.value)
        ]
        return "subject_dn:" + ",".join(rdns)
    if match.attribute == "san_ip":
        return f"san_ip:{match.value.hex()}"
    return f"{match.attribute}:{_prepared(match.value.decode('ascii'))}"


def _register_dn(text: str) -> bytes:
    return dn.encode(dn_text.parse(text))


def _register_dns(text: str) -> bytes:
    name = text.strip()
    if "*" in name:
        raise ValueError("a wildcard never matches a client certificate; register the whole name")
    if not name.isascii():
        raise ValueError("write an internationalised name as its A-label (xn--…)")
    if name.endswith("."):
        raise ValueError("a DNS name in a certificate has no trailing dot")
    if not _DNS.match(name := _ascii_lower(name)):
        raise ValueError(f"{name[:80]!r} is not a DNS name")
    return name.encode()


def _register_uri(text: str) -> bytes:
    uri = text.strip()
    if len(uri) > MAX_URI or not _URI.match(uri):
        raise ValueError("a URI begins with a scheme (spiffe://…, urn:…), is ASCII without blanks")
    return uri.encode()


def _register_ip(text: str) -> bytes:
    try:
        address = ip_address(text.strip())
    except ValueError:
        raise ValueError("one IP address, neither a network nor a host name") from None
    if getattr(address, "scope_id", None):
        raise ValueError("an IP address in a certificate has no zone")
    return address.packed


def _register_email(text: str) -> bytes:
    local, at, domain = text.strip().rpartition("@")
    if not at or len(text) > _MAX_EMAIL or not _LOCAL_PART.match(local):
        raise ValueError("an e-mail address is local@domain, ASCII, without blanks or quotes")
    return f"{local}@".encode() + _register_dns(domain)


_REGISTER = {
    "subject_dn": _register_dn,
    "san_dns": _register_dns,
    "san_uri": _register_uri,
    "san_ip": _register_ip,
    "san_email": _register_email,
}


def _ascii_lower(text: str) -> str:
    """Lower case for A-Z alone: `str.lower` would also fold U+212A KELVIN SIGN to k."""
    return text.translate(_LOWER)


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _email(text: str) -> str:
    local, _, domain = text.rpartition("@")
    return f"{local}@{_ascii_lower(domain)}"


def _prepared(value: str | bytes) -> str:
    if isinstance(value, bytes):
        return "#" + value.hex()
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
