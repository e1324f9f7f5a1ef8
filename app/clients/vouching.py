"""Which trust sets may vouch for this client with this certificate, before any path is looked for.

Guarantees: only sets that the client was given; for a SPIFFE client only those of the very trust
domain that the presented ID names, so that one domain's bundle never vouches for another's IDs;
only sets permitted to vouch for the name that the client is registered by; and none whose SPIFFE
bundle is older than it may be. Says nothing about the certificate's path or names: `app.pki.check`.
"""

from app.clients.bundles import is_stale
from app.clients.methods.evidence import Evidence
from app.clients.model import Client
from app.clock import iso
from app.errors import Examination, Finding, Reason
from app.pki import spiffe
from app.pki.anchors import TrustSet
from app.pki.spiffe import IdPattern
from app.pki.subject_match import SubjectMatch
from app.store.trust import TrustSetRow

Registered = SubjectMatch | IdPattern


def trust_sets(
    exam: Examination, evidence: Evidence, registered: tuple[Registered, ...]
) -> list[TrustSet]:
    """The trust sets to ask, in the client's order, never none. `registered` are its names.

    A thorough examination notes what left none, and goes on with those that were left before.

    Raises:
        Refused: none is left; the finding says at which step.

    """
    client = evidence.client
    rows = [
        row for name in client.trust_sets if (row := evidence.registry.trust_row(name)) is not None
    ]
    if is_spiffe_client(client, rows):
        rows = _of_trust_domain(exam, evidence, rows)
    rows = _fresh(exam, rows, evidence.now)
    return _within_bounds(exam, registered, _readable(exam, evidence, rows))


def is_spiffe_client(client: Client, rows: list[TrustSetRow]) -> bool:
    """Whether its certificates must be SVIDs: registered so, or by a SPIFFE URI where a set has a domain.

    When the set with the domain is removed, the client is registered so from then on
    (`app.admin.trust_removal`): its name does not pass to the CAs that are left.
    """
    if client.spiffe_id is not None:
        return True
    subject = client.subject
    if subject is None or subject.attribute != "san_uri" or not spiffe.is_spiffe_uri(subject.text):
        return False
    return any(row.trust_domain is not None for row in rows)


def _of_trust_domain(
    exam: Examination, evidence: Evidence, rows: list[TrustSetRow]
) -> list[TrustSetRow]:
    federated = [row for row in rows if row.trust_domain is not None]
    claimed = spiffe.examine_svid(exam, evidence.peer)
    if claimed is None:  # noted already, or unreadable, which the path check says; none is let in
        found, seen = federated, "no one SPIFFE ID"
    else:
        found = [row for row in federated if row.trust_domain == claimed.trust_domain]
        seen = f"trust domain {claimed.trust_domain}"
    if found:
        return found
    client_id = evidence.client.client_id
    exam.note(
        Finding(
            "trust domain",
            seen,
            " or ".join(sorted({str(row.trust_domain) for row in federated}))
            or "a trust set with a trust domain",
            f"Give client {client_id} a trust set that holds this domain's bundle, if it may come "
            "from there: certbound trust list",
            Reason.TRUST_DOMAIN_UNKNOWN,
        )
    )
    return federated


def _fresh(exam: Examination, rows: list[TrustSetRow], now: int) -> list[TrustSetRow]:
    fresh = [row for row in rows if row.bundle is None or not is_stale(row.bundle, now)]
    if rows and not fresh:
        exam.note(_stale(rows[0]))
        return rows
    return fresh


def _stale(row: TrustSetRow) -> Finding:
    bundle = row.bundle
    loaded = None if bundle is None else bundle.fetched_at
    return Finding(
        "bundle",
        f"trust set {row.name}: bundle "
        + ("never loaded" if loaded is None else f"last loaded {iso(loaded)}"),
        "a bundle loaded within its maximum staleness",
        "Make its source readable for this server; the log says why the last attempt failed. "
        "Sources and ages: certbound trust list",
        Reason.BUNDLE_STALE,
    )


def _readable(exam: Examination, evidence: Evidence, rows: list[TrustSetRow]) -> list[TrustSet]:
    found = []
    for row in rows:
        try:
            trust_set = evidence.registry.trust_set(row.name)
        except ValueError as error:
            raise exam.end(_unusable(row.name, str(error))) from error
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


def _within_bounds(
    exam: Examination, registered: tuple[Registered, ...], sets: list[TrustSet]
) -> list[TrustSet]:
    found = [
        trust_set
        for trust_set in sets
        if all(trust_set.permitted.admits(each) for each in registered)
    ]
    if found:
        return found
    bounded = sets[0]
    names = " and ".join(_text(each) for each in registered)
    exam.note(
        bounded.permitted.finding(f"a client registered by {names}, trust set {bounded.name}")
    )
    return sets


def _text(registered: Registered) -> str:
    if isinstance(registered, IdPattern):
        return f"spiffe_id {registered}"
    return f"{registered.attribute} {registered.text}"
