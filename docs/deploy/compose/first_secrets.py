"""The first step of docker-compose.yml: a database password that nobody chose and nobody sees.

``first_secrets.py HOME FOLDER`` writes the same password for the two who need it: ``HOME/pgpass``
for certbound (libpq's form; libpq reads it only when nobody else may) and ``FOLDER/password`` for
PostgreSQL, which runs under another account and sees nothing else of that volume. What exists is
kept; where only one of the two is left, it stops, because PostgreSQL keeps the first password.
"""

import os
import secrets
import sys
from pathlib import Path


def write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all, and never open to more than `mode` allows."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.chmod(mode)
    new.rename(path)


def main(home: Path, folder: Path) -> int:
    """0: both are there."""
    pgpass, password = home / "pgpass", folder / "password"
    there = [each for each in (pgpass, password) if each.exists()]
    if len(there) == 1:
        print(f"✘ only {there[0]} is left: bring the other back", file=sys.stderr)
        return 1
    if not there:
        secret = secrets.token_urlsafe(32)
        write(pgpass, f"database:5432:certbound:certbound:{secret}\n", 0o600)
        write(password, secret, 0o444)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
