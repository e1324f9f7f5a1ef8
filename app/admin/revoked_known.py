"""Whether a CRL that is loaded here says that a certificate is revoked, whoever registers it.

A certificate that a CA issued may be registered as a whole (RFC 8705 section 2.2). Then no CA is
asked about it, so a revocation by its CA stops nothing: its operator is told when it is registered.
"""

from collections.abc import Sequence

from app.admin.credential import Credential
from app.admin.desk import Desk
from app.admin.still_used import stopped
from app.pki.check import CertificateFacts
from app.store import crls, trust
from app.store.uses import UseRow


def revoking_sets(desk: Desk, registered: Sequence[Credential]) -> dict[str, str]:
    """By thumbprint the trust set whose CRL revokes it; those that none revokes left out."""
    return {
        one.digest: name
        for one in registered
        if one.facts is not None and (name := _revoking_set(desk, one.facts)) is not None
    }


def _revoking_set(desk: Desk, facts: CertificateFacts) -> str | None:
    """The trust set whose CRL revokes the certificate, by its issuer's name; None: none does.

    Reads the lists of sets that ask them: seconds for one of a million entries.
    """
    if facts.self_issued:
        return None
    with desk.db.read() as conn:
        listed = {row.trust_set for row in crls.listed(conn)}
        names = [row.name for row in trust.listed(conn) if row.name in listed]
    return next((name for name in names if stopped(desk, [_as_use(facts, name)])), None)


def _as_use(facts: CertificateFacts, trust_set: str) -> UseRow:
    """As if a client had been seen with it, let in by this set."""
    return UseRow(
        client_id="",
        thumbprint=facts.thumbprint,
        subject=facts.subject,
        issuer=facts.issuer,
        serial=facts.serial,
        spki_sha256=facts.spki_sha256,
        not_before=facts.not_before,
        not_after=facts.not_after,
        trust_set=trust_set,
        first_used=0,
        last_used=0,
        uses=0,
        tbs_sha256=facts.tbs_sha256,
    )
