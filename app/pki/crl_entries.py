"""A million revoked certificates in one block of memory, found in a few microseconds.

Guarantees that every entry of a CRL was read as strict DER and that none of them says something
that this server does not know how to take: critical extensions, a certificate issuer of its own
(indirect CRLs) or *removeFromCRL* (delta CRLs) refuse the whole list. Memory is 33 octets per
entry. Look-up takes the same time whatever the serials are. Reading gives way to other threads
every millisecond or so, for the event loop is one of them. Errors: ValueError. RFC 5280 section 5.3.
"""

import re
import time
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

from app.pki import der
from app.pki.der_spans import Span, inside, span

REASONS: Final = {
    0: "unspecified",
    1: "key compromise",
    2: "CA compromise",
    3: "affiliation changed",
    4: "superseded",
    5: "cessation of operation",
    6: "certificate hold",
    9: "privilege withdrawn",
    10: "attribute authority compromise",
}
"""CRLReason without 7, which is unused, and 8, removeFromCRL."""

_NO_REASON = 255
_SERIAL = 20  # octets, RFC 5280 section 4.1.2.2
_DATE = 12  # YYMMDDHHMMSS
_RECORD = _SERIAL + _DATE + 1
_BUCKETS = 4096  # of 250 records where there are a million: some 8 steps to find one
_BREATH = 2048  # entries between two pauses: about a millisecond of work

