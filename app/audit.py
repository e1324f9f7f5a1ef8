"""What is written down: one dataclass per event, named noun.verb, with one fixed set of facts.

An entry states which RFC 8705 mechanisms took part, on which certificate, and what was decided.
It claims custody of a key and nothing more: not intent, not approval. No entry ever holds a token,
a private key or a whole certificate.

`body` is what is stored and hashed; the hash chain itself is kept by `app.store.audit`.
"""

import dataclasses
import json
import secrets
from dataclasses import dataclass
from typing import Any, ClassVar

SCHEMA = 1
"""Version of the body's shape; raised when a member changes its meaning."""


def new_ref() -> str:
    """An opaque reference a refused client may quote: 79 random bits, no ambiguous letters."""
    alphabet = "23456789abcdefghjkmnpqrstuvwxyz"
    return "".join(secrets.choice(alphabet) for _ in range(16))


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateEvidence:
    """The presented certificate as the audit names it. Whether it was trusted is said elsewhere."""

    thumbprint: str
    """``x5t#S256``: SHA-256 of the DER, base64url."""
    subject: str | None = None
    """By RFC 4514, as is the issuer; of a refused one cut to 500 characters."""
    issuer: str | None = None
    """Who the certificate says issued it."""
    serial: str | None = None
    """Hexadecimal."""
    not_after: int | None = None
    """Its end, in seconds since the epoch, as all dates in a body."""
    trust_set: str | None = None
    """The trust set whose anchor vouched for it; None for registered or refused certificates."""
    tls_version: str | None = None
    """Of the connection it came on."""
    cipher: str | None = None
    """Of the same."""
    termination: str = "direct"
    """Where TLS ended: ``direct``, a proxy's registered name, or ``reported``: a resource says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every entry may carry. A member that does not apply is None and is not stored."""

    name: ClassVar[str] = "event.recorded"
    schema: ClassVar[int] = SCHEMA

    decision: str = "done"
    """``issued``, ``refused``, ``accepted`` (a token, from its holder) or ``done`` (an act)."""
    reason: str | None = None
    """Why it was refused, a word of docs/refused.md."""
    ref: str | None = None
    """The `error_ref` that the answer gave."""
    client_id: str | None = None
    """The client; of a refusal the one that was claimed."""
    certificate: CertificateEvidence | None = None
    """The certificate concerned; its members below."""
    jti: str | None = None
    """The token concerned."""
    resource: str | None = None
    """The resource concerned."""

    @property
    def thumbprint(self) -> str | None:
        """``x5t#S256`` of the certificate concerned, for the index."""
        return self.certificate.thumbprint if self.certificate else None

    def body(self) -> dict[str, Any]:
        """The entry as plain JSON values, members that are None left out."""
        return {"schema": self.schema, "event": self.name, **_plain(self)}


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is int:  # most members
        return value
    names = _MEMBERS.get(kind) or _members(kind)
    if names:
        return {name: _plain(v) for name in names if (v := getattr(value, name)) is not None}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value


_MEMBERS: dict[type, tuple[str, ...]] = {}


def _members(kind: type) -> tuple[str, ...]:
    """The names of a dataclass's members, looked up once per class; none for other types."""
    if dataclasses.is_dataclass(kind):
        _MEMBERS[kind] = tuple(member.name for member in dataclasses.fields(kind))
    return _MEMBERS.get(kind, ())


def canonical(body: dict[str, Any]) -> bytes:
    """One spelling per body: sorted members, no spaces, UTF-8. This is what the chain hashes."""
    return _encode(body).encode()


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_quote = json.encoder.encode_basestring


def canonical_text(event: Event) -> str:
    """`canonical` of the event's body, for less: spelled from the members, without the body."""
    return _spelled(event)


