"""A CRL builder without manners, like `tests.kit.ca`: anything DER can say, good or hostile."""

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from cryptography import x509

from app.pki import der
from tests.kit import ca
from tests.kit.ca import Authority, Extension, extension

DAY = 86400


def moment(seconds: int) -> bytes:
    """A Time, as certificates and CRLs write it."""
    when = dt.datetime.fromtimestamp(seconds, dt.UTC)
    if when.year < 2050:
        return der.encode(0x17, when.strftime("%y%m%d%H%M%SZ").encode())
    return der.encode(0x18, when.strftime("%Y%m%d%H%M%SZ").encode())


def serial_of(certificate: bytes) -> int:
    """The serial number of a DER certificate."""
    return x509.load_der_x509_certificate(certificate).serial_number


def entry(serial: int | bytes, at: int, *extensions: Extension) -> bytes:
    """One revoked certificate; a serial in octets goes in as it stands."""
    if isinstance(serial, int):
        serial = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
    body = der.encode(der.INTEGER, serial) + moment(at)
    if extensions:
        body += der.encode(der.SEQUENCE, b"".join(each.encoded() for each in extensions))
    return der.encode(der.SEQUENCE, body)


def reason(code: int) -> Extension:
    """The reason of an entry, any number."""
    return Extension("2.5.29.21", der.encode(0x0A, bytes((code,))))


def number(value: int) -> Extension:
    """The CRL number."""
    return extension(x509.CRLNumber(value))


def partition(**options: Any) -> Extension:
    """An issuing distribution point; what is not given is absent."""
    values: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return extension(x509.IssuingDistributionPoint(**(values | options)), critical=True)


def delta(base: int) -> Extension:
    """The mark of a delta CRL."""
    return extension(x509.DeltaCRLIndicator(base), critical=True)


def point(url: str) -> list[x509.GeneralName]:
    """A distribution point's full name."""
    return [x509.UniformResourceIdentifier(url)]


@dataclass(frozen=True)
class Draft:
    """What a CRL says."""

    this_update: int
    next_update: int | None
    entries: bytes = b""
    extensions: tuple[Extension, ...] = ()
    issuer: bytes | None = None
    """None: the signing authority's name."""
    version: int | None = 1
    """Encoded value: 1 is v2; None leaves the field out, which is v1."""

    def with_(self, **changes: Any) -> Self:
        """The same with other parts."""
        return dataclasses.replace(self, **changes)

    def plus(self, *added: Extension) -> Self:
        """The same with extensions added; one of the same type is replaced."""
        oids = {each.oid for each in added}
        kept = tuple(each for each in self.extensions if each.oid not in oids)
        return self.with_(extensions=kept + added)

    def tbs(self, issuer: bytes, algorithm: bytes) -> bytes:
        """DER of the TBSCertList."""
        version = b"" if self.version is None else bytes((2, 1, self.version))
        times = moment(self.this_update)
        if self.next_update is not None:
            times += moment(self.next_update)
        entries = der.encode(der.SEQUENCE, self.entries) if self.entries else b""
        extensions = b"".join(each.encoded() for each in self.extensions)
        if extensions:
            extensions = der.encode(0xA0, der.encode(der.SEQUENCE, extensions))
        return der.encode(der.SEQUENCE, version + algorithm + issuer + times + entries + extensions)


def draft(now: int, revoked: Iterable[int] = (), *, count: int = 1) -> Draft:
    """A blameless CRL of an hour ago, good for a week."""
    entries = b"".join(entry(serial, now - DAY, reason(1)) for serial in revoked)
    return Draft(now - 3600, now + 7 * DAY, entries, (number(count),))


def sign(made: Draft, authority: Authority, digest: str = "sha256") -> bytes:
    """DER of the CRL, signed by `authority` in its own name unless the draft has another."""
    algorithm = ca.algorithm_identifier(authority.key, digest)
    tbs = made.tbs(authority.subject if made.issuer is None else made.issuer, algorithm)
    made_signature = ca.signature(authority.key, tbs, digest)
    return der.encode(
        der.SEQUENCE, tbs + algorithm + der.encode(der.BIT_STRING, b"\0" + made_signature)
    )


def crl(authority: Authority, now: int, revoked: Iterable[int] = (), *, count: int = 1) -> bytes:
    """A blameless CRL, DER."""
    return sign(draft(now, revoked, count=count), authority)


def many(amount: int, now: int) -> tuple[bytes, list[int]]:
    """The entries of `amount` revocations, each with a reason, and their serials of 16 octets."""
    end = moment(now - DAY) + der.encode(der.SEQUENCE, reason(4).encoded())
    serials = [b"\x01" + hashlib.sha256(b"%d" % n).digest()[:18] for n in range(amount)]
    head = bytes((der.SEQUENCE, 2 + len(serials[0]) + len(end), der.INTEGER, len(serials[0])))
    return b"".join(head + serial + end for serial in serials), [
        int.from_bytes(serial, "big") for serial in serials
    ]
