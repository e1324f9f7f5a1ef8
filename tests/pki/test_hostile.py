"""Every hostile certificate of the kit is refused, for the reason its name promises."""

import functools
from contextlib import suppress

import pytest

from app.errors import Examination, Refused
from app.pki import check, leaf
from tests.kit.hostile_cases import hostile_cases
from tests.kit.stopwatch import cheapest
from tests.kit.world import Hostile, World, full_of_urls
from tests.pki.judging import log_in, peer, refusal

_CPU_PER_REFUSAL = 0.003
"""Seconds of processor time for the check and the evidence in the audit.

A refusal is never remembered, so an open connection buys one with 50 bytes, again and again.
"""
_CPU_PER_FIRST_LOOK = 0.005
"""The same for a certificate not seen before, which costs its owner a handshake."""


@functools.cache
def world() -> World:
    """One world per test process."""
    return World()


@functools.cache
def cases() -> dict[str, Hostile]:
    """All hostile cases by name."""
    return {case.name: case for case in hostile_cases(world())}


def test_no_two_cases_share_a_name() -> None:
    """A failure class named twice would hide one of the two."""
    assert len(cases()) == len(hostile_cases(world()))
    assert len(cases()) >= 60


@pytest.mark.parametrize("name", sorted(cases()))
def test_is_refused_for_its_reason(name: str) -> None:
    """Neither a token nor an exception, whatever is presented; doctor and endpoint agree."""
    case = cases()[name]
    client = world().clients[case.client_id]
    assert client.method == case.method
    assert refusal(world(), client, case.chain) == case.reason
    assert refusal(world(), client, case.chain, thorough=True) == case.reason


@pytest.mark.parametrize("name", sorted(cases()))
def test_costs_little(name: str) -> None:
    """No certificate buys more than its share of a processor, seen for the first time or again."""
    case = cases()[name]
    client = world().clients[case.client_id]

    def refuse() -> None:
        refusal(world(), client, case.chain)
        with suppress(ValueError):
            check.describe(case.chain[0])

    def refuse_a_new_one() -> None:
        leaf._remembered.cache_clear()
        refuse()

    refuse()  # parses the trust set
    assert cheapest(refuse_a_new_one) < _CPU_PER_FIRST_LOOK
    assert cheapest(refuse) < _CPU_PER_REFUSAL


@pytest.mark.parametrize("client_id", sorted(world().clients))
def test_the_rightful_client_is_let_in(client_id: str) -> None:
    """The control: what a case imitates does log in, so its refusal means something."""
    client = world().clients[client_id]
    if client.good is None:
        assert refusal(world(), client, client.registered) is not None
        return
    trusted = log_in(world(), client, client.good.chain, Examination())
    assert trusted.peer.der == client.good.chain[0]


@pytest.mark.parametrize("client_id", sorted(world().clients))
def test_no_client_is_another(client_id: str) -> None:
    """Each good credential opens its own client and no other."""
    good = world().clients[client_id].good
    if good is None:
        return
    opened = [
        other.client_id
        for other in world().clients.values()
        if refusal(world(), other, good.chain) is None
    ]
    assert opened == [client_id]


def test_order_and_repetition_of_path_material_change_nothing() -> None:
    """An honest chain sent twice, backwards or with the root is the same client."""
    client = world().clients["dn"]
    assert client.good is not None
    own = world().issuing.sign(world().draft())
    between, root = world().issuing.certificate, world().root.certificate
    for chain in ((own, between), (own, root, between), (own, own, between, between, root)):
        trusted = log_in(world(), client, chain, Examination())
        assert trusted.peer.der == own


def test_urls_in_a_certificate_do_not_matter() -> None:
    """A certificate full of URLs logs in like any other; nothing in it needs to be fetched."""
    credential = full_of_urls(world(), "http://127.0.0.1:9")
    assert refusal(world(), world().clients["dn"], credential.chain) is None


def test_a_failed_path_is_never_remembered_as_good() -> None:
    """Asking twice gives the same refusal: only successes are cached."""
    case = cases()["wrong_ca"]
    for _ in range(3):
        with pytest.raises(Refused):
            check.by_path(Examination(), peer(*case.chain), [world().trust_set], world().now)
