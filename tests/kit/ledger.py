"""What a server wrote down, read from its database while it runs."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.store import audit, tokens
from app.store.audit import AuditRow
from app.store.tokens import TokenRow
from tests.kit.running import Running, desk_on

EVERYTHING = 100_000


def refusal(server: Running, ref: str) -> dict[str, Any]:
    """The audit entry that an `error_ref` points to."""
    with server.desk() as desk, desk.db.read() as conn:
        row = audit.find_ref(conn, ref)
    assert row is not None, ref
    body: dict[str, Any] = json.loads(row.body)
    return body


def reason(server: Running, ref: str) -> str:
    """Why it was refused."""
    return str(refusal(server, ref)["reason"])


def entries(home: Path) -> list[AuditRow]:
    """The whole trail, oldest first."""
    with desk_on(home) as desk, desk.db.read() as conn:
        return list(audit.tail(conn, EVERYTHING))


def refusals(home: Path) -> list[dict[str, Any]]:
    """What was refused, one by one, oldest first."""
    bodies: list[dict[str, Any]] = [json.loads(row.body) for row in entries(home)]
    return [each for each in bodies if each["event"] == "request.refused"]


def traces(home: Path) -> list[AuditRow]:
    """The trail without what a server writes of its own accord, as time passes."""
    rows = entries(home)
    return [each for each in rows if json.loads(each.body).get("actor") != "server"]


def token_rows(home: Path, jtis: Iterable[str]) -> dict[str, TokenRow]:
    """The records of tokens, of those that have one."""
    with desk_on(home) as desk, desk.db.read() as conn:
        found = {jti: tokens.find(conn, jti) for jti in jtis}
    return {jti: row for jti, row in found.items() if row is not None}


def token_row(home: Path, jti: str) -> TokenRow | None:
    """The record of a token."""
    return token_rows(home, [jti]).get(jti)
