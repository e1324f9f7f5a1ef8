"""From the reference that a refused client quotes to what was decided and why."""

import re
from dataclasses import dataclass, replace
from typing import Any

from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.token_revocation import require_no_token
from app.audit import PresentationsCounted, RequestsCounted, RequestsRefused, TokenPresented
from app.clients.model import Client, from_rows
from app.jose.strict_json import parse_object
from app.store import audit, clients, credentials
from app.store.audit import AuditRow, Wanted
from app.store.told import told

_MAX_ANSWER = 4096
"""Octets of a pasted answer; ours have some 200."""
_COUNTED_WITHIN_MS = 3_600_000
"""A group of refusals is counted for a quarter of an hour; a database may be away for as long."""
_MOST_COUNTS = 1_000
"""Of one reference: one in a minute for most of a day, and tokens seldom live as long."""
REF = re.compile(r"[0-9a-z]{8,64}")
"""The shape of an `error_ref`; our own have 16 characters."""


def explain(desk: Desk, ref: str) -> AuditRow:
    """The audit entry of this reference.

    Raises:
        Problem: it has not the shape of one, or this database has no such entry.

    """
    text = _out_of_answer(ref.strip())
    if REF.fullmatch(text) is None:
        require_no_token(text)
        raise Problem(
            "this is no reference",
            seen=text[:80] or "nothing",
            expected="the value of error_ref in the server's answer, 16 letters and digits",
        )
    with desk.db.read() as conn:
        row = audit.find_ref(conn, text)
    if row is None:
        raise Problem(
            "nothing is recorded under this reference",
            seen=text,
            expected="a reference that this server gave",
            action="Check that --home names the server that answered, and copy error_ref whole.",
        )
    return row


def _out_of_answer(text: str) -> str:
    """The `error_ref` of an answer that was pasted whole; else the text as it is."""
    if not text.startswith("{"):
        return text
    try:
        found = parse_object(text.encode(), at_most=_MAX_ANSWER).get("error_ref")
    except ValueError:
        return text
    return found if isinstance(found, str) else text


def client_of(desk: Desk, row: AuditRow) -> Client | None:
    """The client that the entry names, as it is registered now; None where nobody is."""
    if row.client_id is None:
        return None
    with desk.db.read() as conn:
        found = clients.find(conn, row.client_id)
        return from_rows(found, credentials.of_client(conn, row.client_id)) if found else None


@dataclass(frozen=True, slots=True)
class Together:
    """Refusals that got one reference. `count` is None while none of them is counted."""

    alike: tuple[str, ...]
    count: int | None = None
    first_at: int | None = None
    last_at: int | None = None


def together(desk: Desk, row: AuditRow) -> Together | None:
    """Whether this entry stands for many refusals, and how many; None: for one."""
    body = body_of(row)
    alike = tuple(map(str, body.get("alike") or ()))
    if row.ref is None or not alike:
        return None
    if row.event == RequestsRefused.name:
        until_ms = row.at_ms + _COUNTED_WITHIN_MS
        wanted = Wanted(event=RequestsCounted.name, since_ms=row.at_ms, until_ms=until_ms)
    else:
        wanted = Wanted(event=PresentationsCounted.name, since_ms=row.at_ms, jti=row.jti)
    wanted = replace(wanted, words=(f'"given_ref":"{row.ref}"',))
    with desk.db.read() as conn:
        counted = [body_of(each) for each in audit.search(conn, wanted, count=_MOST_COUNTS)]
    found = [each for each in counted if {"count", "first_at", "last_at"} <= each.keys()]
    if not found:
        return Together(alike)
    count, first_at = sum(each["count"] for each in found), found[0]["first_at"]
    if row.event == TokenPresented.name:  # its own is not among the counted
        count, first_at = count + 1, row.at_ms // 1000
    return Together(alike, count, first_at, found[-1]["last_at"])


def body_of(row: AuditRow) -> dict[str, Any]:
    """The entry as it was recorded."""
    return told(row.body)
