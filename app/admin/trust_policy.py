"""What must be known of a certificate's revocation, written down per trust set."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from app import clock
from app.admin.cascade import revoke_listed
from app.admin.desk import Desk
from app.admin.problem import Problem
from app.admin.trust import require_usable, rows_of
from app.admin.trust_known import find, set_of
from app.audit import TrustChanged
from app.clients.crl_due import Lists, lists_of
from app.jose.document import FetchRefused, examine_url
from app.pki.crl import LoadedCrl, load_for
from app.pki.revocation_policy import RevocationPolicy
from app.store import audit, crls, registry, trust
from app.store.crls import CrlRow
from app.store.engine import Transaction
from app.store.tokens import Outstanding
from app.store.trust import RevocationRow, TrustSetRow

SCHEMES = frozenset({"http", "https"})
"""CRLs and OCSP answers are signed: nearly all CAs publish them over plain http."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator asks for."""

    mode: Literal["off", "crl", "ocsp"]
    fail: Literal["hard", "soft"] = "hard"
    max_staleness: int = 0
    """Seconds; 0: as long as the answer itself says."""
    urls: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PolicySet:
    """The policy that holds from the next request on."""

    row: RevocationRow
    signers: tuple[str, ...]
    """Subjects of the CRL signers that joined the set."""
    before: RevocationRow
    """What held until now."""
    trust_set: TrustSetRow
    lists: Lists
    """CRLs at hand. A CA without one vouches for nobody under a hard policy."""
    tokens: Outstanding
    """Tokens bound to certificates that those lists revoke: revoked with it, where it asks lists."""


def set_policy(desk: Desk, name: str, policy: Policy, signer: Path | None = None) -> PolicySet:
    """Judge revocation so from the next request on, for every client of the set.

    Lists that are at hand come to count with it: tokens of what they revoke are refused with it.

    `signer` is a file of certificates that sign CRLs in the CA's name: they join the set as such.

    Raises:
        Problem: there is no such set, the policy means nothing, or `signer` signs no CRLs.

    """
    row = _row(policy)
    if signer is not None and policy.mode != "crl":
        raise Problem(
            "a signer has no meaning here",
            seen=f"--signer with {policy.mode}",
            expected="--signer with crl; an OCSP responder sends its certificate along",
        )
    new = () if signer is None else rows_of(name, signer, intermediates_only=True)
    with registry.change(desk.db) as conn:
        known = find(trust.listed(conn), name)
        if signer is not None:
            require_usable(signer, known, new)
        joined = tuple(each.subject for each in new if trust.add_anchor(conn, name, each))
        trust.set_policy(conn, name, row, clock.now())
        details: dict[str, object] = {"trust_set": name, "revocation": _plain(row)}
        if joined:
            details["signers"] = list(joined)
        audit.append_admin(conn, TrustChanged(actor=desk.actor, details=details))
        after = find(trust.listed(conn), name)
        now = clock.now()
        loaded = crls.listed(conn)
        gone = Outstanding(count=0, until=None)
        if policy.mode == "crl":
            counting = _parsed(conn, after, loaded)
            gone = revoke_listed(conn, desk.actor, counting, now, TrustChanged.name)
        lists = lists_of(after, loaded, now)
    return PolicySet(row, joined, known.revocation, after, lists, gone)


def _parsed(
    conn: Transaction, trust_set: TrustSetRow, loaded: Sequence[CrlRow]
) -> Iterator[LoadedCrl]:
    """The set's own lists, stale ones too: what they revoked stays so."""
    judging = set_of(trust_set)
    for row in loaded:
        der = crls.crl_der(conn, row.digest) if row.trust_set == trust_set.name else None
        if der is not None:
            with suppress(ValueError):  # its signer left the set: it counts no more
                yield load_for(judging, der)


def _row(policy: Policy) -> RevocationRow:
    urls = tuple(dict.fromkeys(policy.urls))
    try:
        for url in urls:
            examine_url(url, SCHEMES)
        judged = RevocationPolicy(policy.mode, policy.fail, policy.max_staleness, urls)
    except (FetchRefused, ValueError) as error:
        raise Problem(
            "this is no revocation policy",
            seen=str(error),
            expected="off, crl with any number of --url, or ocsp with one",
        ) from error
    if policy.mode == "off" and (urls or policy.max_staleness):
        raise Problem(
            "this is no revocation policy",
            seen="off with a URL or a maximum staleness",
            expected="off alone: then nobody is asked",
        )
    return RevocationRow(
        mode=judged.mode,
        fail=judged.fail,
        max_staleness=judged.max_staleness,
        urls=judged.urls,
    )


def _plain(row: RevocationRow) -> dict[str, object]:
    return {**asdict(row), "urls": list(row.urls)}
