"""Stopping somebody on both databases: the tokens go in the same transaction, and only theirs."""

import json
from pathlib import Path

import pytest

from app import clock, upkeep
from app.admin import clients, denial, token_revocation, trust
from app.admin.client_wishes import Wishes
from app.admin.desk import Desk
from app.admin.identity import by_subject
from app.config import load
from app.pki import devca
from app.pki.anchors import TrustSet
from app.pki.crl import load_for
from app.store import audit, tokens, uses
from app.store.engine import Database
from app.store.tokens import Outstanding
from tests.kit import ca, crls
from tests.store.decisions import token, use


@pytest.fixture
def desk(db: Database, database_url: str, tmp_path: Path) -> Desk:
    """A desk over a database with one trust set and one client."""
    settings = load(tmp_path, {"database_url": database_url}, environ={}).settings
    found = Desk(db, settings, "tester")
    trust.add(found, "default", devca.init(tmp_path / "certs").certificate)
    clients.add(found, "bot", by_subject("san_uri", "urn:bot"), Wishes())
    return found


def issued(
    desk: Desk,
    count: int,
    *,
    thumbprint: str = "t",
    issuer: str = "CN=CA",
    trust_set: str = "default",
) -> None:
    """Tokens of ``bot`` bound to this certificate, recorded as the journal does."""
    now = clock.now()
    rows = [token()._replace(thumbprint=thumbprint, expires_at=now + 100) for _ in range(count)]
    with desk.db.begin() as conn:
        tokens.insert_many(conn, rows)
        uses.record(conn, [use(thumbprint=thumbprint, issuer=issuer, trust_set=trust_set, at=now)])


def left(desk: Desk) -> int:
    """How many tokens of ``bot`` still count."""
    with desk.db.read() as conn:
        return tokens.outstanding(conn, clock.now(), client_id="bot").count


def test_disabled_again_takes_what_an_older_release_left(desk: Desk) -> None:
    """A client that was disabled with tokens outstanding: the second command revokes them."""
    clients.disable(desk, "bot")
    issued(desk, 2)
    again = clients.disable(desk, "bot")
    assert (again.changed, again.tokens.count, left(desk)) == (False, 2, 0)


def test_denied_again_takes_what_an_older_release_left(desk: Desk) -> None:
    """The same of a certificate."""
    thumbprint = "A" * 43
    issued(desk, 1, thumbprint=thumbprint)
    assert denial.deny(desk, thumbprint).outstanding.count == 1
    issued(desk, 2, thumbprint=thumbprint)
    again = denial.deny(desk, thumbprint)
    assert (again.changed, again.outstanding.count, left(desk)) == (False, 2, 0)


def test_a_failed_act_revokes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the audit entry cannot be written, neither the client nor its tokens are touched."""
    issued(desk, 2)

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(audit, "append_admin", broken)
    with pytest.raises(RuntimeError):
        clients.disable(desk, "bot")
    assert left(desk) == 2
    assert clients.listed(desk)[0].disabled_at is None


def test_a_ca_takes_the_tokens_of_what_it_issued(desk: Desk, tmp_path: Path) -> None:
    """Of certificates that bear its name as issuer; the dry run counts the same."""
    made = tmp_path / "sub.crt"
    made.write_bytes(ca.root(ca.name(("CN", "sub")), ca.key(label="sub"), clock.now()).certificate)
    issued(desk, 2, thumbprint="below", issuer="CN=sub")
    issued(desk, 1, thumbprint="beside", issuer="CN=other")
    for dry_run in (True, False):
        stopped = denial.deny(desk, str(made), "spki", dry_run=dry_run)
        assert stopped.target.is_ca
        assert (stopped.outstanding.count, stopped.clients) == (2, ())
    assert left(desk) == 1


def test_one_token(desk: Desk) -> None:
    """By its jti, once; the others stay."""
    issued(desk, 2)
    with desk.db.read() as conn:
        jti = conn.exec_driver_sql("SELECT jti FROM tokens").scalars().first()
    assert jti is not None
    assert token_revocation.revoke(desk, jti, dry_run=True).changed
    assert token_revocation.revoke(desk, jti).changed
    assert not token_revocation.revoke(desk, jti).changed
    assert left(desk) == 1


def test_a_removed_client_leaves_none(desk: Desk) -> None:
    """Their records stay, for the status list to say so."""
    issued(desk, 3)
    gone = clients.remove(desk, "bot")
    assert isinstance(gone, Outstanding)
    assert (gone.count, left(desk)) == (3, 0)


def test_a_fetched_list_takes_tokens_along(desk: Desk) -> None:
    """By issuer and number; the audit names the server, and a copy changes nothing.

    Whichever trust set vouched for the certificate last: a token may rest on the one before.
    """
    now = clock.now()
    authority = ca.root(ca.name(("CN", "lists")), ca.key(label="lists"), now)
    issued(desk, 2, thumbprint="listed", issuer="CN=lists", trust_set="another by now")
    issued(desk, 1, thumbprint="of another CA", issuer="CN=other")
    trust_set = TrustSet("default", (authority.certificate,))
    der = crls.crl(authority, now, [0x2A], count=1)
    for _ in range(2):
        assert upkeep.deliver(desk.db, trust_set, load_for(trust_set, der), der)
        assert left(desk) == 1
    with desk.db.read() as conn:
        events = [json.loads(row.body) for row in audit.tail(conn, 2)]
    assert [each["event"] for each in events] == ["crl.replaced", "tokens.revoked"]
    assert (events[1]["actor"], events[1]["details"]["tokens"]) == ("server", 2)
    assert events[1]["details"]["because"] == "crl.replaced"
