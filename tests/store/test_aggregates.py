"""Clients, credentials, trust sets and resources: what goes in comes out, outcomes are told."""

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy.exc import IntegrityError

from app import upkeep
from app.jose.jwt import MOST_LEEWAY
from app.store import clients, credentials, registry, resources, status_lists, tokens, trust
from app.store.clients import ClientRow
from app.store.credentials import CredentialRow
from app.store.engine import Database
from app.store.resources import ResourceRow
from app.store.tokens import Outstanding
from app.store.trust import TrustAnchorRow
from tests.store.decisions import token

CERTIFICATE = CredentialRow(
    client_id="bot",
    kind="certificate",
    thumbprint="thumb-1",
    spki_sha256="spki-1",
    spki_der=b"\x30\x01",
    der=b"\x30\x02\x00",
    subject="CN=bot",
    not_before=1,
    not_after=9,
    activate_at=5,
    created_at=2,
)
KEY = CredentialRow(
    client_id="bot", kind="key", spki_sha256="spki-1", spki_der=b"\x30\x01", created_at=3
)
ANCHOR = TrustAnchorRow(
    thumbprint="t1", der=b"\x30", role="anchor", subject="CN=CA", not_after=99, added_at=4
)
RESOURCE = ResourceRow(url="https://api.example", scopes=("b", "a"), created_at=1, updated_at=1)


def test_a_client_is_kept_as_registered(db: Database, bot: ClientRow) -> None:
    """Every member comes back, lists in their order; identifiers are compared byte for byte."""
    with db.read() as conn:
        assert clients.find(conn, "bot") == bot
        assert clients.find(conn, "BOT") is None
        assert clients.listed(conn) == [bot]


def test_a_client_identifier_is_taken_once(db: Database, bot: ClientRow) -> None:
    """A second registration changes nothing."""
    with registry.change(db) as conn:
        assert not clients.add(conn, replace(bot, scopes=("admin",)))
        assert clients.find(conn, "bot") == bot


def test_disabling_and_enabling_tell_their_outcome(db: Database, bot: ClientRow) -> None:
    """True once; False when there was nothing to do or nobody to do it to."""
    with registry.change(db) as conn:
        assert not clients.enable(conn, "bot", 7)
        assert clients.disable(conn, "bot", 8)
        assert not clients.disable(conn, "bot", 9)
        assert clients.find(conn, "bot") == replace(bot, disabled_at=8, updated_at=8)
        assert clients.enable(conn, "bot", 10)
        assert clients.find(conn, "bot") == replace(bot, updated_at=10)
        assert not clients.disable(conn, "nobody", 8)


def test_lookalikes_are_found(db: Database, bot: ClientRow) -> None:
    """By the attribute and its collision key together."""
    other = replace(bot, client_id="bot2", subject_attribute="san_uri")
    with registry.change(db) as conn:
        clients.add(conn, other)
        assert clients.clients_with_collision_key(conn, "san_dns", "bot.example") == [bot]
        assert clients.clients_with_collision_key(conn, "san_uri", "bot.example") == [other]
        assert clients.clients_with_collision_key(conn, "san_ip", "bot.example") == []


@pytest.mark.usefixtures("bot")
def test_credentials_go_with_their_client_and_tokens_stay(db: Database) -> None:
    """Removing a client removes what it could authenticate with, not what it did."""
    issued = token()
    with registry.change(db) as conn:
        credentials.add(conn, CERTIFICATE)
        tokens.insert_many(conn, [issued])
        assert clients.remove(conn, "bot")
        assert not clients.remove(conn, "bot")
        assert credentials.listed(conn) == []
        assert tokens.find(conn, issued.jti) == issued


@pytest.mark.usefixtures("bot")
def test_a_credential_is_registered_once_per_client(db: Database) -> None:
    """The same certificate or key again is told apart from a new one; kinds do not collide."""
    second = replace(CERTIFICATE, thumbprint="thumb-2")
    with registry.change(db) as conn:
        assert credentials.add(conn, CERTIFICATE)
        assert credentials.add(conn, KEY)
        assert credentials.add(conn, second)
        assert not credentials.add(conn, replace(CERTIFICATE, created_at=99))
        assert not credentials.add(conn, KEY)
        stored = credentials.of_client(conn, "bot")
        assert [replace(row, id=None) for row in stored] == [CERTIFICATE, KEY, second]
        assert credentials.of_client(conn, "other") == []


