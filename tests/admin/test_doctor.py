"""The doctor says what the token endpoint says, for the good and for every hostile certificate."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app import clock
from app.admin import doctor
from app.admin.desk import Desk
from app.clients.authentication import Credentials, authenticate
from app.config import load
from app.errors import Examination, Refused
from app.keys.rotate import ensure_keys
from app.keys.seal import SealingKey, make_sealing_key
from app.pki import names
from app.pki.check import describe
from app.store import clients, credentials, registry, resources, trust
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow
from app.store.engine import Database
from app.store.resources import ResourceRow
from app.store.trust import TrustAnchorRow
from app.tls.peer import PeerCertificate
from tests.kit.hostile_cases import hostile_cases
from tests.kit.world import KitClient, World

WORLD = World()
HOSTILE = hostile_cases(WORLD)


@pytest.fixture(scope="module")
def desk(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A home in which everybody of the kit's world is registered."""
    home = tmp_path_factory.mktemp("doctor")
    (home / "certs").mkdir()
    (home / "certbound.db").write_bytes(sqlite_template.read_bytes())
    settings = load(home, environ={}).settings
    make_sealing_key(settings.sealing_key_file)
    db = Database(settings.database_url)
    ensure_keys(db, SealingKey.load(settings), "ES256", clock.now(), actor="test")
    _populate(db, settings.default_resource)
    yield Desk(db, settings, "test")
    db.dispose()


def _populate(db: Database, resource: str) -> None:
    now = clock.now()
    with registry.change(db) as conn:
        resources.put(conn, ResourceRow(url=resource, created_at=now, updated_at=now))
        trust.add_set(conn, "kit", "", now)
        for anchor in WORLD.trust_set.anchors:
            facts = describe(anchor)
            trust.add_anchor(
                conn,
                "kit",
                TrustAnchorRow(
                    thumbprint=facts.thumbprint,
                    der=anchor,
                    role="anchor",
                    subject=facts.subject,
                    not_after=facts.not_after,
                    added_at=now,
                ),
            )
        for client in WORLD.clients.values():
            clients.add(conn, _row(client, now))
            for credential in _credentials(client, now):
                credentials.add(conn, credential)


def _row(client: KitClient, now: int) -> ClientRow:
    row = partial(
        ClientRow,
        client_id=client.client_id,
        auth_method=client.method,
        created_at=now,
        updated_at=now,
        grants=("client_credentials",),
    )
    if client.match is None:
        return row()
    attribute, text = client.match
    return row(
        subject_attribute=attribute,
        subject_value=names.register(attribute, text).value,
        subject_text=text,
        trust_sets=("kit",),
    )


def _credentials(client: KitClient, now: int) -> Iterator[CredentialRow]:
    shared: dict[str, Any] = {
        "client_id": client.client_id,
        "created_at": now,
        "state": client.state,
        "activate_at": client.activate_at or None,
    }
    for der in client.registered:
        facts = describe(der)
        yield CredentialRow(
            kind="certificate",
            thumbprint=facts.thumbprint,
            der=der,
            spki_sha256=facts.spki_sha256,
            spki_der=facts.spki_der,
            **shared,
        )
    for spki in client.registered_keys:
        yield CredentialRow(kind="key", spki_sha256="unused", spki_der=spki, **shared)


def _endpoint(examiner: doctor.Examiner, client_id: str, chain: tuple[bytes, ...]) -> str | None:
    """The reason the token endpoint refuses with, by the call it makes; None when it does not."""
    peer = PeerCertificate(chain[0], chain[1:], "TLSv1.3", "TLS_AES_128_GCM_SHA256")
    try:
        authenticate(
            Examination(),
            examiner.registry,
            Credentials(client_id, peer),
            examiner.remote.keys_for,
            examiner.now,
        )
    except Refused as refused:
        return refused.finding.reason
    return None


@pytest.mark.parametrize(
    "client", [c for c in WORLD.clients.values() if c.good], ids=lambda c: str(c.client_id)
)
def test_good_certificates(desk: Desk, client: KitClient) -> None:
    """Whoever the endpoint lets in, the doctor lets in, with every check passed."""
    assert client.good is not None
    examiner = doctor.examiner(desk, client.good.chain, [client.client_id])
    diagnosis = examiner.diagnose(client.client_id)
    assert _endpoint(examiner, client.client_id, client.good.chain) is None
    assert diagnosis.refusal is None, diagnosis.findings
    assert all(finding.passed for finding in diagnosis.findings)


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: str(case.name))
def test_hostile_certificates(desk: Desk, case: Any) -> None:
    """Whatever the endpoint refuses, the doctor refuses, for the very same first reason."""
    examiner = doctor.examiner(desk, case.chain, [case.client_id])
    refusal = examiner.diagnose(case.client_id).refusal
    assert refusal is not None
    assert refusal.status == 401
    reason = _endpoint(examiner, case.client_id, case.chain)
    assert refusal.finding.reason == reason == case.reason


def test_the_table_is_not_empty() -> None:
    """The comparison above covers at least the promised sixty failure classes."""
    assert len(HOSTILE) >= 60


def test_search_finds_the_right_client(desk: Desk) -> None:
    """Among all clients the one that the certificate belongs to comes first, and it alone."""
    good = WORLD.clients["uri"].good
    assert good is not None
    found = doctor.search(doctor.examiner(desk, good.chain, None))
    assert [one.client_id for one in found if one.refusal is None] == ["uri"]
    assert found[0].client_id == "uri"


def test_too_large_a_chain(desk: Desk) -> None:
    """More certificates than a connection may carry are refused as the listener refuses them."""
    good = WORLD.clients["uri"].good
    assert good is not None
    examiner = doctor.examiner(desk, good.chain * 11, ["uri"])
    refusal = examiner.diagnose("uri").refusal
    assert refusal is not None
    assert refusal.finding.reason == "certificate_malformed"


def test_unknown_client(desk: Desk) -> None:
    """Nobody's identifier gets the same 401 as everything else."""
    good = WORLD.clients["uri"].good
    assert good is not None
    refusal = doctor.examiner(desk, good.chain, ["nobody"]).diagnose("nobody").refusal
    assert refusal is not None
    assert (refusal.status, refusal.finding.reason) == (401, "client_unknown")
