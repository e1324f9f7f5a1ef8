"""One key, one boundary, asked when a key is registered; the endpoint asks again at each use.

Guarantees that a registration which the endpoint would refuse as a boundary violation is refused
where it is asked for. The caller claims the key and registers it in one transaction.
"""

from app.admin.problem import Problem
from app.clients.boundary import BoundaryPolicy, contradiction, guarded
from app.clients.labels import labels_of_key, tenants_of_key
from app.store import credentials, holders
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow
from app.store.engine import Transaction


def judge(
    conn: Transaction,
    client: ClientRow,
    spki_sha256: str,
    policy: BoundaryPolicy,
    *,
    later_too: bool = False,
) -> tuple[str, ...]:
    """The clients that hold this key of `client` too and were first; none where it holds it not.

    `later_too`: those that came after it as well, whom a change of its tenant would stop.

    Raises:
        Problem: one of them stands in the way, or the client would hold the key for two tenants,
            as `policy` says.

    """
    held = holders.of_key(conn, spki_sha256)
    own = next((row for row in held if row.client_id == client.client_id), None)
    if own is None:
        return ()
    known = credentials.by_key(conn, spki_sha256)
    mine = tenants_of_key(client.client_id, client.tenant, known, spki_sha256)
    for label in guarded(policy) if policy != "report" else ():
        whole = getattr(client, label)
        held_for = labels_of_key(label, client.client_id, whole, known, spki_sha256)
        word = label.replace("_", " ")
        if len(held_for) > 1:
            raise Problem(
                f"{client.client_id} has this key for another {word} too (boundary_violation)",
                seen=" and ".join(_text(word, each) for each in sorted(held_for)),
                expected=f"a key of its own for each {word}",
                action=f"certbound client cert list {client.client_id}",
            )
    others = [row for row in held if row is not own] if later_too else held[: held.index(own)]
    for other in others:
        theirs = tenants_of_key(other.client_id, other.tenant, known, spki_sha256)
        if policy == "refuse" or (policy == "tenant" and theirs != mine):
            raise Problem(
                f"the client {other.client_id} holds this key (boundary_violation)",
                seen=f"{client.client_id} of {_texts(mine)} and {other.client_id} of "
                f"{_texts(theirs)}",
                expected="a key of this client's own",
                action="Give each client its own key and certificate. The setting boundary_policy "
                "says what is refused and what is only reported.",
            )
    return tuple(row.client_id for row in others)


def judge_credential(
    client: ClientRow, credential: CredentialRow, policy: BoundaryPolicy
) -> str | None:
    """What is only to be reported of a credential whose labels contradict its client's; None: none.

    Raises:
        Problem: `policy` refuses it.

    """
    found = contradiction(client, credential, policy)
    if found is None:
        return None
    label, seen = found
    word = label.replace("_", " ")
    if policy != "report":
        raise Problem(
            f"a certificate of {client.client_id} is of another {word} (boundary_violation)",
            seen=seen,
            expected=f"{word} {getattr(client, label)} or none, or a client without a {word}",
            action=f"Register it for a client of its own {word}, or take the client's label away: "
            f"certbound client label {client.client_id} --{label.replace('_', '-')} ''",
        )
    return seen


def _texts(tenants: frozenset[str]) -> str:
    return " and ".join(tenant_text(each) for each in sorted(tenants))


def tenant_text(name: str) -> str:
    """A tenant for people."""
    return _text("tenant", name)


def _text(word: str, name: str) -> str:
    return f"{word} {name}" if name else f"no {word}"
