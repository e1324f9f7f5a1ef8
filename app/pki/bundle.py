"""SPIFFE trust bundles (SPIFFE Trust Domain and Bundle section 4, X509-SVID section 6).

Guarantees: what `parse_bundle` returns came from JSON with one meaning, within size caps, and holds
at least one anchor; every anchor is a readable CA certificate with an acceptable key, as in any
trust set. One unfit certificate refuses the whole document, so that half a bundle never passes for
a whole one. As the specification says, entries of unknown ``kty`` or ``use``, without ``x5c``, and
certificates after the first in an ``x5c`` are ignored, and ``jwt-svid`` keys are none of ours.
Does not say whose bundle it is: a bundle does not name its trust domain, only configuration does.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.jose.strict_json import Members, parse_object
from app.pki.anchors import MAX_CERTIFICATES, TrustSet

MAX_BUNDLE = 512 * 1024
"""Octets: 100 RSA-4096 authorities take about 330 KiB. SPIRE publishes two or three."""
MAX_ENTRIES = 200
"""Of every use: as many ``jwt-svid`` keys beside the certificates."""
X509_USE = "x509-svid"
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
_MAX_HINT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Bundle:
    """What one bundle document says about X.509-SVIDs."""

    anchors: tuple[bytes, ...]
    """DER, in the document's order, repeats dropped; never empty."""
    sequence: int | None
    """Rises with every change, where the publisher states it; up to 20 digits, more than 64 bits."""
    refresh_hint: int | None
    """Seconds, as stated: bounds are the reader's business."""


def parse_bundle(data: bytes) -> Bundle:
    """The bundle in a document. Raises ValueError with a message for people."""
    try:
        members = parse_object(data, at_most=MAX_BUNDLE)
    except ValueError as error:
        raise ValueError(f"the bundle {error}") from None
    keys = members.get("keys")
    if not isinstance(keys, list):
        raise ValueError('the bundle has no array "keys"')  # noqa: TRY004  # one kind of error
    if len(keys) > MAX_ENTRIES:
        raise ValueError(f"the bundle has {len(keys)} keys; at most {MAX_ENTRIES} are accepted")
    anchors = tuple(dict.fromkeys(_authorities(keys)))
    if not anchors:
        raise ValueError(f"the bundle has no certificate for use {X509_USE}")
    if len(anchors) > MAX_CERTIFICATES:
        raise ValueError(f"the bundle has more than {MAX_CERTIFICATES} certificates")
    TrustSet("bundle", anchors)  # judges each certificate
    hint = _integer(members, "spiffe_refresh_hint")
    return Bundle(
        anchors,
        sequence=_integer(members, "spiffe_sequence"),
        refresh_hint=None if hint is None else min(hint, _MAX_HINT),
    )


def _authorities(keys: list[Any]) -> Iterator[bytes]:
    for position, entry in enumerate(keys, 1):
        where = f"key {position} of the bundle"
        if not isinstance(entry, dict):
            raise ValueError(f"{where} is not a JSON object")  # noqa: TRY004  # one kind of error
        if entry.get("use") != X509_USE or str(entry.get("kty")) not in _KEY_TYPES:
            continue
        if entry.get("x5c") in (None, []):
            continue
        yield _certificate(where, entry["x5c"])


def _certificate(where: str, x5c: object) -> bytes:
    """RFC 7517 section 4.7: standard base64 of DER, in one spelling."""
    first = x5c[0] if isinstance(x5c, list) else None
    if not isinstance(first, str):
        raise ValueError(f"{where} has an x5c that is not an array of strings")  # noqa: TRY004  # one kind of error
    try:
        certificate = base64.b64decode(first, validate=True)
    except (binascii.Error, ValueError):
        certificate = b""
    if not certificate or base64.b64encode(certificate).decode("ascii") != first:
        raise ValueError(f"{where} has an x5c that is not standard base64 of DER")
    return certificate


def _integer(members: Members, name: str) -> int | None:
    value = members.get(name)
    if value is None and name not in members:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"the bundle's {name} is not a non-negative integer")
    return value
