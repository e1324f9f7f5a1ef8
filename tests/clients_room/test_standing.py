"""What is remembered of who authenticated, and what never is."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from app.clients.authentication import Credentials, authenticate
from app.clients.registry import Registry
from app.errors import Examination, Reason, Refused
from app.store.trust import BundleRow, RevocationRow, TrustSetRow
from tests.kit.decisions import (
    END,
    NOW,
    credential,
    no_remote_keys,
    peer,
    pki_row,
    registry,
    self_signed_row,
    trust_row,
)

if TYPE_CHECKING:
    from app.tls.peer import PeerCertificate


def examined(of: Registry, presented: Credentials, now: int = NOW) -> Examination:
    """What was noted of somebody who is let in."""
    exam = Examination()
    found = authenticate(exam, of, presented, no_remote_keys, now)
    assert found.certificate.peer is presented.peer
    return exam


def test_who_comes_again_gets_the_same_answer() -> None:
    """On another connection: the same findings, and the certificate as proven there."""
    of = registry(pki_row())
    before = examined(of, Credentials("bot", peer()))
    assert len(of.standings) == 1
    again = replace(peer(), tls_version="TLSv1.2", termination="proxy")
    assert examined(of, Credentials("bot", again), END - 1).findings == before.findings
    assert len(of.standings) == 1


@pytest.mark.parametrize(
    ("now", "reason"), [(NOW - 3601, Reason.NOT_YET_VALID), (END, Reason.EXPIRED)]
)
def test_no_standing_outlives_its_certificate(now: int, reason: Reason) -> None:
    """At the very second at which the certificate ends, or before it begins, it is refused."""
    of = registry(pki_row())
    examined(of, Credentials("bot", peer()))
    with pytest.raises(Refused) as caught:
        examined(of, Credentials("bot", peer()), now)
    assert caught.value.finding.reason is reason


def test_a_standing_is_of_one_client_with_one_certificate() -> None:
    """Neither another client nor another certificate gets in by it; nor does nobody."""
    of = registry(pki_row(), pki_row("second"))
    examined(of, Credentials("bot", peer()))
    strangers: list[tuple[str, PeerCertificate | None]] = [
        ("second", peer()),
        ("bot", peer("second")),
        ("bot", peer("bot", issued=False)),
        ("bot", None),
    ]
    for client_id, presented in strangers:
        with pytest.raises(Refused):
            examined(of, Credentials(client_id, presented))
    assert len(of.standings) == 1, "a refusal is not remembered"


def test_what_was_sent_beside_the_certificate_counts() -> None:
    """With other path material it is another examination."""
    of = registry(pki_row())
    examined(of, Credentials("bot", peer()))
    examined(of, Credentials("bot", replace(peer(), presented=(peer("second").der,))))
    assert len(of.standings) == 2


BUNDLE = BundleRow(source="/bundle", max_staleness=60, fetched_at=NOW)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            replace(trust_row(), revocation=RevocationRow(mode="crl", fail="soft")), id="revocation"
        ),
        pytest.param(replace(trust_row(), bundle=BUNDLE), id="bundle"),
    ],
)
def test_what_may_change_by_itself_is_never_remembered(row: TrustSetRow) -> None:
    """Where a list, or a bundle's age, decided as well: asked anew each time."""
    of = registry(pki_row(), trust=[row])
    examined(of, Credentials("bot", peer()))
    assert len(of.standings) == 0


def test_registrations_are_never_remembered() -> None:
    """They begin and end at dates of their own."""
    solo = peer("solo", issued=False)
    of = registry(self_signed_row(), credentials=[credential(solo)])
    examined(of, Credentials("solo", solo))
    assert len(of.standings) == 0
