"""The protected resource's own metadata (RFC 9728), which tells clients whom to ask for a token."""

import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from app.resource.challenge import scope_names
from app.resource.keys import well_known
from app.resource.verifier import Verifier
from app.unsaid import has_user

NAME = "oauth-protected-resource"
MAX_AGE = 300
"""Seconds that the document may be kept."""


class ResourceMetadata:
    """The document of one resource, and where it stands (RFC 9728 sections 2 and 3)."""

    def __init__(
        self,
        resource: str,
        issuer: str,
        *,
        scopes: Iterable[str] = (),
        bound: bool = True,
        name: str | None = None,
    ) -> None:
        """`bound`: only certificate-bound tokens are accepted. `name`: for people.

        Raises:
            ValueError: `resource` is no https URL that a document can stand beside.

        """
        parts = urlsplit(resource)
        plain = all("!" <= c <= "~" and c not in '"\\' for c in resource)
        if parts.scheme != "https" or not parts.netloc or "#" in resource or not plain:
            raise ValueError("the resource must be an https URL without fragment (RFC 9728)")
        if has_user(resource):
            raise ValueError("a resource has no user name and no password: anybody reads this")
        if parts.query:
            raise ValueError("a resource with a query cannot publish metadata here")
        self.url = well_known(resource, NAME)
        """For ``resource_metadata`` in a challenge."""
        self.path = urlsplit(self.url).path
        members = {
            "resource": resource,
            "authorization_servers": [issuer],
            "scopes_supported": list(scope_names(scopes)),
            "bearer_methods_supported": ["header"],
            "tls_client_certificate_bound_access_tokens": bound,
            "resource_name": name,
        }
        self.body = json.dumps({k: v for k, v in members.items() if v not in (None, [])}).encode()
        """The document."""


def of(verifier: Verifier, scopes: Iterable[str], name: str | None) -> ResourceMetadata | None:
    """The metadata that follows from a verifier; None where its audience is no https URL."""
    try:
        return ResourceMetadata(
            verifier.audience,
            verifier.issuer,
            scopes=scopes,
            bound=verifier.binding_required,
            name=name,
        )
    except ValueError:
        return None
