"""Key sets (RFC 7517 section 5): what clients register, and what we publish.

A client's set is read strictly: one meaning or none. `parse_client_jwks` and `parse_public_key`
promise that a returned key is public, of an accepted kind and size, and, where a certificate came
along, that this certificate holds this very key. They say nothing about who the certificate names,
who issued it or whether it is in date.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from joserfc.jwk import JWKRegistry, Key

from app.jose import base64url, jwk
from app.jose.algorithms import ALGORITHMS, spki
from app.jose.strict_json import Members, parse_object

MAX_SET = 64 * 1024
"""Octets of a client's key set: 20 RSA keys with a certificate each take about 50 KiB."""
MAX_KEYS = 20
MAX_KEY_FILE = 16 * 1024
"""Octets of one public key in a file; RSA 8192 in PEM is about 1.5 KiB."""
MAX_KID = 256
MAX_CHAIN = 10
"""Certificates in one ``x5c``; only the first is looked at."""


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A registered key. With `certificate_der` only that certificate counts, else any over the key."""

    kid: str | None
    spki_der: bytes
    spki_sha256: str
    """base64url, 43 characters."""
    certificate_der: bytes | None = None


def parse_client_jwks(
    data: bytes | Mapping[str, Any], *, allow_empty: bool = False
) -> list[ClientKey]:
    """The keys of a client's key set, without those marked ``"use": "enc"``.

    With `allow_empty` a set without a usable key is an answer (a client that publishes an empty
    set withdraws all its keys); without, it is a mistake.

    Raises:
        ValueError: with a message for people.

    """
    if not isinstance(data, bytes):
        try:
            data = json.dumps(data).encode()
        except (TypeError, ValueError, RecursionError):
            raise ValueError("the key set is not plain JSON") from None
    try:
        members = parse_object(data, at_most=MAX_SET)
    except ValueError as error:
        raise ValueError(f"the key set {error}") from None
    keys = members.get("keys")
    if not isinstance(keys, list):
        raise ValueError('the key set has no array "keys" (RFC 7517 section 5)')  # noqa: TRY004  # one kind of error
    if len(keys) > MAX_KEYS:
        raise ValueError(f"the key set has {len(keys)} keys; at most {MAX_KEYS} are accepted")
    found = list(_usable_keys(keys))
    if not found and not allow_empty:
        raise ValueError("the key set has no key for signatures")
    return found


def _usable_keys(keys: list[Any]) -> Iterator[ClientKey]:
    kids: set[str] = set()
    for position, members in enumerate(keys, 1):
        try:
            if not isinstance(members, dict):
                raise ValueError("is not a JSON object")  # noqa: TRY004, TRY301  # one kind of error, worded below
            kid = _kid(members)
            if kid in kids:
                raise ValueError(f"has the kid {kid[:40]!a} of another one")  # noqa: TRY301  # worded below
            if kid is not None:
                kids.add(kid)
            jwk.refuse_secrets(members)
            if members.get("use") != "enc":
                yield _client_key(members, kid)
        except ValueError as error:
            raise ValueError(f"key {position} of the key set {error}") from error


def _kid(members: Members) -> str | None:
    kid = members.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID):
        raise ValueError(f"has a kid that is not a string of 1 to {MAX_KID} characters")
    return kid


def _client_key(members: Members, kid: str | None) -> ClientKey:
    der = spki(jwk.import_public(members))
    certificate = None
    if "x5c" in members:
        certificate = _certificate(members["x5c"])
        if _certificate_spki(certificate) != der:
            raise ValueError("differs from the key in the first certificate of its x5c")
        stated = members.get("x5t#S256", None)
        if stated is not None and stated != _digest(certificate):
            raise ValueError("has an x5t#S256 that is not its certificate's")
    return ClientKey(kid, der, _digest(der), certificate)


def _digest(data: bytes) -> str:
    return base64url.encode(hashlib.sha256(data).digest()).decode()


def _certificate(x5c: object) -> bytes:
    """RFC 7517 section 4.7: standard base64, one certificate per string, the key's own first."""
    if not isinstance(x5c, list) or not 0 < len(x5c) <= MAX_CHAIN or not isinstance(x5c[0], str):
        raise ValueError(f"has an x5c that is not an array of 1 to {MAX_CHAIN} strings")
    try:
        der = base64.b64decode(x5c[0], validate=True)
    except (binascii.Error, ValueError):
        der = b""
    if not der or base64.b64encode(der).decode() != x5c[0]:
        raise ValueError("has an x5c that is not standard base64 of DER (not base64url, no PEM)")
    return der


