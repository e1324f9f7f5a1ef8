"""The face: one file per endpoint, one row each. Metadata is computed from this table."""

from app.endpoints import (
    authorize,
    forward_auth,
    health,
    introspect,
    jwks,
    metadata,
    revoke,
    status_list,
    token,
)
from app.endpoints.door import Route

ROUTES: tuple[Route, ...] = (
    Route("/token", ("POST",), token.token, metadata="token_endpoint", mtls_alias=True),
    Route(
        "/introspect",
        ("POST",),
        introspect.introspect,
        metadata="introspection_endpoint",
        mtls_alias=True,
    ),
    Route("/revoke", ("POST",), revoke.revoke, metadata="revocation_endpoint", mtls_alias=True),
    Route(forward_auth.PATH, forward_auth.METHODS, forward_auth.forward_auth, by_address=False),
    Route("/authorize", ("GET", "POST"), authorize.authorize, metadata="authorization_endpoint"),
    Route("/jwks", ("GET",), jwks.jwks, metadata="jwks_uri"),
    Route("/status-lists/{list_id}", ("GET",), status_list.status_list),
    Route("/livez", ("GET",), health.livez, at_root=True),
    Route("/readyz", ("GET",), health.readyz, at_root=True),
)

WELL_KNOWN = Route("", ("GET", "OPTIONS"), metadata.metadata)
"""The metadata document; its paths follow from the issuer (RFC 8414 section 3.1)."""
