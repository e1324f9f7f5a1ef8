"""The authorization server's signing keys, found from its issuer identifier alone.

Guarantees: the keys are those of the key set that the issuer's own metadata names (RFC 8414,
the document's ``issuer`` equal character by character), fetched over https from the issuer; a
token with a key id that nobody knows causes at most one fetch in `RETRY_AFTER` seconds, however
many of them come; keys older than `USABLE_FOR` verify nothing.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from app.jose.document import JSON_DOCUMENT, MAX_DOCUMENT, Fetched, Limits, RemoteDocuments
from app.jose.jwks import VerificationKeys
from app.jose.jwt import UnknownKey, VerifiedClaims
from app.jose.strict_json import Members, parse_object
from app.resource.kept import Kept, Loaded

FRESH_FOR: Final = 300
"""Seconds, where the key set's answer says nothing."""
SHORTEST: Final = 30
LONGEST: Final = 3600
"""Seconds: what an answer may say about keeping it, cut to this."""
USABLE_FOR: Final = 24 * 3600
"""Seconds that keys verify while the issuer is out of reach. New keys are published earlier."""
RETRY_AFTER: Final = 10
"""Seconds between two fetches."""

Fetch = Callable[[str, Limits], Fetched]


def over_https(ca_file: Path | None) -> Fetch:
    """Blocking fetches from servers vouched for by the system's CAs, or those in `ca_file`.

    The operator named the issuer, so that it may have a private address.

    Raises:
        ValueError: `ca_file` cannot be used.

    """
    if ca_file is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
        except OSError as error:
            raise ValueError(f"the CA file {ca_file} cannot be used: {error}") from error
    documents = RemoteDocuments(allow_private=True, ca_file=ca_file)
    return lambda url, limits: asyncio.run(documents.obtain(url, limits))


def well_known(identifier: str, name: str) -> str:
    """RFC 8414 section 3.1, RFC 9728 section 3.1: the path comes after the well-known part."""
    parts = urlsplit(identifier)
    return f"{parts.scheme}://{parts.netloc}/.well-known/{name}{parts.path.rstrip('/')}"


def metadata(issuer: str, fetch: Fetch) -> Members:
    """The issuer's metadata.

    Raises:
        FetchFailed, FetchRefused, ValueError: it cannot be had, or is somebody else's.

    """
    fetched = fetch(well_known(issuer, "oauth-authorization-server"), JSON_DOCUMENT)
    members = parse_object(fetched.body, at_most=MAX_DOCUMENT)
    if members.get("issuer") != issuer:  # RFC 8414 section 3.3
        raise ValueError("the metadata is that of another issuer")
    return members


def endpoint(members: Members, name: str) -> str:
    """A URL in the metadata.

    Raises:
        ValueError: it is not there.

    """
    url = members.get(name)
    if not isinstance(url, str):
        raise ValueError(f"the metadata has no {name}")  # noqa: TRY004  # one kind of error
    return url


class IssuerKeys:
    """The keys of one issuer. Any thread may ask."""

    def __init__(self, issuer: str, fetch: Fetch, now: Callable[[], int]) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._kept = Kept(self._load, now, RETRY_AFTER)

    def current(self) -> VerificationKeys:
        """The keys.

        Raises:
            Wanting, OutOfReach: as `Kept.current`.

        """
        return self._kept.current()

    def verify(self, check: Callable[[VerificationKeys], VerifiedClaims]) -> VerifiedClaims:
        """What `check` says with these keys; where it knows the key not, they are fetched again.

        Raises:
            InvalidToken: as `check`.
            Wanting, OutOfReach: as `Kept.current`.

        """
        keys = self._kept.current()
        try:
            return check(keys)
        except UnknownKey:
            self._kept.renew()
            newer = self._kept.current()  # a fetch may have ended in between
            if newer is keys:
                raise
        return check(newer)

    def _load(self) -> Loaded[VerificationKeys]:
        url = endpoint(metadata(self._issuer, self._fetch), "jwks_uri")
        fetched = self._fetch(url, JSON_DOCUMENT)
        keys = VerificationKeys.parse(fetched.body)
        if not keys:
            raise ValueError("the key set has no key for signatures")
        age = FRESH_FOR if fetched.max_age is None else fetched.max_age
        return Loaded(keys, min(max(age, SHORTEST), LONGEST), USABLE_FOR)
