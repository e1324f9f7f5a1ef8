"""What the audit says of one token or one certificate, gathered for the note about an incident.

Guarantees that everything told stands in an entry or a row that is named. It says who proved the
key of which certificate, where, and what was decided. It says nothing of intent or approval, and
nothing of presentations that no resource or proxy reported.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app import clock
from app.admin.audit_search import Progress, search
from app.admin.denials_told import MOST, denials_of, names_of
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.thumbprints import thumbprint_of
from app.admin.token_revocation import require_no_token
from app.audit import PresentationsCounted, TokenPresented
from app.store import denied, tokens, uses
from app.store.audit import AuditRow, Wanted
from app.store.denied import DeniedRow
from app.store.tokens import Outstanding, TokenRow
from app.store.told import told
from app.store.uses import UseRow

_JTI_LENGTH = (1, 255)
PRESENTED = (TokenPresented.name, PresentationsCounted.name)


@dataclass(slots=True)
class Seen:
    """Presentations of one verdict, from one certificate, told by one reporter."""

    verdict: str
    thumbprint: str | None
    subject: str | None
    reporter: str
    termination: str | None
    count: int = 0
    first_ms: int = 0
    last_ms: int = 0


@dataclass(frozen=True, slots=True)
class Act:
    """Something done about it: a revocation or denial, and by whom."""

    at_ms: int
    event: str
    by: str
    what: str
    ref: str
    """Writer and number of the entry."""


@dataclass(slots=True)
class Incident:
    """One token, or one certificate with all its tokens."""

    jti: str | None
    thumbprint: str
    issued: dict[str, Any] = field(default_factory=dict)
    """The body of the entry ``token.issued``; empty for a certificate, or where it was cut."""
    record: TokenRow | None = None
    """The token's row, which is kept until a minute after it expired."""
    certificate: dict[str, Any] = field(default_factory=dict)
    presented: list[Seen] = field(default_factory=list)
    """With what, when and where the token was presented; of a certificate: all its tokens."""
    carried: list[Seen] = field(default_factory=list)
    """Presentations with this certificate of tokens that are bound to another one."""
    acts: list[Act] = field(default_factory=list)
    uses: Sequence[UseRow] = ()
    resources: Sequence[str] = ()
    tokens: int = 0
    """Entries of tokens issued for the certificate."""
    first_token_ms: int | None = None
    last_token_ms: int | None = None
    refused: dict[str, int] = field(default_factory=dict)
    """Refused requests with the certificate, by reason."""
    denied: Sequence[DeniedRow] = ()
    outstanding: Outstanding = field(default_factory=lambda: Outstanding(count=0, until=None))
    more: bool = False
    """There is more than was read."""

    @property
    def clients(self) -> list[str]:
        """Every client that is named with it."""
        named = {use.client_id for use in self.uses}
        if client_id := self.issued.get("client_id"):
            named.add(client_id)
        return sorted(named)

    def count(self, verdict: str) -> int:
        """How often the token was presented so."""
        return sum(seen.count for seen in self.presented if seen.verdict == verdict)

    @property
    def revoked_at(self) -> int | None:
        """Since when the token is refused, where its row still says so."""
        return self.record.revoked_at if self.record else None


def of(desk: Desk, text: str, progress: Progress = lambda _seen: None) -> Incident:
    """Gather what is known of a token by its jti, or of a certificate by its thumbprint or file.

    Raises:
        Problem: nothing here is recorded under it.

    """
    found = _of_token(desk, text) or _of_certificate(desk, text, progress)
    if found is None:
        require_no_token(text)
        raise Problem(
            "nothing is recorded of this token or certificate",
            seen=text[:100],
            expected="the jti of a token issued here, or the thumbprint or file of a certificate",
            action="certbound audit search --since 7d",
        )
    return found


def _of_token(desk: Desk, jti: str) -> Incident | None:
    if not _JTI_LENGTH[0] <= len(jti) <= _JTI_LENGTH[1] or not jti.isprintable():
        return None
    issued = search(desk, Wanted(jti=jti, event="token.issued"), 1).rows
    with desk.db.read() as conn:
        record = tokens.find(conn, jti)
    if not issued and record is None:
        return None
    body = _body(issued[0]) if issued else {}
    thumbprint = issued[0].thumbprint if issued else record.thumbprint if record else None
    found = Incident(jti, thumbprint or "", body, record)
    _add_certificate(desk, found)
    _add_presented(desk, found, Wanted(jti=jti))
    _add_acts(desk, found, _revocations(desk, found))
    return found


def _of_certificate(desk: Desk, text: str, progress: Progress) -> Incident | None:
    try:
        thumbprint = thumbprint_of(text)
    except Problem:
        return None
    found = Incident(None, thumbprint)
    _add_certificate(desk, found)
    if not (found.uses or found.tokens or found.refused or found.denied or found.carried):
        return None
    words = (f'"bound_to":"{thumbprint}"',)
    since = found.first_token_ms
    if since is not None:
        _add_presented(desk, found, Wanted(words=words, since_ms=since), progress)
    by_certificate = search(desk, Wanted(thumbprint=thumbprint, event="tokens.revoked"), MOST)
    _add_acts(desk, found, by_certificate.rows)
    return found


