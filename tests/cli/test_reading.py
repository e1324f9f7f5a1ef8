"""Settings, schema, audit trail and doctor: commands that look and tell."""

import json
import shlex
import ssl
from pathlib import Path

import pytest

from app import clock
from app.admin.audit_trail import OVERLAP_MS, Follower, tail
from app.audit import FindingRecord, RequestRefused
from app.store import audit
from app.store.engine import Database
from tests.kit.asgi import Stage
from tests.kit.command import call, done, refused, run


def test_settings_and_their_origins(home: Path) -> None:
    """Each setting is shown with its value and where it came from."""
    (home / "certbound.toml").write_text("port = 1234\naccess_token_lifetime = 60\n")
    outcome = call(home, "config", "show", "--json", environment={"CERTBOUND_PORT": "4321"})
    settings = outcome.json["settings"]
    assert settings["port"] == {"value": 4321, "origin": "environment"}
    assert settings["access_token_lifetime"] == {"value": 60, "origin": "file"}
    assert settings["issuer"] == {"value": "https://localhost:4321", "origin": "default"}


def test_secrets_are_masked(home: Path) -> None:
    """Neither the sealing key nor a database password is printed, in whichever spelling."""
    environment = {
        "CERTBOUND_SEALING_KEY": "c2VjcmV0LXNlY3JldA",
        "CERTBOUND_DATABASE_URL": "postgresql://u:hunter2@h/d?password=hunter3",
    }
    for more in ((), ("--json",)):
        out = call(home, "config", "show", *more, environment=environment).out
        assert "c2VjcmV0" not in out
        assert "hunter" not in out
        assert "***" in out


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"CERTBOUND_PROT": "1"}, "nearest known name is CERTBOUND_PORT"),
        ({"CERTBOUND_PORT": "x"}, "port"),
        ({"CERTBOUND_ISSUER": "http://x"}, "https"),
    ],
)
def test_bad_settings_stop_every_command(
    home: Path, environment: dict[str, str], text: str
) -> None:
    """A misspelt or impossible setting is an environment problem for any command."""
    for command in (("config", "show"), ("client", "list")):
        outcome = call(home, *command, environment=environment)
        assert outcome.code == 3
        assert text in outcome.err


def test_sections_are_named_as_the_mistake(home: Path) -> None:
    """A [section] in certbound.toml is no misspelt setting."""
    (home / "certbound.toml").write_text("[server]\nport = 1\n")
    error = refused(home, "client", "list", code=3)
    assert "no sections such as [server]; settings stand at the top level" in error["message"]


def test_check_of_a_good_home(home: Path) -> None:
    """On a home that serves, every check passes, metadata included."""
    checks = done(home, "config", "check")["checks"]
    assert all(one["passed"] for one in checks)
    assert "metadata" in [one["check"] for one in checks]


@pytest.mark.parametrize(
    ("break_it", "check"),
    [
        (lambda home: (home / "certs/server.key").unlink(), "server certificate"),
        (
            lambda home: (home / "certs/bot.key").replace(home / "certs/server.key"),
            "server certificate",
        ),
        (lambda home: (home / "certs/sealing.key").unlink(), "signing keys"),
        (lambda home: (home / "certbound.db").write_bytes(b""), "database"),
        (lambda home: (home / "certbound.db").unlink(), "database"),
    ],
)
def test_check_names_what_is_broken(home: Path, break_it: object, check: str) -> None:
    """A missing file, a key of another certificate, an empty database: named, exit code 1."""
    assert callable(break_it)
    break_it(home)
    outcome = call(home, "config", "check", "--json")
    assert outcome.code == 1
    failed = [one for one in outcome.json["checks"] if one["passed"] is False]
    assert [one["check"] for one in failed] == [check]
    assert failed[0]["action"]


