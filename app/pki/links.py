"""The links of a path, with what is asked about each of them on every request worked out once.

A link is a certificate below the anchor and those above it. Computed where a path is found and
remembered with it, so that asking about revocation costs look-ups and no parsing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from app.pki.anchors import may_sign_crls
from app.pki.crl_entries import serial_key
from app.pki.crl_scope import points_of
from app.pki.leaf import Leaf
from app.pki.path import Path


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """One certificate of a path, and the path above it."""

    subject: Leaf
    issuers: Sequence[Leaf]
    """Its issuer first, the anchor last."""
    name: str
    """For people."""
    serial: int
    serial_key: bytes
    """As CRLs are searched by."""
    points: frozenset[str] | None
    """As `app.pki.crl_scope.points_of` gives them."""
    issuer_keys: frozenset[bytes]
    """SubjectPublicKeyInfos with which the issuer itself may sign CRLs: its own, and those of its
    self-issued certificates on the path."""


def links_of(path: Path) -> tuple[Link, ...]:
    """A link for each certificate below the anchor, the leaf first."""
    chain = path.certificates
    return tuple(link(each, chain[at:]) for at, each in enumerate(chain[:-1], 1))


def link(subject: Leaf, issuers: Sequence[Leaf]) -> Link:
    """The link of one certificate under `issuers`."""
    serial = int(subject.facts.serial, 16)
    return Link(
        subject=subject,
        issuers=issuers,
        name=subject.facts.subject or f"serial {subject.facts.serial}",
        serial=serial,
        serial_key=serial_key(serial),
        points=points_of(subject.certificate),
        issuer_keys=frozenset(
            each.facts.spki_der for each in same_name(issuers) if may_sign_crls(each)
        ),
    )


def same_name(issuers: Sequence[Leaf]) -> Sequence[Leaf]:
    """The issuer with its other keys: self-issued certificates follow each other on a path."""
    same = takewhile(lambda each: each.subject == issuers[0].subject, issuers)
    return issuers[: len(list(same))]
