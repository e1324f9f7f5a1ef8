"""Revoking tokens: one, a client's, a certificate's; what is counted and how long it still counts."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app import clock
from app.jose import jwt
from app.jose.jwt import MOST_LEEWAY
from app.store import tokens
from app.store.tokens import TokenRow
from tests.kit.asgi import Answer, Stage
from tests.kit.command import call, done, refused
from tests.kit.issuing import issue, key_of


def claims(answer: Answer) -> dict[str, Any]:
    """What an issued token says."""
    assert answer.status == 200, answer.body
    return dict(jwt.unverified(answer.json()["access_token"])[1])


def row(stage: Stage, jti: str) -> TokenRow:
    """The token's record."""
    with stage.house.database.read() as conn:
        found = tokens.find(conn, jti)
    assert found is not None
    return found


def is_revoked(stage: Stage, token: dict[str, Any]) -> bool:
    """Whether the record says so."""
    return row(stage, token["jti"]).revoked_at is not None


def last(home: Path) -> dict[str, Any]:
    """The last audit entry."""
    [entry] = done(home, "audit", "tail", "-n", "1")["entries"]
    return dict(entry["body"])


def test_one_token(home: Path, stage: Stage) -> None:
    """The dry run changes nothing, the command this token alone, a repetition says so."""
    one, other = claims(stage.token(stage.bot)), claims(stage.token(stage.bot))
    dry = done(home, "revoke", "token", one["jti"], "--dry-run")
    assert (dry["changed"], dry["revoked"], dry["tokens"]["count"]) == (True, False, 1)
    assert not is_revoked(stage, one)
    page = done(home, "revoke", "token", one["jti"], "--reason", "pasted in a chat")
    assert (page["changed"], page["client_id"], page["resource"]) == (True, "bot", one["aud"])
    assert page["tokens"]["until"] == one["exp"]
    offline = page["tokens"]["accepted_for"].pop("offline")
    assert 0 < offline <= 300
    assert page["tokens"]["accepted_for"] == {"introspection": 0, "status_list": 60}
    assert is_revoked(stage, one)
    assert not is_revoked(stage, other)
    entry = last(home)
    assert (entry["event"], entry["jti"], entry["details"]["note"]) == (
        "tokens.revoked", one["jti"], "pasted in a chat",
    )  # fmt: skip
    again = call(home, "revoke", "token", one["jti"])
    assert again.code == 0
    assert "token was revoked already" in again.out
    assert last(home) == entry


def test_inspect_says_so(home: Path, stage: Stage) -> None:
    """A revoked token is named as that, with exit code 1."""
    token = stage.token(stage.bot).json()["access_token"]
    assert done(home, "token", "inspect", token)["revoked"] is False
    done(home, "revoke", "client", "bot")
    outcome = call(home, "token", "inspect", token)
    assert outcome.code == 1
    assert "✘ record: revoked" in outcome.out


def test_what_is_no_live_token(home: Path, stage: Stage) -> None:
    """An unknown jti, a whole token in its place, one that ended long ago, and one just now."""
    answer = stage.token(stage.bot)
    assert "no token of this jti" in refused(home, "revoke", "token", "nonsense")["message"]
    assert "no token of this jti" in refused(home, "revoke", "token", "-x" * 300)["message"]
    token = answer.json()["access_token"]
    problem = refused(home, "revoke", "token", token)
    assert "not its jti" in problem["message"]
    assert token not in str(problem)
    jti = claims(answer)["jti"]
    with stage.house.database.begin() as conn:
        conn.exec_driver_sql("UPDATE tokens SET expires_at = ?", (clock.now() - MOST_LEEWAY,))
    page = done(home, "revoke", "token", jti)
    assert (page["expired"], page["changed"], page["tokens"]["count"]) == (True, False, 0)
    assert row(stage, jti).revoked_at is None
    with stage.house.database.begin() as conn:
        conn.exec_driver_sql("UPDATE tokens SET expires_at = ?", (clock.now() - 5,))
    page = done(home, "revoke", "token", jti)
    assert (page["expired"], page["changed"], page["tokens"]["count"]) == (False, True, 1)
    assert page["tokens"]["accepted_for"]["status_list"] == 60, "some resource may take it still"
    assert row(stage, jti).revoked_at is not None
    assert refused(home, "revoke", "token", jti, "--reason", "x" * 501)


@pytest.mark.parametrize(
    "words",
    [
        ("revoke", "client", "bot"),
        ("client", "disable", "bot"),
        ("client", "remove", "bot"),
        ("revoke", "cert", "FILE"),
        ("revoke", "cert", "FILE", "--key"),
        ("revoke", "cert", "FILE", "--issuer-serial"),
    ],
    ids=" ".join,
)
def test_every_way_takes_the_tokens_along(home: Path, stage: Stage, words: tuple[str, ...]) -> None:
    """They are revoked when the command returned; another client's are not, and it is audited."""
    peer = stage.add_client("other", scopes=("api:read",))
    mine = [claims(stage.token(stage.bot)) for _ in range(3)]
    theirs = claims(stage.token(peer, client_id="other"))
    named = [str(home / "certs/bot.crt") if word == "FILE" else word for word in words]
    if words[0] == "revoke":
        assert done(home, *named, "--dry-run")["tokens"]["count"] == 3
        assert not any(is_revoked(stage, one) for one in mine)
    page = done(home, *named)
    assert page["tokens"]["count"] == 3
    assert page["tokens"]["until"] == max(one["exp"] for one in mine)
    assert all(is_revoked(stage, one) for one in mine)
    assert not is_revoked(stage, theirs)
    entry = last(home)
    assert entry["event"] == "tokens.revoked"
    assert entry["details"]["tokens"] == 3
    if words != ("client", "remove", "bot"):
        assert done(home, *named)["tokens"]["count"] == 0


