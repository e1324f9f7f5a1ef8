"""NIST PKITS, the public test suite for certificate paths, through `app.pki.path`.

Certificates come from `cryptography_vectors`; all of its CA certificates are path material, its
root is the anchor, the clock stands still. The expected answer is in the file name (Valid…,
Invalid…); cases named otherwise depend on policy inputs that we do not have. PKITS certificates
are not for TLS clients, so this runs below the leaf policy and without the demand for clientAuth.
"""

import datetime as dt
import functools
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.x509.verification import Criticality, ExtensionPolicy

from app.pki import openssl
from app.pki.anchors import Material
from app.pki.leaf import Leaf, read_leaf
from app.pki.no_path import NoPath
from app.pki.path import find_path

_DATA = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data" / "certs"
_NOW = int(dt.datetime(2026, 11, 22, tzinfo=dt.UTC).timestamp())  # PKITS ends with 2030

_ANY_PURPOSE = (
    ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
)

# Accepted although invalid: what makes each of them invalid is a CRL, and there is no revocation
# yet. This set may only shrink.
NO_REVOCATION_YET = frozenset(
    [
        "InvalidBadCRLIssuerNameTest5EE",
        "InvalidBadCRLSignatureTest4EE",
        "InvalidBasicSelfIssuedCRLSigningKeyTest7EE",
        "InvalidBasicSelfIssuedNewWithOldTest5EE",
        "InvalidBasicSelfIssuedOldWithNewTest2EE",
        "InvalidIDPwithindirectCRLTest23EE",
        "InvalidIDPwithindirectCRLTest26EE",
        "InvalidLongSerialNumberTest18EE",
        "InvalidMissingCRLTest1EE",
        "InvalidOldCRLnextUpdateTest11EE",
        "InvalidRevokedCATest2EE",
        "InvalidRevokedEETest3EE",
        "InvalidSeparateCertificateandCRLKeysTest20EE",
        "InvalidSeparateCertificateandCRLKeysTest21EE",
        "InvalidUnknownCRLEntryExtensionTest8EE",
        "InvalidUnknownCRLExtensionTest10EE",
        "InvalidUnknownCRLExtensionTest9EE",
        "InvalidWrongCRLTest6EE",
        "InvalidcRLIssuerTest27EE",
        "InvalidcRLIssuerTest31EE",
        "InvalidcRLIssuerTest32EE",
        "InvalidcRLIssuerTest34EE",
        "InvalidcRLIssuerTest35EE",
        "InvaliddeltaCRLIndicatorNoBaseTest1EE",
        "InvaliddeltaCRLTest10EE",
        "InvaliddeltaCRLTest3EE",
        "InvaliddeltaCRLTest4EE",
        "InvaliddeltaCRLTest6EE",
        "InvaliddeltaCRLTest9EE",
        "InvaliddistributionPointTest2EE",
        "InvaliddistributionPointTest3EE",
        "InvaliddistributionPointTest6EE",
        "InvaliddistributionPointTest8EE",
        "InvaliddistributionPointTest9EE",
        "InvalidkeyUsageCriticalcRLSignFalseTest4EE",
        "InvalidkeyUsageNotCriticalcRLSignFalseTest5EE",
        "InvalidonlyContainsAttributeCertsTest14EE",
        "InvalidonlyContainsCACertsTest12EE",
        "InvalidonlySomeReasonsTest15EE",
        "InvalidonlySomeReasonsTest16EE",
        "InvalidonlySomeReasonsTest17EE",
        "InvalidonlySomeReasonsTest20EE",
        "InvalidonlySomeReasonsTest21EE",
        "Invalidpre2000CRLnextUpdateTest12EE",
    ]
)

