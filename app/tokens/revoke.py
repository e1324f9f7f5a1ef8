"""A client takes back a token of its own (RFC 7009)."""

from dataclasses import dataclass

from app.audit import TokenRevoked
from app.clients.authentication import AuthenticatedClient
from app.store.tokens import TokenRow
from app.store.uses import CertificateUse
from app.tokens.issue import evidence, use_of


@dataclass(frozen=True, slots=True)
class TokenRevocation:
    """A revocation about to be recorded, in one transaction with its audit entry."""

    event: TokenRevoked
    use: CertificateUse
    revokes: str
    token: None = None
    status_list: None = None


def revoke(client: AuthenticatedClient, row: TokenRow, now: int) -> TokenRevocation:
    """The revocation of `row`, a token of this client.

    Raises:
        ValueError: it is another client's.

    """
    if row.client_id != client.client.client_id:
        raise ValueError("a client revokes its own tokens")
    event = TokenRevoked(
        client_id=row.client_id,
        certificate=evidence(client.certificate),
        jti=row.jti,
        resource=row.resource,
        method=client.client.token_endpoint_auth_method,
    )
    return TokenRevocation(event, use_of(client.certificate, row.client_id, now), row.jti)
