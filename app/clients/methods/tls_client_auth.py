"""``tls_client_auth``: a PKI certificate and one registered subject attribute (RFC 8705 section 2.1)."""

from app.clients.methods.evidence import Evidence
from app.errors import Examination, Finding, Reason
from app.pki import check, names
from app.pki.anchors import TrustSet
from app.pki.check import TrustedCertificate

NAME = "tls_client_auth"


def authenticate(exam: Examination, evidence: Evidence) -> TrustedCertificate:
    """The presented certificate, when a trust set of the client vouches for it and its name fits.

    Raises:
        Refused: no trust set, no valid path, a leaf our policy refuses, or another name.

    """
    client = evidence.client
    trusted = check.by_path(exam, evidence.peer, _trust_sets(exam, evidence), evidence.now)
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
    names.examine_name(exam, trusted.certificate, client.subject)
    return trusted


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
