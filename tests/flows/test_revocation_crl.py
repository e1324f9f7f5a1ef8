"""CRLs from files: a revoked certificate ends at the next request on its open connection."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import clock
from app.admin import crl_file
from app.store import tokens as stored
from tests.kit import ca, crls, ledger, placing, tokens
from tests.kit.ca import Authority
from tests.kit.crls import DAY, number, serial_of
from tests.kit.live import claims, live, reason, why
from tests.kit.running import Running


@dataclass(frozen=True)
class Listed:
    """A client, and the CA whose CRLs say whether its certificate still counts."""

    server: Running
    name: str
    authority: Authority
    serial: int

    def policy(self, *words: str) -> None:
        """Write down how revocation is judged."""
        self.server.certbound("trust", "revocation", self.name, *words)

    def load(self, der: bytes) -> None:
        """Load a CRL."""
        file = placing.crl_file(self.server, self.name, der)
        self.server.certbound("trust", "crl", self.name, str(file))

    def publish(self, count: int, *serials: int) -> None:
        """Load the CA's CRL of this number, which revokes these."""
        self.load(crls.crl(self.authority, clock.now(), serials, count=count))


def listed(server: Running, name: str) -> Listed:
    """A client of a trust set of its own, both called `name`."""
    authority = placing.root(f"CA of {name}")
    server.certbound("trust", "add", name, str(placing.authority_file(server, authority, name)))
    der = placing.place(server, name, authority)
    server.certbound("client", "add", name, "--subject-dn", f"CN={name}", "--trust", name)
    return Listed(server, name, authority, serial_of(der))


def alive(server: Running, client_id: str) -> int:
    """How many of its tokens are neither expired nor revoked."""
    with server.desk() as desk, desk.db.read() as conn:
        return stored.outstanding(conn, clock.now(), client_id=client_id).count


def causes(server: Running) -> list[str]:
    """What tokens were revoked for so far, in order."""
    bodies = [each.body for each in ledger.entries(server.home) if each.event == "tokens.revoked"]
    return [str(json.loads(body)["details"]["because"]) for body in bodies]


def test_a_list_replaced_on_an_open_connection(server: Running) -> None:
    """No list: refused. A list: let in. Revoked: refused at once. An older list: changes nothing."""
    us = listed(server, "replaced")
    with live(server, "replaced") as ask:
        assert claims(ask())["sub"] == "replaced"
        us.policy("crl")
        assert reason(server, ask()) == "revocation_unknown"
        us.publish(1)
        assert claims(ask())["sub"] == "replaced"
        us.publish(2, us.serial)
        assert reason(server, ask()) == "revoked"
        older = placing.crl_file(server, "older", crls.crl(us.authority, clock.now(), count=1))
        error = server.problem("trust", "crl", "replaced", str(older))
        assert "older" in error["message"]
        assert str(older) in error["message"]
        assert reason(server, ask()) == "revoked"
        us.publish(3)
        assert claims(ask())["sub"] == "replaced"
        us.policy("off")
        us.publish(4, us.serial)
        assert claims(ask())["sub"] == "replaced"
        us.policy("crl")
        assert reason(server, ask()) == "revoked"


def test_a_long_list_counts_at_the_very_next_request(server: Running) -> None:
    """200,000 entries, loaded by another process: the request after its commit goes by them."""
    us = listed(server, "long-list")
    us.policy("crl")
    now = clock.now()
    many = crls.many(200_000, now)[0]

    def load(count: int, *revoked: int) -> None:
        entries = many + b"".join(crls.entry(each, now) for each in revoked)
        der = crls.sign(crls.draft(now, count=count).with_(entries=entries), us.authority)
        file = placing.crl_file(server, "long-list", der)
        with server.desk() as desk:  # returns with the commit: no process has to end first
            assert crl_file.load(desk, "long-list", file).row.entries == 200_000 + len(revoked)

    with live(server, "long-list") as ask:
        for count in (1, 3):
            load(count)
            assert claims(ask())["sub"] == "long-list"
            load(count + 1, us.serial)
            assert reason(server, ask()) == "revoked"


