"""SPIFFE IDs and what makes a certificate an X.509-SVID (SPIFFE-ID, X509-SVID sections 2 to 5.2).

Guarantees: an ID has exactly one spelling, so equality of IDs is equality of bytes: scheme and
trust domain in lower case, no percent-encoding, port, query, fragment, empty or dot segment, no
trailing slash. A pattern ends in ``/*`` at most, which stands for one or more whole segments.
Does not say who issued the certificate: `examine_svid` reads a leaf that nobody vouches for yet,
so that the anchors of its own trust domain, and no others, can be asked (`app.pki.check`).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from cryptography import x509

from app.errors import Examination, Finding, Reason
from app.pki.leaf import Leaf, read_leaf
from app.pki.subject_match import PresentedNames
from app.pki.verdicts import Verdicts
from app.tls.peer import PeerCertificate

SCHEME = "spiffe://"
MAX_ID = 2048  # bytes; SPIFFE-ID section 2.3
MAX_TRUST_DOMAIN = 255  # bytes; the same
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_TAIL = "/*"
_REMEMBERED = 4096  # IDs by thumbprint, 2 KiB at worst each; as many as app.pki.check has verdicts


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """A valid SPIFFE ID; made by `parse`."""

    trust_domain: str
    path: str
    """Empty for the trust domain itself, else beginning with a slash."""

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}{self.path}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The ID that `text` is, to the byte. Raises ValueError with a message for people."""
        if len(text) > MAX_ID:
            raise ValueError(f"a SPIFFE ID has at most {MAX_ID} bytes")
        if not text.startswith(SCHEME):
            raise ValueError(f"a SPIFFE ID begins with {SCHEME}, in lower case")
        domain, slash, path = text.removeprefix(SCHEME).partition("/")
        require_trust_domain(domain)
        for segment in path.split("/") if slash else ():
            _require_segment(segment)
        return cls(domain, slash + path)


def require_trust_domain(text: str) -> str:
    """`text` itself, a trust domain's name. Raises ValueError with a message for people."""
    if not 0 < len(text) <= MAX_TRUST_DOMAIN or not _TRUST_DOMAIN.fullmatch(text):
        raise ValueError(
            f"a trust domain is 1 to {MAX_TRUST_DOMAIN} of a-z 0-9 . _ - (no upper case, port, "
            f"user or percent-encoding), not {text[:80]!a}"
        )
    return text


def _require_segment(segment: str) -> None:
    if not segment:
        raise ValueError("a SPIFFE ID has no empty path segment and no trailing slash")
    if segment in {".", ".."}:
        raise ValueError("a SPIFFE ID has no dot segments in its path")
    if not _SEGMENT.fullmatch(segment):
        raise ValueError(
            "a path segment of a SPIFFE ID is of A-Z a-z 0-9 . _ - (no percent-encoding, query or "
            f"fragment), not {segment[:80]!a}"
        )


@dataclass(frozen=True, slots=True)
class IdPattern:
    """What a client is registered with: one ID with a path, or all IDs below one (``/*``)."""

    prefix: SpiffeId
    tail: bool
    """Whether whole segments must follow `prefix`; the prefix itself then does not match."""

    def __str__(self) -> str:
        return f"{self.prefix}{_TAIL if self.tail else ''}"

    @property
    def trust_domain(self) -> str:
        """The one trust domain whose IDs can match."""
        return self.prefix.trust_domain

    def matches(self, presented: SpiffeId) -> bool:
        """Whether the client may be this workload."""
        if not self.tail:
            return presented == self.prefix
        return self.is_above(presented)

    def overlaps(self, other: "IdPattern") -> bool:
        """Whether one workload could match both: two clients should not share it unawares."""
        if self.prefix == other.prefix:
            return self.tail == other.tail
        return (self.tail and self.is_above(other.prefix)) or (
            other.tail and other.is_above(self.prefix)
        )

    def is_above(self, other: SpiffeId) -> bool:
        """Whether `other` lies below the prefix by whole segments."""
        return other.trust_domain == self.trust_domain and other.path.startswith(
            self.prefix.path + "/"
        )


@lru_cache(maxsize=4096)  # registered patterns come back at every request
def parse_pattern(text: str) -> IdPattern:
    """``spiffe://domain/path`` or ``spiffe://domain/path/*``. Raises ValueError for people."""
    tail = text.endswith(_TAIL)
    prefix = SpiffeId.parse(text.removesuffix(_TAIL))
    if not tail and not prefix.path:
        raise ValueError(
            f"{text} is a whole trust domain; name a workload below it, or write {text}{_TAIL}"
        )
    return IdPattern(prefix, tail)


