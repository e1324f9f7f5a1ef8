"""A client's certificates from the first use to the last: seen, counted, renewed, rehearsed, expired."""

from pathlib import Path
from typing import Any

import pytest

from app import clock
from app.cli.dates import duration
from app.clock import iso, now
from tests.kit.asgi import Stage
from tests.kit.command import call, done, refused
from tests.kit.issuing import issue, key_of

METHOD = ("--method", "self_signed_tls_client_auth")
TODAY = iso(now())[:10]


@pytest.fixture
def own(home: Path, stage: Stage) -> Path:
    """The certificate of the self-signed client ``own``, used once."""
    peer = stage.add_self_signed("own", scopes=("api:read",))
    assert stage.token(peer, client_id="own").status == 200
    return home / "certs/own.crt"


def _listed(home: Path, client_id: str) -> list[Any]:
    found: list[Any] = done(home, "client", "cert", "list", client_id)["credentials"]
    return found


def _rehearsal(home: Path, client_id: str, cert: Path) -> Any:
    return call(home, "client", "rehearse", client_id, str(cert), "--json").json


def test_what_a_client_used_is_learned(home: Path, stage: Stage) -> None:
    """For a client known by its name, its certificates are learned: until when, how often, replaced."""
    assert done(home, "client", "show", "bot")["last_used"] == []
    assert stage.token(stage.bot).status == 200
    assert stage.token(stage.bot).status == 200
    shown = done(home, "client", "show", "bot")
    [use] = shown["last_used"]
    assert (use["x5t#S256"], use["uses"], use["trust_set"]) == (
        stage.bot.thumbprint, 2, "default",
    )  # fmt: skip
    assert use["not_after"] > clock.now()
    assert shown["last_replaced_at"] is None
    [one] = _listed(home, "bot")
    assert (one["state"], one["source"], one["uses_per_day"]) == ("learned", "learned", {TODAY: 2})
    assert "certificate last replaced: never" in call(home, "client", "show", "bot").out


def test_who_still_uses_the_old_one(home: Path, stage: Stage, monkeypatch: Any) -> None:
    """After a renewal the day of it is known, and an old certificate still in use is named."""
    first = stage.token(stage.bot)
    assert first.status == 200
    moment = clock.now() + 60
    monkeypatch.setattr(clock, "now", lambda: moment)
    folder = home / "certs"
    done(home, "ca", "issue", "bot2", "--san-uri", "spiffe://dev.local/bot", "--out", str(folder))
    assert stage.token(stage.peer("bot2")).status == 200
    shown = done(home, "client", "show", "bot")
    assert shown["last_replaced_at"] == moment
    assert "still used" not in call(home, "client", "cert", "list", "bot").out
    assert stage.token(stage.bot).status == 200
    out = call(home, "client", "cert", "list", "bot").out
    assert f"still used beside a newer one: {stage.bot.thumbprint}" in out
    done(home, "revoke", "cert", stage.bot.thumbprint)
    assert "still used" not in call(home, "client", "cert", "list", "bot").out


def test_states_follow_their_dates(home: Path, stage: Stage, own: Path) -> None:
    """Staged, active, retiring, retired: each state is shown, with custody and owner."""
    done(home, "ca", "issue", "next", "--self-signed")
    terms = ("--activate-at", iso(now() + 3600), "--custody", "hsm", "--owner", "ops@acme.example")
    added = done(home, "client", "cert", "add", "own", str(home / "certs/next.crt"), *terms)
    assert added["activate_at"]
    assert [one["state"] for one in _listed(home, "own")] == ["active", "staged"]
    assert _listed(home, "own")[1]["custody"] == "hsm"
    assert "owner: ops@acme.example" in call(home, "client", "show", "own").out
    later = now() + 7200
    retired = done(home, "client", "cert", "retire", "own", str(own), "--at", iso(later))
    assert (retired["retire_at"], retired["last_used"] is not None) == (later, True)
    assert [one["state"] for one in _listed(home, "own")] == ["retiring", "staged"]
    assert stage.token(stage.peer("own"), client_id="own").status == 200
    outcome = call(home, "client", "cert", "retire", "own", str(own))
    assert "it was in use" in outcome.out
    assert "none is left" in outcome.out
    assert [one["state"] for one in _listed(home, "own")] == ["retired", "staged"]
    assert stage.token(stage.peer("own"), client_id="own").status == 401


