"""One audit entry as one line: in our own form, in that of OCSF, and as CEF.

``jsonl`` has all that is needed to verify an entry. The other two are for reading: OCSF 1.3.0
(class Authentication 3002 for what clients and tokens did, Entity Management 3004 for operators'
acts; API Activity requires a source address, and we record none), and CEF 0 (Micro Focus Security
ArcSight Common Event Format, version 25). Both carry writer and number, so that a line leads back
to its entry.
"""

import base64
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from app import clock
from app.store.audit import AuditRow
from app.store.told import told

VERSION = 1
"""Of our own form; raised when a member changes its meaning."""
OCSF_VERSION = "1.3.0"
AUTHENTICATION, ENTITY_MANAGEMENT = 3002, 3004
_LOGON, _OTHER = 1, 99
_CREATE, _UPDATE, _DELETE = 1, 3, 4
_SHA_256 = 3
_VERBS = {"added": _CREATE, "begun": _CREATE, "removed": _DELETE, "cut": _DELETE}
"""Of operators' acts, by the second half of their name; any other changes something."""
_REPLAYED = "other_certificate"


def jsonl(row: AuditRow) -> str:
    """Our own form: the body as it was hashed, and its place in the chain."""
    return _json({"version": VERSION, **members(row)})


def members(row: AuditRow) -> dict[str, Any]:
    """One entry as JSON members; `body` is what was hashed."""
    return {
        "writer": row.writer,
        "seq": row.seq,
        "at_ms": row.at_ms,
        "at": clock.iso(row.at_ms // 1000),
        "body": told(row.body),
        "prev": row.prev.hex(),
        "hash": row.hash.hex(),
    }


def ocsf(row: AuditRow) -> str:
    """One OCSF event; what has no place in its class is in `unmapped`, complete."""
    body = told(row.body)
    acted = "actor" in body
    kind = ENTITY_MANAGEMENT if acted else AUTHENTICATION
    activity = _activity(row.event, acted=acted)
    event: dict[str, Any] = {
        "class_uid": kind,
        "category_uid": kind // 1000,
        "activity_id": activity,
        "type_uid": kind * 100 + activity,
        "time": row.at_ms,
        "severity_id": _severity(row, body)[0],
        "status_id": 2 if row.decision == "refused" else 1,
        "message": row.event,
        "metadata": {
            "version": OCSF_VERSION,
            "uid": f"{row.writer}:{row.seq}",
            "event_code": row.event,
            "product": {"name": "certbound", "vendor_name": "certbound", "version": _release()},
        },
        "unmapped": {"prev": row.prev.hex(), "hash": row.hash.hex(), "body": body},
    }
    if row.reason is not None:
        event["status_detail"] = row.reason
    if {"count", "first_at", "last_at"} <= body.keys():
        event["count"] = body["count"]
        event["start_time"], event["end_time"] = _span_ms(body)
    return _json(event | (_entity(row, body) if acted else _authentication(row, body)))


def _activity(name: str, *, acted: bool) -> int:
    if acted:
        return _VERBS.get(name.rpartition(".")[2], _UPDATE)
    return _LOGON if name in {"token.issued", "request.refused"} else _OTHER


def _authentication(row: AuditRow, body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "user": {"uid": body.get("client_id", "unknown"), "type_id": 3},
        "service": {"name": body.get("resource") or "certbound"},
        "is_remote": True,
    }
    if row.event not in {"token.issued", "request.refused"}:
        found["activity_name"] = row.event
    if row.jti is not None:
        found["session"] = {"uid": row.jti}
    certificate = body.get("certificate") or {}
    if {"thumbprint", "issuer", "serial"} <= certificate.keys():
        found["certificate"] = _certificate(certificate)
    return found


def _certificate(evidence: dict[str, Any]) -> dict[str, Any]:
    found = {
        "fingerprints": [{"algorithm_id": _SHA_256, "value": _hex(evidence["thumbprint"])}],
        "issuer": evidence["issuer"],
        "serial_number": evidence["serial"],
    }
    if "subject" in evidence:
        found["subject"] = evidence["subject"]
    if "not_after" in evidence:
        found["expiration_time"] = evidence["not_after"] * 1000
    return found


def _hex(thumbprint: str) -> str:
    try:
        return base64.urlsafe_b64decode(thumbprint + "=" * (-len(thumbprint) % 4)).hex()
    except ValueError:  # somebody damaged the entry
        return thumbprint


def _entity(row: AuditRow, body: dict[str, Any]) -> dict[str, Any]:
    kind = row.event.partition(".")[0]
    details = body.get("details") or {}
    named = (
        body.get("client_id") or row.thumbprint or details.get("kid") or details.get("trust_set")
    )
    return {
        "actor": {"user": {"name": body["actor"]}},
        "entity": {"type": kind, "uid": str(named or kind), "data": details},
    }


def cef(row: AuditRow) -> str:
    """One CEF line: seven fields between bars, then what is known as pairs."""
    body = told(row.body)
    certificate = body.get("certificate") or {}
    head = ("certbound", "certbound", _release(), row.event, row.event.replace(".", " "))
    severity = str(_severity(row, body)[1])
    pairs: list[tuple[str, object]] = [
        ("rt", row.at_ms),
        ("externalId", f"{row.writer}:{row.seq}"),
        ("act", row.decision),
        ("outcome", "failure" if row.decision == "refused" else "success"),
        ("reason", row.reason),
        ("suid", body.get("client_id")),
        ("suser", body.get("actor")),
        ("request", body.get("resource")),
    ]
    if {"count", "first_at", "last_at"} <= body.keys():
        first, last = _span_ms(body)
        pairs += [("cnt", body["count"]), ("start", first), ("end", last)]
    texts = (
        ("x5t#S256", certificate.get("thumbprint")),
        ("certificate subject", certificate.get("subject")),
        ("certificate serial", certificate.get("serial")),
        ("jti", body.get("jti")),
        ("error_ref", body.get("ref")),
        ("SHA-256", row.hash.hex()),
    )
    for number, (label, value) in enumerate(texts, 1):
        if value is not None:
            pairs += [(f"cs{number}Label", label), (f"cs{number}", value)]
    extension = " ".join(
        f"{name}={_escaped(str(value), '=')}" for name, value in pairs if value is not None
    )
    return f"CEF:0|{'|'.join(_escaped(part, '|') for part in (*head, severity))}|{extension}"


def _span_ms(body: dict[str, Any]) -> tuple[int, int]:
    """First and last of those that an entry counts."""
    return body["first_at"] * 1000, body["last_at"] * 1000


def _escaped(text: str, mark: str) -> str:
    """Backslash first, then what separates; an end of line as its letter, other controls not at all."""
    text = text.replace("\\", "\\\\").replace(mark, f"\\{mark}")
    text = text.replace("\r", "\\r").replace("\n", "\\n")
    return "".join(c if c.isprintable() else "?" for c in text)


def _severity(row: AuditRow, body: dict[str, Any]) -> tuple[int, int]:
    """Of OCSF (1 informational, 2 low, 4 high) and of CEF (0 to 10)."""
    if body.get("verdict") == _REPLAYED:
        return 4, 8
    return (2, 4) if row.decision == "refused" else (1, 1)


def _json(value: dict[str, Any]) -> str:
    # ASCII only, so that any reader takes it whatever a refused client has sent.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _release() -> str:
    try:
        return version("certbound")
    except PackageNotFoundError:  # run from a checkout that nobody installed
        return "0"


FORMATS: dict[str, Callable[[AuditRow], str]] = {"jsonl": jsonl, "ocsf": ocsf, "cef": cef}
