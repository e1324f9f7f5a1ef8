"""The commands over the audit: what an operator sees of it, keeps of it and finds wrong with it."""

import json
from pathlib import Path

import pytest

from app import clock
from app.audit import CertificateEvidence, TokenPresented, TokensRevoked
from app.store import audit, tokens
from tests.kit.asgi import Stage
from tests.kit.command import call, done, refused
from tests.kit.tampering import edit, longest


def issued(stage: Stage) -> str:
    """A token of bot's; its jti."""
    return str(stage.claims(stage.token(stage.bot))["jti"])


def report(stage: Stage, jti: str, *, verdict: str, thumbprint: str | None) -> None:
    """What a resource's server tells by introspection."""
    bound_to = stage.bot.thumbprint
    certificate = CertificateEvidence(
        thumbprint=thumbprint or "", subject="CN=evil<script>|*x*", termination="direct"
    )
    event = TokenPresented(
        decision="accepted" if verdict == "holder" else "refused",
        client_id="bot",
        certificate=certificate if thumbprint else None,
        jti=jti,
        resource="https://localhost:9444",
        reporter="api",
        verdict=verdict,
        confirmation="x5t#S256",
        bound_to=bound_to,
    )
    with stage.house.database.begin() as conn:
        audit.append(conn, audit.resume(conn, "reports"), [audit.entry(event)])


def test_verify_finds_what_was_changed(home: Path, stage: Stage) -> None:
    """Exit code 0 and what was read, or 1 and what is wrong where."""
    stage.token(stage.bot)
    found = done(home, "audit", "verify")
    assert found["intact"]
    assert found["entries"] == found["unsigned"] + 4
    with stage.house.database.begin() as conn:
        edit(conn, longest(conn), 3, at_ms=1)
    outcome = call(home, "audit", "verify")
    assert outcome.code == 1
    assert "✘ admin 3 edited: its body, time or hash is not what was written" in outcome.out
    (problem,) = call(home, "audit", "verify", "--json").json["problems"]
    assert (problem["problem"], problem["writer"], problem["seq"]) == ("edited", "admin", 3)


def test_a_checkpoint_is_kept_outside_and_compared(home: Path, tmp_path: Path) -> None:
    """The file is made once, and only such a file is compared with."""
    kept = tmp_path / "heads.jws"
    made = done(home, "audit", "checkpoint", "--export", str(kept))
    assert (made["number"], made["streams"]) == (2, 1)
    assert kept.stat().st_mode & 0o777 == 0o600
    assert done(home, "audit", "verify", "--since", str(kept))["checkpoints"] == 2
    assert (
        "cannot be written"
        in refused(home, "audit", "checkpoint", "--export", str(kept), code=3)["message"]
    )
    kept.write_text("not.a.checkpoint")
    assert (
        "no exported checkpoint"
        in refused(home, "audit", "verify", "--since", str(kept))["message"]
    )


def test_search_takes_what_people_paste(home: Path, stage: Stage) -> None:
    """A certificate file, a serial number with colons, durations; and says what it cannot take."""
    jti = issued(stage)
    serial = stage.entries()[0]["certificate"]["serial"]
    colons = ":".join(serial[at : at + 2] for at in range(0, len(serial), 2)).upper()
    for words in (
        ("--jti", jti),
        ("--serial", colons, "--since", "1h"),
        ("--serial", f"00{serial}"),
        ("--thumbprint", str(home / "certs" / "bot.crt")),
        ("--client", "bot", "--decision", "issued"),
        ("--event", "token.issued", "--resource", "https://localhost:9444"),
    ):
        (entry,) = done(home, "audit", "search", *words)["entries"]
        assert entry["body"]["jti"] == jti
    assert done(home, "audit", "search", "--jti", jti, "--until", "1h")["entries"] == []
    assert len(done(home, "audit", "search", "--jti", jti, "--since", "1w")["entries"]) == 1
    for option, value in (
        ("--decision", "maybe"),
        ("--event", "nothing.happened"),
        ("--reason", "none"),
        ("--serial", "xyz"),
        ("--since", "yesterday"),
    ):
        assert option in refused(home, "audit", "search", option, value, code=2)["message"]
    told = refused(home, "audit", "search", "--since", "2026-11-22", code=2)["message"]
    assert "or how long ago, such as 2h" in told


def test_export_to_a_file_or_to_standard_output(home: Path, tmp_path: Path) -> None:
    """The same lines; a file is never written over."""
    kept = tmp_path / "audit.jsonl"
    told = done(home, "audit", "export", str(kept))
    printed = call(home, "audit", "export")
    assert printed.out == kept.read_text()
    assert told["entries"] == len(printed.out.splitlines())
    assert "cannot be written" in refused(home, "audit", "export", str(kept), code=3)["message"]
    for line in call(home, "audit", "export", "--format", "ocsf").out.splitlines():
        assert json.loads(line)["metadata"]["version"] == "1.3.0"
    for line in call(home, "audit", "export", "--format", "cef").out.splitlines():
        assert line.startswith("CEF:0|certbound|certbound|")


def test_a_token_used_by_its_holder(home: Path, stage: Stage) -> None:
    """Whose it is, by which certificate, where TLS ended, and that nobody else was seen with it."""
    jti = issued(stage)
    assert "no resource or proxy reported it" in done(home, "audit", "incident", jti)["conclusion"]
    report(stage, jti, verdict="holder", thumbprint=stage.bot.thumbprint)
    found = done(home, "audit", "incident", jti)
    assert "by its holder only, once" in found["conclusion"]
    assert (found["holder"], found["other_certificate"]) == (1, 0)
    assert found["token"]["confirmation"] == "x5t#S256"
    assert found["certificate"]["subject"]
    assert found["next"][0]["command"][1:] == ["revoke", "token", jti] or "revoke" in str(
        found["next"]
    )
    out = call(home, "audit", "incident", jti).out
    for part in ("token type: Bearer", "TLS ended at: direct", "serial: ", "trust set: default"):
        assert part in out
    assert "It says nothing of intent" in out


