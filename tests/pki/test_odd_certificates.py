"""cryptography's collection of odd certificates: refused or accepted, never anything else."""

import contextlib
import re
import ssl
from pathlib import Path

import cryptography_vectors
import pytest

from app.errors import Examination, Refused
from app.pki import check, names
from app.pki.anchors import load_pem_bundle
from app.pki.check import Registered
from tests.kit.world import World
from tests.pki.judging import peer

_ROOT = Path(cryptography_vectors.__file__).parent / "x509"
_FILES = sorted(
    file
    for folder in (_ROOT, _ROOT / "custom", _ROOT / "ed25519", _ROOT / "ed448", _ROOT / "custom/ca")
    for file in folder.iterdir()
    if file.suffix in {".pem", ".der", ".crt"} and "key" not in file.stem
)
_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?-----END [A-Z0-9 ]+-----", re.DOTALL)
_WORLD = World()


def ders(file: Path) -> list[bytes]:
    """Whatever DER a file holds, certificate or not."""
    data = file.read_bytes()
    if file.suffix == ".der":
        return [data]
    blocks = _BLOCK.findall(data.decode("latin-1"))
    lines = ["".join(block.splitlines()[1:-1]) for block in blocks]
    return [
        ssl.PEM_cert_to_DER_cert(f"-----BEGIN CERTIFICATE-----\n{line}\n-----END CERTIFICATE-----")
        for line in lines
        if re.fullmatch(r"[A-Za-z0-9+/=]+", line)
    ]


def test_the_collection_is_there() -> None:
    """An empty collection would pass everything below."""
    assert len(_FILES) > 120


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("file", _FILES, ids=lambda file: str(file.relative_to(_ROOT)))
def test_only_refusals(file: Path) -> None:
    """As leaf, as path material, as a registration and as a trust bundle: no surprise."""
    honest = _WORLD.root.sign(_WORLD.draft())
    for der in ders(file):
        for chain in ((der,), (honest, der), (der, _WORLD.root.certificate)):
            for thorough in (False, True):
                try:
                    check.by_path(
                        Examination(thorough=thorough), peer(*chain), [_WORLD.trust_set], _WORLD.now
                    )
                except Refused:
                    continue
                assert chain[0] == honest
        registered_by_itself(der)
    with contextlib.suppress(ValueError):
        load_pem_bundle(file.read_bytes())


def registered_by_itself(der: bytes) -> None:
    """Even registered, an odd certificate is accepted or refused."""
    try:
        facts = check.describe(der)
    except ValueError:
        return
    for match in names.candidates(facts.names):
        assert names.register(match.attribute, match.text) == match
        assert names.collision_key(match)
    for entry in (
        Registered("certificate", facts.thumbprint, facts.spki_sha256, facts.spki_der, "active"),
        Registered("key", None, facts.spki_sha256, facts.spki_der, "active"),
    ):
        try:
            trusted = check.by_registration(Examination(), peer(der), [entry], _WORLD.now)
        except Refused:
            continue
        assert trusted.facts == facts
