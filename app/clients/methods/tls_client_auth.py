"""``tls_client_auth``: a PKI certificate and one registered subject attribute (RFC 8705 section 2.1)."""

from contextlib import suppress

from app.clients.methods.evidence import Evidence
from app.errors import Examination, Finding, Reason, Refused
from app.pki import check, names
from app.pki.anchors import TrustSet
from app.pki.check import TrustedCertificate
from app.pki.subject_match import SubjectMatch
from app.tls.peer import PeerCertificate

NAME = "tls_client_auth"


def authenticate(exam: Examination, evidence: Evidence) -> TrustedCertificate:
    """The presented certificate, when a trust set of the client vouches for it and its name fits.

    Raises:
        Refused: no trust set, no valid path, a leaf our policy refuses, or another name.

    """
    client = evidence.client
    if client.subject is None:
        raise exam.end(
            Finding(
                "name",
                "no subject attribute registered",
                "exactly one (RFC 8705 section 2.1.2)",
                f"certbound client remove {client.client_id}, then add it with --subject-dn or --san-…",
                Reason.DN_MISMATCH,
            )
        )
    try:
        trusted = check.by_path(exam, evidence.peer, _trust_sets(exam, evidence), evidence.now)
    except Refused:
        if exam.thorough:
            _examine_untrusted_name(exam, evidence.peer, client.subject)
        raise
    names.examine_name(exam, trusted.names, client.subject)
    return trusted


def _examine_untrusted_name(exam: Examination, peer: PeerCertificate, match: SubjectMatch) -> None:
    """For the doctor, who shows every problem in one look; nothing is trusted by it."""
    with suppress(ValueError):
        names.examine_name(exam, check.describe(peer.der).names, match)


def _trust_sets(exam: Examination, evidence: Evidence) -> list[TrustSet]:
    found = []
    for name in evidence.client.trust_sets:
        try:
            trust_set = evidence.registry.trust_set(name)
        except ValueError as error:
            raise exam.end(_unusable(name, str(error))) from error
        if trust_set is not None:
            found.append(trust_set)
    if not found:
        raise exam.end(_unusable(", ".join(evidence.client.trust_sets), "no anchors in it"))
    return found


def _unusable(name: str, problem: str) -> Finding:
    return Finding(
        "trust set",
        f"trust set {name}: {problem}",
        "at least one anchor that can be read",
        f"certbound trust add {name} CA_FILE",
        Reason.ISSUER_UNKNOWN,
    )
