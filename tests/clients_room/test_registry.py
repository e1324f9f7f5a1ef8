"""The registry as decisions see it."""

import pytest

from app.clients.registry import Resource
from tests.kit.decisions import (
    DEFAULT,
    ROOT,
    credential,
    peer,
    pki_row,
    registry,
    resource,
    self_signed_row,
    trust_row,
)

SOLO = peer("solo", issued=False)


def test_clients_come_with_their_own_credentials() -> None:
    """Each client's certificates, retired ones included, and nobody else's."""
    of = registry(
        self_signed_row(),
        self_signed_row("two"),
        pki_row(),
        credentials=[credential(SOLO), credential(SOLO, "two", state="retired", retired_at=1)],
    )
    solo, two, bot = of.client("solo"), of.client("two"), of.client("bot")
    assert solo is not None
    assert two is not None
    assert bot is not None
    assert [one.state for one in solo.registered] == ["active"]
    assert [one.state for one in two.registered] == ["retired"]
    assert bot.registered == ()
    assert bot.subject is not None
    assert of.client("nobody") is None
    assert of.client_ids() == ["bot", "solo", "two"]


def test_a_client_is_built_once() -> None:
    """Asking again gives the same object: decisions are many, changes few."""
    of = registry(pki_row())
    assert of.client("bot") is of.client("bot")


def test_half_a_subject_is_none() -> None:
    """A row with an attribute but no value names nobody."""
    client = registry(pki_row(subject_value=None)).client("bot")
    assert client is not None
    assert client.subject is None


def test_an_empty_trust_set_is_no_trust_set() -> None:
    """Neither one without members nor one of path material can be asked for anchors."""
    middle = trust_row("middle", ROOT.certificate, role="intermediate")
    of = registry(trust=[middle])
    assert of.trust_set("middle") is None
    assert of.trust_set("nowhere") is None
    assert not of.has_anchors()
    assert registry().has_anchors()


def test_a_broken_trust_set_says_so() -> None:
    """It is never used in part."""
    of = registry(trust=[trust_row("default", b"junk")])
    with pytest.raises(ValueError, match="default"):
        of.trust_set("default")


def test_resources_are_known_by_their_exact_url() -> None:
    """A slash more is another resource."""
    of = registry(resources=[resource(DEFAULT, "read")])
    assert of.resources == {DEFAULT: Resource(DEFAULT, ("read",))}
    assert of.resources.get(DEFAULT + "/") is None
