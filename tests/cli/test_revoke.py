"""Stopping a certificate for everybody: by thumbprint, by key, by issuer and serial number."""

from pathlib import Path
from typing import Any

import pytest

from app.admin.authority import Request
from app.admin.certificate_file import read_chain
from app.pki import check
from app.store import denied, registry
from app.store.engine import Database
from tests.kit.asgi import Stage
from tests.kit.command import call, done, refused
from tests.kit.issuing import issue, key_of

KINDS = {"thumbprint": (), "spki": ("--key",), "issuer_serial": ("--issuer-serial",)}


@pytest.fixture
def bot(home: Path) -> str:
    """The file of the client's certificate."""
    return str(home / "certs/bot.crt")


def _reason(stage: Stage, answer: Any) -> str:
    found: str = stage.explained(answer.json()["error_ref"])["reason"]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_stops_the_next_request(home: Path, stage: Stage, bot: str, kind: str) -> None:
    """The dry run counts, the command stops the running server at once, undo lets in again."""
    assert stage.token(stage.bot).status == 200
    dry = done(home, "revoke", "cert", bot, *KINDS[kind], "--dry-run")
    assert (dry["kind"], dry["clients"], dry["tokens"]["count"]) == (kind, ["bot"], 1)
    assert 0 < dry["tokens"]["seconds"] <= 300
    assert done(home, "revoke", "list")["revoked"] == []
    assert stage.token(stage.bot).status == 200
    stopped = done(home, "revoke", "cert", bot, *KINDS[kind], "--reason", "laptop lost")
    assert (stopped["value"], stopped["changed"]) == (dry["value"], True)
    assert stopped["tokens"]["count"] == 2
    answer = stage.token(stage.bot)
    assert (answer.status, _reason(stage, answer)) == (401, "revoked")
    [entry] = [
        one for one in done(home, "revoke", "list")["revoked"] if one["value"] == stopped["value"]
    ]
    assert (entry["kind"], entry["value"], entry["reason"]) == (
        kind, stopped["value"], "laptop lost",
    )  # fmt: skip
    assert done(home, "revoke", "cert", bot, *KINDS[kind])["changed"] is False
    done(home, "revoke", "undo", stopped["value"])
    assert stage.token(stage.bot).status == 200


@pytest.mark.parametrize("kind", KINDS)
def test_a_thumbprint_is_enough_where_it_was_seen(home: Path, stage: Stage, kind: str) -> None:
    """Key, issuer and serial of a certificate that was used are known without its file."""
    thumbprint = stage.bot.thumbprint
    arguments = ("revoke", "cert", thumbprint, *KINDS[kind])
    if kind != "thumbprint":
        assert "not known here" in refused(home, *arguments)["message"]
    assert stage.token(stage.bot).status == 200
    done(home, *arguments)
    assert stage.token(stage.bot).status == 401
    done(home, "revoke", "undo", thumbprint)
    assert stage.token(stage.bot).status == 200


def test_a_key_stops_every_certificate_of_it(home: Path, stage: Stage) -> None:
    """By key, a certificate renewed with the same key is stopped too; by thumbprint it is not."""
    folder = home / "certs"
    first = issue(folder, "first")
    second = issue(folder, "second", key=key_of(first))
    for name in ("first", "second"):
        done(home, "client", "add", name, "--cert", str(folder / f"{name}.crt"))
        assert stage.token(stage.peer(name), client_id=name).status == 200
    done(home, "revoke", "cert", str(first))
    assert stage.token(stage.peer("second"), client_id="second").status == 200
    assert done(home, "revoke", "cert", str(second), "--key")["clients"] == ["first", "second"]
    assert stage.token(stage.peer("second"), client_id="second").status == 401


def test_a_registered_certificate_is_stopped_too(home: Path, stage: Stage) -> None:
    """Self-signed clients are stopped the same, and the list of certificates says so."""
    peer = stage.add_self_signed("own", scopes=("api:read",))
    assert stage.token(peer, client_id="own").status == 200
    assert done(home, "revoke", "cert", peer.thumbprint)["clients"] == ["own"]
    answer = stage.token(peer, client_id="own")
    assert (answer.status, _reason(stage, answer)) == (401, "revoked")
    [one] = done(home, "client", "cert", "list", "own")["credentials"]
    assert one["state"] == "revoked"
    assert "certificate (revoked)" in call(home, "client", "show", "own").out


def test_before_it_was_ever_seen(home: Path, stage: Stage) -> None:
    """A thumbprint nobody used is denied all the same, and that nobody is known is said."""
    peer = stage.issue("future", Request(san_uri=("spiffe://dev.local/future",)))
    outcome = call(home, "revoke", "cert", peer.thumbprint)
    assert outcome.code == 0
    assert "no client: is known" in outcome.out
    assert "only these very bytes" in outcome.out
    done(home, "client", "add", "future", "--san-uri", "spiffe://dev.local/future")
    assert stage.token(peer, client_id="future").status == 401


def test_a_ca_is_no_clients_certificate(home: Path) -> None:
    """A member of a trust set is refused in every way, with the command that takes it out."""
    ca = home / "certs/ca.crt"
    key = check.describe(read_chain(ca)[0]).spki_sha256
    for named in ((str(ca),), *((str(ca), *flag) for flag in KINDS.values()), (key, "--key")):
        assert "trust remove default" in refused(home, "revoke", "cert", *named)["do_this"]
    assert done(home, "revoke", "list")["revoked"] == []


