"""The kit's world of clients, registered with a real server."""

import ssl
from pathlib import Path

from app import clock
from app.admin import clients, identity, trust
from app.admin.client_wishes import Wishes
from app.admin.desk import Desk
from app.admin.identity import Credential, Identity
from app.clients.methods import self_signed_tls_client_auth
from app.pki import check
from app.store import credentials, registry
from tests.kit.running import Running
from tests.kit.world import KitClient, World

TRUST_SET = "kit"


def host(server: Running, world: World, folder: Path) -> None:
    """Register every client of `world` as an operator would; its roots are the trust set ``kit``."""
    with server.desk() as desk:
        for number, der in enumerate(world.trust_set.anchors):
            path = folder / f"root-{number}.pem"
            path.write_text(ssl.DER_cert_to_PEM_cert(der))
            trust.add(desk, TRUST_SET, path)
        for client in world.clients.values():
            _register(desk, client)


def _register(desk: Desk, client: KitClient) -> None:
    if client.match is not None:
        who = identity.by_subject(*client.match)
        clients.add(desk, client.client_id, who, Wishes(trust_sets=[TRUST_SET]))
        return
    clients.add(desk, client.client_id, Identity(self_signed_tls_client_auth.NAME), Wishes())
    _credentials(desk, client)


def _credentials(desk: Desk, client: KitClient) -> None:
    """By rows: a command would rightly refuse those that can never authenticate."""
    now = clock.now()
    found = []
    for der in client.registered:
        facts = check.describe(der)
        found.append(Credential("certificate", facts.spki_sha256, facts.spki_der, der, facts))
    found += [
        Credential("key", f"key-{client.client_id}-{number}", spki)
        for number, spki in enumerate(client.registered_keys)
    ]
    with registry.change(desk.db) as conn:
        for one in found:
            credentials.add(conn, one.row(client.client_id, now, client.activate_at or None))
            if client.state == "retired":
                credentials.retire(conn, client.client_id, one.digest, now)
