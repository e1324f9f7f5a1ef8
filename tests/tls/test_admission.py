"""Counting connections, overall and per address."""

import pytest

from app.tls.admission import Admission, source_of
from app.tls.limits import Limits


def test_both_caps_hold_and_are_given_back() -> None:
    """A refused connection counts for nothing; an ended one makes room."""
    admission = Admission(Limits(max_connections=3, max_connections_per_address=2))
    assert admission.enter("a")
    assert admission.enter("a")
    assert not admission.enter("a")
    assert admission.enter("b")
    assert not admission.enter("c")
    admission.leave("a")
    assert admission.enter("c")
    assert not admission.enter("a")
    for source in ("a", "b", "c"):
        admission.leave(source)
    assert admission.enter("a")
    assert admission.enter("a")
    assert not admission.enter("a")


def test_an_address_has_a_budget_of_handshakes() -> None:
    """Two seconds' worth at once, each address its own; 0 is no limit."""
    admission = Admission(Limits(handshakes_per_address=1))
    assert [admission.may_shake_hands("a") for _ in range(3)] == [True, True, False]
    assert admission.may_shake_hands("b")
    unlimited = Admission(Limits(handshakes_per_address=0))
    assert all(unlimited.may_shake_hands("a") for _ in range(1000))


@pytest.mark.parametrize(
    ("peername", "source"),
    [
        (("127.0.0.1", 5), "127.0.0.1"),
        (("2001:db8:1:2:3::4", 5, 0, 0), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::", 5, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::/64"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_who_is_counted_together(peername: object, source: str) -> None:
    """IPv4 by address, also in IPv6 spelling; IPv6 by /64, which one customer holds."""
    assert source_of(peername) == source
