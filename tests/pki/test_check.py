"""The door: what is remembered, for how long, and what the doctor gets to see."""

import threading

import pytest

from app.errors import Examination, Finding, Reason, Refused
from app.pki import check, path
from app.pki.anchors import TrustSet
from app.pki.check import Registered, TrustedCertificate
from app.pki.verdicts import Verdicts
from app.tls.peer import PeerCertificate
from tests.kit import ca
from tests.kit.ca import eku, name, sign
from tests.kit.world import World
from tests.pki.judging import peer

_ORDER = ["readable", "dates", "key", "usage", "signature", "chain", "revocation"]


@pytest.fixture
def world() -> World:
    """A world of its own second, so that no other test has seen its certificates."""
    return World()


def ask(
    world: World, presented: PeerCertificate, now: int, *, thorough: bool = False
) -> tuple[TrustedCertificate | Reason | None, list[Finding]]:
    """The outcome and the findings."""
    exam = Examination(thorough=thorough)
    try:
        return check.by_path(exam, presented, [world.trust_set], now), exam.findings
    except Refused as refused:
        return refused.finding.reason, exam.findings


def test_findings_come_in_order_and_are_replayed(world: World) -> None:
    """A remembered verdict tells the same story as a fresh one."""
    presented = peer(world.root.sign(world.draft()))
    first, told = ask(world, presented, world.now)
    again, retold = ask(world, presented, world.now)
    assert isinstance(first, TrustedCertificate)
    assert first == again
    assert told == retold
    assert [finding.check for finding in told] == _ORDER
    assert all(finding.passed for finding in told)


def test_another_connection_gets_its_own_peer(world: World) -> None:
    """The verdict is shared between connections, the connection's facts are not."""
    leaf = world.root.sign(world.draft())
    ask(world, peer(leaf), world.now)
    other = PeerCertificate(leaf, (), "TLSv1.2", "x")
    found, _ = ask(world, other, world.now)
    assert isinstance(found, TrustedCertificate)
    assert found.peer is other


def test_dates_bite_on_a_remembered_verdict(world: World) -> None:
    """An open connection ends with its certificate, to the second."""
    draft = world.draft()
    presented = peer(world.root.sign(draft))
    assert isinstance(ask(world, presented, draft.not_after - 1)[0], TrustedCertificate)
    assert ask(world, presented, draft.not_after)[0] is Reason.EXPIRED
    assert ask(world, presented, draft.not_before - 1)[0] is Reason.NOT_YET_VALID
    assert isinstance(ask(world, presented, draft.not_before)[0], TrustedCertificate)


def test_dates_of_the_whole_path_bite(world: World) -> None:
    """A remembered verdict ends with the first certificate of its path that ends."""
    key, subject = ca.key(label="brief"), name(("CN", "Brief"))
    draft = ca.ca_draft(subject, key, world.now).with_(not_after=world.now + 60)
    certificate = world.root.sign(draft)
    leaf = ca.Authority(subject, key, certificate).sign(world.draft())
    presented = peer(leaf, certificate)
    assert isinstance(ask(world, presented, world.now)[0], TrustedCertificate)
    assert isinstance(ask(world, presented, world.now + 59)[0], TrustedCertificate)
    assert ask(world, presented, world.now + 60)[0] is Reason.EXPIRED


def test_a_verdict_belongs_to_its_trust_sets(world: World) -> None:
    """Removing the anchor ends trust at the very next request."""
    presented = peer(world.root.sign(world.draft()))
    good, other = world.trust_set, TrustSet("other", (world.rsa_root.certificate,))
    assert check.by_path(Examination(), presented, [good], world.now).trust_set == "kit"
    with pytest.raises(Refused):
        check.by_path(Examination(), presented, [other], world.now)
    assert check.by_path(Examination(), presented, [other, good], world.now).trust_set == "kit"


