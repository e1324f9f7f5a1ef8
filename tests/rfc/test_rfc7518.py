"""RFC 7518, JSON Web Algorithms: coordinates and signatures of the one curve used by default."""

import base64

from tests.kit.asgi import Stage


def octets(text: str) -> int:
    """How many octets a base64url value holds."""
    return len(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_section_6_2_1_coordinates_have_their_full_length(standing: Stage) -> None:
    """Both coordinates of P-256 are 32 octets each, leading zeros kept."""
    for key in standing.ask("GET", "/jwks").json()["keys"]:
        assert (octets(key["x"]), octets(key["y"])) == (32, 32)


def test_section_3_4_a_signature_is_r_and_s(standing: Stage) -> None:
    """64 octets, never the DER that other protocols use; many times, because length could vary."""
    for _ in range(30):
        token = standing.token(standing.bot).json()["access_token"]
        assert octets(token.rpartition(".")[2]) == 64
