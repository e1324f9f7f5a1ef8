"""OCSP against a real responder: only a fresh good passes, and nobody waits for long."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from structlog.testing import capture_logs

from app import clock
from app.errors import Examination, Finding, Reason, Refused
from app.jose.document import Limits, Question, RemoteDocuments
from app.pki import check, ocsp_cache
from app.pki.anchors import TrustSet
from app.pki.crl_store import Revocation
from app.pki.ocsp_cache import MAX_QUESTIONS, REFRESH_AFTER, RETRY_AFTER, WAIT_LIMIT, OcspCache
from app.pki.revocation_policy import RevocationPolicy
from app.tls.peer import PeerCertificate
from tests.kit import ca
from tests.kit.ca import below, name
from tests.kit.crls import serial_of
from tests.kit.ocsp import OCSP_SIGNING, Manner, Responder, delegate, responding
from tests.kit.patience import PATIENCE, patient, until
from tests.kit.world import World
from tests.pki.judging import peer

_WORLD = World()
_ROOT, _NOW = _WORLD.root, _WORLD.now
_LEAF = _ROOT.sign(_WORLD.draft())


@pytest.fixture(autouse=True)
def _all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A responder in this process may take longer than the limit on a machine that is busy."""
    monkeypatch.setattr(ocsp_cache, "WAIT_LIMIT", PATIENCE)


@pytest.fixture(scope="module")
def _running() -> Iterator[Responder]:
    with responding(_ROOT, _NOW) as responder:
        yield responder


@pytest.fixture
def responder(_running: Responder) -> Responder:
    """The module's responder, well-behaved and not asked yet, at the present moment.

    Not at that of the import: answers say by the real clock when they were produced.
    """
    _running.now = clock.now()
    _running.manner = Manner()
    _running.asked.clear()
    return _running


class Party:
    """One process's answers, its clock, which begins at the responder's, and a trust set asking it."""

    def __init__(self, responder: Responder, **policy: object) -> None:
        self.clock = responder.now
        self.hurried = False
        """Whether the limits for one question are those of the server."""
        self.documents = RemoteDocuments(allow_private=True)
        self.answers = OcspCache(self.fetch, lambda: self.clock)
        self.source = Revocation(lambda _digest: None, self.answers)
        self.trust_set = TrustSet(
            "asked",
            (_ROOT.certificate,),
            revocation=RevocationPolicy("ocsp", urls=(responder.url,), **policy),  # type: ignore[arg-type] # -- passed on
        )

    async def fetch(self, url: str, limits: Limits, question: Question) -> bytes:
        """Ask, with all the time unless told otherwise."""
        return await self.documents.fetch(
            url, limits if self.hurried else patient(limits), question
        )

    @property
    def asking(self) -> list[asyncio.Task[None]]:
        """The questions under way."""
        return [each.task for each in self.answers._entries.values() if each.task is not None]

    async def settle(self) -> None:
        """Return once no question is under way."""
        if self.asking:
            await asyncio.wait(self.asking)

    async def prepare(self, presented: PeerCertificate) -> None:
        """Fetch what a login needs."""
        found = check.links_to_ask(presented, [self.trust_set], self.clock)
        assert found is not None
        await self.answers.ensure(*found)

    def judge(self, presented: PeerCertificate) -> Finding:
        """The finding of a login now."""
        exam = Examination()
        with contextlib.suppress(Refused):
            check.by_path(exam, presented, [self.trust_set], self.clock, self.source)
        finding = exam.findings[-1]
        assert finding.check == "revocation"
        return finding

    async def log_in(self, *chain: bytes) -> Finding:
        """Both, and the end of all questions."""
        presented = peer(*(chain or (_LEAF,)))
        await self.prepare(presented)
        finding = self.judge(presented)
        await self.answers.close()
        return finding


def ask(responder: Responder, *chain: bytes, **policy: object) -> Finding:
    """The finding of a first login."""
    return asyncio.run(Party(responder, **policy).log_in(*chain))


def test_good_passes(responder: Responder) -> None:
    """One question, one answer, and the finding says of what age."""
    finding = ask(responder)
    assert finding.passed
    assert "OCSP answer of" in finding.seen
    assert responder.asked == [serial_of(_LEAF)]


def test_revoked_is_refused_under_every_policy(responder: Responder) -> None:
    """Soft failure forgives ignorance, not knowledge."""
    responder.manner.status = "revoked"
    for fail in ("hard", "soft"):
        finding = ask(responder, fail=fail)
        assert finding.reason is Reason.REVOKED
        assert "key_compromise" in finding.seen or "keyCompromise" in finding.seen


def _stranger(label: str) -> ca.Authority:
    return delegate(_WORLD.evil, _NOW, label)