def test_the_command_names_who_is_stopped(server: Running) -> None:
    """A client that was seen with a certificate which the new list revokes."""
    us = listed(server, "named-by-list")
    us.policy("crl")
    us.publish(1)
    with live(server, "named-by-list") as ask:
        thumbprint = tokens.read(ask().json()["access_token"])["cnf"]["x5t#S256"]
        file = placing.crl_file(
            server, "stops", crls.crl(us.authority, clock.now(), [us.serial], count=2)
        )
        page = server.certbound_json("trust", "crl", "named-by-list", str(file))
        assert [(each["client_id"], each["x5t#S256"]) for each in page["stops"]] == [
            ("named-by-list", thumbprint)
        ]
        assert reason(server, ask()) == "revoked"


def test_tokens_go_with_the_certificate(server: Running) -> None:
    """A list that is asked revokes the tokens of what it lists, and no others; one that is not, none."""
    us, other = listed(server, "listed-tokens"), listed(server, "other-tokens")
    before = len(causes(server))
    us.publish(1)
    with live(server, us.name) as ask, live(server, other.name) as ask_other:
        assert (ask().status, ask_other().status) == (200, 200)
        us.publish(2, us.serial)
        assert (alive(server, us.name), alive(server, other.name)) == (1, 1), "nobody asks it"
        other.publish(1)
        other.policy("crl")
        file = placing.crl_file(
            server, other.name, crls.crl(other.authority, clock.now(), [other.serial], count=3)
        )
        page = server.certbound_json("trust", "crl", other.name, str(file))
        assert page["tokens"]["count"] == 1
        assert (alive(server, us.name), alive(server, other.name)) == (1, 0)
    assert causes(server)[before:] == ["crl.replaced"]


def test_tokens_go_when_the_list_at_hand_is_asked(server: Running) -> None:
    """A list that was loaded before counts with the policy, and takes the tokens along with it."""
    us, other = listed(server, "asked-later"), listed(server, "never-listed")
    before = len(causes(server))
    us.publish(1, us.serial)
    with live(server, us.name) as ask, live(server, other.name) as ask_other:
        assert (ask().status, ask_other().status) == (200, 200)
    us.policy("ocsp", "--soft", "--url", "http://ocsp.invalid/")
    assert alive(server, us.name) == 1
    assert "tokens revoked: 1" in server.certbound("trust", "revocation", us.name, "crl")
    assert (alive(server, us.name), alive(server, other.name)) == (0, 1)
    assert causes(server)[before:] == ["trust.changed"]


def test_a_stale_list_fails_as_the_policy_says(server: Running) -> None:
    """Hard: refused. Soft: let in, unless the list, old as it is, has the certificate revoked."""
    us = listed(server, "stale")
    now = clock.now()
    ended = crls.draft(now).with_(this_update=now - 9 * DAY, next_update=now - DAY)
    us.policy("crl", "--hard")
    us.load(crls.sign(ended, us.authority))
    with live(server, "stale") as ask:
        refused = ask()
        assert reason(server, refused) == "revocation_unknown"
        us.policy("crl", "--soft")
        assert claims(ask())["sub"] == "stale"
        entry = crls.entry(us.serial, now - 2 * DAY)
        us.load(crls.sign(ended.with_(entries=entry).plus(number(2)), us.authority))
        assert reason(server, ask()) == "revoked"
        us.policy("crl", "--hard")
        us.publish(3)
        assert claims(ask())["sub"] == "stale"
        us.policy("crl", "--max-staleness", "30m")
        assert reason(server, ask()) == "revocation_unknown", "the list is of an hour ago"
        us.policy("crl", "--max-staleness", "2h")
        assert claims(ask())["sub"] == "stale"


def test_a_list_that_ends_on_an_open_connection(server: Running) -> None:
    """Good while it says so, and unknown from its next update on, without any command."""
    us = listed(server, "list-ending")
    us.policy("crl")
    ends = clock.now() + 20
    us.load(crls.sign(crls.draft(clock.now()).with_(next_update=ends), us.authority))
    with live(server, "list-ending") as ask:
        assert claims(ask())["sub"] == "list-ending"
        while clock.now() <= ends:
            ask()
        assert reason(server, ask()) == "revocation_unknown"
        us.publish(2)
        # Hundreds were refused alike and only counted: they too go by the registry in force.
        assert claims(ask())["sub"] == "list-ending"


