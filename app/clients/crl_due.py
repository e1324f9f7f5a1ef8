"""Which CRLs of a trust set run out, and which of its CAs have none: for people, logs and nightly checks.

Guarantees nothing that decisions depend on: those ask the lists themselves, at each request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.pki.anchors import TrustSet, material
from app.pki.leaf import Leaf, base64url_sha256
from app.store.crls import CrlRow
from app.store.trust import RevocationRow, TrustSetRow

DAY = 86_400
"""Seconds before a list runs out at which somebody should know: a check each night sees it once."""

State = Literal["stale", "soon", "fresh"]


@dataclass(frozen=True, slots=True)
class CrlStanding:
    """One loaded list."""

    row: CrlRow
    of: str | None
    """Subject of the CA it speaks for; None: that CA, or its signer, is not in the set any more."""
    state: State
    ends: int
    """When it counts no more: at its next update, or sooner by the policy."""


@dataclass(frozen=True, slots=True)
class Lists:
    """What is loaded for one trust set."""

    standings: tuple[CrlStanding, ...]
    without: tuple[str, ...]
    """Subjects of CAs of which there is no list; none where nobody asks for lists."""

    @property
    def due(self) -> tuple[CrlStanding, ...]:
        """Lists of the set's CAs that ran out or soon will."""
        return tuple(one for one in self.standings if one.of is not None and one.state != "fresh")


def lists_of(row: TrustSetRow, crls: Sequence[CrlRow], now: int) -> Lists:
    """How the set's lists stand; `crls` may be those of all sets."""
    authorities, signers = _leaves(row)
    names = {_key(each): each.facts.subject for each in signers}
    own = [each for each in crls if each.trust_set == row.name]
    standings = tuple(_standing(each, names.get(each.issuer_key), row, now) for each in own)
    loaded = {each.issuer_key for each in own}
    # A delegated signer has the CA's name, a key of its own, and signs no certificates.
    delegated = {
        each.subject for each in signers if each not in authorities and _key(each) in loaded
    }
    without = (
        each.facts.subject
        for each in authorities
        if _key(each) not in loaded and each.subject not in delegated
    )
    asked = row.revocation.mode == "crl"
    return Lists(standings, tuple(dict.fromkeys(without)) if asked else ())


def _standing(crl: CrlRow, of: str | None, row: TrustSetRow, now: int) -> CrlStanding:
    ends = _ends(crl, row.revocation)
    warn = min(DAY, (ends - crl.this_update) // 4)
    state: State = "stale" if now >= ends else "soon" if now >= ends - warn else "fresh"
    return CrlStanding(crl, of, state, ends)


def _ends(crl: CrlRow, policy: RevocationRow) -> int:
    if not policy.max_staleness:
        return crl.next_update
    return min(crl.next_update, crl.this_update + policy.max_staleness + 1)


def _leaves(row: TrustSetRow) -> tuple[Sequence[Leaf], Sequence[Leaf]]:
    """The set's CAs, and whoever may sign lists; nobody where the set cannot be used at all."""
    try:
        found = material(
            TrustSet(
                row.name,
                tuple(one.der for one in row.anchors if one.role == "anchor"),
                tuple(one.der for one in row.anchors if one.role == "intermediate"),
            )
        )
    except ValueError:
        return (), ()
    return (*found.anchors, *found.intermediates), found.signers_of_crls()


def _key(each: Leaf) -> str:
    """As `app.pki.crl` names the CA of a list."""
    return base64url_sha256(each.subject + each.facts.spki_der)
