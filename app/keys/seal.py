"""Private signing keys sealed for the database, so that a copy of it signs nothing.

AES-256-GCM under one sealing key from a file or the environment. A sealed key opens only under the
``kid`` and algorithm it was sealed for. The sealing key itself is as safe as its file: whoever
reads both the database and that file has the signing keys.

Sealed form: ``cbs1``, 8 octets naming the sealing key, 12 octets nonce, ciphertext with tag.
"""

import contextlib
import hashlib
import os
import secrets
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.config import Settings
from app.jose import base64url

_VERSION = b"cbs1"
_ID = 8
_NONCE = 12
"""Octets, at random: NIST SP 800-38D section 8.3 allows 2^32 keys so, we seal a few a year."""
_SECRET = 32
_MAX_FILE = 1024

_LET_READ = "Run this as the account that the file belongs to."
_FORM = "it is 32 random octets in base64url"


class SealingError(Exception):
    """A sealing key or something sealed cannot be used; the message says why.

    `action` says what to do where the sealing key is right and its file is not; else it is empty.
    """

    def __init__(self, message: str, action: str = "") -> None:
        super().__init__(message)
        self.action = action


@dataclass(frozen=True, slots=True)
class SealingKey:
    """Seals and opens. The secret shows neither in repr nor in any message."""

    secret: bytes = field(repr=False)
    origin: str = field(compare=False)
    """Where it came from, for messages."""

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """The sealing key that `settings` give or point at.

        Raises:
            SealingError: there is none, it is malformed, or others may read its file.

        """
        if settings.sealing_key is not None:
            value = settings.sealing_key.get_secret_value()
            return cls._parse(value, "the setting sealing_key")
        return cls.from_file(settings.sealing_key_file)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The sealing key in `path`, which only its owner may read.

        Raises:
            SealingError: it is missing, readable by others, or malformed.

        """
        try:
            with path.open("rb") as file:
                _require_private(path, os.fstat(file.fileno()))
                text = file.read(_MAX_FILE + 1)
        except OSError as error:
            action = _LET_READ if isinstance(error, PermissionError) else ""
            raise SealingError(
                f"the sealing key {path} cannot be read: {error.strerror}", action
            ) from error
        return cls._parse(text.decode("ascii", "replace"), str(path))

    @classmethod
    def _parse(cls, text: str, origin: str) -> Self:
        try:
            secret = base64url.decode(text.strip().rstrip("="))
        except ValueError:
            secret = b""
        if len(secret) != _SECRET:
            raise SealingError(f"{origin} is not a sealing key; {_FORM}")
        return cls(secret, origin)

    @property
    def id(self) -> bytes:
        """Names this key without telling anything of it."""
        return hashlib.sha256(b"certbound sealing key\0" + self.secret).digest()[:_ID]

    def seal(self, kid: str, algorithm: str, private_key: bytes) -> bytes:
        """`private_key` so that only this sealing key opens it, for this `kid` and `algorithm`."""
        head = _VERSION + self.id
        nonce = secrets.token_bytes(_NONCE)
        sealed = AESGCM(self.secret).encrypt(nonce, private_key, _context(head, kid, algorithm))
        return head + nonce + sealed

    def require_fit(self, kid: str, sealed: bytes) -> None:
        """Check by its name alone that this key sealed `sealed`.

        Raises:
            SealingError: another one did, or `sealed` has an unknown form.

        """
        if sealed[: len(_VERSION)] != _VERSION or len(sealed) <= len(_VERSION) + _ID + _NONCE:
            raise SealingError(f"the signing key {kid} in the database is not in a known form")
        if sealed[len(_VERSION) : len(_VERSION) + _ID] != self.id:
            raise SealingError(
                f"the signing key {kid} was sealed with another sealing key than {self.origin}; "
                "put the sealing key back that belongs to this database"
            )

    def open(self, kid: str, algorithm: str, sealed: bytes) -> bytes:
        """The private key that `seal` was given.

        Raises:
            SealingError: another sealing key, kid or algorithm, or the octets were altered.

        """
        self.require_fit(kid, sealed)
        head, rest = sealed[: len(_VERSION) + _ID], sealed[len(_VERSION) + _ID :]
        nonce, ciphertext = rest[:_NONCE], rest[_NONCE:]
        try:
            return AESGCM(self.secret).decrypt(nonce, ciphertext, _context(head, kid, algorithm))
        except InvalidTag:
            raise SealingError(
                f"the signing key {kid} in the database was altered; restore it from a backup"
            ) from None


def make_sealing_key(path: Path) -> SealingKey:
    """A new sealing key in `path`, mode 0600, on disk when this returns; an existing one is kept.

    The file appears whole or not at all, and of two processes at once both get the same key.

    Raises:
        SealingError: the file cannot be written, or an existing one cannot be used.

    """
    text = base64url.encode(secrets.token_bytes(_SECRET)) + b"\n"
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        if not path.exists():
            _write_private(draft, text)
            with contextlib.suppress(FileExistsError):  # the other process was first
                os.link(draft, path)
            _flush_directory(path.parent)
    except OSError as error:
        raise SealingError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return SealingKey.from_file(path)


def _context(head: bytes, kid: str, algorithm: str) -> bytes:
    return b"\0".join((head, kid.encode(), algorithm.encode()))


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_FILE:
        raise SealingError(f"{path} is not a sealing key; {_FORM}")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise SealingError(
            f"{path} may be read by others (mode {mode:04o})", f"chmod 600 {shlex.quote(str(path))}"
        )


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _flush_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