def test_an_intermediate_is_revoked(server: Running) -> None:
    """Each CA of the path has its own list, and a revoked CA takes its certificates along."""
    top = placing.root("top of lists")
    between = placing.issuing(top, "issuing of lists")
    server.certbound("trust", "add", "lists", str(placing.authority_file(server, top, "lists")))
    placing.place(server, "below", between, above=(between,))
    server.certbound("client", "add", "below", "--subject-dn", "CN=below", "--trust", "lists")
    server.certbound("trust", "revocation", "lists", "crl")
    now = clock.now()

    def load(der: bytes) -> None:
        server.certbound("trust", "crl", "lists", str(placing.crl_file(server, "lists", der)))

    with live(server, "below") as ask:
        load(crls.crl(top, now))
        assert reason(server, ask()) == "revocation_unknown"
        file = placing.authority_file(server, between, "lists-between")
        server.certbound("trust", "add", "lists", str(file), "--intermediate")
        load(crls.crl(between, now))
        assert claims(ask())["sub"] == "below"
        load(crls.crl(top, now, [serial_of(between.certificate)], count=2))
        refused = ask()
        assert reason(server, refused) == "revoked"
        assert "issuing of lists" in why(server, refused)
        load(crls.crl(top, now, count=3))
        assert claims(ask())["sub"] == "below"


def test_a_delegated_signer(server: Running) -> None:
    """Its list is refused until it was named, and then counts while its CA's own list has it good."""
    us = listed(server, "delegating")
    key = ca.key(label="delegated signer")
    draft = ca.client_draft(us.authority.subject, key, clock.now()).plus(ca.usage("crl_sign"))
    signer = Authority(us.authority.subject, key, us.authority.sign(draft))
    us.policy("crl")
    us.publish(1)
    by_signer = crls.crl(signer, clock.now(), [us.serial])
    file = str(placing.crl_file(server, "by-signer", by_signer))
    with live(server, "delegating") as ask:
        assert server.problem("trust", "crl", "delegating", file)["seen"]
        assert claims(ask())["sub"] == "delegating"
        certificate = placing.pem(server.home / "certs" / "signer.pem", signer.certificate)
        us.policy("crl", "--signer", str(certificate))
        server.certbound("trust", "crl", "delegating", file)
        assert reason(server, ask()) == "revoked"
        us.load(crls.crl(signer, clock.now(), count=2))
        assert claims(ask())["sub"] == "delegating"
        us.load(crls.crl(signer, clock.now(), [us.serial], count=3))
        assert reason(server, ask()) == "revoked"
        server.certbound("revoke", "cert", str(certificate))
        assert claims(ask())["sub"] == "delegating", "nor has one that is denied here"
        server.certbound("revoke", "undo", str(certificate))
        assert reason(server, ask()) == "revoked"
        us.publish(2, serial_of(signer.certificate))
        assert claims(ask())["sub"] == "delegating", "a revoked signer has no say"


@pytest.mark.parametrize(
    "kind", ["empty", "broken", "cut", "delta", "indirect", "foreign", "vanished", "certificate"]
)
def test_a_file_that_cannot_be_used_changes_nothing(
    server: Running, tmp_path: Path, kind: str
) -> None:
    """Refused with its name and the reason; what was loaded before goes on counting."""
    us = listed(server, f"bad-{kind}")
    us.policy("crl")
    us.publish(1)
    now = clock.now()
    better = crls.crl(us.authority, now, count=2)
    plain = crls.draft(now, count=2)
    content = {
        "empty": b"",
        "broken": better[:40] + b"\xff\xff" + better[42:],
        "cut": better[:-20],
        "delta": crls.sign(plain.plus(crls.delta(1)), us.authority),
        "indirect": crls.sign(plain.plus(crls.partition(indirect_crl=True)), us.authority),
        "foreign": crls.crl(placing.root("somebody else"), now, count=2),
        "certificate": us.authority.certificate,
    }
    file = tmp_path / f"{kind}.crl"
    if kind in content:
        file.write_bytes(content[kind])
    with live(server, us.name) as ask:
        error = server.problem("trust", "crl", us.name, str(file))
        assert str(file) in error["message"]
        assert error.get("seen"), error
        assert claims(ask())["sub"] == us.name
        us.publish(2, us.serial)
        assert reason(server, ask()) == "revoked"