def test_a_verdict_belongs_to_what_was_presented(world: World) -> None:
    """A leaf that needed its intermediate yesterday needs it today."""
    leaf = world.issuing.sign(world.draft())
    whole = peer(leaf, world.issuing.certificate)
    assert isinstance(ask(world, whole, world.now)[0], TrustedCertificate)
    assert ask(world, peer(leaf), world.now)[0] is Reason.ISSUER_UNKNOWN


def test_without_a_trust_set_nobody_is_trusted(world: World) -> None:
    """No anchor is no anchor; the system's roots are not asked."""
    with pytest.raises(Refused) as caught:
        check.by_path(Examination(), peer(world.root.sign(world.draft())), [], world.now)
    assert caught.value.finding.reason is Reason.ISSUER_UNKNOWN


def test_the_nearest_answer_of_several_sets_is_told(world: World) -> None:
    """Of two trust sets the one that knows the issuer gives the reason."""
    expired = ca.below(world.root, name(("CN", "Old")), ca.key(label="old-ca"), world.now)
    forged = ca.Authority(world.root.subject, ca.key(label="evil"), b"").sign(world.draft())
    sets = [TrustSet("other", (world.rsa_root.certificate,)), world.trust_set]
    for order in (sets, sets[::-1]):
        with pytest.raises(Refused) as caught:
            check.by_path(Examination(), peer(forged, expired.certificate), order, world.now)
        assert caught.value.finding.reason is Reason.CHAIN_INVALID


def test_the_doctor_sees_everything_at_once(world: World) -> None:
    """A thorough examination goes on after a failure; the endpoint's reason stays the first."""
    draft = world.draft(key=ca.key("RSA-1024", "attacker")).plus(eku(ca.SERVER))
    draft = draft.with_(not_after=world.now - 1, not_before=world.now - 9)
    presented = peer(world.evil.sign(draft, "sha1"))
    reason, findings = ask(world, presented, world.now, thorough=True)
    assert reason is ask(world, presented, world.now)[0] is Reason.EXPIRED
    assert [(finding.check, finding.reason) for finding in findings] == [
        ("readable", None),
        ("dates", Reason.EXPIRED),
        ("key", Reason.WEAK_KEY),
        ("usage", Reason.EKU_MISSING_CLIENT_AUTH),
        ("signature", Reason.WEAK_SIGNATURE),
        ("chain", Reason.ISSUER_UNKNOWN),
    ]
    assert all(finding.seen and finding.expected and finding.action for finding in findings[1:])


def test_what_failed_before_does_not_end_this_check(world: World) -> None:
    """The doctor goes on to the certificate although, say, the client is disabled."""
    exam = Examination(thorough=True)
    exam.note(Finding("client", "disabled", reason=Reason.CLIENT_DISABLED))
    presented = peer(world.root.sign(world.draft()))
    assert check.by_path(exam, presented, [world.trust_set], world.now).basis == "path"


def test_registered_certificates(world: World) -> None:
    """The certificate itself, or any that its registered key signed over itself."""
    key = ca.key(label="own")
    subject = name(("CN", "own"))
    draft = ca.client_draft(subject, key, world.now)
    first, second = sign(draft, subject, key), sign(draft.with_(serial=b"\x09"), subject, key)
    facts = check.describe(first)
    by_certificate = Registered(
        "certificate", facts.thumbprint, facts.spki_sha256, facts.spki_der, "active"
    )
    by_key = Registered("key", None, facts.spki_sha256, facts.spki_der, "active")

    def basis(der: bytes, *entries: Registered) -> str | Reason | None:
        try:
            return check.by_registration(Examination(), peer(der), entries, world.now).basis
        except Refused as refused:
            return refused.finding.reason

    for _ in range(2):  # fresh, then remembered
        assert basis(first, by_certificate) == "registered_certificate"
        assert basis(second, by_certificate) is Reason.THUMBPRINT_UNREGISTERED
        assert basis(second, by_key) == "registered_key"
        assert basis(first, by_key, by_certificate) == "registered_certificate"
        assert basis(first) is Reason.THUMBPRINT_UNREGISTERED


