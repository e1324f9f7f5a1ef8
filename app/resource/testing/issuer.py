"""An authorization server for tests, in memory: keys, metadata, tokens and a status list.

The tokens are those that certbound issues, claim by claim, signed for real. Nothing is
authenticated: a test says who is who.
"""

import json
import secrets
import zlib
from typing import Any

from app import clock
from app.jose import base64url
from app.jose.algorithms import ALGORITHMS, public_jwk
from app.jose.document import Fetched, FetchFailed, Limits
from app.jose.jwks import ServerKey, server_jwks
from app.jose.jwt import Signer, unverified
from app.resource.keys import well_known
from app.resource.testing.certificates import Authority, Certificate
from app.resource.verifier import Verifier

LIST_SIZE = 1024
"""Places on the status list: as many tokens as one test may ask for."""


class Issuer:
    """One issuer and one resource. `documents` is what it publishes, by URL; a test may spoil it."""

    def __init__(
        self,
        url: str = "https://issuer.test",
        audience: str = "https://api.test",
        algorithm: str = "ES256",
    ) -> None:
        self.url, self.audience, self.algorithm = url, audience, algorithm
        self.authority = Authority()
        self.revoked: set[int] = set()
        self.fetched: list[str] = []
        """Every URL asked for, in order."""
        self.reachable = True
        self.ttl = 60
        """Seconds that the resource uses a status list before it fetches it again."""
        self._ahead = 0
        self._given = 0
        self._keys: list[ServerKey] = []
        self.status_uri = f"{url.rstrip('/')}/status-lists/test"
        self.rotate()

    def rotate(self, *, keep: bool = True) -> None:
        """Sign with a new key; the old ones stay published, or with ``keep=False`` do not."""
        private = ALGORITHMS[self.algorithm].generate()
        self.signer = Signer(secrets.token_urlsafe(8), self.algorithm, private)
        key = ServerKey(self.signer.kid, self.algorithm, public_jwk(private.public_key()))
        self._keys = [key, *(self._keys if keep else ())]

    def certificate(self, name: str = "bot") -> Certificate:
        """A new certificate for a client; twice the same name is a renewed one."""
        return self.authority.issue(name)

    def token(
        self,
        certificate: Certificate | None,
        *,
        client_id: str = "bot",
        scope: str = "",
        lifetime: int = 300,
        **claims: Any,
    ) -> str:
        """A token bound to `certificate`, or to nothing. `claims` are added; None takes one away."""
        now = self.now()
        members: dict[str, Any] = {
            "iss": self.url,
            "sub": client_id,
            "aud": self.audience,
            "client_id": client_id,
            "iat": now,
            "exp": now + lifetime,
            "jti": secrets.token_urlsafe(12),
            "status": {"status_list": {"idx": self._given, "uri": self.status_uri}},
        }
        self._given += 1
        if certificate is not None:
            members["cnf"] = {"x5t#S256": certificate.thumbprint}
        if scope:
            members["scope"] = scope
        members |= claims
        return self.signer.sign({k: v for k, v in members.items() if v is not None})

    def now(self) -> int:
        """Seconds since the epoch, for this issuer and its verifiers."""
        return clock.now() + self._ahead

    def advance(self, seconds: int) -> None:
        """Let time pass, for this issuer and for its verifiers."""
        self._ahead += seconds

    def revoke(self, token: str) -> None:
        """From its next fetch on, the resource knows: ``advance(60)``, if it has a list already."""
        self.revoked.add(unverified(token)[1]["status"]["status_list"]["idx"])

    @property
    def documents(self) -> dict[str, tuple[str, bytes]]:
        """URL to content type and body, as of now."""
        jwks_uri = f"{self.url.rstrip('/')}/jwks"
        members = {"issuer": self.url, "jwks_uri": jwks_uri}
        return {
            well_known(self.url, "oauth-authorization-server"): (
                "application/json",
                json.dumps(members).encode(),
            ),
            jwks_uri: ("application/jwk-set+json", server_jwks(self._keys)),
            self.status_uri: ("application/statuslist+jwt", self.status_list().encode()),
        }

    def status_list(self, **claims: Any) -> str:
        """The signed list; `claims` are added, None takes one away."""
        bits = bytearray(LIST_SIZE // 8)
        for index in self.revoked:
            bits[index // 8] |= 1 << index % 8
        now = self.now()
        members = {
            "sub": self.status_uri,
            "iat": now,
            "exp": now + 86400,
            "ttl": self.ttl,
            "status_list": {
                "bits": 1,
                "lst": base64url.encode(zlib.compress(bytes(bits), 9)).decode(),
            },
            **claims,
        }
        return self.signer.typed("statuslist+jwt").sign(
            {k: v for k, v in members.items() if v is not None}
        )

    def fetch(self, url: str, limits: Limits) -> Fetched:
        """As `app.resource.keys.over_https`, without a network."""
        self.fetched.append(url)
        content_type, body = self.documents.get(url, ("", b""))
        if not self.reachable or not body or len(body) > limits.octets:
            raise FetchFailed("out of reach in this test")
        if limits.content_types is not None and content_type not in limits.content_types:
            raise FetchFailed("another content type")
        return Fetched(body, None)

    def verifier(self, **options: Any) -> Verifier:
        """A `Verifier` that trusts this issuer; `options` are its own."""
        return Verifier(
            self.url, self.audience, **({"fetch": self.fetch, "now": self.now} | options)
        )