# Refused although valid, and why. None of them is a danger; each is a path someone might miss.
STRICTER = {
    "DSA keys are not accepted": ["ValidDSASignaturesTest4EE"],
    "dates before 2050 must be UTCTime (RFC 5280 section 4.1.2.5)": [
        "ValidGeneralizedTimenotBeforeDateTest4EE"
    ],
    "cryptography compares issuer and subject octet by octet": [
        "ValidNameChainingCapitalizationTest5EE",
        "ValidNameChainingWhitespaceTest3EE",
        "ValidNameChainingWhitespaceTest4EE",
        "ValidRolloverfromPrintableStringtoUTF8StringTest10EE",
        "ValidUTF8StringCaseInsensitiveMatchTest11EE",
    ],
    "a path that demands explicit policies needs policies to be configured": [
        "ValidPolicyMappingTest1EE",
        "ValidPolicyMappingTest3EE",
        "ValidPolicyMappingTest5EE",
        "ValidPolicyMappingTest6EE",
        "ValidPolicyMappingTest9EE",
        "ValidPolicyMappingTest11EE",
        "ValidPolicyMappingTest12EE",
        "ValidPolicyMappingTest13EE",
        "ValidPolicyMappingTest14EE",
        "ValidSelfIssuedinhibitAnyPolicyTest7EE",
        "ValidSelfIssuedinhibitAnyPolicyTest9EE",
        "ValidSelfIssuedinhibitPolicyMappingTest7EE",
        "ValidSelfIssuedrequireExplicitPolicyTest6EE",
        "ValidinhibitAnyPolicyTest2EE",
        "ValidinhibitPolicyMappingTest2EE",
        "ValidinhibitPolicyMappingTest4EE",
        "ValidrequireExplicitPolicyTest1EE",
        "ValidrequireExplicitPolicyTest2EE",
        "ValidrequireExplicitPolicyTest4EE",
    ],
    "cryptography counts self-issued certificates towards pathLenConstraint": [
        "ValidSelfIssuedpathLenConstraintTest15EE",
        "ValidSelfIssuedpathLenConstraintTest17EE",
    ],
    "a CA is no end entity": [
        "ValidonlyContainsCACertsTest13EE",
        "ValidpathLenConstraintTest8EE",
        "ValidpathLenConstraintTest14EE",
    ],
}

# Not readable at all, by `read_leaf`.
UNREADABLE = {
    "negative serial numbers": {"InvalidNegativeSerialNumberTest15EE"},
    "DSA parameters inherited from the issuer": {
        "DSAParametersInheritedCACert",
        "ValidDSAParameterInheritanceTest5EE",
    },
}


@functools.cache
def certificates() -> tuple[dict[str, Leaf], set[str]]:
    """All PKITS certificates by name, and the names of those that cannot be read."""
    read, unreadable = {}, set()
    for file in sorted(_DATA.glob("*.crt")):
        try:
            read[file.stem] = read_leaf(file.read_bytes())
        except ValueError:
            unreadable.add(file.stem)
    return read, unreadable


@functools.cache
def material() -> Material:
    """The root as anchor, every CA certificate beside it."""
    read, _ = certificates()
    root = read["TrustAnchorRootCertificate"]
    pool = tuple(leaf for name, leaf in read.items() if name.endswith("Cert") and leaf is not root)
    return Material(
        (root,),
        pool,
        (openssl.load(root.certificate),),
        tuple(openssl.load(leaf.certificate) for leaf in pool),
    )


@functools.cache
def accepted() -> frozenset[str]:
    """Names of the end-entity certificates for which there is a path."""
    found = set()
    for name, leaf in certificates()[0].items():
        if name.endswith("EE"):
            try:
                find_path(leaf, [], material(), _NOW, _ANY_PURPOSE)
            except NoPath:
                continue
            found.add(name)
    return frozenset(found)


def test_the_suite_is_there() -> None:
    """An empty directory would pass everything below."""
    read, unreadable = certificates()
    assert len(read) + len(unreadable) == 405
    assert unreadable == set().union(*UNREADABLE.values())
    assert len([name for name in read if name.startswith(("Valid", "Invalid"))]) == 201
    assert len([name for name in accepted() if name.startswith("Valid")]) == 56


def test_nothing_invalid_is_accepted_but_what_only_revocation_would_find() -> None:
    """A new wrong accept fails here, and so does a stale entry of the list."""
    assert {name for name in accepted() if name.startswith("Invalid")} == NO_REVOCATION_YET


def test_what_is_valid_and_refused_is_known_with_its_reason() -> None:
    """A new wrong refusal fails here, and so does a stale entry of the list."""
    valid = {name for name in certificates()[0] if name.startswith("Valid")}
    assert valid - accepted() == {name for names in STRICTER.values() for name in names}


@pytest.mark.parametrize("anchored", [False, True], ids=["no anchor", "wrong anchor"])
def test_without_its_anchor_nothing_is_accepted(anchored: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The same material trusts nothing when the root is not pinned."""
    root = certificates()[0]["TrustAnchorRootCertificate"]
    other = certificates()[0]["DSACACert"]
    anchors = (other,) if anchored else ()
    rootless = Material(
        anchors,
        (root, *material().intermediates),
        tuple(openssl.load(each.certificate) for each in anchors),
        material().openssl_anchors + material().openssl_intermediates,
    )
    for name in ("ValidCertificatePathTest1EE", "ValidpathLenConstraintTest7EE"):
        with pytest.raises(NoPath):
            find_path(certificates()[0][name], [], rootless, _NOW, _ANY_PURPOSE)
