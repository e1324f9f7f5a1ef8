"""Is there a valid path from a certificate to a pinned anchor? Two validators must say yes.

Guarantees: OpenSSL (strict, purpose TLS client, policies) finds a path that ends at an anchor of
this trust set, and `cryptography`'s verifier accepts that very path; each CA on it is X.509 v3 and
a CA, allowed to sign, with an acceptable key; every signature below the anchor is SHA-2 or EdDSA;
at most `MAX_INTERMEDIATES` lie between. Either validator alone has let wrong paths through.

Only OpenSSL is asked where cryptography's verifier cannot judge (`_beyond_cryptography`):
- name constraints on URIs (it refuses even names that satisfy them) or on directory names (it
  ignores non-critical ones), RFC 5280 section 4.2.1.10;
- a path with an EdDSA signature, or with a CA whose key is for RSASSA-PSS alone (RFC 4055 section
  1.2): its lists of algorithms are the web's, which have neither.
OpenSSL's strictness is relaxed for what ordinary private CAs lack; see `_TOLERATED`.

A path that demands explicit policies (RFC 5280 section 6.1.5) is refused: none can be configured.
Does not look at the leaf's own key, names or usage, nor at revocation, and opens no connection,
whatever URLs the certificates hold.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import PublicKeyAlgorithmOID, SignatureAlgorithmOID
from cryptography.x509.verification import (
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)
from OpenSSL import crypto

from app.errors import Reason
from app.pki import openssl
from app.pki.anchors import Material, may_sign
from app.pki.extension_policies import CA, CLIENT
from app.pki.key_policy import issuer_key_fault, key_affordable, signature_fault
from app.pki.leaf import Leaf
from app.pki.no_path import NoPath, from_openssl, from_verifier
from app.pki.panics import is_fault_of_input

MAX_INTERMEDIATES = 5  # the deepest private hierarchies in the field have three

# What OpenSSL's strict mode objects to although RFC 5280 section 6.1 (path validation) does not
# ask for it, and `openssl req -x509` and `openssl x509 -req` leave out. Asked again without strict
# mode, a path must still satisfy `_examine_issuer`, which refuses v1 CAs and those without
# basicConstraints, and cryptography's verifier. Numbers: openssl/x509_vfy.h.
_TOLERATED = frozenset(
    {
        85,  # X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER: a hint for path building
        86,  # X509_V_ERR_MISSING_SUBJECT_KEY_IDENTIFIER: the same
        89,  # X509_V_ERR_CA_BCONS_NOT_CRITICAL: both validators process it either way
        92,  # X509_V_ERR_CA_CERT_MISSING_KEY_USAGE: absent means unrestricted, 4.2.1.3
    }
)
_SIGNATURE_FAILURE = 7  # X509_V_ERR_CERT_SIGNATURE_FAILURE
# A root that was given a new key keeps its name while both are pinned; nobody does so every year.
_MAX_KEYS_TRIED = 5
_EDDSA = frozenset({SignatureAlgorithmOID.ED25519, SignatureAlgorithmOID.ED448})


@dataclass(frozen=True, slots=True)
class Path:
    """A path both validators accepted."""

    certificates: tuple[Leaf, ...]
    """The leaf first, the anchor last."""

    @property
    def not_before(self) -> int:
        """The latest start of validity on the path."""
        return max(each.facts.not_before for each in self.certificates)

    @property
    def not_after(self) -> int:
        """The earliest end of validity on the path."""
        return min(each.facts.not_after for each in self.certificates)


def find_path(
    leaf: Leaf,
    presented: Sequence[Leaf],
    material: Material,
    now: int,
    end_entity: ExtensionPolicy = CLIENT,
) -> Path:
    """The path from `leaf` to an anchor at the moment `now`. Raises NoPath.

    `presented` and the set's intermediates are material; only the anchors are trusted.
    `end_entity` is what cryptography's verifier demands of the leaf's extensions.
    """
    usable = [each for each in presented if key_affordable(each.public_key)]
    path = _openssl_path(leaf, usable, material, now)
    if len(path.certificates) - 2 > MAX_INTERMEDIATES:
        raise NoPath(
            Reason.CHAIN_INVALID,
            f"{len(path.certificates) - 2} intermediate CAs",
            f"at most {MAX_INTERMEDIATES} between the client and its anchor",
        )
    if now >= path.not_after:  # OpenSSL counts the last second in; `leaf_policy` says why we do not
        raise NoPath(Reason.EXPIRED, "a CA certificate ends at this very second")
    for below, issuer in zip(path.certificates, path.certificates[1:], strict=False):
        _examine_issuer(below, issuer)
    if not _beyond_cryptography(path):
        _ask_cryptography(path, now, end_entity)
    return path


def _openssl_path(leaf: Leaf, presented: list[Leaf], material: Material, now: int) -> Path:
    try:
        certificate = openssl.load(leaf.certificate)
        untrusted = [openssl.load(each.certificate) for each in presented]
    except ValueError as problem:
        raise NoPath(Reason.CERTIFICATE_MALFORMED, str(problem)) from problem
    untrusted += material.openssl_intermediates
    known = _by_encoding(leaf, presented, material)
    try:
        chain = _verified(certificate, untrusted, material.openssl_anchors, now)
    except crypto.X509StoreContextError as problem:
        for anchors in _one_key_each(problem, known, material):
            with suppress(crypto.X509StoreContextError):
                chain = _verified(certificate, untrusted, anchors, now)
                break
        else:
            raise from_openssl(problem, leaf, presented, material) from problem
    return Path(tuple(known[each] for each in chain))


def _verified(
    certificate: crypto.X509,
    untrusted: Sequence[crypto.X509],
    anchors: Sequence[crypto.X509],
    now: int,
) -> list[bytes]:
    """Raises crypto.X509StoreContextError."""
    try:
        return openssl.verify(certificate, untrusted, anchors, now, openssl.STRICT)
    except crypto.X509StoreContextError as strict:
        if strict.errors[0] not in _TOLERATED:
            raise
    return openssl.verify(certificate, untrusted, anchors, now, 0)


def _one_key_each(
    problem: crypto.X509StoreContextError, known: dict[bytes, Leaf], material: Material
) -> Iterator[list[crypto.X509]]:
    """The anchors with only one of the issuer's name, where several have it; each in turn.

    OpenSSL takes the first anchor of a name and asks no other when the signature is not its own.
    Without an authority key identifier in the certificate it cannot know better.
    """
    if problem.errors[0] != _SIGNATURE_FAILURE:
        return
    issuer = known[crypto.dump_certificate(crypto.FILETYPE_ASN1, problem.certificate)].issuer
    pinned = list(zip(material.anchors, material.openssl_anchors, strict=True))
    namesakes = [loaded for anchor, loaded in pinned if anchor.subject == issuer]
    others = [loaded for anchor, loaded in pinned if anchor.subject != issuer]
    if len(namesakes) > 1:
        for namesake in namesakes[:_MAX_KEYS_TRIED]:
            yield [*others, namesake]


def _by_encoding(leaf: Leaf, presented: list[Leaf], material: Material) -> dict[bytes, Leaf]:
    everything = (leaf, *presented, *material.intermediates, *material.anchors)
    return {each.certificate.public_bytes(Encoding.DER): each for each in everything}


def _examine_issuer(below: Leaf, issuer: Leaf) -> None:
    """What is ours to demand of each step, whoever else demanded it before."""
    if not issuer.facts.is_ca or not may_sign(issuer):
        raise NoPath(
            Reason.CHAIN_INVALID,
            f"{issuer.facts.subject} signed {below.facts.subject} but is not a CA that may",
            "basicConstraints CA:TRUE, and keyCertSign where keyUsage is present",
        )
    if (fault := issuer_key_fault(issuer.public_key)) is not None:
        raise NoPath(
            Reason.WEAK_KEY,
            f"the CA {issuer.facts.subject} has {fault}",
            "RSA of 2048 to 8192 bits, EC P-256, P-384 or P-521, or EdDSA",
        )
    if (fault := signature_fault(below.certificate)) is not None:
        raise NoPath(
            Reason.WEAK_SIGNATURE,
            f"{below.facts.subject} is signed with {fault}",
            "SHA-2 everywhere below the anchor",
        )


def _beyond_cryptography(path: Path) -> bool:
    """Whether cryptography's verifier cannot judge this path; the reasons are in the docstring."""
    below_anchor = path.certificates[:-1]
    if any(each.certificate.signature_algorithm_oid in _EDDSA for each in below_anchor):
        return True
    return any(
        each.certificate.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS
        or _constrains_other_names(each)
        for each in path.certificates[1:]
    )


def _constrains_other_names(issuer: Leaf) -> bool:
    try:
        constraints = issuer.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return False
    subtrees = (
        *(constraints.value.permitted_subtrees or ()),
        *(constraints.value.excluded_subtrees or ()),
    )
    return any(
        isinstance(subtree, x509.UniformResourceIdentifier | x509.DirectoryName)
        for subtree in subtrees
    )


def _ask_cryptography(path: Path, now: int, end_entity: ExtensionPolicy) -> None:
    """Its answer about the very path that OpenSSL found: both must mean the same certificates."""
    leaf, *intermediates, anchor = (each.certificate for each in path.certificates)
    try:
        verifier = (
            PolicyBuilder()
            .store(Store([anchor]))
            .time(datetime.fromtimestamp(now, UTC))
            .max_chain_depth(MAX_INTERMEDIATES)
            .extension_policies(ca_policy=CA, ee_policy=end_entity)
            .build_client_verifier()
        )
        verifier.verify(leaf, intermediates)
    except VerificationError as problem:
        raise from_verifier(problem) from problem
    except BaseException as problem:  # a validator that fails has not said yes
        if not is_fault_of_input(problem):
            raise
        raise NoPath(Reason.CHAIN_INVALID, "cryptography's verifier gave up") from problem
