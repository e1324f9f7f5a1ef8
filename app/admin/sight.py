"""Which tokens a client may look at (RFC 7662): its own, those for resources it serves, or all.

Guarantees that a client serves registered resources only. It counts from the next request on.
"""

from app import clock
from app.admin.client_checks import require_served
from app.admin.clients import Sight, unknown
from app.admin.desk import Desk
from app.audit import ClientChanged
from app.store import audit, clients, registry, resources
from app.store.clients import ClientRow

OWN = "its own tokens"


def set_sight(desk: Desk, client_id: str, sight: Sight) -> ClientRow:
    """From the next request on the client may look at these tokens, its own, and no others.

    Raises:
        Problem: unknown client, or a resource that is not registered.

    """
    now = clock.now()
    serves = tuple(dict.fromkeys(sight.serves))
    with registry.change(desk.db) as conn:
        row = clients.find(conn, client_id)
        if row is None:
            raise unknown(client_id)
        require_served(serves, [one.url for one in resources.listed(conn)])
        clients.set_sight(
            conn,
            client_id,
            now,
            introspection="all" if sight.everything else "own",
            serves=serves,
        )
        details = {
            "introspection": "all" if sight.everything else "own",
            "serves": list(serves),
            "before": {"introspection": row.introspection, "serves": list(row.serves)},
        }
        event = ClientChanged(actor=desk.actor, client_id=client_id, details=details)
        audit.append_admin(conn, event)
        return clients.find(conn, client_id) or row


def sees(row: ClientRow, url: str) -> bool:
    """Whether the client may look at tokens for this resource that are not its own."""
    return row.disabled_at is None and (row.introspection == "all" or url in row.serves)


def sight_text(row: ClientRow) -> str:
    """The same for people."""
    if row.introspection == "all":
        return "every token"
    if row.serves:
        return f"{OWN}, and those for {' and '.join(row.serves)}"
    return OWN