def test_schema(tmp_path: Path) -> None:
    """The upgrade makes the database and says from where to where; status compares."""
    assert refused(tmp_path, "db", "status", code=3)["message"] == "there is no database here"
    made = done(tmp_path, "db", "upgrade")
    assert (made["from"], made["current"]) == (None, True)
    assert done(tmp_path, "db", "upgrade")["from"] == made["to"]
    assert done(tmp_path, "db", "status")["current"] is True


def test_empty_database(tmp_path: Path) -> None:
    """A file without a schema is reported with the command to run, and never made silently."""
    (tmp_path / "certbound.db").touch()
    outcome = call(tmp_path, "db", "status")
    assert outcome.code == 1
    assert "db upgrade" in outcome.out
    error = refused(tmp_path, "client", "list", code=3)
    assert error["do_this"] == f"certbound db upgrade --home {tmp_path}"


def test_database_of_a_newer_release(home: Path) -> None:
    """No upgrade would help, so none is advised: not by serve, nor by any other command."""
    db = Database(f"sqlite:///{home / 'certbound.db'}")
    with db.begin() as conn:
        conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    db.dispose()
    advice = "This release is older than the database: install the newer release."
    for command in (["serve"], ["key", "list"]):
        error = refused(home, *command, code=3)
        assert error["do_this"] == advice
        assert "9999" in error["seen"]
    assert f"do this: {advice}" in call(home, "db", "status").out
    failed = call(home, "config", "check", "--json").json["checks"]
    assert [one["action"] for one in failed if one["passed"] is False] == [advice]
    assert "newer release" in refused(home, "db", "upgrade", code=3)["message"]


@pytest.mark.parametrize("url", ["junk", "mysql://x/y", "sqlite:///:memory:"])
def test_unusable_database(tmp_path: Path, url: str) -> None:
    """A URL of no supported database is explained, not traced back."""
    outcome = call(tmp_path, "client", "list", environment={"CERTBOUND_DATABASE_URL": url})
    assert outcome.code == 3
    assert "database_url" in outcome.err


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    """A database nobody listens for is an environment problem within seconds."""
    url = "postgresql+psycopg://u@127.0.0.1:1/d"
    outcome = call(tmp_path, "client", "list", environment={"CERTBOUND_DATABASE_URL": url})
    assert outcome.code == 3
    assert "the database cannot be used" in outcome.err


def _refusal(home: Path, ref: str) -> None:
    db = Database(f"sqlite:///{home / 'certbound.db'}")
    finding = FindingRecord(
        check="name", seen="CN=\x1b]0;owned\x07", expected="CN=bot", action="Fix it.",
        reason="dn_mismatch",
    )  # fmt: skip
    event = RequestRefused(
        decision="refused", reason="dn_mismatch", ref=ref, client_id="\u202ebot", endpoint="/token",
        error="invalid_client", status=401, method="tls_client_auth", findings=(finding,),
    )  # fmt: skip
    with db.begin() as conn:
        audit.append(conn, audit.Chain("w"), [audit.entry(event)])
    db.dispose()


def test_explains_a_reference(home: Path) -> None:
    """The recorded checks come back: seen, expected, do this; hostile text is shown as codes."""
    _refusal(home, "abcdefgh23456789")
    outcome = call(home, "explain", "abcdefgh23456789")
    assert outcome.code == 0
    assert "401 invalid_client (dn_mismatch)" in outcome.out
    assert "do this: Fix it." in outcome.out
    assert "seen: CN=\\x1b]0;owned\\x07" in outcome.out
    assert not {"\x1b", "\x07", "\u202e"} & set(outcome.out)
    entry = done(home, "explain", "abcdefgh23456789")["entry"]
    assert entry["body"]["findings"][0]["seen"] == "CN=\x1b]0;owned\x07"
    answer = '{"error":"invalid_client","error_ref":"abcdefgh23456789"}'
    assert done(home, "explain", answer)["entry"] == entry
    out = call(home, "audit", "tail", "-n", "1").out
    assert "invalid_client \\u202ebot (dn_mismatch)" in out