def _certificate_spki(der: bytes) -> bytes:
    try:
        return spki(jwk.accept(x509.load_der_x509_certificate(der).public_key()))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("has a certificate in x5c that cannot be read") from error


def parse_public_key(data: bytes) -> ClientKey:
    """One public key from a file: PEM or DER SubjectPublicKeyInfo, or a JWK.

    Raises:
        ValueError: with a message for people.

    """
    if len(data) > MAX_KEY_FILE:
        raise ValueError(f"the file is larger than {MAX_KEY_FILE} octets")
    if b"PRIVATE KEY-----" in data:
        raise ValueError(
            "the file holds a private key; give its public part (openssl pkey -pubout)"
        )
    if b"-----BEGIN CERTIFICATE-----" in data:
        raise ValueError("the file holds a certificate; register it with --cert")
    try:
        if data.lstrip()[:1] == b"{":
            members = parse_object(data, at_most=MAX_KEY_FILE)
            if "keys" in members:
                raise ValueError("is in a key set; register that with --jwks")  # noqa: TRY301  # worded below
            return _client_key(members, _kid(members))
        der = spki(jwk.accept(_load_spki(data)))
    except ValueError as error:
        raise ValueError(f"the key {error}") from error
    return ClientKey(None, der, _digest(der))


def _load_spki(data: bytes) -> object:
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            if data.count(b"-----BEGIN") > 1:
                raise ValueError("more than one block")  # noqa: TRY301  # worded below
            return load_pem_public_key(data)
        return load_der_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError('is not readable as PEM ("BEGIN PUBLIC KEY"), DER or JWK') from error


@dataclass(frozen=True, slots=True)
class ServerKey:
    """One entry of our own key set."""

    kid: str
    algorithm: str
    public_jwk: Mapping[str, str]


def server_jwks(entries: Iterable[ServerKey]) -> bytes:
    """The document to publish: for each key its public members, ``kid``, ``use`` and ``alg``.

    Raises:
        ValueError: an entry is not a public key, or two have the same ``kid``.

    """
    keys = []
    for entry in entries:
        jwk.import_public(entry.public_jwk)
        keys.append({**entry.public_jwk, "kid": entry.kid, "use": "sig", "alg": entry.algorithm})
    if len({key["kid"] for key in keys}) != len(keys):
        raise ValueError("two keys have the same kid")
    return json.dumps({"keys": keys}, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that `app.jose.jwt.verify` may use, for one algorithm only."""

    algorithm: str
    key: Key


class VerificationKeys:
    """An issuer's published key set, parsed once: ``kid`` to key. Immutable."""

    __slots__ = ("_by_kid",)

    def __init__(self, by_kid: Mapping[str, VerificationKey]) -> None:
        self._by_kid = dict(by_kid)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """From a key-set document. Keys for other uses or unknown algorithms are left out.

        Raises:
            ValueError: the document is malformed, or a signature key in it is unusable.

        """
        keys = parse_object(data, at_most=MAX_SET).get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise ValueError('has no array "keys" of objects')
        found: dict[str, VerificationKey] = {}
        for members in keys:
            kid, algorithm = _kid(members), ALGORITHMS.get(str(members.get("alg")))
            if kid is None or algorithm is None or members.get("use", "sig") != "sig":
                continue
            public = jwk.import_public(members)
            if not algorithm.fits(public) or kid in found:
                raise ValueError("has a key that does not fit its alg, or a kid twice")
            plain = {
                name: members[name]
                for name in ("kty", "crv", "x", "y", "n", "e")
                if name in members
            }
            found[kid] = VerificationKey(algorithm.name, JWKRegistry.import_key(plain))
        return cls(found)

    def get(self, kid: str) -> VerificationKey | None:
        """The key named `kid`."""
        return self._by_kid.get(kid)

    def __len__(self) -> int:
        return len(self._by_kid)
