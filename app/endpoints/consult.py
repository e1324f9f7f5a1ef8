"""What every endpoint does that is asked about a token: prove who asks, read the token, look it up.

Guarantees: who asks was judged, and the token's record read, as of one registry version that was in
force after the request had come; so nothing that was revoked or changed before counts as it did.
An answer that changes nothing is not written down; a refusal of who asks is, like everywhere.
"""

from collections.abc import Callable, Hashable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

from app import clock
from app.clients.authentication import AuthenticatedClient
from app.endpoints.asking import Asking, Judge, fetching, required, settle
from app.endpoints.door import Decision, Door
from app.endpoints.refusal import Refusal
from app.errors import OAuthError
from app.store.tokens import TokenRow
from app.tokens.genuine import Genuine

Admit = Callable[[Judge], AuthenticatedClient]
"""Who asks, if the request is in order; pure, raises `OAuthError` or `Wanted`."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was found."""

    judge: Judge
    caller: AuthenticatedClient
    genuine: Genuine | None
    """The token, if it is one of ours and has not ended."""
    row: TokenRow | None
    """Its record, if there is one."""


def admit(judge: Judge) -> AuthenticatedClient:
    """Who asks about the token that must be there."""
    required(judge.asking.parameters, "token")
    return judge.client().client


async def consult(door: Door, asking: Asking, admit: Admit = admit) -> Sight | Refusal:
    """What the database says of the parameter ``token``, or the recorded refusal of who asks."""
    while True:
        try:
            return await fetching(door, asking, partial(_look, door, asking, admit))
        except OAuthError:
            # Decided on this process's copy of the registry. It is taken again where it is
            # recorded, and counts if it is the same there.
            refusal = await _recorded(door, asking, admit)
            if refusal is not None:
                return refusal


async def _look(door: Door, asking: Asking, admit: Admit, sought: AbstractSet[Hashable]) -> Sight:
    registry = door.snapshots.current
    token = asking.parameters.get("token") or ""
    while True:
        judge = Judge(door, asking, registry, sought, clock.now())
        caller = admit(judge)
        genuine = door.own_tokens.read(token, registry.keys.published, judge.now)
        found = await door.lookups.find(genuine.jti if genuine else None)
        if found.registry.version == registry.version:
            return Sight(judge, caller, genuine, found.token)
        registry = found.registry


class _Admitted(Exception):
    """The refusal does not stand on the registry in force."""


async def _recorded(door: Door, asking: Asking, admit: Admit) -> Refusal | None:
    def decide(judge: Judge) -> Decision:
        admit(judge)
        raise _Admitted

    try:
        decision = await settle(door, asking, decide)
    except _Admitted:
        return None
    if not isinstance(decision, Refusal):
        raise TypeError(decision)
    return decision
