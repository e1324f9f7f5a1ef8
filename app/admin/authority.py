"""The development CA in ``certs/``: made, and issuing, with refusals in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.admin.files import read
from app.admin.problem import Kind, Problem
from app.config import Settings
from app.pki import check, devca
from app.pki.anchors import load_pem_bundle
from app.pki.check import CertificateFacts
from app.pki.devca import BadValue, Issued

LOST_KEY = (
    "it can issue nothing more. Restore the key from a backup, or start over (README, 'Start over')"
)


@dataclass(frozen=True, slots=True)
class Request:
    """What shall stand in a certificate. Empty means devca's default."""

    dn: str | None = None
    san_dns: Sequence[str] = ()
    san_uri: Sequence[str] = ()
    san_ip: Sequence[str] = ()
    san_email: Sequence[str] = ()
    days: int | None = None
    hours: int | None = None
    self_signed: bool = False
    key_type: Literal["ec", "rsa"] = "ec"
    server: bool = False


def directory(settings: Settings) -> Path:
    """Where the development CA and its certificates are."""
    return settings.home / "certs"


def init(folder: Path) -> Issued:
    """Make the CA.

    Raises:
        Problem: there is one, or the directory cannot be written.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return devca.init(folder)
    except FileExistsError as error:
        if not (folder / "ca.key").exists():
            raise _without_key(folder) from error
        raise Problem(
            "there is a development CA already",
            seen=str(folder / "ca.crt"),
            expected="a directory without one",
            action="Keep it: a new one would orphan every certificate it issued.",
        ) from error
    except OSError as error:
        raise _unwritable(folder, error) from error


def issue(folder: Path, name: str, wanted: Request, out: Path | None = None) -> Issued:
    """Make a certificate and its key; the CA in `folder` signs it unless it signs itself.

    The files go to `out` or into `folder`; either is made where it does not exist.

    Raises:
        Problem: a value is malformed, a file exists already, or there is no CA.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return devca.issue(
            folder,
            name,
            dn=wanted.dn,
            san_dns=wanted.san_dns,
            san_uri=wanted.san_uri,
            san_ip=wanted.san_ip,
            san_email=wanted.san_email,
            days=wanted.days,
            hours=wanted.hours,
            self_signed=wanted.self_signed,
            key_type=wanted.key_type,
            server=wanted.server,
            out=out,
        )
    except FileExistsError as error:
        raise Problem(
            f"there is a certificate or key called {name} already",
            seen=", ".join(_present(out or folder, name)),
            expected="a new name; nothing is ever overwritten",
            action="Choose another name, or move away what is there.",
        ) from error
    except FileNotFoundError as error:
        if (folder / "ca.crt").exists():
            raise _without_key(folder) from error
        raise Problem(
            "there is no development CA to sign it",
            seen=f"no {folder / 'ca.crt'} and ca.key",
            expected="the CA that ca init or quickstart makes",
            action="Use --self-signed, or make a CA with: certbound ca init",
            kind=Kind.ENVIRONMENT,
        ) from error
    except BadValue as error:
        raise Problem(
            "the certificate cannot be issued", seen=error.seen[:200], expected=str(error)
        ) from error
    except ValueError as error:
        raise Problem("the certificate cannot be issued", seen=str(error)) from error
    except OSError as error:
        raise _unwritable(folder, error) from error


def facts_of(path: Path) -> CertificateFacts:
    """What the first certificate of a PEM file says.

    Raises:
        Problem: it cannot be read.

    """
    try:
        return check.describe(load_pem_bundle(read(path))[0])
    except ValueError as error:
        raise Problem(
            f"{path} cannot be read as a certificate",
            seen=str(error),
            action="Move it away and run certbound quickstart again.",
        ) from error


def _present(folder: Path, name: str) -> list[str]:
    pair = (folder / f"{name}.crt", folder / f"{name}.key")
    return [str(path) for path in pair if path.is_symlink() or path.exists()]


def _without_key(folder: Path) -> Problem:
    return Problem(
        "the development CA has lost its key",
        seen=f"{folder / 'ca.crt'}, and no ca.key beside it",
        expected="both",
        action=f"{LOST_KEY[:1].upper()}{LOST_KEY[1:]}.",
        kind=Kind.ENVIRONMENT,
    )


def _unwritable(folder: Path, error: OSError) -> Problem:
    return Problem(
        f"{folder} cannot be written",
        seen=(error.strerror or type(error).__name__).lower(),
        expected="a directory this account may write to",
        kind=Kind.ENVIRONMENT,
    )
