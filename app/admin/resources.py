"""Protected resources: which URLs tokens may be made for (RFC 8707)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from app import clock
from app.admin.client_checks import Labels
from app.admin.desk import Desk
from app.admin.no_user import require_no_user
from app.admin.problem import Problem
from app.admin.scopes import checked_scopes
from app.audit import ResourceAdded, ResourceRemoved
from app.store import audit, registry, resources, trust
from app.store.engine import Transaction
from app.store.resources import ResourceRow
from app.unsaid import without_passwords

MAX_URL = 2048
MAX_LIFETIME = 86_400
"""Seconds: as long as the server's own setting may be."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the resource demands of tokens for it. None: as it is, or the least for a new one."""

    require: Literal["mtls", "any"] | None = None
    max_lifetime: int | None = None
    """Seconds; 0: the server's."""
    trust_sets: Sequence[str] | None = None
    """One of these must vouch for the certificate; empty: any certificate that the client may use."""
    direct_only: bool | None = None
    """Whether TLS of the client must end at the server itself."""


def add(
    desk: Desk,
    url: str,
    scopes: Sequence[str] | None = None,
    rules: Rules | None = None,
    labels: Labels | None = None,
) -> bool:
    """Register the resource, or change one; True when it is new. What is not given stays.

    Raises:
        Problem: the URL, a scope, a rule or a label is malformed, or a trust set does not exist.

    """
    given = labels.given() if labels is not None else {}
    now = clock.now()
    checked_url(url)
    with registry.change(desk.db) as conn:
        before = next((one for one in resources.listed(conn) if one.url == url), None)
        row = replace(
            before or ResourceRow(url=url, created_at=now, updated_at=now), updated_at=now
        )
        if scopes is not None:
            row = replace(row, scopes=checked_scopes(scopes))
        row = _ruled(conn, row, rules or Rules())
        created = resources.put(conn, row)
        if given:
            resources.label(conn, row.url, now, **given)
        audit.append_admin(
            conn,
            ResourceAdded(
                actor=desk.actor,
                resource=row.url,
                details={
                    "scopes": list(row.scopes),
                    "require": row.require,
                    "max_lifetime": row.max_lifetime,
                    "trust_sets": list(row.trust_sets),
                    "termination": row.termination,
                    "created": created,
                    **given,
                },
            ),
        )
    return created


def remove(desk: Desk, url: str) -> None:
    """No further token is made for it; clients keep its name in their list.

    Raises:
        Problem: it is not registered.

    """
    with registry.change(desk.db) as conn:
        if not resources.remove(conn, url):
            raise unknown(url)
        audit.append_admin(conn, ResourceRemoved(actor=desk.actor, resource=url))


def listed(desk: Desk) -> Sequence[ResourceRow]:
    """Every resource, by URL."""
    with desk.db.read() as conn:
        return resources.listed(conn)


def shown(desk: Desk, url: str) -> ResourceRow:
    """One resource.

    Raises:
        Problem: it is not registered.

    """
    for row in listed(desk):
        if row.url == url:
            return row
    raise unknown(url)


def unknown(url: str) -> Problem:
    """What to say when a resource is not there."""
    return Problem(
        "this resource is not registered",
        seen=without_passwords(url)[:200],
        expected="a registered resource, character by character",
        action="certbound resource list",
    )


def _ruled(conn: Transaction, row: ResourceRow, rules: Rules) -> ResourceRow:
    """The row with the rules that are given."""
    if rules.require is not None:
        row = replace(row, require=rules.require)
    if rules.max_lifetime is not None:
        if not 0 <= rules.max_lifetime <= MAX_LIFETIME:
            raise Problem(
                "tokens cannot live so long",
                seen=f"{rules.max_lifetime} seconds",
                expected=f"1 to {MAX_LIFETIME} seconds, or 0 for the server's setting",
            )
        row = replace(row, max_lifetime=rules.max_lifetime or None)
    if rules.trust_sets is not None:
        known = [one.name for one in trust.listed(conn)]
        for name in rules.trust_sets:
            if name not in known:
                raise Problem(
                    "there is no such trust set",
                    seen=name[:200],
                    expected=" or ".join(known[:5]) or "a trust set; there is none yet",
                    action="certbound trust list",
                )
        row = replace(row, trust_sets=tuple(dict.fromkeys(rules.trust_sets)))
    if rules.direct_only is not None:
        row = replace(row, termination="direct" if rules.direct_only else "any")
    return row


def checked_url(url: str) -> str:
    """`url` itself, if it may be a resource: absolute, without fragment (RFC 8707 section 2).

    Without user information too: it stands in every token, in metadata and in the audit.

    Raises:
        Problem: it may not. The message has no password of it.

    """
    require_no_user(url, "a resource")
    try:
        parts = urlsplit(url)
        _ = parts.port  # one that is no number raises ValueError
        usable = bool(parts.scheme) and bool(parts.netloc or parts.path)
    except ValueError:
        usable = False
    printable = all("!" <= character <= "~" for character in url)
    if not usable or not printable or "#" in url or len(url) > MAX_URL:
        raise Problem(
            "this is no resource",
            seen=without_passwords(url)[:200],
            expected="an absolute URI in printable ASCII without a fragment, such as "
            "https://api.example.com",
        )
    return url
