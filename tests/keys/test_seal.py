"""`app.keys.seal`: what is sealed opens for its owner only, and a wrong key says so plainly."""

import os
import re
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import load
from app.jose import base64url
from app.keys import seal
from app.keys.seal import SealingError, SealingKey, make_sealing_key

KEY = SealingKey(b"k" * 32, "a test")
TEXT = base64url.encode(KEY.secret).decode()


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens(private: bytes, kid: str) -> None:
    """The octets come back, for the same key, kid and algorithm."""
    kid = kid.encode("utf-8", "replace").decode()
    sealed = KEY.seal(kid, "ES256", private)
    assert KEY.open(kid, "ES256", sealed) == private


def test_sealed_octets_tell_nothing() -> None:
    """Neither the private key nor the sealing key shows, and sealing twice differs."""
    sealed = KEY.seal("kid", "ES256", b"private octets")
    assert b"private" not in sealed
    assert KEY.secret not in sealed
    assert sealed != KEY.seal("kid", "ES256", b"private octets")
    assert TEXT not in repr(KEY)
    assert "kkkk" not in repr(KEY)


def test_a_sealed_key_keeps_its_name() -> None:
    """A row whose sealed octets were swapped with another's does not open."""
    sealed = KEY.seal("a", "ES256", b"private")
    for kid, algorithm in (("b", "ES256"), ("a", "EdDSA"), ("aE", "S256")):
        with pytest.raises(SealingError, match="altered"):
            KEY.open(kid, algorithm, sealed)


def test_every_octet_counts() -> None:
    """One bit changed anywhere and it does not open."""
    sealed = KEY.seal("a", "ES256", b"private")
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(SealingError):
            KEY.open("a", "ES256", changed)
        with pytest.raises(SealingError):
            KEY.open("a", "ES256", sealed[:at])


def test_another_sealing_key_is_named() -> None:
    """The operator learns which file is the wrong one, not that a tag is invalid."""
    sealed = KEY.seal("a", "ES256", b"private")
    other = SealingKey(b"o" * 32, "/srv/sealing.key")
    with pytest.raises(SealingError, match=r"another sealing key than /srv/sealing\.key"):
        other.open("a", "ES256", sealed)


def test_a_made_key_is_private_and_kept(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, no draft left behind, and the second call changes nothing."""
    path = tmp_path / "sealing.key"
    before = os.umask(0)
    try:
        made = make_sealing_key(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert make_sealing_key(path) == made == SealingKey.from_file(path)
    assert len(made.secret) == 32


def test_two_makers_get_one_key(tmp_path: Path) -> None:
    """Processes that start together agree on one sealing key."""
    path = tmp_path / "sealing.key"
    gate = threading.Barrier(8)
    made: list[SealingKey] = []

    def make() -> None:
        gate.wait()
        made.append(make_sealing_key(path))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A missing folder is named."""
    with pytest.raises(SealingError, match=r"none/sealing\.key cannot be written"):
        make_sealing_key(tmp_path / "none" / "sealing.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o666])
def test_a_file_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Group or world access is refused with the command that mends it."""
    path = tmp_path / "sealing.key"
    make_sealing_key(path)
    path.chmod(mode)
    with pytest.raises(SealingError, match="may be read by others") as caught:
        SealingKey.from_file(path)
    assert caught.value.action == f"chmod 600 {path}"
    path.chmod(0o400)
    assert len(SealingKey.from_file(path).secret) == 32


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"short", b"A" * 44, b"\xff" * 43, b"!" * 43, TEXT.encode() * 2, b"A" * 2000],
)
def test_a_malformed_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Anything but 32 octets in base64url is no sealing key; its content is not repeated."""
    path = tmp_path / "sealing.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SealingError, match="not a sealing key") as caught:
        SealingKey.from_file(path)
    assert len(content) < 10 or content.decode("latin-1") not in str(caught.value)


def test_a_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    """No key, no serving: the message names the path."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SealingError, match=re.escape(str(path))):
            SealingKey.from_file(path)


def test_the_setting_comes_before_the_file(tmp_path: Path) -> None:
    """CERTBOUND_SEALING_KEY is used where it is set, else the file."""
    (tmp_path / "certs").mkdir()
    made = make_sealing_key(tmp_path / "certs" / "sealing.key")
    assert SealingKey.load(load(tmp_path, environ={}).settings) == made
    given = load(tmp_path, environ={"CERTBOUND_SEALING_KEY": TEXT}).settings
    assert SealingKey.load(given) == KEY
    bad = load(tmp_path, environ={"CERTBOUND_SEALING_KEY": "secret-but-wrong"}).settings
    with pytest.raises(SealingError, match="setting sealing_key") as caught:
        SealingKey.load(bad)
    assert "secret-but-wrong" not in str(caught.value)


def test_the_nonce_is_of_the_size_gcm_is_made_for() -> None:
    """96 bits: any other length is hashed first and weakens the bound on random nonces."""
    assert seal._NONCE == 12
