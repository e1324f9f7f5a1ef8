"""The issuer: its identifier, and the URLs that follow from it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

WELL_KNOWN = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer identifier, printed verbatim everywhere (RFC 8414 section 2, RFC 9207).

    Clients compare it character by character, so it is never normalised.
    """

    identifier: str
    mtls_base_url: str

    @property
    def path(self) -> str:
        """The issuer's path without a trailing slash: empty, or ``/tenant``."""
        return urlsplit(self.identifier).path.rstrip("/")

    @property
    def well_known_paths(self) -> tuple[str, ...]:
        """Where the metadata stands: path-inserted (RFC 8414 section 3.1), and at the root."""
        inserted = WELL_KNOWN + self.path
        return (inserted,) if inserted == WELL_KNOWN else (inserted, WELL_KNOWN)

    def url(self, path: str) -> str:
        """The URL of an endpoint on the main listener."""
        return self.identifier.rstrip("/") + path

    def mtls_url(self, path: str) -> str:
        """The same endpoint on the mTLS listener, for `mtls_endpoint_aliases`."""
        return self.mtls_base_url + self.path + path
