"""Which certificates a CRL speaks for: all of its CA's, or a partition (RFC 5280 section 5.2.5).

Guarantees that no URL in a distribution point is ever looked at as such: the names in the CRL and
in the certificate are compared as data. Kinds of CRL whose silence proves nothing here (indirect,
for some reasons only, for attribute certificates) raise ValueError.
"""

from dataclasses import dataclass

from cryptography import x509

from app.pki import dn


@dataclass(frozen=True, slots=True)
class Scope:
    """What a CRL covers."""

    clients: bool = True
    """End-entity certificates."""
    authorities: bool = True
    points: frozenset[str] = frozenset()
    """Names of its distribution point; empty: not bound to one."""

    @property
    def text(self) -> str:
        """The partition for people and as a key; empty for a CRL that covers everything."""
        kinds = [] if self.clients else ["CAs"]
        kinds += [] if self.authorities else ["clients"]
        return " ".join((*kinds, *sorted(self.points)))

    def covers(self, points: frozenset[str] | None, *, is_ca: bool) -> bool:
        """Whether absence from the CRL clears a certificate with these distribution points."""
        if not (self.authorities if is_ca else self.clients):
            return False
        if points is None:
            return not self.points
        return bool(points) and (not self.points or not self.points.isdisjoint(points))


def scope_of(point: x509.IssuingDistributionPoint, within: x509.CertificateRevocationList) -> Scope:
    """The scope that a CRL states. Raises ValueError for what is not supported."""
    if point.indirect_crl:
        raise ValueError("an indirect CRL; not supported")
    if point.only_some_reasons:
        raise ValueError("a CRL for some reasons only; not supported")
    if point.only_contains_attribute_certs:
        raise ValueError("a CRL of attribute certificates")
    names = _names(point.full_name, point.relative_name, within)
    return Scope(
        clients=not point.only_contains_ca_certs,
        authorities=not point.only_contains_user_certs,
        points=names,
    )


_ISSUER = "issuer"
"""Stands for a distribution point without a name: any CRL of the certificate's issuer."""


def points_of(certificate: x509.Certificate) -> frozenset[str] | None:
    """Names of a certificate's distribution points; None where it states none.

    Points of other CRL issuers and points for some reasons do not count. Where all are such, or
    where they cannot be read, the result is empty: then the issuer's own CRLs are not where this
    certificate would be listed.
    """
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        return frozenset().union(*(_usable(point, certificate) for point in points))
    except x509.ExtensionNotFound:
        return None
    except ValueError:  # a name of the issuer that cannot be read
        return frozenset()


def _usable(point: x509.DistributionPoint, certificate: x509.Certificate) -> frozenset[str]:
    elsewhere = point.crl_issuer is not None and (
        x509.DirectoryName(certificate.issuer) not in point.crl_issuer
    )
    if elsewhere or point.reasons:
        return frozenset()
    return _names(point.full_name, point.relative_name, certificate) or frozenset([_ISSUER])


def _names(
    full: list[x509.GeneralName] | None,
    relative: x509.RelativeDistinguishedName | None,
    within: x509.Certificate | x509.CertificateRevocationList,
) -> frozenset[str]:
    if relative is not None:
        full = [x509.DirectoryName(x509.Name([*within.issuer.rdns, relative]))]
    return frozenset(_text(each) for each in full or ())


def _text(name: x509.GeneralName) -> str:
    if isinstance(name, x509.UniformResourceIdentifier):
        return f"URI:{name.value}"
    if isinstance(name, x509.DirectoryName):
        return f"directory:{dn.shown(name.value.public_bytes())}"
    return repr(name)
