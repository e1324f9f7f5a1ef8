"""Whose a key is: the tenants in whose name a client has registered it."""

from collections.abc import Iterable

from app.store.credentials import CredentialRow


def tenants_of_key(
    client_id: str, tenant: str, credentials: Iterable[CredentialRow], spki_sha256: str
) -> frozenset[str]:
    """The tenants of the client's active `credentials` with this key; without any, its own `tenant`.

    A credential's own label counts before the client's. Staged credentials count too, and those
    whose time has run out without a word: nobody else may take the key for that.
    """
    found = {
        one.tenant or tenant
        for one in credentials
        if one.client_id == client_id and one.spki_sha256 == spki_sha256 and one.state == "active"
    }
    return frozenset(found or {tenant})
