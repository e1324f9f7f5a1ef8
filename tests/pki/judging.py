"""The checks in the order the token endpoint runs them, for one client of the kit's world."""

from app.errors import Examination, Reason, Refused
from app.pki import check, names
from app.pki.check import TrustedCertificate
from app.tls.peer import PeerCertificate
from tests.kit.world import KitClient, World


def peer(*chain: bytes) -> PeerCertificate:
    """What the TLS layer hands over."""
    return PeerCertificate(chain[0], chain[1:], "TLSv1.3", "TLS_AES_128_GCM_SHA256")


def log_in(
    world: World, client: KitClient, chain: tuple[bytes, ...], exam: Examination
) -> TrustedCertificate:
    """Raises Refused unless `chain` authenticates `client`."""
    presented = peer(*chain)
    if client.method == "self_signed_tls_client_auth":
        return check.by_registration(exam, presented, client.entries(), world.now)
    trusted = check.by_path(exam, presented, [world.trust_set], world.now)
    assert client.match is not None
    names.examine_name(exam, trusted.names, names.register(*client.match))
    return trusted


def refusal(
    world: World, client: KitClient, chain: tuple[bytes, ...], *, thorough: bool = False
) -> Reason | None:
    """The reason the client would be refused for, or None where it is let in."""
    exam = Examination(thorough=thorough)
    try:
        log_in(world, client, chain, exam)
    except Refused as refused:
        if refused.finding is not exam.first_failure:
            raise
    return None if exam.first_failure is None else exam.first_failure.reason