def test_a_credential_needs_its_client(db: Database) -> None:
    """The database refuses one for nobody."""
    with pytest.raises(IntegrityError), registry.change(db) as conn:
        credentials.add(conn, CERTIFICATE)


@pytest.mark.usefixtures("bot")
def test_retiring_means_the_named_one(db: Database) -> None:
    """By thumbprint or by key digest; a certificate is not retired by its key's digest."""
    with registry.change(db) as conn:
        credentials.add(conn, CERTIFICATE)
        credentials.add(conn, KEY)
        assert credentials.retire(conn, "bot", "spki-1", 6)
        assert [row.state for row in credentials.of_client(conn, "bot")] == ["active", "retired"]
        assert credentials.retire(conn, "bot", "thumb-1", 7)
        assert not credentials.retire(conn, "bot", "thumb-1", 8)
        assert not credentials.retire(conn, "other", "thumb-1", 8)
        assert [row.retired_at for row in credentials.of_client(conn, "bot")] == [7, 6]
        assert not credentials.add(conn, CERTIFICATE)


@pytest.mark.usefixtures("bot")
def test_a_credential_stands_where_its_dates_say(db: Database) -> None:
    """Staged, active, retiring and retired follow from the clock; what is revoked stays so."""
    staged = replace(CERTIFICATE, activate_at=5, retire_at=9)
    phases = [staged.phase(now) for now in (4, 5, 8, 9)]
    assert phases == ["staged", "retiring", "retiring", "retired"]
    assert [CERTIFICATE.phase(now) for now in (4, 5)] == ["staged", "active"]
    assert KEY.phase(0) == "active"
    with registry.change(db) as conn:
        credentials.add(conn, KEY)
        assert credentials.retire_at(conn, "bot", "spki-1", 9, now=5)
        assert not credentials.retire_at(conn, "bot", "spki-2", 9, now=5)
        (row,) = credentials.of_client(conn, "bot")
        assert (row.retire_at, row.phase(8), row.phase(9)) == (9, "retiring", "retired")
        refused = [(10, 5, False), (None, 5, False), (10, 9, True), (None, 9, True)]
        for at, now, postpone in refused:  # later unasked, and after it stopped whatever is asked
            assert not credentials.retire_at(conn, "bot", "spki-1", at, now=now, postpone=postpone)
        assert credentials.retire_at(conn, "bot", "spki-1", 8, now=5)
        assert credentials.retire_at(conn, "bot", "spki-1", None, now=5, postpone=True)
        assert credentials.of_client(conn, "bot")[0].phase(9) == "active"


@pytest.mark.usefixtures("bot")
def test_revoking_is_final(db: Database) -> None:
    """Active or retired, it is revoked once; whoever only knows retirement sees that too."""
    with registry.change(db) as conn:
        credentials.add(conn, CERTIFICATE)
        credentials.add(conn, KEY)
        credentials.retire(conn, "bot", "spki-1", 6)
        assert credentials.revoke(conn, "bot", "spki-1", 7)
        assert credentials.revoke(conn, "bot", "thumb-1", 7)
        assert not credentials.revoke(conn, "bot", "thumb-1", 8)
        assert not credentials.retire(conn, "bot", "thumb-1", 8)
        assert not credentials.retire_at(conn, "bot", "thumb-1", 8, now=7)
        rows = credentials.of_client(conn, "bot")
    assert [(row.phase(9), row.revoked_at, row.retired_at) for row in rows] == [
        ("revoked", 7, 7),
        ("revoked", 7, 6),
    ]