def _outdated() -> ca.Authority:
    made = delegate(_ROOT, _NOW, "outdated")
    draft = ca.client_draft(made.subject, made.key, _NOW).plus(ca.eku(OCSP_SIGNING))
    draft = draft.with_(not_before=_NOW - 7200, not_after=_NOW - 60)
    return replace(made, certificate=_ROOT.sign(draft))


def _certified(label: str, *more: ca.Extension) -> ca.Authority:
    """A responder with these extensions beside the purpose."""
    made = delegate(_ROOT, _NOW, label)
    draft = ca.client_draft(made.subject, made.key, _NOW).plus(ca.eku(OCSP_SIGNING), *more)
    return replace(made, certificate=_ROOT.sign(draft))


_SUB_CA = _certified("sub CA", ca.basic(ca=True), ca.usage("digital_signature", "key_cert_sign"))
_NO_SIGNER = _certified("no signer", ca.usage("key_encipherment"))
_WITHOUT_PURPOSE = delegate(_ROOT, _NOW, "no purpose", ExtendedKeyUsageOID.CLIENT_AUTH)
_STRANGER, _OUTDATED = _stranger("stranger"), _outdated()
_LATER = ocsp.OCSPResponseStatus.TRY_LATER
_DENIED = ocsp.OCSPResponseStatus.UNAUTHORIZED

_DOUBTFUL: dict[str, tuple[Manner, str]] = {
    "unknown": (Manner(status="unknown"), "does not know"),
    "tryLater": (Manner(refusal=_LATER), "try_later"),
    "unauthorized": (Manner(refusal=_DENIED), "unauthorized"),
    "expired": (Manner(age=700), "counted until"),
    "from the future": (Manner(age=-400), "future"),
    "another signer": (Manner(signer=_WORLD.evil), "signed neither"),
    "another CA's responder": (
        Manner(signer=_STRANGER, certificates=(_STRANGER.certificate,)),
        "signed neither",
    ),
    "responder without purpose": (
        Manner(signer=_WITHOUT_PURPOSE, certificates=(_WITHOUT_PURPOSE.certificate,)),
        "signed neither",
    ),
    "a CA below that names the purpose": (
        Manner(signer=_SUB_CA, certificates=(_SUB_CA.certificate,)),
        "signed neither",
    ),
    "responder whose key is for other things": (
        Manner(signer=_NO_SIGNER, certificates=(_NO_SIGNER.certificate,)),
        "signed neither",
    ),
    "responder out of date": (
        Manner(signer=_OUTDATED, certificates=(_OUTDATED.certificate,)),
        "signed neither",
    ),
    "wrong nonce": (Manner(nonce="wrong"), "another question"),
    "neither nonce nor end": (Manner(nonce="none", life=None), "of any age"),
    "another serial": (Manner(serial=5), "0 answers"),
    "another CA": (Manner(issuer=_WORLD.evil), "0 answers"),
    "oversize": (Manner(padding=70_000), "larger"),
    "trailing octets": (Manner(padding=1), "unreadable"),
    "rubbish": (Manner(body=b"no"), "unreadable"),
    "empty": (Manner(body=b""), "unreadable"),
    "a web page": (Manner(content_type="text/html"), "Content-Type"),
    "redirect": (Manner(http_status=302), "status 302"),
}


@pytest.mark.parametrize("case", _DOUBTFUL)
def test_everything_else_is_unknown(responder: Responder, case: str) -> None:
    """Refused where failure is hard; let in with words where it is soft."""
    responder.manner, says = _DOUBTFUL[case]
    finding = ask(responder)
    assert finding.reason is Reason.REVOCATION_UNKNOWN
    assert says in finding.seen
    assert responder.url in finding.action
    assert "trust_allow_private" in finding.action
    softly = ask(responder, fail="soft")
    assert softly.passed
    assert "fails soft" in softly.seen
    assert says in softly.seen


@pytest.mark.parametrize("kind", ["P-256", "RSA-2048"])
def test_a_delegated_responder_passes(responder: Responder, kind: str) -> None:
    """The CA certified it for OCSP, and it sends its certificate along."""
    delegated = delegate(_ROOT, _NOW, f"delegated {kind}")
    responder.manner = Manner(signer=delegated, certificates=(delegated.certificate,))
    assert ask(responder).passed


