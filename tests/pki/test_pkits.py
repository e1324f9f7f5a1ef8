"""NIST PKITS, the public test suite for certificate paths, through `app.pki.path` and the CRLs.

Certificates and CRLs come from `cryptography_vectors`; all of its CA certificates are path
material, its root is the anchor, the clock stands still. A certificate is accepted where there is a
path on which all CRLs call every certificate good. The expected answer is in the file name (Valid…,
Invalid…); cases named otherwise depend on policy inputs that we do not have. PKITS certificates
are not for TLS clients, so this runs below the leaf policy and without the demand for clientAuth.
"""

import contextlib
import datetime as dt
import functools
import pathlib

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.x509.verification import Criticality, ExtensionPolicy

from app.pki import openssl
from app.pki.anchors import Material, may_sign_crls
from app.pki.crl import LoadedCrl, load_crl
from app.pki.crl_status import CrlView
from app.pki.leaf import Leaf, read_leaf
from app.pki.links import links_of
from app.pki.no_path import NoPath
from app.pki.path import Path, find_path

_DATA = pathlib.Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data" / "certs"
_NOW = int(dt.datetime(2026, 11, 22, tzinfo=dt.UTC).timestamp())  # PKITS ends with 2030

_ANY_PURPOSE = (
    ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
)

# Accepted although invalid, and why. This may only shrink.
LAXER = {
    # RFC 5280 leaves deltas to the reader's choice (section 5.2.4); here they are refused when
    # loaded, which is loud, and the complete CRL, in date, does not list this certificate.
    "revoked in a delta CRL alone": ["InvaliddeltaCRLTest4EE"],
}

# Refused when loaded, and the words that say why.
REFUSED_CRLS = {
    "did not sign": ["BadCRLSignatureCACRL"],
    "of which no certificate that may sign CRLs is known": [
        "BadCRLIssuerNameCACRL",
        # the CA is named in PrintableString, its CRL in UTF8String
        "RolloverfromPrintableStringtoUTF8StringCACRL",
        "TwoCRLsCABadCRL",
        "keyUsageCriticalcRLSignFalseCACRL",
        "keyUsageNotCriticalcRLSignFalseCACRL",
    ],
    "SHA-2 is needed": ["DSACACRL", "DSAParametersInheritedCACRL"],
    "unknown critical extension": ["UnknownCRLEntryExtensionCACRL", "UnknownCRLExtensionCACRL"],
    "a delta CRL": [
        "deltaCRLCA1deltaCRL",
        "deltaCRLCA2deltaCRL",
        "deltaCRLCA3deltaCRL",
        "deltaCRLIndicatorNoBaseCACRL",
    ],
    "an indirect CRL": [
        "indirectCRLCA1CRL",
        "indirectCRLCA3cRLIssuerCRL",
        "indirectCRLCA4cRLIssuerCRL",
        "indirectCRLCA5CRL",
    ],
    "attribute certificates": ["onlyContainsAttributeCertsCACRL"],
    "for some reasons only": [
        "onlySomeReasonsCA1compromiseCRL",
        "onlySomeReasonsCA1otherreasonsCRL",
        "onlySomeReasonsCA2CRL1",
        "onlySomeReasonsCA2CRL2",
        "onlySomeReasonsCA3compromiseCRL",
        "onlySomeReasonsCA3otherreasonsCRL",
        "onlySomeReasonsCA4compromiseCRL",
        "onlySomeReasonsCA4otherreasonsCRL",
    ],
}

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
    "indirect CRLs are refused": [
        "ValidIDPwithindirectCRLTest22EE",
        "ValidIDPwithindirectCRLTest24EE",
        "ValidIDPwithindirectCRLTest25EE",
        "ValidcRLIssuerTest28EE",
        "ValidcRLIssuerTest29EE",
        "ValidcRLIssuerTest30EE",
        "ValidcRLIssuerTest33EE",
    ],
    "delta CRLs are refused: a hold is lifted by the next complete CRL": ["ValiddeltaCRLTest5EE"],
    "CRLs for some reasons only are refused": [
        "ValidonlySomeReasonsTest18EE",
        "ValidonlySomeReasonsTest19EE",
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
def crls() -> tuple[tuple[LoadedCrl, ...], dict[str, str]]:
    """Every CRL that loads, and of the others by name what was said."""
    signers = [
        leaf
        for name, leaf in certificates()[0].items()
        if not name.endswith("EE") and may_sign_crls(leaf)
    ]
    loaded, refused = [], {}
    for file in sorted((_DATA.parent / "crls").glob("*.crl")):
        try:
            loaded.append(load_crl(file.read_bytes(), signers))
        except ValueError as problem:
            refused[file.stem] = str(problem)
    return tuple(loaded), refused


@functools.cache
def with_path() -> dict[str, Path]:
    """Paths of the end-entity certificates that have one, by name."""
    found = {}
    for name, leaf in certificates()[0].items():
        if name.endswith("EE"):
            with contextlib.suppress(NoPath):
                found[name] = find_path(leaf, [], material(), _NOW, _ANY_PURPOSE)
    return found


@functools.cache
def accepted() -> frozenset[str]:
    """Names of the end-entity certificates that have a path and are not revoked."""
    view = CrlView(crls()[0], _NOW)
    return frozenset(
        name
        for name, path in with_path().items()
        if all(view.status(each).standing == "good" for each in links_of(path))
    )


def test_the_suite_is_there() -> None:
    """An empty directory would pass everything below."""
    read, unreadable = certificates()
    assert len(read) + len(unreadable) == 405
    assert unreadable == set().union(*UNREADABLE.values())
    assert len([name for name in read if name.startswith(("Valid", "Invalid"))]) == 201
    assert len([name for name in with_path() if name.startswith("Valid")]) == 56
    assert len([name for name in accepted() if name.startswith("Valid")]) == 46
    assert len(crls()[0]) + len(crls()[1]) == 173


def test_nothing_invalid_is_accepted_but_what_is_declared() -> None:
    """A new wrong accept fails here, and so does a stale entry of the list."""
    declared = {name for names in LAXER.values() for name in names}
    assert {name for name in accepted() if name.startswith("Invalid")} == declared


def test_revocation_finds_what_no_path_shows() -> None:
    """Without CRLs, forty-four invalid certificates would be accepted."""
    assert len([name for name in with_path() if name.startswith("Invalid")]) == 44


@pytest.mark.parametrize("says", REFUSED_CRLS)
def test_crls_that_cannot_be_relied_on_are_refused_loudly(says: str) -> None:
    """Each with its reason; a list half understood would call revoked certificates good."""
    for name in REFUSED_CRLS[says]:
        assert says in crls()[1][name]


def test_no_other_crl_is_refused() -> None:
    """A new wrong refusal fails here."""
    assert set(crls()[1]) == {name for names in REFUSED_CRLS.values() for name in names}


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