def test_custody_is_noted(db: Database, bot: ClientRow) -> None:
    """Who has the key, where, and its labels; nothing until said, one by one; only the known words."""
    with registry.change(db) as conn:
        credentials.add(conn, CERTIFICATE)
        clients.add(conn, replace(bot, client_id="bot2"))
        credentials.add(conn, replace(KEY, client_id="bot2"))
        assert credentials.label(conn, "bot", "thumb-1", custody="hsm", tenant="acme")
        assert credentials.label(conn, "bot", "thumb-1", owner="Key team", risk="high")
        assert not credentials.label(conn, "bot", "thumb-2", custody="hsm")
        mine, other = credentials.by_key(conn, "spki-1")
        assert (mine.custody, mine.owner) == ("hsm", "Key team")
        assert (mine.tenant, mine.risk, mine.resource_class) == ("acme", "high", "")
        assert (other.custody, other.owner, other.tenant) == ("unknown", "", "")
        assert credentials.by_thumbprint(conn, "thumb-1") == [mine]
    with pytest.raises(IntegrityError), registry.change(db) as conn:
        conn.exec_driver_sql("UPDATE credentials SET custody = 'pocket'")


def test_labels_and_bounds_are_set_one_by_one(db: Database, bot: ClientRow) -> None:
    """What is not named stays; an empty text takes a label away; nobody has none."""
    with registry.change(db) as conn:
        assert clients.label(conn, "bot", 5, tenant="acme", risk="high")
        assert clients.label(conn, "bot", 6, risk="", resource_class="payments")
        assert clients.set_trust_sets(conn, "bot", ["a", "b"], 7)
        assert clients.set_spiffe_id(conn, "bot", "spiffe://acme/*", 8)
        labelled = replace(
            bot,
            tenant="acme",
            resource_class="payments",
            trust_sets=("a", "b"),
            spiffe_id="spiffe://acme/*",
            updated_at=8,
        )
        assert clients.find(conn, "bot") == labelled
        assert not clients.label(conn, "nobody", 9, tenant="x")
        assert not clients.set_trust_sets(conn, "nobody", [], 9)
        assert not clients.set_spiffe_id(conn, "nobody", None, 9)


def test_a_resource_keeps_its_labels(db: Database) -> None:
    """Registered again it has them still; `label` changes those it names."""
    with registry.change(db) as conn:
        resources.put(conn, replace(RESOURCE, tenant="acme"))
        resources.put(conn, RESOURCE)
        assert resources.label(conn, RESOURCE.url, 9, risk="high")
        assert not resources.label(conn, "https://other.example", 9, risk="high")
        assert resources.listed(conn) == [
            replace(RESOURCE, tenant="acme", risk="high", updated_at=9)
        ]


def test_a_trust_set_has_its_members(db: Database) -> None:
    """Members come back with their set; each certificate is in it once; dates follow changes."""
    helper = replace(ANCHOR, thumbprint="t0", role="intermediate", added_at=6)
    with registry.change(db) as conn:
        assert trust.add_set(conn, "default", "the development CA", 3)
        assert not trust.add_set(conn, "default", "again", 4)
        assert trust.add_anchor(conn, "default", ANCHOR)
        assert trust.add_anchor(conn, "default", helper)
        assert not trust.add_anchor(conn, "default", replace(ANCHOR, role="intermediate"))
        (stored,) = trust.listed(conn)
        assert stored.anchors == (helper, ANCHOR)
        assert (stored.name, stored.created_at, stored.updated_at) == ("default", 3, 6)
        assert trust.remove_anchor(conn, "default", "t0", 8)
        assert not trust.remove_anchor(conn, "default", "t0", 9)
        assert trust.listed(conn)[0].updated_at == 8


def test_removing_a_trust_set_removes_its_anchors(db: Database) -> None:
    """A set of the same name made later begins empty."""
    with registry.change(db) as conn:
        trust.add_set(conn, "default", "", 3)
        trust.add_anchor(conn, "default", ANCHOR)
        assert trust.remove_set(conn, "default")
        assert not trust.remove_set(conn, "default")
        trust.add_set(conn, "default", "", 4)
        assert trust.listed(conn)[0].anchors == ()


def test_an_anchor_needs_its_set(db: Database) -> None:
    """The database refuses one in no set."""
    with pytest.raises(IntegrityError), registry.change(db) as conn:
        trust.add_anchor(conn, "default", ANCHOR)


