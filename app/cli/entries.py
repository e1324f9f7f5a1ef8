"""Audit entries as lines and members."""

from app import clock
from app.admin.audit_spelling import members
from app.cli.page import Page
from app.store.audit import AuditRow
from app.store.told import UNREADABLE, told

__all__ = ["add_entry", "members"]


def add_entry(page: Page, row: AuditRow) -> None:
    """One entry, as a line of `page`."""
    body = told(row.body)
    certificate = body.get("certificate") or {}
    details = body.get("details")
    words = [row.client_id or "", f"({row.reason})" if row.reason else ""]
    if row.event.startswith("key.") and isinstance(details, dict):
        details = dict(details)
        words.append(str(details.pop("kid", "")))
    if row.decision == "refused":
        words.insert(0, str(body.get("error", "")))
    if "count" in body:
        words.append(f"{body['count']} times")
    line = {"issued": page.ok, "refused": page.bad}.get(row.decision, page.fact)
    line(
        f"{clock.iso(row.at_ms // 1000)} {row.event}",
        " ".join(filter(None, words)),
        certificate=" ".join(filter(None, (row.thumbprint, str(certificate.get("subject", ""))))),
        bound_to=str(body.get("bound_to", "")),
        verdict=str(body.get("verdict", "")),
        told_by=str(body.get("reporter", "")),
        first=_date(body.get("first_at")),
        last=_date(body.get("last_at")),
        resource=row.resource or "",
        scope=str(body.get("scope", "")),
        jti=row.jti or "",
        ref=row.ref or "",
        by=str(body.get("actor", "")),
        details=_short(details),
        damaged="certbound audit verify" if UNREADABLE in body else "",
    )


def _date(value: object) -> str:
    return clock.iso(value) if isinstance(value, int) else ""


def _short(details: object) -> str:
    """``trust set: acme, added: …``; an empty value is left out."""
    if not isinstance(details, dict):
        return str(details or "")
    pairs = ((name.replace("_", " "), _dated(name, value)) for name, value in details.items())
    return ", ".join(f"{name}: {value}" for name, value in pairs if value)


def _dated(name: str, value: object) -> str:
    """A value; a moment as a date."""
    is_moment = name.endswith(("_at", "_until", "not_before", "not_after"))
    return clock.iso(value) if is_moment and isinstance(value, int) else _plain(value)


def _plain(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return "; ".join(f"{name} {_plain(one)}" for name, one in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
