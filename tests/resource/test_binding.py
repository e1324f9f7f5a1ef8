"""The binding is looked at on every request, and what cannot be checked is refused."""

from typing import Any

import pytest

from app.resource import Verdict
from app.resource.testing import Certificate
from tests.resource.desk import Desk

CANNOT_BE_CHECKED: dict[str, Any] = {
    "empty": {},
    "jkt alone": {"jkt": "A" * 43},
    "unknown alone": {"kid": "1"},
    "jkt beside it": {"x5t#S256": "{}", "jkt": "A" * 43},
    "unknown beside it": {"x5t#S256": "{}", "proxy-principals#spiffe": ["x"]},
    "SHA-1": {"x5t": "{}"},
    "no string": {"x5t#S256": ["{}"]},
    "null": {"x5t#S256": None},
}
"""``{}`` stands for the thumbprint of the caller's own certificate."""
NO_OBJECT: tuple[Any, ...] = ("{}", ["{}"], 1, True)


def _filled(value: Any, certificate: Certificate) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, certificate) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, certificate) for each in value]
    return certificate.thumbprint if value == "{}" else value


@pytest.mark.parametrize("binding", ["required", "if_bound"])
@pytest.mark.parametrize("case", CANNOT_BE_CHECKED)
def test_a_binding_that_cannot_be_checked_is_refused(binding: str, case: str) -> None:
    """Whatever is beside or in place of ``x5t#S256``, also where unbound tokens are taken."""
    desk = Desk({"binding": binding})
    cnf = _filled(CANNOT_BE_CHECKED[case], desk.bot)
    answer = desk.ask(desk.token(cnf=cnf))
    assert (answer.status, desk.last.verdict) == (401, Verdict.INVALID)


@pytest.mark.parametrize("binding", ["required", "if_bound"])
@pytest.mark.parametrize("value", NO_OBJECT)
def test_a_confirmation_that_is_no_object_is_refused(binding: str, value: Any) -> None:
    """It is no unbound token either."""
    desk = Desk({"binding": binding})
    assert desk.ask(desk.token(cnf=_filled(value, desk.bot))).status == 401
    assert desk.last.verdict is Verdict.INVALID


def test_an_unbound_token_is_refused_by_default(desk: Desk) -> None:
    """A bearer token could be anybody's."""
    answer = desk.ask(desk.token(cnf=None))
    assert (answer.status, desk.last.verdict) == (401, Verdict.UNBOUND)
    assert desk.last.client_id == "bot"


def test_an_unbound_token_may_be_let_pass() -> None:
    """With ``if_bound``, and then the record says that nobody proved to be its holder."""
    desk = Desk({"binding": "if_bound"})
    assert desk.ask(desk.token(cnf=None)).status == 200
    assert (desk.last.verdict, desk.last.accepted) == (Verdict.UNBOUND, True)
    assert desk.ask(desk.token(), desk.thief).status == 401
    assert desk.ask_bare(desk.token()).status == 401


def test_what_is_remembered_does_not_skip_the_binding(desk: Desk) -> None:
    """Interleaved by two callers a hundred times, a token is the holder's every single time."""
    token = desk.token()
    for _ in range(50):
        assert desk.ask(token).status == 200
        assert desk.ask(token, desk.thief).status == 401
        assert desk.ask_bare(token).status == 401


@pytest.mark.parametrize("change", [str.lower, str.swapcase, lambda t: t + "=", lambda t: t[:-1]])
def test_a_thumbprint_has_one_spelling(desk: Desk, change: Any) -> None:
    """It is compared as it stands."""
    spelled = change(desk.bot.thumbprint)
    assert desk.ask(desk.token(cnf={"x5t#S256": spelled})).status == 401
    assert desk.last.verdict is Verdict.OTHER_CERTIFICATE


def test_the_holder_of_a_token_without_scope_is_known_all_the_same(desk: Desk) -> None:
    """Scope is asked last: a thief learns nothing about what a token allows."""
    token = desk.token(scope="")
    assert desk.ask(token, desk.thief).status == 401
    assert desk.ask(token).status == 403