def test_a_resource_is_registered_or_replaced(db: Database) -> None:
    """The second time its scopes and rule change, its birthday does not."""
    changed = ResourceRow(
        url=RESOURCE.url, scopes=("c",), require="any", created_at=7, updated_at=7
    )
    with registry.change(db) as conn:
        assert resources.put(conn, RESOURCE)
        assert resources.listed(conn) == [RESOURCE]
        assert not resources.put(conn, changed)
        assert resources.listed(conn) == [replace(changed, created_at=1)]
        assert resources.remove(conn, RESOURCE.url)
        assert not resources.remove(conn, RESOURCE.url)


def test_expired_tokens_are_purged_in_batches(db: Database) -> None:
    """At most a batch at a time, expired ones only."""
    rows = [token(expires_at=at) for at in (10, 11, 12, 50)]
    with db.begin() as conn:
        tokens.insert_many(conn, rows)
        assert tokens.purge_expired(conn, 20, batch=2) == 2
        assert tokens.purge_expired(conn, 20, batch=2) == 1
        assert tokens.purge_expired(conn, 20, batch=2) == 0
        assert tokens.find(conn, rows[3].jti) == rows[3]


def test_a_revoked_token_outlasts_every_clock_on_its_list(db: Database) -> None:
    """A resource whose clock is behind, by all that it may allow twice, still finds it revoked."""
    row = token(expires_at=1000)
    row = row._replace(revoked_at=900, status_list="L" * 16, status_index=7)
    with db.begin() as conn:
        tokens.insert_many(conn, [row])
    for now, places in ((1000 + 2 * MOST_LEEWAY, [7]), (1001 + 2 * MOST_LEEWAY, [])):
        upkeep.purge(db, now)
        with db.read() as conn:
            assert status_lists.revoked(conn, "L" * 16) == places


def test_outstanding_tokens_are_counted(db: Database) -> None:
    """Neither expired nor revoked ones; by client, by certificates, or by both."""
    other = "thumb-2"
    rows = [
        token(expires_at=10),
        token(expires_at=30),
        token(expires_at=40)._replace(thumbprint=other),
        token(expires_at=50)._replace(thumbprint=other, client_id="bot2"),
        token(expires_at=60)._replace(revoked_at=5),
    ]
    with db.begin() as conn:
        tokens.insert_many(conn, rows)
        count = partial(tokens.outstanding, conn, 10, leeway=0)
        assert count() == Outstanding(count=3, until=50)
        assert count(client_id="bot") == Outstanding(count=2, until=40)
        both = count(client_id="bot", thumbprints=[other])
        assert both == Outstanding(count=1, until=40)
        by_certificate = count(thumbprints=[other, "thumb-3"])
        assert by_certificate == Outstanding(count=2, until=50)
        assert count(thumbprints=[]) == Outstanding(count=0, until=None)


def test_a_token_that_ended_just_now_is_revoked_too(db: Database) -> None:
    """Resources accept it until their leeway is over: who is stopped meanwhile must not go on."""
    rows = [token(expires_at=at) for at in (1000, 1001)]
    with db.begin() as conn:
        tokens.insert_many(conn, rows)
        now = 1000 + MOST_LEEWAY
        assert tokens.outstanding(conn, now, client_id="bot") == Outstanding(count=1, until=1001)
        revoked = tokens.revoke_outstanding(conn, now, client_id="bot")
        assert revoked == Outstanding(count=1, until=1001)
        found = [tokens.find(conn, row.jti) for row in rows]
    assert [row.revoked_at for row in found if row] == [None, now]


def test_a_token_identifier_is_recorded_once(db: Database) -> None:
    """Two tokens of one jti cannot both exist, and the batch of the second is not kept."""
    first, second = token(), token()
    with db.begin() as conn:
        tokens.insert_many(conn, [first])
    with pytest.raises(IntegrityError), db.begin() as conn:
        tokens.insert_many(conn, [second, first])
    with db.read() as conn:
        assert tokens.find(conn, second.jti) is None
