"""Permitted names: what the CAs of one trust set may vouch for, however far their owners would go.

The rule, in two halves, so that one CA cannot vouch for another's names:

1. A certificate is out of bounds when it holds any name of a bounded kind outside that kind's
   patterns (`fault`; checked on every certificate, whatever the client is registered by). Kinds:
   ``dn`` bounds the subject, ``dns`` every dNSName, ``spiffe`` every URI with that scheme.
2. As soon as a set has any pattern, it may vouch only for clients registered by a name of a bounded
   kind inside its patterns (`admits`): a set bounded to DNS names never authenticates a client by
   its subject DN, and no bounded set does by e-mail, IP address or a URI that is no SPIFFE ID.

Inside means: a DN whose RDNs begin, in encoding order, with the pattern's (``CN=bot,O=Acme,C=DE``
is inside ``O=Acme,C=DE``: RFC 4514 writes the beginning last), compared in canonical form; a DNS
name that is the pattern or ends in it after a dot, never a wildcard; a SPIFFE ID of exactly that
trust domain. Names of unbounded kinds are not looked at, nor is the CN as if it were a DNS name:
by half 2 they authenticate nobody. Independent of the name constraints inside CA certificates,
which hold as well.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from app.errors import Finding, Reason
from app.pki import der, dn
from app.pki.spiffe import IdPattern, SpiffeId, is_spiffe_uri, require_trust_domain
from app.pki.subject_match import PresentedNames, SubjectMatch, register

MAX_PATTERNS = 100  # of each kind: every name of a new certificate is compared with all of them


@dataclass(frozen=True, slots=True)
class Permitted:
    """The name bounds of one trust set. Empty: anything.

    Raises ValueError for what is no pattern: a bound not understood must never be one less.
    """

    dn: tuple[bytes, ...] = ()
    """Canonical DER of Names."""
    dns: tuple[str, ...] = ()
    """Lower-case ASCII, no leading dot."""
    spiffe: tuple[str, ...] = ()
    """Trust domains."""

    def __post_init__(self) -> None:
        if max(len(self.dn), len(self.dns), len(self.spiffe)) > MAX_PATTERNS:
            raise ValueError(f"more than {MAX_PATTERNS} permitted names of one kind")
        for name in self.dn:
            _require_canonical(name)
        for domain in self.dns:
            if _dns(domain) != domain:
                raise ValueError(f"the permitted domain {domain[:80]!a} is not in lower case")
        for domain in self.spiffe:
            require_trust_domain(domain)

    def __bool__(self) -> bool:
        return bool(self.dn or self.dns or self.spiffe)

    @property
    def texts(self) -> tuple[str, ...]:
        """The patterns for people; `permit` reads them back."""
        return (
            *(f"dn:{dn.text(dn.read(each))}" for each in self.dn),
            *(f"dns:{each}" for each in self.dns),
            *(f"spiffe:{each}" for each in self.spiffe),
        )

    def admits(self, registered: SubjectMatch | IdPattern) -> bool:
        """Whether the set may vouch for a client registered by this name (half 2 of the rule)."""
        if not self:
            return True
        if isinstance(registered, IdPattern):
            return registered.trust_domain in self.spiffe
        match registered.attribute:
            case "subject_dn":
                return self._holds_dn(registered.value)
            case "san_dns":
                return self._holds_dns(registered.text)
            case "san_uri":
                return self._holds_uri(registered.text)
        return False

    def fault(self, names: PresentedNames) -> str | None:
        """The first name of a bounded kind that is out of bounds, or None (half 1 of the rule)."""
        if self.dn and names.has_subject and not self._holds_dn(names.dn):
            return f"subject {dn.text(dn.read(names.dn))}"
        if self.dns:
            for presented in names.values("san_dns"):
                if not self._holds_dns(text := presented.decode("ascii")):
                    return f"DNS:{text}"
        if self.spiffe:
            for uri in names.uri:
                if is_spiffe_uri(uri) and not self._holds_uri(uri):
                    return f"URI:{uri}"
        return None

    def finding(self, seen: str) -> Finding:
        """The refusal of a name that `fault` or `admits` found out of bounds."""
        return Finding(
            "permitted names",
            seen,
            " or ".join(self.texts),
            "Have the certificate issued by the CA that these names belong to. What each trust set "
            "may vouch for: certbound trust list",
            Reason.NAME_CONSTRAINT,
        )

    def _holds_dn(self, name: bytes) -> bool:
        rdns = _rdns(name)
        return any(rdns[: len(pattern)] == pattern for pattern in map(_rdns, self.dn))

    def _holds_dns(self, name: str) -> bool:
        try:
            register("san_dns", name)
        except ValueError:  # a wildcard, or no DNS name at all
            return False
        return any(name == pattern or name.endswith(f".{pattern}") for pattern in self.dns)

    def _holds_uri(self, uri: str) -> bool:
        try:
            return SpiffeId.parse(uri).trust_domain in self.spiffe
        except ValueError:
            return False

    @property
    def digest(self) -> bytes:
        """SHA-256 over the patterns: a part of the trust set's."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).digest()

    def to_json(self) -> dict[str, list[str]]:
        """As stored: DER in base64, kinds without patterns left out; no bounds are ``{}``."""
        members = {
            "dn": [base64.b64encode(each).decode("ascii") for each in self.dn],
            "dns": list(self.dns),
            "spiffe": list(self.spiffe),
        }
        return {kind: patterns for kind, patterns in members.items() if patterns}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The bounds that `to_json` wrote. Raises ValueError for anything else, unknown kinds too."""
        lists = {kind: _strings(kind, patterns) for kind, patterns in stored.items()}
        if unknown := sorted(lists.keys() - {"dn", "dns", "spiffe"}):
            raise ValueError(f"permitted names of an unknown kind: {', '.join(unknown)}")
        try:
            names = tuple(base64.b64decode(each, validate=True) for each in lists.get("dn", ()))
        except binascii.Error as problem:
            raise ValueError("a permitted DN is not base64") from problem
        return cls(names, lists.get("dns", ()), lists.get("spiffe", ()))


ANYTHING = Permitted()
"""No bounds."""


def permit(*texts: str) -> Permitted:
    """The bounds an operator writes: ``dn:O=Acme,C=DE``, ``dns:acme.example``, ``spiffe:acme.example``.

    Raises ValueError with a message for people.
    """
    found: dict[str, dict[Any, None]] = {"dn": {}, "dns": {}, "spiffe": {}}
    for text in texts:
        kind, colon, value = text.strip().partition(":")
        if not colon or kind not in found:
            raise ValueError(
                f"{text[:80]!a} is no permitted name; write dn:O=Acme,C=DE, dns:acme.example or "
                "spiffe:acme.example"
            )
        try:
            found[kind][_READ[kind](value.strip())] = None
        except ValueError as problem:
            raise ValueError(f"{text[:80]!a}: {problem}") from problem
    return Permitted(tuple(found["dn"]), tuple(found["dns"]), tuple(found["spiffe"]))


def _dns(text: str) -> str:
    if text.startswith(("*.", ".")):
        raise ValueError("write the domain alone: its subdomains are inside it")
    return register("san_dns", text).text


_READ: dict[str, Callable[[str], bytes | str]] = {
    "dn": lambda text: register("subject_dn", text).value,
    "dns": _dns,
    "spiffe": lambda text: require_trust_domain(text.removeprefix("//")),
}


def _rdns(name: bytes) -> list[der.Element]:
    return der.inside(der.single(name), der.SEQUENCE)


def _require_canonical(name: bytes) -> None:
    if not (read := dn.read(name)) or dn.encode(read) != name:
        raise ValueError("a permitted DN is empty or not in canonical form")


def _strings(kind: str, patterns: Any) -> tuple[str, ...]:
    if not isinstance(patterns, list | tuple) or not patterns:
        raise ValueError(f"the permitted names of kind {kind} are not a list with members")
    if not all(isinstance(each, str) for each in patterns):
        raise ValueError(f"a permitted name of kind {kind} is not a string")
    return tuple(patterns)
