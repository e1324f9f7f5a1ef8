"""The releases that come after this one, as far as their schemas go: ``python -m tests.kit.newer …``.

`NEWER_MIGRATIONS` names their folder of migrations, `NEWER_HEAD` the newest one there. The code is
this checkout's, workers too; only what it takes for its own schema differs.
"""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from app.cli import main as command_line
from app.store import schema
from app.workers import worker
from tests.kit import unhurried

_MIGRATION = '''"""{title}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None
oldest = "{oldest}"


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''
_ADD = 'op.add_column("tokens", sa.Column("colour", sa.Text(), server_default=sa.text("\'red\'")))'
_DROP = 'op.drop_column("tokens", "colour")'


@dataclass(frozen=True, slots=True)
class Release:
    """One of them: what it needs in the environment, and its schema."""

    head: str
    environment: dict[str, str]


def next_releases(folder: Path) -> tuple[Release, Release]:
    """Two releases after this one: the first only adds, the second goes on without this one."""
    first, second = (f"{int(schema.HEAD) + more:04}" for more in (1, 2))
    expand = _MIGRATION.format(
        title="Expand", revision=first, before=schema.HEAD, oldest=schema.HEAD, up=_ADD, down=_DROP
    )
    contract = _MIGRATION.format(
        title="Contract", revision=second, before=first, oldest=first, up=_DROP, down=_ADD
    )
    shutil.copytree(Path(__file__).parents[2] / "migrations", folder / "first")
    (folder / "first" / "versions" / f"{first}_expand.py").write_text(expand)
    shutil.copytree(folder / "first", folder / "second")
    (folder / "second" / "versions" / f"{second}_contract.py").write_text(contract)
    return _release(folder / "first", first), _release(folder / "second", second)


def _release(folder: Path, head: str) -> Release:
    return Release(head, {"NEWER_MIGRATIONS": str(folder), "NEWER_HEAD": head})


def main() -> int:
    """The command line of that release."""
    folder = Path(os.environ["NEWER_MIGRATIONS"])
    schema.HEAD = os.environ["NEWER_HEAD"]
    schema._folder = lambda: folder
    unhurried.give_time()
    worker.PROGRAM = "tests.kit.newer"
    return command_line() or 0


if __name__ == "__main__":
    sys.exit(main())
