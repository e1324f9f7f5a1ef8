"""A signed statement of our own that carries the public key it was signed with.

Guarantees that the key it carries signed these very octets, under the name that is the key's RFC
7638 thumbprint, and that it is of the type asked for. That the key is ours it does not show: the
reader has to know the key, or a later statement that names this one by its hash.
"""

from dataclasses import dataclass

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry
from joserfc.jws import JWSRegistry

from app.jose import base64url, jwk
from app.jose.algorithms import ALGORITHMS, public_jwk
from app.jose.strict_json import Members, parse_object

KEY = "key"
"""The member that carries the public key."""
_MAX_HEADER = 1024


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that its own key signed."""

    kid: str
    members: Members


def read(text: str, *, typ: str, at_most: int) -> Statement:
    """The statement in a compact JWS of at most `at_most` characters.

    Raises:
        ValueError: it is not readable, of another type, or not signed by the key it carries.

    """
    if len(text) > at_most:
        raise ValueError(f"is longer than {at_most} characters")
    try:
        header, payload, signature = text.encode("ascii").split(b".")
        head = parse_object(base64url.decode(header), at_most=_MAX_HEADER)
        members = parse_object(base64url.decode(payload), at_most=at_most)
        signed = base64url.decode(signature)
    except ValueError as error:
        raise ValueError("is not a signed statement") from error
    if head.keys() != {"alg", "typ", "kid"} or head["typ"] != typ:
        raise ValueError(f"is not of type {typ}")
    row, key = ALGORITHMS.get(str(head["alg"])), members.get(KEY)
    if row is None or not isinstance(key, dict):
        raise ValueError("names no algorithm and key of ours")
    public = jwk.import_public(key)
    key = public_jwk(public)
    if not row.fits(public) or jwk.thumbprint(key) != head["kid"]:
        raise ValueError("carries another key than it names")
    try:
        genuine = JWSRegistry.algorithms[row.name].verify(
            header + b"." + payload, signed, JWKRegistry.import_key({**key})
        )
    except (JoseError, ValueError):
        genuine = False
    if not genuine:
        raise ValueError("was not signed by the key it carries")
    return Statement(str(head["kid"]), members)
