"""Rules of resources on the command line, and what the token endpoint makes of them."""

from pathlib import Path
from typing import Any

import pytest

from tests.kit.asgi import Stage
from tests.kit.command import call, done, refused

URL = "https://localhost:9444"
RULES = ("require", "max_lifetime", "trust_sets", "direct_only")


def rules(page: dict[str, Any]) -> list[Any]:
    """The rules on a page."""
    return [page[name] for name in RULES]


def add(home: Path, *options: str) -> list[Any]:
    """``resource add``; the rules after it."""
    return rules(done(home, "resource", "add", URL, *options))


def test_what_is_not_given_stays(home: Path) -> None:
    """Each rule and the scopes are set by themselves; an empty one is taken away."""
    assert add(home) == ["mtls", None, [], False]
    assert add(home, "--max-lifetime", "60") == ["mtls", 60, [], False]
    assert add(home, "--trust", "default", "--require", "any") == ["any", 60, ["default"], False]
    assert add(home, "--direct-only") == ["any", 60, ["default"], True]
    assert done(home, "resource", "show", URL)["scopes"] == ["api:read"]
    assert add(home, "--max-lifetime", "0", "--trust", "") == ["any", None, [], True]
    assert add(home, "--behind-proxies", "--require", "mtls") == ["mtls", None, [], False]
    [row] = done(home, "resource", "list")["resources"]
    assert rules(row) == ["mtls", None, [], False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--max-lifetime", "-1"), "tokens cannot live so long"),
        (("--max-lifetime", "86401"), "tokens cannot live so long"),
        (("--trust", "nowhere"), "there is no such trust set"),
    ],
)
def test_malformed_rules(home: Path, options: tuple[str, ...], message: str) -> None:
    """Nothing changes where a rule cannot hold."""
    before = done(home, "resource", "show", URL)
    assert refused(home, "resource", "add", URL, *options)["message"] == message
    assert done(home, "resource", "show", URL) == before


def test_the_next_token_lives_shorter(home: Path, stage: Stage) -> None:
    """Without a restart; expires_in says so."""
    assert stage.token(stage.bot).json()["expires_in"] == 300
    add(home, "--max-lifetime", "7")
    assert stage.token(stage.bot).json()["expires_in"] == 7


def test_another_trust_set_is_demanded(home: Path, stage: Stage) -> None:
    """``invalid_target`` on the wire; audit, explain and doctor name what was expected."""
    done(home, "ca", "issue", "other", "--dn", "CN=other")
    done(home, "trust", "add", "partners", str(home / "certs/ca.crt"))
    add(home, "--trust", "partners")
    answer = stage.token(stage.bot)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_target")
    entry = stage.explained(answer.json()["error_ref"])
    assert entry["reason"] == "binding_required"
    for words in (
        ("explain", answer.json()["error_ref"]),
        ("doctor", "cert", str(home / "certs/bot.crt"), "--client", "bot"),
    ):
        out = call(home, *words).out
        assert "resource rules: binding_required" in out
        assert f"expected: trust set partners, as {URL} demands" in out
    add(home, "--trust", "partners", "--trust", "default", "--direct-only")
    assert stage.token(stage.bot).status == 200


def test_the_doctor_shows_rules_of_any_resource(home: Path) -> None:
    """Those that hold and the longest life; of the default resource or the one that is named."""
    files = "https://files.example"
    done(home, "resource", "add", files, "--trust", "default", "--direct-only")
    done(home, "resource", "add", files, "--max-lifetime", "9")
    cert = str(home / "certs/bot.crt")
    words = ("doctor", "cert", cert, "--client", "bot")
    assert "resource rules" not in call(home, *words).out
    assert "resource_not_allowed" in call(home, *words, "--resource", files).out
    named = ("--cert", cert, "--trust", "second", "--resource", files)
    done(home, "trust", "add", "second", str(home / "certs/ca.crt"))
    done(home, "client", "add", "filer", *named)
    filer = ("doctor", "cert", cert, "--client", "filer", "--resource")
    assert "resource rules: binding_required" in call(home, *filer, files).out
    done(home, "resource", "add", files, "--trust", "second")
    out = call(home, *filer, files).out
    assert "✔ resource rules: vouched for by trust set second" in out
    assert "✔ resource rules: TLS ended at this server" in out
    assert "for 9 seconds at most" in out
    assert "resource_unknown" in call(home, *filer, "https://nowhere.example").out


def test_a_resource_by_itself(home: Path) -> None:
    """Its rules, who may look at its tokens, which proxies stand before it."""
    cert = str(home / "certs/bot.crt")
    done(home, "proxy", "add", "edge", cert, "--resource", URL)
    done(home, "client", "sight", "bot", "--serves", URL)
    page = done(home, "resource", "show", URL)
    assert (page["introspected_by"], page["proxies"]) == (["bot"], ["edge"])
    add(home, "--max-lifetime", "4000", "--trust", "default", "--direct-only")
    out = call(home, "resource", "show", URL).out
    assert "its tokens live: 300 seconds at most" in out
    assert out.count("tokens live") == 1
    assert "certificates: from trust set default" in out
    assert "connections: straight to this server" in out
    assert refused(home, "resource", "show", "https://nowhere.example")
