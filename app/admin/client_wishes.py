"""What a new client shall be: the wishes for it, checked and made a row.

Guarantees an identifier that never needs quoting. Whether what the wishes name exists is looked at
where the row is stored.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app import clock
from app.admin.client_checks import Labels, grants
from app.admin.identity import Identity
from app.admin.problem import Problem
from app.admin.scopes import checked_scopes
from app.clients.methods import tls_client_auth
from app.pki import names
from app.store.clients import ClientRow

CLIENT_ID = re.compile(r"(?!-)[A-Za-z0-9._:/@+-]{1,255}")
"""Narrower than RFC 6749 appendix A.1: an identifier never needs quoting, in a shell or a log."""
DEFAULT_TRUST = "default"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a new client shall be allowed. Empty means the default of each."""

    grants: Sequence[str] = ()
    scopes: Sequence[str] = ()
    resources: Sequence[str] = ()
    trust_sets: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Sight:
    """Which tokens a client may look at, beside its own."""

    serves: Sequence[str] = ()
    """Those for these resources, which it is the server of."""
    everything: bool = False
    """Every one, whatever it is for."""


def row_of(
    client_id: str, identity: Identity, wishes: Wishes, labels: Labels, sight: Sight
) -> ClientRow:
    """The client as it will be stored.

    Raises:
        Problem: the identifier is malformed, or a wish has no meaning for its method.

    """
    if CLIENT_ID.fullmatch(client_id) is None:
        raise Problem(
            "this cannot be a client_id",
            seen=client_id[:255],
            expected="1 to 255 letters, digits and . _ : / @ + -, not beginning with -",
        )
    subject = identity.subject
    trust_sets: Sequence[str] = ()
    if identity.method == tls_client_auth.NAME:
        trust_sets = wishes.trust_sets or (DEFAULT_TRUST,)
    elif wishes.trust_sets:
        raise Problem(
            "a trust set has no meaning for this client",
            seen=f"--trust {wishes.trust_sets[0]} with {identity.method}",
            expected=f"--trust with {tls_client_auth.NAME} only",
            action="Leave --trust out: no CA is asked about a registered certificate or key.",
        )
    given = labels.given()
    now = clock.now()
    return ClientRow(
        client_id=client_id,
        auth_method=identity.method,
        created_at=now,
        updated_at=now,
        subject_attribute=subject.attribute if subject else None,
        subject_value=subject.value if subject else None,
        subject_text=identity.subject_text,
        collision_key=names.collision_key(subject) if subject else None,
        jwks_uri=identity.jwks_uri,
        grants=grants(wishes.grants),
        scopes=checked_scopes(wishes.scopes),
        resources=tuple(dict.fromkeys(wishes.resources)),
        trust_sets=tuple(dict.fromkeys(trust_sets)),
        spiffe_id=identity.spiffe_id,
        tenant=given.get("tenant", ""),
        risk=given.get("risk", ""),
        resource_class=given.get("resource_class", ""),
        introspection="all" if sight.everything else "own",
        serves=tuple(dict.fromkeys(sight.serves)),
    )
