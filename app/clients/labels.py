"""Whose a key is: the tenants, and other labels, in whose name a client has registered it."""

from collections.abc import Iterable

from app.store.credentials import CredentialRow


def tenants_of_key(
    client_id: str, tenant: str, credentials: Iterable[CredentialRow], spki_sha256: str
) -> frozenset[str]:
    """The tenants of the client's active `credentials` with this key; without any, its own `tenant`.

    A credential's own label counts before the client's. Staged credentials count too, and those
    whose time has run out without a word: nobody else may take the key for that.
    """
    return labels_of_key("tenant", client_id, tenant, credentials, spki_sha256)


def labels_of_key(
    label: str, client_id: str, whole: str, credentials: Iterable[CredentialRow], spki_sha256: str
) -> frozenset[str]:
    """The same of any label; `whole` is the client's."""
    found = {
        getattr(one, label) or whole
        for one in credentials
        if one.client_id == client_id and one.spki_sha256 == spki_sha256 and one.state == "active"
    }
    return frozenset(found or {whole})
