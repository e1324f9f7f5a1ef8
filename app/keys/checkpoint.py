"""Checkpoints of the audit: where its streams stood, signed, each naming the one before by hash.

A statement (JWS, type ``audit-checkpoint+jwt``) has the members ``iss``, ``iat``, ``number``,
``kind``, ``previous`` (SHA-256 of the statement before, base64url), ``streams`` (writer to
``"seq hash"``), ``key`` (the public JWK that signed) and ``keys`` (the ids of the keys that may
sign the next one). Of kinds ``whole`` and ``cut`` also ``begins`` (writer to ``"seq prev"``: the
first entry that remains and the hash before it) and ``first`` (the oldest checkpoint that remains);
of kind ``cut`` also ``before`` (entries older than that, in milliseconds, were removed).

`read` guarantees form and self-signature. Whether the key is one of ours, `authentic_kids` tells.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from app.jose import base64url, statement
from app.jose.jwt import Signer
from app.keys.seal import SealingError, SealingKey
from app.store.checkpoints import CheckpointRow, Kind
from app.store.signing_keys import SigningKeyRow
from app.store.streams import Head

TYP = "audit-checkpoint+jwt"
MAX_STATEMENT = 64 * 1024 * 1024
"""Characters; a stream takes some 170, and a process opens one when it starts."""

Heads = Mapping[str, Head]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What one statement says. `digest` and `kid` are known of one that was read or signed."""

    issuer: str
    number: int
    at: int
    kind: Kind
    previous: str | None
    streams: Heads
    begins: Heads = field(default_factory=dict)
    first: int | None = None
    before_ms: int | None = None
    keys: tuple[str, ...] = ()
    kid: str = ""
    digest: str = ""


def digest_of(text: str) -> str:
    """How the next statement names this one."""
    return base64url.encode(hashlib.sha256(text.encode()).digest()).decode()


def sign(checkpoint: Checkpoint, rows: Sequence[SigningKeyRow], signer: Signer) -> CheckpointRow:
    """The checkpoint, signed, as it is stored; the keys that may sign next are those of `rows`.

    Raises:
        ValueError: `signer` is none of the keys in `rows`.

    """
    own = next((row for row in rows if row.kid == signer.kid), None)
    if own is None:
        raise ValueError("signed with a key that is not stored")
    members: dict[str, Any] = {
        "iss": checkpoint.issuer,
        "iat": checkpoint.at,
        "number": checkpoint.number,
        "kind": checkpoint.kind,
        "previous": checkpoint.previous,
        "streams": _spelled(checkpoint.streams),
        statement.KEY: json.loads(own.public_jwk),
        "keys": sorted(row.kid for row in rows if row.state != "retired"),
    }
    if checkpoint.kind != "heads":
        members |= {"begins": _spelled(checkpoint.begins), "first": checkpoint.first}
    if checkpoint.kind == "cut":
        members["before"] = checkpoint.before_ms
    return CheckpointRow(
        number=checkpoint.number,
        at=checkpoint.at,
        kind=checkpoint.kind,
        statement=signer.typed(TYP).sign(members),
    )


def read(text: str) -> Checkpoint:
    """The checkpoint in a statement that its own key signed.

    Raises:
        ValueError: it is not one; the message says why.

    """
    signed = statement.read(text, typ=TYP, at_most=MAX_STATEMENT)
    members = signed.members
    kind: Any = members.get("kind")
    if kind not in get_args(Kind):
        raise ValueError("is of no known kind")
    try:
        return Checkpoint(
            issuer=_text(members["iss"]),
            number=_number(members["number"]),
            at=_number(members["iat"]),
            kind=kind,
            previous=None if members["previous"] is None else _text(members["previous"]),
            streams=_read(members["streams"]),
            begins=_read(members.get("begins", {})),
            first=None if kind == "heads" else _number(members["first"]),
            before_ms=_number(members["before"]) if kind == "cut" else None,
            keys=tuple(_text(kid) for kid in members["keys"]),
            kid=signed.kid,
            digest=digest_of(text),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("lacks a member of a checkpoint") from error


def _spelled(places: Heads) -> dict[str, str]:
    return {writer: f"{seq} {_b64(octets)}" for writer, (seq, octets) in places.items()}


def _read(members: Mapping[str, str]) -> Heads:
    found = {}
    for writer, text in members.items():
        seq, _, octets = text.partition(" ")
        found[writer] = Head(int(seq), base64url.decode(octets))
    return found


def _b64(octets: bytes) -> str:
    return base64url.encode(octets).decode()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _number(value: object) -> int:
    if type(value) is not int:  # bool is an int too
        raise TypeError(value)
    return value


def authentic_kids(rows: Iterable[SigningKeyRow], sealing_key: SealingKey) -> set[str]:
    """Of the stored keys those whose private half this sealing key sealed.

    Nobody without the sealing key can add one: that is what the chain of checkpoints hangs on.
    """
    found = set()
    for row in rows:
        try:
            private = sealing_key.open(row.kid, row.algorithm, row.sealed)
        except SealingError:
            continue
        if private:
            found.add(row.kid)
    return found