# Nearly every entry ends like this: a time, and as extension at most a reason.
_USUAL_END = re.compile(
    rb"(?:\x17\x0d|\x18\x0f20)(?P<date>[0-9]{12})Z"
    rb"(?:\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01(?P<reason>[\x00-\x06\x09\x0a]))?",
    re.DOTALL,
)
_REASON_CODE, _INVALIDITY_DATE = "2.5.29.21", "2.5.29.24"
_CERTIFICATE_ISSUER = "2.5.29.29"
_REMOVE_FROM_CRL = 8
_BOOLEAN, _OCTET_STRING, _ENUMERATED = 0x01, 0x04, 0x0A


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """One revocation, for people."""

    date: str
    """``2026-11-22T13:50:00Z``, as the CA wrote it."""
    reason: str
    """In words; empty where the CA gave none."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """The revoked serial numbers of one CRL."""

    count: int
    _index: tuple[bytes, ...]
    """By a hash of the serial, sorted records of serial, date and reason, joined."""

    def find(self, serial: bytes) -> RevokedEntry | None:
        """The entry for a serial as `serial_key` makes it, or None."""
        bucket = self._index[hash(serial) % len(self._index)]
        at = bisect_left(
            range(0, len(bucket), _RECORD), serial, key=lambda n: bucket[n : n + _SERIAL]
        )
        record = bucket[at * _RECORD : (at + 1) * _RECORD]
        if record[:_SERIAL] != serial:
            return None
        return RevokedEntry(_date(record[_SERIAL:-1]), REASONS.get(record[-1], ""))


def serial_key(serial: int) -> bytes:
    """A positive serial number of at most 20 octets as `Entries.find` takes it."""
    return serial.to_bytes(_SERIAL, "big")


def read_entries(data: bytes, revoked: Span | None) -> Entries:
    """The entries of a CRL whose ``revokedCertificates`` lie at `revoked`. Raises ValueError.

    A million entries take about two seconds, so this belongs into a thread of its own.
    """
    position, end = (revoked.content, revoked.end) if revoked is not None else (0, 0)
    buckets: list[list[bytes]] = [[] for _ in range(_BUCKETS)]
    usual, count = _USUAL_END.fullmatch, 0
    while position < end:
        # The common shape by hand, a call per entry would double the time: SEQUENCE and INTEGER
        # with lengths of one octet.
        tail = position + 4 + data[position + 3] if position + 4 < end else end
        stop = position + 2 + data[position + 1] if position + 2 < end else end
        if (
            data[position] == der.SEQUENCE
            and stop - position < 0x80 + 2
            and tail < stop <= end
            and data[position + 2] == der.INTEGER
            and tail - position > 4  # noqa: PLR2004 - a serial has an octet at least
            and (match := usual(data, tail, stop)) is not None
        ):
            serial = data[position + 4 : tail]
            date, reason = match.groups()
        else:
            serial, date, reason, stop = _unusual(data, position, end)
        key = _key(serial)
        if key is not None:
            record = key + date + (reason or b"\xff")
            buckets[hash(key) % _BUCKETS].append(record)
        count += 1
        position = stop
        if not count % _BREATH:
            time.sleep(0)
    return Entries(count, _packed(buckets))


def _packed(buckets: list[list[bytes]]) -> tuple[bytes, ...]:
    packed = []
    for number, bucket in enumerate(buckets):
        bucket.sort()
        packed.append(b"".join(bucket))
        bucket.clear()
        if not number % 32:
            time.sleep(0)
    return tuple(packed)


def _key(serial: bytes) -> bytes | None:
    """None for a serial that no certificate accepted here can have: it needs no record."""
    first = serial[0]
    if first & 0x80:
        return None
    if not first and len(serial) > 1:
        if serial[1] < 0x80:  # noqa: PLR2004 - the sign bit
            raise ValueError("a serial number not in its shortest form")
        serial = serial[1:]
    return serial.rjust(_SERIAL, b"\0") if len(serial) <= _SERIAL else None


def _unusual(data: bytes, start: int, end: int) -> tuple[bytes, bytes, bytes | None, int]:
    """Serial, date, reason and end of any entry, read step by step."""
    entry = span(data, start, end)
    if entry.tag != der.SEQUENCE:
        raise ValueError("an entry that is no SEQUENCE")
    parts = list(inside(data, entry))
    tags = [each.tag for each in parts]
    if tags[:1] != [der.INTEGER] or len(parts) not in {2, 3} or parts[0].content == parts[0].end:
        raise ValueError("an entry without serial number and date")
    if len(parts) == 3 and tags[2] != der.SEQUENCE:  # noqa: PLR2004 - serial, date, extensions
        raise ValueError("an entry whose extensions are no SEQUENCE")
    date = _USUAL_END.fullmatch(data, parts[1].start, parts[1].end)
    if date is None:
        raise ValueError("an entry with a malformed date")
    reason = None
    if len(parts) == 3:  # noqa: PLR2004 - as above
        reason = _reason(data[parts[2].start : parts[2].end])
    return data[parts[0].content : parts[0].end], date["date"], reason, entry.end


def _reason(encoded: bytes) -> bytes | None:
    found = _extensions(encoded)
    if _REASON_CODE not in found:
        return None
    code = der.single(found[_REASON_CODE])
    if code.tag != _ENUMERATED or len(code.content) != 1:
        raise ValueError("an entry with a malformed reason")
    if code.content[0] == _REMOVE_FROM_CRL:
        raise ValueError("an entry removeFromCRL, which belongs into delta CRLs; not supported")
    if code.content[0] not in REASONS:
        raise ValueError(f"an entry with the unknown reason {code.content[0]}")
    return code.content


def _extensions(encoded: bytes) -> dict[str, bytes]:
    """Values by OID, of which the critical ones are understood."""
    found: dict[str, bytes] = {}
    for each in der.inside(der.single(encoded), der.SEQUENCE):
        parts = der.inside(each, der.SEQUENCE)
        tags = [part.tag for part in parts]
        critical = tags == [der.OID, _BOOLEAN, _OCTET_STRING]
        if not critical and tags != [der.OID, _OCTET_STRING]:
            raise ValueError("an entry with a malformed extension")
        if critical and parts[1].content != b"\xff":  # FALSE is left out, TRUE has one spelling
            raise ValueError("an entry with a malformed extension")
        name = der.oid_text(parts[0].content)
        if name == _CERTIFICATE_ISSUER:
            raise ValueError("an indirect CRL (entries name their issuers); not supported")
        if critical and name not in {_REASON_CODE, _INVALIDITY_DATE}:
            raise ValueError(f"an entry with the unknown critical extension {name}")
        if name in found:
            raise ValueError("an entry with an extension twice")
        found[name] = parts[-1].content
    return found


def _date(digits: bytes) -> str:
    year, month, day, hour, minute, second = (
        digits[at : at + 2].decode() for at in range(0, _DATE, 2)
    )
    return f"20{year}-{month}-{day}T{hour}:{minute}:{second}Z"
