"""What a resource demands: lifetime, trust sets, a connection without a proxy."""

from dataclasses import replace
from typing import Any

import pytest

from app.errors import InvalidTarget, Reason
from app.grants.client_credentials import grant
from app.grants.request import GrantRequest
from app.store.clients import ClientRow
from tests.kit.decisions import (
    DEFAULT,
    credential,
    grant_request,
    peer,
    pki_row,
    registry,
    resource,
    self_signed_row,
    trust_row,
)


def asked(client: ClientRow | None = None, **rules: Any) -> GrantRequest:
    """A request of ``bot`` for a resource with these rules."""
    row = client or pki_row()
    mine = () if client is None else (credential(peer(row.client_id)),)
    made = registry(
        row,
        credentials=mine,
        trust=(trust_row(), trust_row("partners")),
        resources=(replace(resource(DEFAULT, "read"), **rules),),
    )
    return grant_request(made, row.client_id)


def behind(request: GrantRequest, proxy: str) -> GrantRequest:
    """The same, had TLS of the client ended at this proxy."""
    certificate = request.client.certificate
    moved = replace(certificate.peer, termination=proxy)
    trusted = object.__new__(type(certificate))  # made by `pki.check` alone otherwise
    for name in certificate.__slots__:
        value = moved if name == "peer" else getattr(certificate, name)
        object.__setattr__(trusted, name, value)
    return replace(request, client=replace(request.client, certificate=trusted))


def refusal(request: GrantRequest) -> tuple[Reason | None, str, str]:
    """Why it is refused, what was seen and expected."""
    with pytest.raises(InvalidTarget) as caught:
        grant(request)
    finding = caught.value.finding
    return finding.reason, finding.seen, finding.expected


@pytest.mark.parametrize(("most", "lifetime"), [(None, 300), (60, 60), (300, 300), (86_400, 300)])
def test_the_shorter_lifetime_counts(most: int | None, lifetime: int) -> None:
    """The resource may shorten the server's lifetime, and never lengthen it."""
    assert grant(asked(max_lifetime=most)).lifetime == lifetime


def test_a_trust_set_that_vouched_is_taken() -> None:
    """One of several will do."""
    assert grant(asked(trust_sets=("partners", "default"))).resource == DEFAULT


def test_another_trust_set_is_not() -> None:
    """The finding names the set that vouched and the ones that were expected."""
    reason, seen, expected = refusal(asked(trust_sets=("partners", "auditors")))
    assert reason is Reason.BINDING_REQUIRED
    assert seen == "vouched for by trust set default"
    assert "trust set partners or auditors" in expected


def test_a_registered_certificate_has_no_trust_set() -> None:
    """No CA vouches for it, so where a set is demanded it is refused; elsewhere it is taken."""
    client = self_signed_row(scopes=("read",))
    assert grant(asked(client)).scope == ("read",)
    reason, seen, _ = refusal(asked(client, trust_sets=("default",)))
    assert reason is Reason.BINDING_REQUIRED
    assert "no trust set vouches" in seen


def test_direct_only_refuses_proxies() -> None:
    """A certificate that a proxy forwarded is not the connection's own."""
    assert grant(asked(termination="direct")).resource == DEFAULT
    assert grant(behind(asked(), "edge")).resource == DEFAULT
    reason, seen, _ = refusal(behind(asked(termination="direct"), "edge"))
    assert (reason, seen) == (Reason.BINDING_REQUIRED, "TLS ended at the proxy edge")
