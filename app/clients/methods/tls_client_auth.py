"""``tls_client_auth``: a PKI certificate and one registered name (RFC 8705 section 2.1).

The name is one subject attribute of section 2.1.2, or a SPIFFE ID (``spiffe_id``, a path tail
``/*`` allowed); a client registered with both must bear both.
"""

from contextlib import suppress

from app.clients import vouching
from app.clients.methods.evidence import Evidence
from app.clients.model import Client
from app.clients.vouching import Registered
from app.errors import Examination, Finding, Reason, Refused
from app.pki import check, names, spiffe
from app.pki.anchors import TrustSet
from app.pki.check import TrustedCertificate
from app.pki.links import Link
from app.pki.spiffe import IdPattern
from app.pki.subject_match import PresentedNames

NAME = "tls_client_auth"


def authenticate(exam: Examination, evidence: Evidence) -> TrustedCertificate:
    """The presented certificate, when a trust set of the client vouches for it and its name fits.

    Raises:
        Refused: no trust set, no valid path, a leaf our policy refuses, or another name.

    """
    registered = _registered(exam, evidence.client)
    try:
        trust_sets = vouching.trust_sets(exam, evidence, registered)
        trusted = check.by_path(exam, evidence.peer, trust_sets, evidence.now, evidence.revocation)
    except Refused:
        if exam.thorough:  # for the doctor, who shows every problem at once; nothing is trusted
            with suppress(ValueError):
                _examine_name(exam, check.describe(evidence.peer.der).names, registered)
        raise
    _examine_name(exam, trusted.names, registered)
    return trusted


def links_to_ask(evidence: Evidence) -> tuple[tuple[Link, ...], TrustSet] | None:
    """What `authenticate` would ask about revocation, and of whom; None: nothing.

    For fetching answers before the decision, which itself waits for nobody.
    """
    exam = Examination()
    try:
        registered = _registered(exam, evidence.client)
        trust_sets = vouching.trust_sets(exam, evidence, registered)
    except Refused:
        return None
    return check.links_to_ask(evidence.peer, trust_sets, evidence.now)


def _registered(exam: Examination, client: Client) -> tuple[Registered, ...]:
    found: list[Registered] = []
    problem = "no name registered"
    if client.subject is not None:
        found.append(client.subject)
    if client.spiffe_id is not None:
        try:
            found.append(spiffe.parse_pattern(client.spiffe_id))
        except ValueError as error:
            problem = f"the registered spiffe_id {client.spiffe_id}: {error}"
            found.clear()
    if found:
        return tuple(found)
    raise exam.end(
        Finding(
            "name",
            problem,
            "exactly one subject attribute (RFC 8705 section 2.1.2) or a SPIFFE ID",
            f"certbound client remove {client.client_id}, then add it with --subject-dn, --san-… "
            "or --spiffe-id",
            Reason.DN_MISMATCH,
        )
    )


def _examine_name(
    exam: Examination, presented: PresentedNames, registered: tuple[Registered, ...]
) -> None:
    for each in registered:
        if isinstance(each, IdPattern):
            spiffe.examine_pattern(exam, presented, each)
        else:
            names.examine_name(exam, presented, each)
