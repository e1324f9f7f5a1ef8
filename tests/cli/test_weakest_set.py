"""A client with several trust sets is as safe as the least strict of them, and this is said."""

from pathlib import Path

import pytest

from app.admin.weakest_set import weakest
from app.store.trust import RevocationRow, TrustSetRow
from tests.kit.command import call, done

OFF = RevocationRow()
SOFT = RevocationRow(mode="crl", fail="soft")
HARD = RevocationRow(mode="crl")
ASKED = RevocationRow(mode="ocsp", urls=("http://ocsp.example",))


def _sets(*policies: RevocationRow) -> list[TrustSetRow]:
    return [
        TrustSetRow(
            name=f"s{number}", description="", created_at=1, updated_at=1, revocation=policy
        )
        for number, policy in enumerate(policies)
    ]


@pytest.mark.parametrize(
    ("policies", "words"),
    [
        ((HARD, OFF), "s1 crl"),
        ((OFF, HARD, SOFT), "s0 crl"),
        ((SOFT, HARD), "s0 crl"),
        ((OFF, SOFT), "s0 crl --soft"),
        ((ASKED, OFF), "s1 ocsp --url URL"),
        ((SOFT, ASKED), "s0 crl"),
    ],
)
def test_which_and_how_to_mend_it(policies: tuple[RevocationRow, ...], words: str) -> None:
    """The least strict set is named, with the command that gives it the strictest one's policy."""
    found = weakest(_sets(*policies))
    assert found is not None
    assert " ".join(found.command) == f"certbound trust revocation {words}"


@pytest.mark.parametrize("policies", [(), (OFF,), (OFF, OFF), (HARD, ASKED), (SOFT, SOFT)])
def test_nothing_to_say(policies: tuple[RevocationRow, ...]) -> None:
    """One set, and several that are as strict, need no word."""
    assert weakest(_sets(*policies)) is None


def test_it_is_said_when_sets_are_given_and_by_the_doctor(home: Path) -> None:
    """`client trust` and `doctor cert` warn; the printed command ends the warning."""
    done(home, "trust", "add", "other", str(home / "certs/ca.crt"))
    done(home, "trust", "revocation", "other", "crl")
    assert done(home, "client", "trust", "bot", "default")["weakest_trust_set"] is None
    assert (
        done(home, "client", "trust", "bot", "default", "other")["weakest_trust_set"] == "default"
    )
    told = call(home, "client", "trust", "bot", "default", "other").out
    look = ("doctor", "cert", str(home / "certs/bot.crt"), "--client", "bot")
    for out in (told, call(home, *look).out):
        assert "! revocation: this client is only as safe as trust set default makes it" in out
        assert "revocation off, but crl, hard for trust set other" in out
        assert "certbound trust revocation default crl" in out
    done(home, "trust", "revocation", "default", "crl")
    assert "only as safe" not in call(home, *look).out