@pytest.mark.parametrize("ref", ["zzzzzzzz", "'; rm -rf /", "../../etc/passwd", ""])
def test_unknown_references(home: Path, ref: str) -> None:
    """A reference that is none, or nobody's, is refused with a sentence."""
    assert refused(home, "explain", ref)["seen"] == (ref or "nothing")


def test_audit_tail_in_words(home: Path) -> None:
    """An operator's acts are told without JSON, a key's by its name."""
    out = call(home, "audit", "tail", "-n", "20").out
    kid = done(home, "key", "list")["keys"][0]["kid"]
    assert f"key.added: {kid}\n" in out
    assert "trust set: default" in out
    assert "{" not in out


def test_audit_tail_of_one_client(home: Path) -> None:
    """With --client only entries about it, oldest first, and they stay when it is removed."""
    for word in ("disable", "enable", "remove"):
        done(home, "client", word, "bot")
    done(home, "revoke", "cert", str(home / "certs/bot.crt"))
    found = done(home, "audit", "tail", "--client", "bot", "-n", "2")["entries"]
    assert [one["body"]["event"] for one in found] == ["client.enabled", "client.removed"]
    assert "no entries about nobody" in call(home, "audit", "tail", "--client", "nobody").out


def test_following_one_client(home: Path, stage: Stage) -> None:
    """What comes about others is passed over."""
    follower = Follower(stage.desk, tail(stage.desk, 10, "bot"), "bot")
    done(home, "client", "add", "other", "--san-dns", "other.example")
    assert list(follower.look()) == []
    done(home, "client", "disable", "bot")
    assert [row.event for row in follower.look()] == ["client.disabled"]


def test_following_from_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no entry was shown first, those of long before do not come as new ones."""
    later = clock.now_ms() + 2 * OVERLAP_MS
    monkeypatch.setattr(clock, "now_ms", lambda: later)
    assert tail(stage.desk, 10, "bot")
    assert list(Follower(stage.desk, [], "bot").look()) == []


def test_audit_tail_counts(home: Path) -> None:
    """-n says how many; the newest comes last."""
    entries = done(home, "audit", "tail", "-n", "2")["entries"]
    assert len(entries) == 2
    assert entries[-1]["body"]["event"] == "client.added"
    assert done(home, "audit", "tail", "-n", "0")["entries"] == []


def test_doctor_without_a_client(home: Path) -> None:
    """Without --client every enabled client is tried; who bears the name is examined, or nobody."""
    good = call(home, "doctor", "cert", str(home / "certs/bot.crt"))
    assert good.code == 0
    assert "✔ authenticates: bot" in good.out
    uri = ("--san-uri", "spiffe://dev.local/bot")
    wrong = done(home, "ca", "issue", "wrong", "--server", *uri)["certificate"]
    bad = call(home, "doctor", "cert", wrong)
    assert bad.code == 1
    assert "nearest: bot" in bad.out
    last = bad.out.splitlines()[-1]
    assert last.startswith("✘ ")
    assert "401 invalid_client (eku_missing_client_auth)" in last
    nobody = call(home, "doctor", "cert", str(home / "certs/server.crt"))
    assert nobody.code == 1
    assert "✘ authenticates: nobody" in nobody.out
    assert "✘ usage: eku_missing_client_auth" in nobody.out
    assert "bot" not in nobody.out.replace(str(home), "")


def _pasted(home: Path, line: str) -> None:
    """Do what the printed line says."""
    for command in line.strip().split(" && "):
        words = shlex.split(command)
        assert words[0] == "certbound"
        assert words[-2:] == ["--home", str(home)]
        done(home, *words[1:-2])


def test_doctor_registers_whom_nobody_knows(home: Path, tmp_path: Path) -> None:
    """For a good certificate of nobody's a command registers it under the set that vouches."""
    done(tmp_path, "ca", "init")
    done(home, "trust", "add", "mine", str(tmp_path / "certs/ca.crt"))
    for options in ((), ("--self-signed",)):
        cert = done(tmp_path, "ca", "issue", f"new{len(options)}", *options)["certificate"]
        lines = call(home, "doctor", "cert", cert).out.splitlines()
        _pasted(home, next(line for line in lines if " client add " in line))
        assert done(home, "doctor", "cert", cert, "--client", f"new{len(options)}")


