"""Lists that run out, and CAs that have none: said where an operator acts, and where nobody looks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app import clock, upkeep
from tests.kit import crls
from tests.kit.asgi import Stage
from tests.kit.authority import authority_of
from tests.kit.ca import Authority
from tests.kit.command import call, done

WEEK = 7 * 86_400
HARD = ("trust", "revocation", "default", "crl")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Moves the clock to so many seconds after the test began."""
    start = clock.now()

    def move(seconds: int) -> None:
        monkeypatch.setattr(clock, "now", lambda: start + seconds)

    return move


def _load(home: Path, authority: Authority, *, count: int = 1, name: str = "default") -> None:
    now = clock.now()
    path = home / "list.crl"
    draft = crls.draft(now, count=count).with_(this_update=now, next_update=now + WEEK)
    path.write_bytes(crls.sign(draft, authority))
    done(home, "trust", "crl", name, str(path))


def _set(home: Path) -> Any:
    [found] = done(home, "trust", "list")["trust_sets"]
    return found


def _checked(home: Path) -> tuple[int, list[Any]]:
    outcome = call(home, "config", "check", "--json")
    return outcome.code, [one for one in outcome.json["checks"] if one["due"]]


def test_a_ca_without_a_list_is_named(home: Path, tmp_path: Path) -> None:
    """At the policy, when a CA joins, in the list of sets and in the nightly check."""
    out = call(home, *HARD).out
    assert "! no CRL of CN=certbound development CA" in out
    assert "certificates from it are refused until there is one" in out
    assert "the way back:\n    certbound" in out
    assert "trust revocation default off" in out
    _load(home, authority_of(home))
    assert "no CRL of" not in call(home, *HARD).out
    assert _checked(home) == (0, [])
    second = done(tmp_path / "elsewhere", "ca", "init")["certificate"]
    out = call(home, "trust", "add", "default", second).out
    assert out.count("! no CRL of CN=certbound development CA") == 1
    assert "trust crl default CRL_FILE" in out
    assert "no CRL of" not in call(home, "trust", "add", "default", second).out
    found = _set(home)
    assert len(found["without_crl"]) == 1
    assert f"✘ no CRL of {found['without_crl'][0]}" in call(home, "trust", "list").out
    code, [due] = _checked(home)
    assert (code, due["check"]) == (1, "CRLs of default")
    assert found["without_crl"][0] in due["seen"]
    done(home, *HARD, "--soft")
    assert "certificates from it are let in until there is one" in call(home, *HARD, "--soft").out


def test_whose_a_list_is(home: Path, tmp_path: Path) -> None:
    """The list names its CA, and one whose CA left the set is marked as such and alarms nobody."""
    own = home / "certs/ca.crt"
    _load(home, authority_of(home))
    [subject] = [one["subject"] for one in _set(home)["certificates"]]
    assert f"✔ CRL: number 1, 0 revoked\n    of: {subject}\n" in call(home, "trust", "list").out
    assert _set(home)["crls"][0]["issuer"] == subject
    done(home, "trust", "add", "default", done(tmp_path / "elsewhere", "ca", "init")["certificate"])
    done(home, "trust", "remove", "default", str(own))
    assert "! CRL (of a CA that is not in the set any more)" in call(home, "trust", "list").out
    assert _set(home)["crls"][0]["issuer"] is None


def test_a_list_that_runs_out(home: Path, stage: Stage, later: Callable[[int], None]) -> None:
    """A day before and from then on: the nightly check fails, the log says it once; a new one ends it."""
    _load(home, authority_of(home))
    done(home, *HARD)
    told: set[tuple[str, ...]] = set()

    def log() -> list[Any]:
        with capture_logs() as lines:
            upkeep.tell_of_lists(stage.house.database, clock.now(), told)
        return [(one["event"], one["trust_set"], one["state"]) for one in lines]

    later(WEEK - 86_400 - 1)
    assert (_checked(home), log()) == ((0, []), [])
    for seconds, state, shown in (
        (WEEK - 86_400, "soon", "CRL (due soon)"),
        (WEEK, "stale", "CRL (stale)"),
    ):
        later(seconds)
        assert _checked(home)[0] == 1
        assert shown in call(home, "trust", "list").out
        assert log() == [("crl.due", "default", state)]
        assert log() == []
        assert _set(home)["crls"][0]["state"] == state
    assert stage.token(stage.bot).status == 401
    assert "is stale: certificates from it are refused" in call(home, *HARD).out
    _load(home, authority_of(home), count=2)
    assert (_checked(home), log()) == ((0, []), [])


def test_a_policy_may_end_a_list_sooner(home: Path, later: Callable[[int], None]) -> None:
    """With a maximum staleness the list counts no longer than that, and that is what is forecast."""
    _load(home, authority_of(home))
    done(home, *HARD, "--max-staleness", "2d")
    later(2 * 86_400)
    assert _set(home)["crls"][0]["state"] == "soon"
    later(2 * 86_400 + 1)
    assert _set(home)["crls"][0]["state"] == "stale"
    assert "trust revocation default crl --max-staleness 2d" in call(home, *HARD, "--soft").out


def test_anchors_that_end_fail_the_nightly_check(home: Path, later: Callable[[int], None]) -> None:
    """From 30 days before the end of an anchor on, and when it has ended."""
    [anchor] = _set(home)["certificates"]
    left = anchor["not_after"] - clock.now()
    assert _checked(home) == (0, [])
    for seconds in (left - 29 * 86_400, left + 1):
        later(seconds)
        code, found = _checked(home)
        assert code == 1
        assert "trust anchors" in [one["check"] for one in found]
