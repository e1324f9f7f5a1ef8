"""What is read and not on disk: nobody takes it for a state that the database had."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.admin import seen
from app.store import registry
from app.store.engine import Database
from app.store.settled import settle

ROOT = Path(__file__).parents[2]
NO_ROOM = """
import resource, sys
from pathlib import Path
from app.admin import seen
from app.store import registry
from app.store.engine import Database, StoreUnavailable
db = Database(sys.argv[1])
with registry.change(db):
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    seen.keep(Path(sys.argv[2]), db)
except StoreUnavailable:
    sys.exit(7)
"""


def test_what_is_on_disk_is_settled(db: Database, tmp_path: Path) -> None:
    """On both databases, again and again, and the mark is written."""
    with registry.change(db):
        pass
    settle(db)
    settle(db)
    assert seen.keep(tmp_path, db)
    assert seen.known(tmp_path, seen.name_of(db)) == seen.of(db)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_no_mark_while_the_file_cannot_be_written(database_url: str, tmp_path: Path) -> None:
    """The commit is read by its own process; nobody can say that the disk has it."""
    command = [sys.executable, "-c", NO_ROOM, database_url, str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 7
    assert not (tmp_path / seen.FILE).exists()