def test_doctor_names_the_trust_set_that_would_do(home: Path, tmp_path: Path) -> None:
    """A CA pinned in a set that does not count: said so, and the printed line mends it."""
    done(tmp_path, "ca", "init")
    done(home, "trust", "add", "mine", str(tmp_path / "certs/ca.crt"))
    cert = done(tmp_path, "ca", "issue", "report")["certificate"]
    done(home, "client", "add", "report", "--cert", cert, "--scope", "api:read")
    outcome = call(home, "doctor", "cert", cert, "--client", "report")
    assert "is pinned in trust set mine, but report counts only default" in outcome.out
    stranger = call(home, "doctor", "cert", cert, "--client", "bot").out
    assert stranger.count("do this:") == 1
    assert "✘ name: san_mismatch" in stranger
    label = "do this: Only if you know this certificate is the client's: "
    [line] = [line for line in outcome.out.splitlines() if label in line]
    _pasted(home, line.partition(label)[2])
    assert done(home, "doctor", "cert", cert, "--client", "report")["answer"]["status"] == 200
    client = done(home, "client", "show", "report")["client"]
    assert (client["trust_sets"], client["scope"]) == (["default", "mine"], "api:read")


def test_doctor_advice_is_filled_in(home: Path) -> None:
    """Advice names the real file and client instead of placeholders."""
    cert = done(home, "ca", "issue", "c", "--self-signed")["certificate"]
    other = done(home, "ca", "issue", "d", "--self-signed")["certificate"]
    method = ("--method", "self_signed_tls_client_auth")
    done(home, "client", "add", "c", *method, "--cert", cert)
    findings = json.loads(call(home, "doctor", "cert", other, "--client", "c", "--json").out)[
        "findings"
    ]
    assert "thumbprint_unregistered" in [one["reason"] for one in findings]
    out = call(home, "doctor", "cert", other, "--client", "c").out
    assert f"certbound client cert add c {other}" in out


def test_doctor_says_why_keys_cannot_be_fetched(home: Path) -> None:
    """For a client with a jwks_uri the reason of a failed fetch is told, and nothing is logged."""
    uri = ("--jwks-uri", "https://127.0.0.1:1/jwks")
    done(home, "client", "add", "u", "--method", "self_signed_tls_client_auth", *uri)
    outcome = run(home, "doctor", "cert", "certs/bot.crt", "--client", "u")
    assert outcome.code == 1
    assert "! jwks_uri: could not be fetched just now: " in outcome.out
    assert "timestamp" not in outcome.out + outcome.err


def test_doctor_reads_what_a_client_would_send(home: Path, tmp_path: Path) -> None:
    """DER, PEM with text around it, and a chain are read; anything else is refused."""
    pem = (home / "certs/bot.crt").read_text()
    der, chain, junk = tmp_path / "bot.der", tmp_path / "chain.pem", tmp_path / "junk"
    der.write_bytes(ssl.PEM_cert_to_DER_cert(pem))
    chain.write_text(f"subject=bot\n{pem}\n{(home / 'certs/ca.crt').read_text()}")
    junk.write_bytes(b"\x00" * 100)
    assert call(home, "doctor", "cert", str(der), "--client", "bot").code == 0
    assert call(home, "doctor", "cert", str(chain), "--client", "bot").code == 0
    assert "holds no certificate" in refused(home, "doctor", "cert", str(junk))["message"]
    assert refused(home, "doctor", "cert", str(tmp_path), code=3)["seen"] == "a directory or device"