def test_a_client_is_disabled_with_its_tokens(home: Path, stage: Stage) -> None:
    """Its certificates are named and stay; enabling it brings no token back."""
    token = claims(stage.token(stage.bot))
    page = done(home, "revoke", "client", "bot", "--reason", "left")
    assert (page["changed"], page["x5t#S256"]) == (True, [stage.bot.thumbprint])
    assert stage.token(stage.bot).status == 401
    assert done(home, "revoke", "list")["revoked"] == []
    assert "client was disabled already" in call(home, "revoke", "client", "bot").out
    done(home, "client", "enable", "bot")
    assert stage.token(stage.bot).status == 200
    assert is_revoked(stage, token)
    refused(home, "revoke", "client", "nobody")


def test_a_dry_run_disables_nobody(home: Path, stage: Stage) -> None:
    """It says what would be, and how to do it."""
    assert stage.token(stage.bot).status == 200
    out = call(home, "revoke", "client", "bot", "--dry-run").out
    assert "client would be disabled: bot" in out
    assert "tokens that would be revoked: 1" in out
    assert "revoke client bot" in out
    assert stage.token(stage.bot).status == 200


def test_the_tail_is_told_for_each_kind_of_resource(home: Path, stage: Stage) -> None:
    """At once where it introspects, the list's time to live, the token's end."""
    assert stage.token(stage.bot).status == 200
    out = call(home, "client", "disable", "bot").out
    assert "tokens revoked: 1" in out
    assert "proxies that ask here: refuse them at once" in out
    assert "resources that introspect: refuse them at once, plus what they keep" in out
    assert "resources that read status lists: refuse them within 60 seconds" in out
    assert "resources that ask nobody: accept them for 5 minutes at most, until" in out
    assert "tokens to revoke: none" in call(home, "client", "disable", "bot").out


def test_retiring_lets_tokens_run_out_and_revoking_does_not(home: Path, stage: Stage) -> None:
    """Rotation costs no token; a certificate revoked for a client takes its tokens, retired or not."""
    peer = stage.add_self_signed("own", scopes=("api:read",))
    token = claims(stage.token(peer, client_id="own"))
    done(home, "client", "cert", "retire", "own", peer.thumbprint)
    assert not is_revoked(stage, token)
    words = ("client", "cert", "revoke", "own", peer.thumbprint)
    dry = done(home, *words, "--dry-run")
    assert (dry["changed"], dry["tokens"]["count"], dry["active"]) == (True, 1, 0)
    assert not is_revoked(stage, token)
    page = done(home, *words, "--reason", "lost")
    assert (page["changed"], page["tokens"]["count"]) == (True, 1)
    assert is_revoked(stage, token)
    events = [one["body"]["event"] for one in done(home, "audit", "tail", "-n", "2")["entries"]]
    assert events == ["certificate.revoked", "tokens.revoked"]
    [one] = done(home, "client", "cert", "list", "own")["credentials"]
    assert one["state"] == "revoked"
    assert done(home, *words)["changed"] is False


def test_a_revoked_certificate_of_two(home: Path, stage: Stage) -> None:
    """The other one goes on with its tokens, and another client with the same certificate too."""
    first = stage.add_self_signed("pair", scopes=("api:read",))
    second = issue(home / "certs", "second", self_signed=True)
    done(home, "client", "cert", "add", "pair", str(second))
    kept = claims(stage.token(stage.peer("second"), client_id="pair"))
    gone = claims(stage.token(first, client_id="pair"))
    page = done(home, "client", "cert", "revoke", "pair", str(home / "certs/pair.crt"))
    assert page["active"] == 1
    assert (is_revoked(stage, gone), is_revoked(stage, kept)) == (True, False)
    assert stage.token(first, client_id="pair").status == 401
    assert stage.token(stage.peer("second"), client_id="pair").status == 200
    problem = refused(home, "client", "cert", "revoke", "bot", str(home / "certs/bot.crt"))
    assert "revoke cert" in problem["do_this"]
    refused(home, "client", "cert", "revoke", "nobody", str(second))


def test_a_revoked_key_takes_the_tokens_of_every_certificate_of_it(
    home: Path, stage: Stage
) -> None:
    """A client registered by its key: whatever certificates it was seen with."""
    folder = home / "certs"
    first = issue(folder, "first", self_signed=True)
    issue(folder, "again", key=key_of(first), self_signed=True)
    method = ("--method", "self_signed_tls_client_auth")
    public = folder / "first.pub"
    public.write_bytes(_public(first))
    done(home, "client", "add", "keyed", *method, "--public-key", str(public))
    given = [claims(stage.token(stage.peer(n), client_id="keyed")) for n in ("first", "again")]
    listed = done(home, "client", "cert", "list", "keyed")["credentials"]
    [key] = [one["spki_sha256"] for one in listed if one["state"] == "active"]
    assert done(home, "client", "cert", "revoke", "keyed", key)["tokens"]["count"] == 2
    assert all(is_revoked(stage, one) for one in given)


def _public(certificate: Path) -> bytes:
    key = key_of(certificate).public_key()
    pem: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem
