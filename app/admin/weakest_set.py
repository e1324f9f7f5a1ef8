"""Of several trust sets that vouch for one client, the one that asks least about revocation.

Whoever can get a certificate from any of a client's CAs is the client. So a policy on one set gives
what it promises only where the others have one as strict.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from app.store.trust import RevocationRow, TrustSetRow


@dataclass(frozen=True, slots=True)
class Weakest:
    """The set that another one of the same client is stricter than."""

    name: str
    seen: str
    """Its policy and the stricter one, in words."""
    command: tuple[str, ...]
    """What makes it as strict; a responder's URL is for the operator to fill in."""


def weakest(sets: Iterable[TrustSetRow]) -> Weakest | None:
    """The first of the least strict of a client's sets; None where all are as strict."""
    ranked = sorted(sets, key=lambda row: _strictness(row.revocation))
    if not ranked or _strictness(ranked[0].revocation) == _strictness(ranked[-1].revocation):
        return None
    weak, strict = ranked[0], ranked[-1]
    mode = strict.revocation.mode if weak.revocation.mode == "off" else weak.revocation.mode
    urls = weak.revocation.urls or (("URL",) if mode == "ocsp" else ())
    words = ["certbound", "trust", "revocation", weak.name, mode]
    words += ["--soft"] if strict.revocation.fail == "soft" else []
    words += [word for url in urls for word in ("--url", url)]
    return Weakest(
        weak.name,
        f"revocation {_words(weak.revocation)}, but {_words(strict.revocation)} for trust set "
        f"{strict.name}",
        tuple(words),
    )


def _strictness(policy: RevocationRow) -> int:
    if policy.mode == "off":
        return 0
    return 1 if policy.fail == "soft" else 2


def _words(policy: RevocationRow) -> str:
    return "off" if policy.mode == "off" else f"{policy.mode}, {policy.fail}"
