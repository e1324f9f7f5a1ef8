"""What a stored audit entry says, whatever somebody did to it in the database.

Guarantees members of the types that `app.audit` writes, or one member alone, ``unreadable``: the
text as it is. So one damaged entry hides itself and no other: searches, notes and exports go on,
and `certbound audit verify` says that it was damaged. Members that are not known here may be
anything: another release may have written them.
"""

import json
from collections.abc import Mapping
from typing import Any

UNREADABLE = "unreadable"
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