def _add_presented(
    desk: Desk, found: Incident, wanted: Wanted, progress: Progress = lambda _seen: None
) -> None:
    """Presentations as wanted: those with an entry each, and those that were counted."""
    rows: list[AuditRow] = []
    for event in PRESENTED:
        part = search(desk, replace(wanted, event=event), MOST, progress=progress)
        rows += part.rows
        found.more |= part.more
    found.presented = _gathered(rows)


def _add_certificate(desk: Desk, found: Incident) -> None:
    """What else the certificate touched."""
    thumbprint = found.thumbprint
    with desk.db.read() as conn:
        found.uses = uses.by_thumbprint(conn, thumbprint)
        found.resources = uses.resources_of(conn, thumbprint)
        found.outstanding = tokens.outstanding(conn, clock.now(), thumbprints=[thumbprint])
        everything_denied = denied.listed(conn)
    issued = search(desk, Wanted(thumbprint=thumbprint, event="token.issued"), MOST)
    refused = search(desk, Wanted(thumbprint=thumbprint, decision="refused"), MOST)
    found.tokens, found.more = len(issued.rows), issued.more or refused.more
    if issued.rows:
        found.first_token_ms, found.last_token_ms = issued.rows[0].at_ms, issued.rows[-1].at_ms
    evidence = [
        _body(row).get("certificate") or {} for row in (*refused.rows[-1:], *issued.rows[-1:])
    ]
    for each in evidence:
        found.certificate |= each
    _add_use(found)
    presented = []
    for row in refused.rows:
        if row.event in PRESENTED:
            presented.append(row)
            continue
        count = _body(row).get("count", 2) - 1 if row.event == "requests.counted" else 1
        reason = row.reason or "unknown"
        found.refused[reason] = found.refused.get(reason, 0) + count
    found.carried = _gathered(presented)
    names = names_of(found.thumbprint, found.uses)
    found.denied = [row for row in everything_denied if (row.kind, row.value) in names]


def _add_use(found: Incident) -> None:
    if not found.uses:
        return
    use = found.uses[0]
    known = {
        "thumbprint": use.thumbprint,
        "subject": use.subject,
        "issuer": use.issuer,
        "serial": use.serial,
        "not_after": use.not_after,
        "trust_set": use.trust_set,
    }
    found.certificate = {k: v for k, v in known.items() if v is not None} | found.certificate


def _gathered(rows: Iterable[AuditRow]) -> list[Seen]:
    found: dict[tuple[str | None, ...], Seen] = {}
    for row in rows:
        body = _body(row)
        certificate = body.get("certificate") or {}
        key = (str(body.get("verdict")), row.thumbprint, str(body.get("reporter")))
        seen = found.setdefault(
            key,
            Seen(
                str(body.get("verdict")),
                row.thumbprint,
                certificate.get("subject"),
                str(body.get("reporter")),
                certificate.get("termination"),
                first_ms=_first_ms(row, body),
            ),
        )
        seen.count += body.get("count", 1)
        seen.first_ms = min(seen.first_ms, _first_ms(row, body))
        seen.last_ms = max(seen.last_ms, _last_ms(row, body))
        if seen.subject is None:
            seen.subject = certificate.get("subject")
    return sorted(found.values(), key=lambda seen: seen.first_ms)


def _first_ms(row: AuditRow, body: dict[str, Any]) -> int:
    return body["first_at"] * 1000 if "first_at" in body else row.at_ms


def _last_ms(row: AuditRow, body: dict[str, Any]) -> int:
    return body["last_at"] * 1000 if "last_at" in body else row.at_ms


def _revocations(desk: Desk, found: Incident) -> list[AuditRow]:
    """Entries that may have revoked this token: by its jti, or with its client or certificate."""
    rows = [
        row
        for event in ("token.revoked", "tokens.revoked")
        for row in search(desk, Wanted(jti=found.jti, event=event), MOST).rows
    ]
    if found.revoked_at is None:
        return rows
    # Revoked with others: the row and the entry were written in one transaction.
    around = Wanted(
        event="tokens.revoked",
        since_ms=(found.revoked_at - 5) * 1000,
        until_ms=(found.revoked_at + 10) * 1000,
    )
    for row in search(desk, around, MOST).rows:
        fits = row.client_id in {None, found.issued.get("client_id")}
        if row.jti is None and fits and row.thumbprint in {None, found.thumbprint}:
            rows.append(row)
    return rows


def _add_acts(desk: Desk, found: Incident, rows: Iterable[AuditRow]) -> None:
    acts = []
    for row in (*rows, *denials_of(desk, found.thumbprint, found.uses)):
        body = _body(row)
        details = body.get("details") or {}
        said = (details.get("because"), details.get("value"), details.get("note"))
        by = body.get("actor") or f"client {body.get('client_id')}"
        words = " ".join(str(each) for each in said if each)
        acts.append(Act(row.at_ms, row.event, by, words, f"{row.writer}:{row.seq}"))
    found.acts = sorted(acts, key=lambda act: act.at_ms)


def _body(row: AuditRow) -> dict[str, Any]:
    return told(row.body)
