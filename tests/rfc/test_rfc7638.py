"""RFC 7638, JSON Web Key Thumbprint: how our keys are named."""

import base64
import hashlib
import json

from tests.kit.asgi import Stage


def test_section_3_the_kid_is_the_thumbprint(standing: Stage) -> None:
    """SHA-256 over the required members in order, so the same key has the same name everywhere."""
    for key in standing.ask("GET", "/jwks").json()["keys"]:
        required = {name: key[name] for name in ("crv", "kty", "x", "y")}
        canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=")
        assert key["kid"] == digest.decode()
