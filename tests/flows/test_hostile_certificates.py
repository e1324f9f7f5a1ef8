"""Every certificate of the kit that TLS can carry, against a real server: one answer for them all."""

import json
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import crypto

from app.errors import InvalidClient
from app.tls.peer import thumbprint
from tests.kit import ca, ledger, tokens
from tests.kit.hostile_cases import hostile_cases
from tests.kit.octets import answer_to
from tests.kit.presenting import VERSIONS, presenting, token_request
from tests.kit.running import Running
from tests.kit.wire import Response
from tests.kit.world import World

LEAST = 60
"""Cases promised; the table holds about three times as many."""
RESPELLED = {"ber_padded_length", "ber_indefinite_length"}
"""Octets around a good certificate that OpenSSL reads as that very certificate, before we see it. No
harm: key, name and signature are the good one's, and the token is bound to its DER."""


def der_of(octets: bytes) -> bytes:
    """The certificate that OpenSSL reads in `octets`, in DER."""
    return crypto.dump_certificate(
        crypto.FILETYPE_ASN1, crypto.load_certificate(crypto.FILETYPE_ASN1, octets)
    )


def problem(response: Response) -> str | None:
    """What is wrong with this as the one answer to a refused certificate; None if nothing is."""
    body = json.loads(response.body)
    expected = {
        "error": "invalid_client",
        "error_description": InvalidClient.description,
        "error_ref": body.get("error_ref"),
    }
    headers = {
        name: value for name, value in response.headers.items() if name not in {"date", "server"}
    }
    constant = {
        "cache-control": "no-store",
        "pragma": "no-cache",
        "content-type": "application/json",
        "content-length": str(len(response.body)),
    }
    if response.status != 401 or headers != constant:
        return f"{response.status} {headers}"
    if response.body != json.dumps(expected, separators=(",", ":")).encode():
        return response.body.decode()
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_every_hostile_certificate_gets_the_same_401(
    server: Running, world: World, tmp_path: Path, version: str
) -> None:
    """Byte for byte the same but for the reference, which leads to the case's own reason."""
    cases = [case for case in hostile_cases(world) if case.wire]
    assert len(cases) >= LEAST
    wrong: dict[str, Any] = {}
    lengths = set()
    for case in cases:
        with presenting(server, case, tmp_path, version) as connection:
            response = connection.send(token_request(case.client_id))
        if found := problem(response):
            wrong[case.name] = found
            continue
        lengths.add(len(response.body))
        reason = ledger.reason(server, response.json()["error_ref"])
        if reason != case.reason:
            wrong[case.name] = f"{reason} instead of {case.reason}"
    assert not wrong
    assert len(lengths) == 1


def test_the_honest_clients_of_that_world_get_tokens(
    server: Running, world: World, tmp_path: Path
) -> None:
    """The refusals mean something: each client that the cases imitate is let in."""
    for client in world.clients.values():
        if client.good is None:
            continue
        with presenting(server, client.good, tmp_path) as connection:
            response = connection.send(token_request(client.client_id))
        assert response.status == 200, (client.client_id, response.body)


@pytest.mark.parametrize("version", VERSIONS)
def test_octets_that_no_sane_client_sends(
    server: Running, world: World, tmp_path: Path, version: str
) -> None:
    """Malformed beyond what OpenSSL sends: the handshake ends, or the answer is the one 401."""
    attacker = ca.key(label="attacker")
    honest = world.root.sign(world.draft())
    answered = set()
    for case in (case for case in hostile_cases(world) if not case.wire):
        request = token_request(case.client_id)
        response = answer_to(
            server, case.chain, request, honest=honest, key=attacker, version=version
        )
        if case.name in RESPELLED:
            assert response is not None
            assert tokens.read(response.json()["access_token"])["cnf"] == {
                "x5t#S256": thumbprint(der_of(case.chain[0]))
            }
        elif response is not None:
            answered.add(case.name)
            assert problem(response) is None, case.name
            assert ledger.reason(server, response.json()["error_ref"]) == case.reason, case.name
    assert {"eleven_certificates", "more_than_32_kib"} <= answered
    good = world.clients["dn"].good
    assert good is not None
    with presenting(server, good, tmp_path, version) as connection:
        assert connection.send(token_request("dn")).status == 200


def test_explain_tells_the_operator(server: Running, world: World, tmp_path: Path) -> None:
    """The command finds the reference and prints what was seen, expected, and to be done."""
    [case] = [case for case in hostile_cases(world) if case.name == "server_auth_only"]
    with presenting(server, case, tmp_path) as connection:
        ref = connection.send(token_request(case.client_id)).json()["error_ref"]
    body = server.certbound_json("explain", ref)["entry"]["body"]
    assert body["reason"] == "eku_missing_client_auth"
    [failed] = [finding for finding in body["findings"] if "reason" in finding]
    assert failed["seen"]
    assert failed["action"]
