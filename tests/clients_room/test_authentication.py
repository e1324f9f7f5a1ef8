"""From a proven certificate to an authenticated client."""

import pytest

from app.clients.authentication import Credentials, authenticate
from app.clients.methods import METHODS
from app.clients.registry import Registry
from app.errors import Examination, Reason, Refused
from app.tls.peer import PeerCertificate
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

SOLO = peer("solo", issued=False)


def refusal(
    of: Registry, client_id: str, presented: PeerCertificate | None, now: int = NOW
) -> Reason | None:
    """Why authentication fails."""
    with pytest.raises(Refused) as caught:
        authenticate(Examination(), of, Credentials(client_id, presented), no_remote_keys, now)
    return caught.value.finding.reason


def test_the_client_that_proved_itself() -> None:
    """The result names the client and the certificate that was judged."""
    of = registry(pki_row(), self_signed_row(), credentials=[credential(SOLO)])
    for client_id, presented in (("bot", peer()), ("solo", SOLO)):
        found = authenticate(
            Examination(), of, Credentials(client_id, presented), no_remote_keys, NOW
        )
        assert found.client.client_id == client_id
        assert found.certificate.peer is presented


def test_the_registration_decides_the_method() -> None:
    """Every method refuses what only another one would accept; nothing falls through."""
    of = registry(pki_row(), self_signed_row(), credentials=[credential(SOLO)])
    assert refusal(of, "bot", SOLO) is Reason.ISSUER_UNKNOWN
    assert refusal(of, "solo", peer()) is Reason.THUMBPRINT_UNREGISTERED


def test_a_registered_certificate_is_no_help_to_a_pki_client() -> None:
    """Credentials beside a PKI client's registration are not looked at."""
    of = registry(pki_row("solo"), credentials=[credential(SOLO)])
    assert refusal(of, "solo", SOLO) is Reason.ISSUER_UNKNOWN


@pytest.mark.parametrize("method", ["", "none", "client_secret_basic", "TLS_CLIENT_AUTH"])
def test_an_unknown_method_lets_nobody_in(method: str) -> None:
    """A registration of another release, or a broken one, fails closed."""
    of = registry(pki_row(auth_method=method))
    assert method not in METHODS
    assert refusal(of, "bot", peer()) is Reason.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("client_id", ["", "Bot", "bot ", "bo", "bot\0", "x" * 10_000])
def test_an_identifier_is_compared_exactly(client_id: str) -> None:
    """No case folding, trimming or prefix."""
    assert refusal(registry(pki_row()), client_id, peer()) is Reason.CLIENT_UNKNOWN


def test_a_disabled_client_is_refused_first() -> None:
    """Even with the right certificate."""
    assert refusal(registry(pki_row(disabled_at=NOW)), "bot", peer()) is Reason.CLIENT_DISABLED


def test_no_certificate_and_one_too_large() -> None:
    """Both are refused, each for its reason."""
    of = registry(pki_row())
    assert refusal(of, "bot", None) is Reason.NO_CERTIFICATE
    presented = Credentials("bot", None, "too large")
    with pytest.raises(Refused) as caught:
        authenticate(Examination(), of, presented, no_remote_keys, NOW)
    assert caught.value.finding.reason is Reason.CERTIFICATE_MALFORMED


@pytest.mark.parametrize(
    ("now", "reason"),
    [(NOW - 3601, Reason.NOT_YET_VALID), (END, Reason.EXPIRED), (END + 10**9, Reason.EXPIRED)],
)
def test_dates_count_for_both_methods(now: int, reason: Reason) -> None:
    """A registration does not make an expired certificate good."""
    of = registry(pki_row(), self_signed_row(), credentials=[credential(SOLO)])
    assert refusal(of, "bot", peer(), now) is reason
    assert refusal(of, "solo", SOLO, now) is reason


def test_a_client_without_subject_or_trust_is_let_in_by_nothing() -> None:
    """Rows that no command makes fail closed."""
    nameless = registry(pki_row(subject_attribute=None, subject_value=None))
    assert refusal(nameless, "bot", peer()) is Reason.DN_MISMATCH
    assert refusal(registry(pki_row(trust_sets=())), "bot", peer()) is Reason.ISSUER_UNKNOWN
    assert refusal(registry(pki_row(), trust=()), "bot", peer()) is Reason.ISSUER_UNKNOWN


def test_a_trust_set_that_cannot_be_read_is_not_used_in_part() -> None:
    """One broken anchor and the whole set is out, even where another would have vouched."""
    broken = trust_row("default", b"no certificate")
    assert refusal(registry(pki_row(), trust=[broken]), "bot", peer()) is Reason.ISSUER_UNKNOWN


def test_any_of_several_trust_sets_may_vouch() -> None:
    """The first that knows the issuer decides; a set that is gone does no harm."""
    of = registry(pki_row(trust_sets=("gone", "default")))
    found = authenticate(Examination(), of, Credentials("bot", peer()), no_remote_keys, NOW)
    assert found.certificate.trust_set == "default"


def test_the_doctor_sees_every_problem_in_one_look() -> None:
    """A thorough examination goes on past the first failure, and still refuses."""
    of = registry(pki_row(disabled_at=NOW))
    exam = Examination(thorough=True)
    presented = Credentials("bot", peer("other", issued=False))
    with pytest.raises(Refused):
        authenticate(exam, of, presented, no_remote_keys, END)
    reasons = [finding.reason for finding in exam.findings if finding.reason]
    assert reasons == [
        Reason.CLIENT_DISABLED,
        Reason.EXPIRED,
        Reason.ISSUER_UNKNOWN,
        Reason.SAN_MISMATCH,
    ]


def test_a_thorough_examination_never_lets_in_what_the_other_refuses() -> None:
    """A disabled client with a perfect certificate is refused by both."""
    of = registry(pki_row(disabled_at=NOW))
    with pytest.raises(Refused) as caught:
        authenticate(
            Examination(thorough=True), of, Credentials("bot", peer()), no_remote_keys, NOW
        )
    assert caught.value.finding.reason is Reason.CLIENT_DISABLED


def test_no_stranger_writes_commands() -> None:
    """What to do about an unknown client never holds the identifier somebody sent."""
    exam = Examination()
    with pytest.raises(Refused) as caught:
        authenticate(exam, registry(), Credentials("x; rm -rf /", peer()), no_remote_keys, NOW)
    assert "rm -rf" not in caught.value.finding.action