def test_states_of_a_registration(world: World) -> None:
    """Activation and retirement take effect at their second, on remembered verdicts too."""
    client = world.clients["self"]
    assert client.good is not None
    facts, now = check.describe(client.good.chain[0]), world.now
    entry = Registered(
        "certificate",
        facts.thumbprint,
        facts.spki_sha256,
        facts.spki_der,
        "active",
        activate_at=now,
        retired_at=now + 10,
    )

    def reason(at: int, *more: Registered) -> Reason | None:
        presented = peer(*client.good.chain) if client.good else peer(b"")
        try:
            check.by_registration(Examination(), presented, [entry, *more], at)
        except Refused as refused:
            return refused.finding.reason
        return None

    assert reason(now) is None
    assert reason(now - 1) is Reason.CERTIFICATE_NOT_ACTIVE
    assert reason(now + 9) is None
    assert reason(now + 10) is Reason.CERTIFICATE_RETIRED
    key = Registered("key", None, facts.spki_sha256, facts.spki_der, "active")
    assert reason(now + 10, key) is Reason.CERTIFICATE_RETIRED


def test_same_key_new_certificate_is_told_what_to_do(world: World) -> None:
    """The commonest refusal after a renewal names its command."""
    client = world.clients["self"]
    key, subject = ca.key(label="self"), name(("CN", "self"))
    renewed = sign(ca.client_draft(subject, key, world.now).with_(serial=b"\x07"), subject, key)
    with pytest.raises(Refused) as caught:
        check.by_registration(Examination(), peer(renewed), client.entries(), world.now)
    assert "register it as well: certbound client cert add" in caught.value.finding.action


def test_a_registration_does_not_read_the_rest(world: World) -> None:
    """Garbage beside a registered certificate is nobody's business, within the caps."""
    client = world.clients["self"]
    assert client.good is not None
    presented = peer(client.good.chain[0], b"garbage")
    entries = client.entries()
    assert check.by_registration(Examination(), presented, entries, world.now).trust_set is None


def test_one_certificate_fills_one_entry(world: World) -> None:
    """What a client sends beside its certificate buys no memory."""
    leaf = world.root.sign(world.draft(key=ca.key(label="greedy")))
    before = len(check._paths)
    for number in range(20):
        draft = world.draft(key=ca.key(label="greedy")).with_(serial=bytes((1, number)))
        assert isinstance(
            ask(world, peer(leaf, world.evil.sign(draft)), world.now)[0], TrustedCertificate
        )
    assert len(check._paths) == before + 1


def test_a_failing_validator_is_a_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A panic in the second validator is a no, like any answer that is not a yes."""
    panic = type("PanicException", (BaseException,), {})

    def fail(*_: object) -> None:
        raise panic

    monkeypatch.setattr(path, "Store", fail)
    leaf = world.root.sign(world.draft().with_(serial=b"\x21"))
    assert ask(world, peer(leaf), world.now)[0] is Reason.CHAIN_INVALID


def test_verdicts_are_bounded_and_forget_the_least_used() -> None:
    """A flood of certificates cannot fill the memory."""
    verdicts: Verdicts[int, str] = Verdicts(3)
    for number in range(3):
        verdicts.put(number, str(number))
    assert verdicts.get(0) == "0"
    verdicts.put(3, "3")
    assert [verdicts.get(number) for number in range(4)] == ["0", None, "2", "3"]
    assert len(verdicts) == 3


def test_verdicts_bear_many_threads() -> None:
    """No lost update corrupts the order or the bound."""
    verdicts: Verdicts[int, int] = Verdicts(16)

    def work(seed: int) -> None:
        for number in range(2000):
            verdicts.put((number * seed) % 64, number)
            verdicts.get(number % 64)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(verdicts) == 16