def test_a_denied_responder_is_not_believed(responder: Responder) -> None:
    """Neither what it says from then on nor the good it said before; its revoked still stops."""
    delegated = delegate(_ROOT, _NOW, "denied responder")
    responder.manner = Manner(signer=delegated, certificates=(delegated.certificate,))
    key = check.describe(delegated.certificate).spki_sha256

    async def scene() -> None:
        party = Party(responder)
        assert (await party.log_in()).passed
        party.answers.bar(2, lambda facts: facts.spki_sha256 == key)
        party.answers.bar(1, lambda _facts: False)  # of an older registry
        shown = party.judge(peer(_LEAF))
        assert shown.reason is Reason.REVOCATION_UNKNOWN
        assert "deny-list" in shown.seen
        party.clock += RETRY_AFTER
        assert "deny-list" in (await party.log_in()).seen
        responder.manner = Manner(age=60)  # older than the void word, and the CA's own
        party.clock += RETRY_AFTER
        assert (await party.log_in()).passed

    asyncio.run(scene())
    responder.manner = Manner(
        status="revoked", signer=delegated, certificates=(delegated.certificate,)
    )

    async def stopped() -> None:
        party = Party(responder, fail="soft")
        assert (await party.log_in()).reason is Reason.REVOKED
        party.answers.bar(1, lambda facts: facts.spki_sha256 == key)
        assert party.judge(peer(_LEAF)).reason is Reason.REVOKED

    asyncio.run(stopped())


def test_an_answer_without_nonce_counts_by_its_dates(responder: Responder) -> None:
    """Responders that answer from store send none; then only a bounded age is accepted."""
    responder.manner = Manner(nonce="none", age=100)
    assert ask(responder).passed
    assert ask(responder, max_staleness=200).passed
    assert ask(responder, max_staleness=50).reason is Reason.REVOCATION_UNKNOWN


def test_an_answer_without_end_counts_for_minutes(responder: Responder) -> None:
    """With a nonce it is of now, so it passes; it is not kept for ever."""
    responder.manner = Manner(life=None)
    assert ask(responder).passed
    responder.manner = Manner(life=None, age=301)
    assert ask(responder).reason is Reason.REVOCATION_UNKNOWN


@pytest.mark.parametrize("naming", [hashes.SHA256, hashes.SHA384, hashes.SHA512])
def test_a_responder_may_name_the_ca_by_a_newer_hash(
    responder: Responder, naming: type[hashes.HashAlgorithm]
) -> None:
    """The question uses SHA-1 for names; an answer may use SHA-2."""
    responder.manner.naming = naming
    assert ask(responder).passed


def test_every_certificate_of_the_path_is_asked_about(responder: Responder) -> None:
    """An intermediate is asked about too, under the CA above it."""
    key = ca.key(label="between")
    between = below(_ROOT, name(("CN", "Between")), key, _NOW)
    leaf = between.sign(_WORLD.draft())
    finding = ask(responder, leaf, between.certificate)
    # this responder does not speak for the intermediate CA
    assert set(responder.asked) == {serial_of(leaf), serial_of(between.certificate)}
    assert finding.reason is Reason.REVOCATION_UNKNOWN


