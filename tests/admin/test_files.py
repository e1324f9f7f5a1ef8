"""Files that operators name."""

import base64
import os
from pathlib import Path

import pytest

from app.admin.certificate_file import read_chain
from app.admin.files import read
from app.admin.problem import Problem
from app.admin.thumbprints import thumbprint_of
from app.pki import devca
from app.tls.peer import thumbprint


@pytest.fixture
def pem(tmp_path: Path) -> bytes:
    """A certificate in PEM."""
    return devca.init(tmp_path / "certs").certificate.read_bytes()


def _read(tmp_path: Path, data: bytes) -> tuple[bytes, ...]:
    path = tmp_path / "file"
    path.write_bytes(data)
    return read_chain(path)


def test_order_and_repeats_are_kept(tmp_path: Path, pem: bytes) -> None:
    """What a client would send is not tidied up: the first certificate is the leaf."""
    assert len(_read(tmp_path, pem + b"some text\n" + pem.replace(b"\n", b"\r\n"))) == 2


def test_octets_are_not_judged(tmp_path: Path) -> None:
    """A malformed certificate is read as it is, for the checks to refuse in their own words."""
    block = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"
    assert _read(tmp_path, block % base64.b64encode(b"junk")) == (b"junk",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n",
        b"-----BEGIN CERTIFICATE-----\nA=A\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN EC PRIVATE KEY-----\nMIIB",
        b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n",
        b"x" * (1024 * 1024 + 1),
    ],
    ids=["empty", "text", "cut", "no base64", "key", "cut key", "public key", "too large"],
)
def test_anything_else_is_refused(tmp_path: Path, data: bytes) -> None:
    """Half a block, a key, or a file beyond the cap never passes for a certificate."""
    with pytest.raises(Problem):
        _read(tmp_path, data)


def test_a_key_beside_a_certificate_is_refused(tmp_path: Path, pem: bytes) -> None:
    """A file that also holds a private key is refused, whichever comes first."""
    key = (tmp_path / "certs/ca.key").read_bytes()
    for data in (pem + key, key + pem):
        with pytest.raises(Problem, match="private key"):
            _read(tmp_path, data)


def test_a_whole_bundle_is_no_chain(tmp_path: Path, pem: bytes) -> None:
    """More than a hundred certificates are refused before any is looked at."""
    with pytest.raises(Problem, match="bundle"):
        _read(tmp_path, pem * 101)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A named pipe is refused at once instead of waiting for a writer."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Problem, match="cannot be read"):
        read(tmp_path / "pipe")


def test_thumbprints(tmp_path: Path, pem: bytes) -> None:
    """A file and each spelling of its SHA-256 mean the same certificate."""
    (der,) = _read(tmp_path, pem)
    known = thumbprint(der)
    raw = base64.urlsafe_b64decode(known + "=")
    for text in (known, f"{known}=", raw.hex(), raw.hex().upper(), raw.hex(":")):
        assert thumbprint_of(text) == known
    assert thumbprint_of(str(tmp_path / "file")) == known


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, ":".join(["00"] * 31), "A" * 44])
def test_no_thumbprint(text: str) -> None:
    """Another length, another alphabet, or a file that is not there is refused."""
    with pytest.raises(Problem):
        thumbprint_of(text)