def is_spiffe_uri(uri: str) -> bool:
    """Whether a URI claims the scheme, well-formed or not."""
    return uri[:7].lower() == "spiffe:"


_ids: Verdicts[str, SpiffeId] = Verdicts(_REMEMBERED)


def examine_svid(exam: Examination, peer: PeerCertificate) -> SpiffeId | None:
    """Note whether the unverified leaf keeps the rules of a leaf SVID; the ID that it claims.

    None where there is no one valid ID (noted, reason ``spiffe_not_single_uri``), or where the
    leaf cannot be read at all (not noted: `app.pki.check` says so).
    """
    found = _ids.get(peer.thumbprint)
    if found is None:
        try:
            leaf = read_leaf(peer.der)
        except ValueError:
            return None
        found = _claimed_id(exam, leaf.facts.names)
        fault = _usage_fault(leaf) or _subject_fault(leaf)
        if fault is not None:
            exam.note(fault)
        if found is None or fault is not None:
            return found
        _ids.put(peer.thumbprint, found)
    exam.note(Finding("spiffe id", str(found)))
    return found


def _claimed_id(exam: Examination, names: PresentedNames) -> SpiffeId | None:
    fault = f"{len(names.uri)} URIs as subject alternative names"
    if len(names.uri) == 1:
        try:
            claimed = SpiffeId.parse(names.uri[0])
        except ValueError as problem:
            fault = f"{names.uri[0]}: {problem}"
        else:
            if claimed.path:
                return claimed
            fault = f"{claimed}, which names a trust domain and no workload"
    exam.note(
        Finding(
            "spiffe id",
            fault,
            "exactly one URI, a SPIFFE ID with a path (X509-SVID sections 2 and 3.1)",
            "have the workload's SVID issued with its SPIFFE ID as the only URI",
            Reason.SPIFFE_NOT_SINGLE_URI,
        )
    )
    return None


def _usage_fault(leaf: Leaf) -> Finding | None:
    """What X509-SVID section 4.3 asks beyond our leaf policy.

    That one lets keyUsage be absent, and refuses CA certificates (section 4.1) for everybody.
    """
    try:
        extension = leaf.certificate.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        seen = "no key usage"
    else:
        usage = extension.value
        seen = ", ".join(
            ("key usage cRLSign",) * usage.crl_sign
            + ("key usage keyCertSign",) * usage.key_cert_sign
            + ("no digitalSignature",) * (not usage.digital_signature)
            + ("key usage not marked critical",) * (not extension.critical)
        )
        if not seen:
            return None
    return Finding(
        "usage",
        seen,
        "critical key usage digitalSignature, neither keyCertSign nor cRLSign "
        "(X509-SVID section 4.3)",
        "have the SVID issued with keyUsage=critical,digitalSignature",
        Reason.KEY_USAGE,
    )


def _subject_fault(leaf: Leaf) -> Finding | None:
    """X509-SVID section 3.1: without a subject, the names that stand for it are critical."""
    if leaf.facts.subject:
        return None
    try:
        names = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return None  # no name at all, and no ID: that was noted
    if names.critical:
        return None
    return Finding(
        "spiffe id",
        "an empty subject, and subject alternative names not marked critical",
        "a subject, or critical subject alternative names (RFC 5280 section 4.1.2.6)",
        "have the SVID issued with subjectAltName=critical,URI:spiffe://…, or with a subject",
        Reason.CERTIFICATE_MALFORMED,
    )


def examine_pattern(exam: Examination, names: PresentedNames, registered: IdPattern) -> None:
    """Note whether the certificate's one SPIFFE ID is the client's, or below it."""
    seen = ", ".join(names.uri[:5]) or "no URI"
    try:
        presented = SpiffeId.parse(names.uri[0]) if len(names.uri) == 1 else None
    except ValueError:
        presented = None
    if presented is not None and registered.matches(presented):
        exam.note(Finding("name", f"spiffe_id {seen}"))
        return
    exam.note(
        Finding(
            "name",
            f"spiffe_id {seen}",
            f"spiffe_id {registered}",
            _near_miss(presented, registered),
            Reason.SAN_MISMATCH,
        )
    )


def _near_miss(presented: SpiffeId | None, registered: IdPattern) -> str:
    register = "if this workload is the client, register it: certbound client add ID --spiffe-id …"
    if presented is None:
        return "have the workload's SVID issued with its SPIFFE ID as the only URI"
    if presented == registered.prefix:
        return f"{_TAIL} stands for workloads below the path, not for the path itself; {register}"
    if presented.path == registered.prefix.path:
        return f"the same path in another trust domain is another workload; {register}"
    if str(presented).lower() == str(registered.prefix).lower():
        return f"differs only in case; {register}"
    return register
