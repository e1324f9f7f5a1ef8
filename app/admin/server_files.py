"""What to do about a server certificate or key that cannot be loaded."""

import os
import shlex

from app.admin import authority
from app.admin.desk import owner
from app.admin.problem import Kind, Problem
from app.config import Settings
from app.tls.context import CertificateFileError


def unusable(error: CertificateFileError, settings: Settings) -> Problem:
    """The error with its remedy: the file that is missing, not to be read, or of another pair."""
    return Problem(
        "the server cannot start",
        seen=str(error),
        expected="the server's certificate and its key, PEM",
        action=_remedy(settings),
        kind=Kind.ENVIRONMENT,
    )


def _remedy(settings: Settings) -> str:
    pair = (settings.tls_certificate_file, settings.tls_key_file)
    there = [path for path in pair if path.exists()]
    for path in there:
        if not os.access(path, os.R_OK):
            return f"{path} belongs to {owner(path)}: run this as {owner(path)}."
    folder = authority.directory(settings)
    if pair != (folder / "server.crt", folder / "server.key"):
        return "Correct tls_certificate_file and tls_key_file, or what they name."
    if not there:
        return "Make them for development with: certbound quickstart"
    if not (folder / "ca.key").exists():
        return "Put the key back that belongs to the certificate, or renew both."
    files = shlex.join(map(str, there))
    return f"Restore the pair from a backup, or make another: rm -- {files} && certbound quickstart"
