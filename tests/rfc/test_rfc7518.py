"""RFC 7518, JSON Web Algorithms: sizes and encodings of keys and signatures."""

import base64
from pathlib import Path

from tests.kit.asgi import Stage, make_home, settings_for


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


def test_section_3_3_an_rsa_key_has_2048_bits_or_more(tmp_path: Path) -> None:
    """For RS256 and PS256 alike (section 3.5), with the usual exponent."""
    make_home(tmp_path, signing_algorithm="PS256")
    with Stage(settings_for(tmp_path, signing_algorithm="PS256")) as stage:
        for key in stage.ask("GET", "/jwks").json()["keys"]:
            assert octets(key["n"]) * 8 >= 2048
            assert key["e"] == "AQAB"