def _spelled(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return _quote(value)
    if kind is int:
        return str(value)
    labels = _LABELS.get(kind)
    if labels is None:
        labels = _LABELS[kind] = _labels(kind)
    if labels:
        members = [
            label + _spelled(v) for name, label in labels if (v := getattr(value, name)) is not None
        ]
        return f"{{{','.join(members)}}}"
    if kind is tuple or kind is list:
        return f"[{','.join([_spelled(v) for v in value])}]"
    return _encode(value)


_LABELS: dict[type, tuple[tuple[str, str], ...]] = {}


def _labels(kind: type) -> tuple[tuple[str, str], ...]:
    """A dataclass's members in order of their spelling, each with it; none for other types."""
    spelled = {name: name for name in _members(kind)}
    if issubclass(kind, Event):
        spelled |= {"schema": "schema", "event": "name"}
    return tuple((member, f"{_quote(name)}:") for name, member in sorted(spelled.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssued(Event):
    """A token's record was committed; the token left after this entry was on disk."""

    name: ClassVar[str] = "token.issued"

    grant_type: str
    method: str
    """The client authentication method, as registered (RFC 8705 section 2)."""
    mechanisms: tuple[str, ...]
    """Of RFC 8705: ``client_authentication`` (section 2), ``token_binding`` (section 3)."""
    confirmation: str
    """The confirmation method in the token: ``x5t#S256``."""
    token_type: str
    subject: str
    scope: str
    issued_at: int
    expires_at: int
    kid: str
    crossings: tuple[str, ...] | None = None
    """Boundaries that were crossed and only reported: a shared key, a resource of another label."""
    revocation: str | None = None
    """What was not known about revocation, where the trust set's policy let the client in so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRecord:
    """One check of a refused request, as `explain` shows it."""

    check: str
    """What was looked at."""
    seen: str
    """What was there; empty where many differ in it."""
    expected: str = ""
    """What should have been."""
    action: str = ""
    """What to do."""
    reason: str | None = None
    """Set where this check refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused(Event):
    """An endpoint answered with an OAuth error. The reference in the answer finds this entry."""

    name: ClassVar[str] = "request.refused"

    endpoint: str
    error: str
    status: int
    method: str | None = None
    findings: tuple[FindingRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsRefused(RequestRefused):
    """The first of many alike that are counted, not recorded one by one; all got its reference."""

    name: ClassVar[str] = "requests.refused"

    alike: tuple[str, ...]
    """The members in which they are alike; the others are those of the first, or left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsCounted(RequestRefused):
    """How many were refused alike under one reference, the first of them included."""

    name: ClassVar[str] = "requests.counted"

    given_ref: str
    """The reference they got: that of the entry ``requests.refused``."""
    count: int
    """How many."""
    first_at: int
    """When the first was refused."""
    last_at: int
    """When the last was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPresented(Event):
    """A resource or proxy told which certificate a token came with, and was told whose it is.

    `certificate` is the one that came; None: none did. `client_id` is the token's client.
    """

    name: ClassVar[str] = "token.presented"

    reporter: str
    """Who told: the client_id of the resource's server, or ``proxy:`` and its name."""
    verdict: str
    """``holder``, ``other_certificate`` or ``no_certificate``."""
    confirmation: str
    """The confirmation method in the token: ``x5t#S256``."""
    bound_to: str
    """The thumbprint the token is bound to."""
    alike: tuple[str, ...] | None = None
    """The next ones that are alike in these members are counted; they share this reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentationsCounted(TokenPresented):
    """How often a token was presented alike, besides those that have an entry of their own.

    Without `certificate` where `alike` does not name it: it came with many others.
    """

    name: ClassVar[str] = "presentations.counted"

    given_ref: str | None = None
    """The reference they got: that of an entry ``token.presented``."""
    count: int
    """How many."""
    first_at: int
    """When the first of them came."""
    last_at: int
    """When the last did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevoked(Event):
    """A client revoked a token of its own (RFC 7009)."""

    name: ClassVar[str] = "token.revoked"

    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorEvent(Event):
    """Something an operator did with a command; `actor` is the operating-system account."""

    actor: str
    """The operating-system account, or `server`. A claim, not a proof."""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What was done, by names of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAdded(OperatorEvent):
    """A client was registered."""

    name: ClassVar[str] = "client.added"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDisabled(OperatorEvent):
    """A client may not authenticate until enabled."""

    name: ClassVar[str] = "client.disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientEnabled(OperatorEvent):
    """A disabled client may authenticate again."""

    name: ClassVar[str] = "client.enabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRemoved(OperatorEvent):
    """A client and its credentials were removed."""

    name: ClassVar[str] = "client.removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientChanged(OperatorEvent):
    """A client's trust sets, labels or registered name changed."""

    name: ClassVar[str] = "client.changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateAdded(OperatorEvent):
    """A client got one more certificate or key."""

    name: ClassVar[str] = "certificate.added"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateChanged(OperatorEvent):
    """Custody, owner or boundary labels of a registered certificate or key changed."""

    name: ClassVar[str] = "certificate.changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRetired(OperatorEvent):
    """A client's certificate stopped counting."""

    name: ClassVar[str] = "certificate.retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRevoked(OperatorEvent):
    """A client's certificate or key stopped counting, as compromised."""

    name: ClassVar[str] = "certificate.revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateExpiring(OperatorEvent):
    """A certificate in use ends soon; once per threshold. The actor is the server."""

    name: ClassVar[str] = "certificate.expiring"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateDenied(OperatorEvent):
    """A certificate, key, or issuer and serial number went on the deny-list."""

    name: ClassVar[str] = "certificate.denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateAllowed(OperatorEvent):
    """An entry was taken off the deny-list."""

    name: ClassVar[str] = "certificate.allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAdded(OperatorEvent):
    """An anchor joined a trust set."""

    name: ClassVar[str] = "trust.added"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRemoved(OperatorEvent):
    """A trust set was removed."""

    name: ClassVar[str] = "trust.removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleReplaced(OperatorEvent):
    """A trust set's anchors or sequence changed with its SPIFFE bundle; the actor is who loaded it."""

    name: ClassVar[str] = "bundle.replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustChanged(OperatorEvent):
    """A trust set's description, bounds, revocation policy or source changed."""

    name: ClassVar[str] = "trust.changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorRemoved(OperatorEvent):
    """A certificate left a trust set that goes on."""

    name: ClassVar[str] = "anchor.removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlReplaced(OperatorEvent):
    """A certificate revocation list was loaded into a trust set."""

    name: ClassVar[str] = "crl.replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensRevoked(OperatorEvent):
    """Tokens were revoked by an operator: one, a client's, or those bound to a certificate."""

    name: ClassVar[str] = "tokens.revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyAdded(OperatorEvent):
    """A proxy is believed from now on."""

    name: ClassVar[str] = "proxy.added"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyRemoved(OperatorEvent):
    """A proxy is believed no longer."""

    name: ClassVar[str] = "proxy.removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceAdded(OperatorEvent):
    """A resource was registered or changed."""

    name: ClassVar[str] = "resource.added"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRemoved(OperatorEvent):
    """A resource was removed."""

    name: ClassVar[str] = "resource.removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRestored(OperatorEvent):
    """An older copy of the database was taken as it is; every token and signing key before it ended."""

    name: ClassVar[str] = "database.restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAdded(OperatorEvent):
    """A signing key was made and is published as next."""

    name: ClassVar[str] = "key.added"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotated(OperatorEvent):
    """The next signing key became current."""

    name: ClassVar[str] = "key.rotated"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRemoved(OperatorEvent):
    """A retired signing key left the key set."""

    name: ClassVar[str] = "key.removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointsBegun(OperatorEvent):
    """The first checkpoint of this trail was signed. A second such entry means that it was redone."""

    name: ClassVar[str] = "checkpoints.begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCut(OperatorEvent):
    """Older entries were removed; `details` say before when, how many, and where they were kept."""

    name: ClassVar[str] = "audit.cut"


def _events(kind: type[Event]) -> dict[str, type[Event]]:
    found = {kind.name: kind} if "name" in vars(kind) else {}
    for each in kind.__subclasses__():
        found |= _events(each)
    return found


EVENTS = {name: kind for name, kind in _events(Event).items() if kind is not Event}
"""Every event by its name."""
