"""RFC 7515, JSON Web Signature: the compact form of our tokens, taken apart by hand."""

import base64
import json
import re
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.kit.asgi import Stage


def decoded(part: str) -> bytes:
    """base64url without padding."""
    assert re.fullmatch(r"[A-Za-z0-9_-]+", part)
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def number(jwk: dict[str, Any], name: str) -> int:
    """A coordinate."""
    return int.from_bytes(decoded(jwk[name]))


def test_section_3_1_three_parts_of_base64url(standing: Stage) -> None:
    """header.payload.signature, each base64url without padding or line breaks."""
    header, payload, signature = standing.token(standing.bot).json()["access_token"].split(".")
    assert json.loads(decoded(header))["alg"] == "ES256"
    assert json.loads(decoded(payload))["sub"] == "bot"
    assert len(decoded(signature)) == 64


def test_section_5_1_the_signature_covers_header_and_payload(standing: Stage) -> None:
    """SHA-256 and ECDSA over the ASCII of the first two parts, checked without any JOSE library."""
    token = standing.token(standing.bot).json()["access_token"]
    signed, _, signature = token.rpartition(".")
    kid = json.loads(decoded(signed.partition(".")[0]))["kid"]
    (jwk,) = [key for key in standing.ask("GET", "/jwks").json()["keys"] if key["kid"] == kid]
    public = ec.EllipticCurvePublicNumbers(number(jwk, "x"), number(jwk, "y"), ec.SECP256R1())
    r, s = decoded(signature)[:32], decoded(signature)[32:]
    der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    public.public_key().verify(der, signed.encode("ascii"), ec.ECDSA(hashes.SHA256()))


def test_section_4_1_4_the_key_is_named(standing: Stage) -> None:
    """The kid leads to exactly one key of the published set; no key or URL stands in the header."""
    token = standing.token(standing.bot).json()["access_token"]
    header = json.loads(decoded(token.partition(".")[0]))
    kids = [key["kid"] for key in standing.ask("GET", "/jwks").json()["keys"]]
    assert kids.count(header["kid"]) == 1
    assert not {"jwk", "jku", "x5u", "x5c", "crit"} & header.keys()
