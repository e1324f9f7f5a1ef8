"""What a stored audit entry says, whatever somebody did to it in the database.

Guarantees members of the types that `app.audit` writes, or one member alone, ``unreadable``: the
text as it is. So one damaged entry hides itself and no other: searches, notes and exports go on,
and `certbound audit verify` says that it was damaged. Members that are not known here may be
anything: another release may have written them.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import RowMapping

UNREADABLE = "unreadable"
_WORDS = ("event", "decision", "reason", "ref", "client_id", "thumbprint", "jti", "resource")
_NUMBERS = "schema status count first_at last_at issued_at expires_at"
_TEXTS = (
    "event decision reason ref client_id jti resource endpoint error method reporter verdict"
    " confirmation bound_to given_ref actor grant_type token_type subject scope kid revocation"
)
_MEMBERS: Mapping[str, type] = {
    **dict.fromkeys(_NUMBERS.split(), int),
    **dict.fromkeys(_TEXTS.split(), str),
    **dict.fromkeys(("findings", "alike", "mechanisms", "crossings"), list),
    **dict.fromkeys(("certificate", "details"), dict),
}
_OF_CERTIFICATE: Mapping[str, type] = {
    "not_after": int,
    **dict.fromkeys(("thumbprint", "subject", "issuer", "serial", "trust_set"), str),
    **dict.fromkeys(("tls_version", "cipher", "termination"), str),
}


def told(text: str) -> dict[str, Any]:
    """The members of an entry's body."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {UNREADABLE: text}
    if not isinstance(found, dict) or not _is_ours(found):
        return {UNREADABLE: text}
    return found


def _is_ours(body: Mapping[str, Any]) -> bool:
    return (
        _fits(body, _MEMBERS)
        and _fits(body.get("certificate", {}), _OF_CERTIFICATE)
        and all(isinstance(finding, dict) for finding in body.get("findings", ()))
    )


def _fits(members: Mapping[str, Any], types: Mapping[str, type]) -> bool:
    return all(name not in types or type(v) is types[name] for name, v in members.items())


def _is_typed(row: RowMapping) -> bool:
    return (
        type(row["body"]) is str
        and type(row["at_ms"]) is int
        and type(row["prev"]) is bytes
        and type(row["hash"]) is bytes
        and type(row["seq"]) is int
        and not any(type(row[name]) is bytes for name in _WORDS)
        and type(row["writer"]) is str
    )


def typed(row: RowMapping) -> Mapping[str, Any]:
    """The columns of an entry, of their types: SQLite may have been given anything in their place.

    What was not of its type is not what was hashed; here it is only to be shown.
    """
    if _is_typed(row):
        return cast("Mapping[str, Any]", row)
    found = dict(row)
    for name in (*_WORDS, "writer", "body"):
        if found[name] is not None:
            found[name] = _text(found[name])
    for name in ("prev", "hash"):
        found[name] = octets(found[name])
    for name in ("seq", "at_ms"):
        found[name] = number(found[name])
    return found


def octets(value: object) -> bytes:
    """A hash as it is, or what stands in its place, which no entry ever had."""
    return value if type(value) is bytes else str(value).encode("utf-8", "backslashreplace")


def number(value: object) -> int:
    """A number as it is; 0 for what stands in its place."""
    return value if type(value) is int else 0


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if type(value) is bytes else str(value)