def test_a_hanging_responder_costs_two_seconds(
    responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login waits for the answer that long, and decides without it while the question goes on."""
    responder.manner.hang = 600
    monkeypatch.setattr(ocsp_cache, "WAIT_LIMIT", WAIT_LIMIT)

    async def scene() -> None:
        party = Party(responder)
        presented = peer(_LEAF)
        began = time.monotonic()
        await party.prepare(presented)
        assert time.monotonic() - began > WAIT_LIMIT - 0.1
        assert party.asking
        assert party.judge(presented).reason is Reason.REVOCATION_UNKNOWN
        await party.answers.close()

    asyncio.run(scene())


def test_nobody_waits_while_a_fresh_answer_is_at_hand(responder: Responder) -> None:
    """The answer is asked for anew beside the login, even while the responder hangs."""

    async def scene() -> None:
        party = Party(responder)
        presented = peer(_LEAF)
        await party.prepare(presented)
        party.clock += REFRESH_AFTER - 1
        await party.prepare(presented)
        assert len(responder.asked) == 1
        responder.manner.hang = 600
        party.clock += 1
        await party.prepare(presented)
        assert party.asking, "it did not wait for the answer, nor for the question to leave"
        assert len(responder.asked) == 1
        assert party.judge(presented).passed
        await until(lambda: len(responder.asked) > 1)
        assert len(responder.asked) == 2
        await party.answers.close()

    asyncio.run(scene())


def test_a_revocation_bites_with_the_next_answer(responder: Responder) -> None:
    """On the same connection and the same remembered path; and a replayed good does not undo it."""

    async def scene() -> None:
        party = Party(responder)
        presented = peer(_LEAF)
        await party.prepare(presented)
        assert party.judge(presented).passed
        responder.manner = Manner(status="revoked")
        party.clock += REFRESH_AFTER
        await party.prepare(presented)
        await party.settle()
        assert party.judge(presented).reason is Reason.REVOKED
        responder.manner = Manner(nonce="none", age=1, life=10_000)
        party.clock += 3 * RETRY_AFTER + REFRESH_AFTER
        await party.prepare(presented)
        assert party.judge(presented).reason is Reason.REVOKED
        await party.answers.close()

    asyncio.run(scene())


@pytest.mark.parametrize("fail", ["hard", "soft"])
def test_a_responder_that_forgets_takes_no_revocation_back(responder: Responder, fail: str) -> None:
    """After *revoked*, *unknown* lets nobody in, not even softly; only a later *good* does."""

    async def scene() -> None:
        party = Party(responder, fail=fail)
        presented = peer(_LEAF)
        verdicts = []
        for manner in (
            Manner(status="revoked", age=60, life=10_000),
            Manner(status="unknown", life=10_000),
            Manner(life=10_000),
        ):
            responder.manner = manner
            party.clock += REFRESH_AFTER
            await party.prepare(presented)
            await party.settle()
            verdicts.append(party.judge(presented).reason)
        assert verdicts == [Reason.REVOKED, Reason.REVOKED, None]
        await party.answers.close()

    with capture_logs() as logged:
        asyncio.run(scene())
    assert [each["event"] for each in logged] == ["ocsp.failed", "ocsp.recovered"]
    assert "does not know any more" in logged[0]["problem"]


def test_a_good_of_the_same_moment_takes_no_revocation_back(responder: Responder) -> None:
    """Of two words of one date the worse one counts: which was the last nobody can tell."""

    async def scene() -> None:
        party = Party(responder)
        for status in ("revoked", "good"):
            responder.manner = Manner(status=status, life=10_000)
            party.clock += REFRESH_AFTER
            await party.prepare(peer(_LEAF))
            await party.settle()
            assert party.judge(peer(_LEAF)).reason is Reason.REVOKED
        await party.answers.close()

    with capture_logs() as logged:
        asyncio.run(scene())
    assert [each["event"] for each in logged] == ["ocsp.failed"]


def test_an_answer_ends_on_an_open_connection(responder: Responder) -> None:
    """After its end a good is no good any more, although the path is remembered."""

    async def scene() -> None:
        party = Party(responder)
        presented = peer(_LEAF)
        await party.prepare(presented)
        responder.manner.refusal = _LATER
        party.clock += 599
        assert party.judge(presented).passed
        party.clock += 1
        assert party.judge(presented).reason is Reason.REVOCATION_UNKNOWN
        await party.answers.close()

    asyncio.run(scene())


def test_a_failing_responder_is_asked_seldom(responder: Responder) -> None:
    """A flood of logins becomes one question in ten seconds for each certificate."""
    responder.manner.refusal = _LATER

    async def scene() -> None:
        party = Party(responder)
        presented = peer(_LEAF)
        await asyncio.gather(*(party.prepare(presented) for _ in range(50)))
        party.clock += RETRY_AFTER - 1
        await party.prepare(presented)
        assert len(responder.asked) == 1
        party.clock += 1
        await party.prepare(presented)
        assert len(responder.asked) == 2

    asyncio.run(scene())


def test_one_hanging_responder_does_not_hold_up_another(responder: Responder) -> None:
    """Each has its own slots."""
    with responding(_ROOT, responder.now) as hanging:
        hanging.manner.hang = 600

        async def scene() -> None:
            stuck, lively = Party(hanging), Party(responder)
            lively.answers, lively.source = stuck.answers, stuck.source
            lively.trust_set = replace(lively.trust_set, name="lively")
            leaves = [
                _ROOT.sign(_WORLD.draft().with_(serial=bytes((1, n))))
                for n in range(MAX_QUESTIONS + 1)
            ]
            waiting = [asyncio.create_task(stuck.prepare(peer(leaf))) for leaf in leaves]
            await until(lambda: len(hanging.asked) >= MAX_QUESTIONS)
            await lively.prepare(peer(_LEAF))
            assert lively.judge(peer(_LEAF)).passed
            assert not any(each.done() for each in waiting)
            for each in waiting:
                each.cancel()
            await stuck.answers.close()

        asyncio.run(scene())


def test_private_addresses_are_not_asked_unless_allowed(responder: Responder) -> None:
    """A responder's URL cannot make this server speak to its own network."""

    async def scene() -> Finding:
        party = Party(responder)
        party.answers = OcspCache.over(RemoteDocuments())
        party.source = Revocation(lambda _digest: None, party.answers)
        return await party.log_in()

    finding = asyncio.run(scene())
    assert finding.reason is Reason.REVOCATION_UNKNOWN
    assert "loopback" in finding.seen
    assert responder.asked == []


def test_without_an_answer_nobody_passes(responder: Responder) -> None:
    """A decision before any question: hard failure."""
    finding = Party(responder).judge(peer(_LEAF))
    assert finding.reason is Reason.REVOCATION_UNKNOWN
    assert "no OCSP answer" in finding.seen