def test_a_retirement_is_tried_first(home: Path, stage: Stage, own: Path) -> None:
    """Retired is for good: the dry run says that it is in use and the last one, and changes nothing."""
    retire = ("client", "cert", "retire", "own", str(own))
    outcome = call(home, *retire, "--dry-run")
    assert outcome.code == 0
    for text in ("would retire, for good", "it was in use", "none is left", "cert add own NEWCERT"):
        assert text in outcome.out
    before = done(home, "audit", "tail", "-n", "1")["entries"]
    assert done(home, *retire, "--dry-run")["dry_run"] is True
    assert done(home, "audit", "tail", "-n", "1")["entries"] == before
    assert stage.token(stage.peer("own"), client_id="own").status == 200
    assert "cert add own NEWCERT" in call(home, *retire).out
    assert stage.token(stage.peer("own"), client_id="own").status == 401


def test_a_planned_retirement_happens_by_itself(
    home: Path, stage: Stage, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the time that was given the certificate stops counting, without another command."""
    at = now() + 100
    done(home, "client", "cert", "retire", "own", str(own), "--at", iso(at))
    assert stage.token(stage.peer("own"), client_id="own").status == 200
    monkeypatch.setattr(clock, "now", lambda: at)
    assert stage.token(stage.peer("own"), client_id="own").status == 401
    assert [one["state"] for one in _listed(home, "own")] == ["retired"]


def test_what_its_time_retired_stays_retired(
    home: Path, stage: Stage, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No later command lets a certificate count again after the time it was announced to stop."""
    at = now() + 100
    done(home, "client", "cert", "retire", "own", str(own), "--at", iso(at))
    monkeypatch.setattr(clock, "now", lambda: at)
    later = ("client", "cert", "retire", "own", str(own), "--at", iso(at + 3600))
    for words in (later, (*later, "--postpone")):
        assert "no active certificate" in refused(home, *words)["message"]
    assert stage.token(stage.peer("own"), client_id="own").status == 401
    assert [one["state"] for one in _listed(home, "own")] == ["retired"]


def test_an_announced_end_is_put_off_on_purpose_only(home: Path, own: Path) -> None:
    """Earlier is taken as it is; later needs its own word, so that no script does it unawares."""
    at = now() + 1000
    retire = ("client", "cert", "retire", "own", str(own), "--at")
    done(home, *retire, iso(at))
    assert "--postpone" in refused(home, *retire, iso(at + 60))["do_this"]
    assert done(home, *retire, iso(at - 60))["retire_at"] == at - 60
    assert done(home, *retire, iso(at + 60), "--postpone")["retire_at"] == at + 60


def test_terms_that_leave_no_time(home: Path, own: Path) -> None:
    """A certificate retired before it counts, an unknown custody and an endless owner are refused."""
    assert own.exists()
    done(home, "ca", "issue", "next", "--self-signed")
    add = ("client", "cert", "add", "own", str(home / "certs/next.crt"))
    times = ("--activate-at", iso(now() + 60), "--retire-at", iso(now() + 30))
    assert refused(home, *add, *times)["message"] == "the certificate would never count"
    refused(home, *add, "--custody", "pocket", code=2)
    assert refused(home, *add, "--owner", "x" * 201)["message"] == "the owner is too long"
    assert len(_listed(home, "own")) == 1


def test_a_named_client_has_nothing_to_retire(home: Path) -> None:
    """For a client known by its name the refusal points to the command that does stop it."""
    error = refused(home, "client", "cert", "retire", "bot", str(home / "certs/bot.crt"))
    assert "revoke cert" in error["do_this"]


def test_what_expires_is_named(home: Path, stage: Stage) -> None:
    """Registered and learned certificates that end soon are named, with exit code 1; else 0."""
    folder = home / "certs"
    assert done(home, "client", "cert", "expiring", "--within", "1d")["expiring"] == []
    short = issue(folder, "short", seconds=3000)
    done(home, "client", "add", "short", "--cert", str(short))
    assert stage.token(stage.peer("short"), client_id="short").status == 200
    kept = issue(folder, "kept", seconds=3000, self_signed=True)
    done(home, "client", "add", "kept", *METHOD, "--cert", str(kept))
    outcome = call(home, "client", "cert", "expiring", "--within", "1h", "--json")
    assert outcome.code == 1
    assert {one["client_id"]: one["source"] for one in outcome.json["expiring"]} == {
        "short": "learned", "kept": "registered",
    }  # fmt: skip
    assert done(home, "client", "cert", "expiring", "--within", "30m")["expiring"] == []


def test_what_was_replaced_does_not_expire(home: Path, stage: Stage) -> None:
    """A successor, registered or seen, and disabling the client each end the warning."""
    folder = home / "certs"
    kept = issue(folder, "kept", seconds=3000, self_signed=True)
    done(home, "client", "add", "kept", *METHOD, "--cert", str(kept))
    done(home, "client", "cert", "add", "kept", str(issue(folder, "new", self_signed=True)))
    short = issue(folder, "short", seconds=3000)
    done(home, "client", "add", "short", "--cert", str(short))
    assert stage.token(stage.peer("short"), client_id="short").status == 200
    assert call(home, "client", "cert", "expiring", "--within", "55m").code == 1
    done(home, "client", "disable", "short")
    assert done(home, "client", "cert", "expiring", "--within", "55m")["expiring"] == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7d", 604_800),
        ("12h", 43_200),
        ("30m", 1800),
        ("90s", 90),
        ("1d12h", 129_600),
        ("2w1d", 1_296_000),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    """A duration is digits with a unit, or several of them."""
    assert duration(text, "--within") == seconds


@pytest.mark.parametrize("text", ["7", "", "d", "7y", "7 d", "-1d", "1.5h", "7D", "\u0667d"])
def test_no_durations(home: Path, text: str) -> None:
    """A number without a unit, or anything else, is refused rather than guessed."""
    refused(home, "client", "cert", "expiring", f"--within={text}", code=2)


def test_a_rehearsal_changes_nothing(home: Path, stage: Stage, own: Path) -> None:
    """For a self-signed client: accepted once registered, tokens until when, and steps in order."""
    new = issue(home / "certs", "new", self_signed=True)
    before = done(home, "audit", "tail", "-n", "1000")["entries"]
    found = _rehearsal(home, "own", new)
    assert (found["accepted"], found["needs_registration"], found["reason"]) == (True, True, None)
    assert found["tokens"]["count"] == 1
    assert found["tokens"]["until"] > now()
    assert list(found["tokens"]["by_certificate"]) == [stage.peer("own").thumbprint]
    commands = [" ".join(step["command"][1:4]) for step in found["steps"] if step["command"]]
    assert commands == ["client cert add", "client cert list", "client cert retire"]
    assert done(home, "audit", "tail", "-n", "1000")["entries"] == before
    assert len(_listed(home, "own")) == 1
    assert own.exists()


def test_the_steps_of_a_rehearsal_do_it(home: Path, stage: Stage, own: Path) -> None:
    """The printed commands, run in their order, renew the certificate without a refused request."""
    new = issue(home / "certs", "new", self_signed=True)
    steps = [step["command"] for step in _rehearsal(home, "own", new)["steps"] if step["command"]]
    for command in steps:
        words = command[1 : command.index("--home")] if "--home" in command else command[1:]
        assert call(home, *words).code == 0, words
        for name in ("own", "new"):
            assert stage.token(stage.peer(name), client_id="own").status == 200
    assert [one["state"] for one in _listed(home, "own")] == ["retiring", "active"]
    assert own.exists()


def test_a_rehearsal_for_a_named_client(home: Path, stage: Stage) -> None:
    """A new certificate of the same name needs no registration; the same key is pointed out."""
    assert stage.token(stage.bot).status == 200
    folder = home / "certs"
    done(home, "ca", "issue", "bot2", "--san-uri", "spiffe://dev.local/bot", "--out", str(folder))
    found = _rehearsal(home, "bot", folder / "bot2.crt")
    assert (found["accepted"], found["needs_registration"], found["same_key"]) == (
        True, False, False,
    )  # fmt: skip
    same = issue(folder, "same", key=key_of(folder / "bot.crt"))
    assert _rehearsal(home, "bot", same)["same_key"] is True


def test_a_rehearsal_that_fails(home: Path, tmp_path: Path) -> None:
    """Another name, an unknown CA and an expired certificate fail with the endpoint's reason, code 1."""
    folder = home / "certs"
    other = issue(folder, "other")
    done(tmp_path, "ca", "init")
    stranger = Path(
        done(tmp_path, "ca", "issue", "s", "--san-uri", "spiffe://dev.local/bot")["certificate"]
    )
    ended = issue(folder, "ended", seconds=-5)
    for cert, reason in ((other, "san_mismatch"), (stranger, "issuer_unknown"), (ended, "expired")):
        outcome = call(home, "client", "rehearse", "bot", str(cert), "--json")
        assert (outcome.code, outcome.json["reason"]) == (1, reason)
        assert outcome.json["steps"] == []
    assert refused(home, "client", "rehearse", "nobody", str(other))["message"] == (
        "there is no such client"
    )


def test_the_doctor_knows_the_state(home: Path, stage: Stage, own: Path) -> None:
    """The doctor's look ends with where the certificate stands: state, custody, first and last use."""
    assert stage.token(stage.bot).status == 200
    out = call(home, "doctor", "cert", str(home / "certs/bot.crt"), "--client", "bot").out
    assert "credential: not registered, known by its use, used since" in out
    assert "boundary: no earlier client holds this key" in out
    assert "revocation: off for trust set default" in out
    out = call(home, "doctor", "cert", str(own), "--client", "own").out
    assert "credential: active, used since" in out
