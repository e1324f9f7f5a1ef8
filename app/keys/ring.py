"""`KeyRing`: the signing keys of one registry version, ready to use.

Guarantees: the current key signs, its public half is among the published ones and belongs to it.
Says nothing of when keys change; that is `app.keys.rotate`.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from cryptography.hazmat.primitives.serialization import load_der_private_key

from app.jose import base64url
from app.jose.algorithms import PrivateKey, public_jwk
from app.jose.jwks import ServerKey, VerificationKeys, server_jwks
from app.jose.jwt import Signer
from app.keys.seal import SealingError, SealingKey
from app.store.signing_keys import SigningKeyRow

# A verifier that takes the first key, whatever the kid, is wrong; this keeps it working mostly.
_ORDER = ("current", "next", "retired")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Immutable. `jwks` is the published document, `etag` its strong entity tag."""

    current: Signer = field(repr=False)
    jwks: bytes
    etag: str
    published: VerificationKeys
    """The same keys, for `app.jose.jwt.verify`."""

    @classmethod
    def from_rows(cls, rows: Iterable[SigningKeyRow], sealing_key: SealingKey) -> Self:
        """The ring over the stored keys. The current one is unsealed once per process.

        Raises:
            SealingError: there is no current key, or it cannot be unsealed.

        """
        ordered = sorted(rows, key=lambda row: _ORDER.index(row.state))
        if not ordered or ordered[0].state != "current":
            raise SealingError(
                "the database holds no current signing key; certbound serve makes it"
            )
        first = ordered[0]
        current = _signer(first.kid, first.algorithm, first.public_jwk, first.sealed, sealing_key)
        document = server_jwks(
            ServerKey(row.kid, row.algorithm, json.loads(row.public_jwk)) for row in ordered
        )
        digest = base64url.encode(hashlib.sha256(document).digest()).decode()
        return cls(current, document, f'"{digest}"', VerificationKeys.parse(document))


@lru_cache(maxsize=4)
def _signer(
    kid: str, algorithm: str, public: str, sealed: bytes, sealing_key: SealingKey
) -> Signer:
    der = sealing_key.open(kid, algorithm, sealed)
    private: PrivateKey = load_der_private_key(der, None)  # type: ignore[assignment]  # Signer checks the kind
    if public_jwk(private.public_key()) != json.loads(public):
        raise SealingError(f"the signing key {kid} does not belong to its published half")
    return Signer(kid, algorithm, private)