def test_a_token_that_was_replayed(home: Path, stage: Stage) -> None:
    """With which certificate, how often, who told; text from outside is no markup in the note."""
    jti = issued(stage)
    other = "B" * 43
    report(stage, jti, verdict="holder", thumbprint=stage.bot.thumbprint)
    report(stage, jti, verdict="other_certificate", thumbprint=other)
    report(stage, jti, verdict="other_certificate", thumbprint=other)
    report(stage, jti, verdict="no_certificate", thumbprint=None)
    found = done(home, "audit", "incident", jti)
    assert "was replayed: presented with another certificate, 2 times" in found["conclusion"]
    assert (found["holder"], found["other_certificate"], found["no_certificate"]) == (1, 2, 1)
    note = call(home, "audit", "incident", jti, "--markdown").out
    assert note.startswith(f"# Incident: token {jti}".replace("_", "\\_"))
    assert "<script>" not in note
    assert "## What else the certificate touched" in note
    by_certificate = done(home, "audit", "incident", stage.bot.thumbprint)
    assert by_certificate["other_certificate"] == 2
    assert (by_certificate["tokens"], by_certificate["outstanding"]) == (1, 1)
    carrier = done(home, "audit", "incident", other)
    assert [seen["verdict"] for seen in carrier["carried"]] == ["other_certificate"]


def test_who_revoked_it(home: Path, stage: Stage) -> None:
    """By its jti, or with all tokens of its client; and the deny-list."""
    one, other = issued(stage), issued(stage)
    with stage.house.database.begin() as conn:
        now = clock.now()
        tokens.revoke(conn, [one, other], now)
        audit.append_admin(conn, TokensRevoked(actor="eve", jti=one, client_id="bot"))
        because = {"because": "client.disabled", "tokens": 1}
        audit.append_admin(conn, TokensRevoked(actor="root", client_id="bot", details=because))
    acts = done(home, "audit", "incident", other)["acts"]
    assert [(act["by"], act["what"]) for act in acts] == [("root", "client.disabled")]
    assert [act["by"] for act in done(home, "audit", "incident", one)["acts"]] == ["eve", "root"]
    call(home, "revoke", "cert", stage.bot.thumbprint, "--reason", "stolen")
    found = done(home, "audit", "incident", stage.bot.thumbprint)
    assert found["denied"]
    assert any("stolen" in act["what"] for act in found["acts"])


@pytest.mark.parametrize("way", [(), ("--key",), ("--issuer-serial",)])
def test_a_denial_and_its_end(home: Path, stage: Stage, way: tuple[str, ...]) -> None:
    """Both are in the note, by whatever name the certificate was stopped, and nobody else's."""
    issued(stage)
    bot = str(home / "certs" / "bot.crt")
    other = str(done(home, "ca", "issue", "x")["certificate"])
    done(home, "revoke", "cert", other, *way)
    done(home, "revoke", "cert", bot, *way)
    done(home, "revoke", "undo", bot, *way)
    found = done(home, "audit", "incident", stage.bot.thumbprint)
    events = [act["event"] for act in found["acts"] if act["event"].startswith("certificate.")]
    assert events == ["certificate.denied", "certificate.allowed"]
    assert not found["denied"]


def test_an_incident_without_a_trace(home: Path) -> None:
    """It says that nothing is recorded, for a jti and for a thumbprint."""
    for subject in ("nothing", "A" * 43, "x" * 300):
        assert "nothing is recorded" in refused(home, "audit", "incident", subject)["message"]


def test_a_cut_wants_a_file_or_a_word(home: Path, tmp_path: Path) -> None:
    """What is gone is said; the rest verifies; where nothing is that old, all is well."""
    future = clock.iso(clock.now() + 3600)
    assert "gone for good" in refused(home, "audit", "cut", "--before", future)["message"]
    kept = tmp_path / "old.jsonl"
    nothing = done(home, "audit", "cut", "--before", "1d", "--export", str(kept))
    assert (nothing["entries"], nothing["file"], kept.exists()) == (0, None, False)
    assert "no entry is from before" in call(home, "audit", "cut", "--before", "1d", "--yes").out
    made = done(home, "audit", "cut", "--before", future, "--export", str(kept))
    assert made["entries"] == 6
    assert made["exported"] == 7
    assert done(home, "audit", "verify")["entries"] == 2
    assert "begins" in call(home, "audit", "verify").out


def test_refusals_in_masses_are_explained(home: Path, stage: Stage) -> None:
    """What they have in common, and how many they were."""
    answers = [stage.token(None, client_id="nobody") for _ in range(30)]
    ref = answers[-1].json()["error_ref"]
    found = done(home, "explain", ref)
    assert found["together"]["count"] is None
    assert "client_id" in found["together"]["alike"]
    out = call(home, "explain", ref).out
    assert "many alike: still counted" in out


@pytest.mark.parametrize("command", ["verify", "checkpoint", "search", "export", "tail"])
def test_there_has_to_be_a_database(tmp_path: Path, command: str) -> None:
    """A home without one is an environment problem, never a stack."""
    assert refused(tmp_path, "audit", command, code=3)["kind"] == "environment"