def test_what_cannot_be_named(home: Path, bot: str) -> None:
    """No thumbprint, both kinds at once, a private key, nothing to undo, an endless reason."""
    assert refused(home, "revoke", "cert", "zz")["message"] == "this is no thumbprint"
    assert refused(home, "revoke", "cert", "certs/zz.crt")["message"] == "there is no such file"
    refused(home, "revoke", "cert", bot, "--key", "--issuer-serial", code=2)
    assert "private key" in refused(home, "revoke", "cert", str(home / "certs/bot.key"))["message"]
    assert "nothing on the deny-list" in refused(home, "revoke", "undo", bot)["message"]
    assert refused(home, "revoke", "cert", bot, "--reason", "x" * 501)
    assert done(home, "revoke", "list")["revoked"] == []


def test_undo_of_one_kind(home: Path, stage: Stage, bot: str) -> None:
    """Where two entries cover a certificate, one can be taken back and the other holds."""
    done(home, "revoke", "cert", bot)
    done(home, "revoke", "cert", bot, "--key")
    assert [one["kind"] for one in done(home, "revoke", "undo", bot, "--key")["undone"]] == ["spki"]
    assert stage.token(stage.bot).status == 401
    done(home, "revoke", "undo", bot)
    assert stage.token(stage.bot).status == 200


@pytest.mark.parametrize("named", ["file", "thumbprint"])
def test_undo_of_a_certificate_leaves_its_key(
    home: Path, stage: Stage, bot: str, named: str
) -> None:
    """A ban of the key is an act of its own: it stays, with its reason and the way to end it too."""
    assert stage.token(stage.bot).status == 200
    done(home, "revoke", "cert", bot, "--reason", "one")
    key = done(home, "revoke", "cert", bot, "--key", "--reason", "two")["value"]
    text = bot if named == "file" else stage.bot.thumbprint
    outcome = call(home, "revoke", "undo", text)
    assert outcome.code == 0
    assert f"! its key is still revoked: {key}\n    reason: two" in outcome.out
    assert f"revoke undo {text} --key" in outcome.out
    assert "may be used again" not in outcome.out
    assert [one["value"] for one in done(home, "revoke", "list")["revoked"]] == [key]
    assert stage.token(stage.bot).status == 401
    assert done(home, "revoke", "undo", bot, "--key")["still_revoked"] == []
    assert stage.token(stage.bot).status == 200


def test_what_is_on_the_list_already(home: Path, stage: Stage, bot: str) -> None:
    """A dry run of what is denied says so, promises no effect, and offers nothing to do."""
    assert stage.token(stage.bot).status == 200
    done(home, "revoke", "cert", bot)
    out = call(home, "revoke", "cert", bot, "--dry-run").out
    assert "certificate was revoked already" in out
    assert "bot: stopped already" in out
    assert "would be" not in out
    assert "do it" not in out


def test_the_list_shows_acts(home: Path, stage: Stage, bot: str) -> None:
    """One entry for one act, with the subject and the clients it is about; programs see every row."""
    assert stage.token(stage.bot).status == 200
    done(home, "revoke", "cert", bot, "--reason", "lost")
    out = call(home, "revoke", "list").out
    assert out.count("✘") == 1
    assert f"✘ certificate: {stage.bot.thumbprint}\n    subject: CN=bot\n    clients: bot\n" in out
    assert "reason: lost\n" in out
    assert len(done(home, "revoke", "list")["revoked"]) == 1


def test_both_acts_are_audited(home: Path, stage: Stage, bot: str) -> None:
    """Who, why, whom it stopped; and who took it back. A repetition leaves no entry."""
    assert stage.token(stage.bot).status == 200
    done(home, "revoke", "cert", bot, "--reason", "lost")
    done(home, "revoke", "cert", bot, "--reason", "lost")
    done(home, "revoke", "undo", bot)
    stopped, tokens, back = (
        one["body"] for one in done(home, "audit", "tail", "-n", "3")["entries"]
    )
    assert (stopped["event"], back["event"]) == ("certificate.denied", "certificate.allowed")
    assert stopped["details"]["content"] is True
    assert stopped["certificate"]["thumbprint"] == stage.bot.thumbprint
    assert stopped["details"]["note"] == "lost"
    assert (stopped["details"]["clients"], stopped["details"]["tokens"]) == (["bot"], 1)
    assert (tokens["event"], tokens["details"]["because"]) == (
        "tokens.revoked", "certificate.denied",
    )  # fmt: skip
    assert (tokens["details"]["tokens"], tokens["details"]["note"]) == (1, "lost")
    assert stopped["actor"]
    assert back["actor"]


@pytest.mark.parametrize("command", [("revoke", "cert"), ("revoke", "undo")])
def test_a_thumbprint_may_begin_with_a_hyphen(home: Path, command: tuple[str, ...]) -> None:
    """Base64url has the hyphen, so one thumbprint in 64 looks like an option; it is none."""
    thumbprint = "-" + "A" * 42
    db = Database(f"sqlite:///{home / 'certbound.db'}")
    with registry.change(db) as conn:
        denied.deny(conn, "thumbprint", thumbprint, reason="", actor="test", at=1)
    db.dispose()
    found = done(home, *command, thumbprint)
    assert thumbprint in (found.get("value"), *[one["value"] for one in found.get("undone", ())])


def test_explain_names_the_entry(home: Path, stage: Stage, bot: str) -> None:
    """The recorded refusal says that the deny-list did it and where to read who put it there."""
    done(home, "revoke", "cert", bot)
    ref = stage.token(stage.bot).json()["error_ref"]
    outcome = call(home, "explain", ref)
    assert "deny-list: revoked" in outcome.out
    assert "revoke list" in outcome.out
    doctor = call(home, "doctor", "cert", bot, "--client", "bot")
    assert "deny-list: revoked" in doctor.out
