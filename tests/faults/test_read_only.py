"""The database's file, or its whole file system, becomes read-only under a server in service.

Root writes past modes, so the means are the kernel's own: the attribute ``immutable``, and an ext4
that gives itself up, as it does when its disk fails. Both need rights that root in a container may
lack; the tests are then skipped.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import machine
from tests.kit import crew, timing
from tests.kit.command import call
from tests.kit.crew import eventually
from tests.kit.recorded import assert_recorded
from tests.kit.running import Running, certbound, running
from tests.kit.steady import Steady

METADATA = "/.well-known/oauth-authorization-server"


def _done(*command: str | Path) -> str | None:
    """What the command printed; None where it failed, or is not here."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def assert_reads_only(server: Running) -> None:
    """No token, and told when to come again; what needs no writing is served."""

    def refused() -> bool:
        answer = timing.token(server)
        return (answer.status, answer.retry_after) == (503, "2")

    eventually(refused)
    for _ in range(5):
        assert refused()
        for path in (METADATA, "/jwks", "/livez"):
            assert timing.timed(server, "GET", path).status == 200


@contextmanager
def immutable(database: Path) -> Iterator[None]:
    """Nobody may write to the file or its log, however they were opened."""
    files = [str(each) for each in database.parent.glob(f"{database.name}*")]
    files = [each for each in files if not each.endswith("-shm")]  # memory that processes share
    if _done("chattr", "+i", *files) is None:
        pytest.skip("this account, or this file system, has no immutable files")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)


def test_a_file_that_nobody_may_write(home: Path) -> None:
    """503 while it lasts, and tokens again afterwards, without anybody's help."""
    database = home / "certbound.db"
    with running(home, workers="2") as server:
        eventually(lambda: len(crew.ready(server)) == 2)
        load = Steady([server])
        with load.running():
            with immutable(database):
                assert_reads_only(server)
            timing.until_tokens(server)
            load.wait(20)
        assert set(load.others) == {(503, "2")}
        assert load.broken == []
        assert len(crew.ready(server)) == 2, "a worker had to be replaced"
    assert_recorded(f"sqlite:///{database}", load.received)


@dataclass
class Disk:
    """An ext4 in a file."""

    image: Path
    folder: Path

    def mount(self) -> bool:
        """Make it part of the tree; False where this account cannot."""
        options = "loop,errors=remount-ro"
        return _done("mount", "-t", "ext4", "-o", options, self.image, self.folder) is not None

    def unmount(self) -> None:
        """Take it out again, nobody having it open."""
        subprocess.run(["umount", str(self.folder)], check=True)

    def fail(self, server: Running) -> None:
        """What an unreadable block brings about: it turns read-only at once, whoever writes.

        The server is held meanwhile. Linux 6.18 answers an fsync that is under way at that very
        moment with success now and then, though nothing was written: in 2 of 60 tries of SQLite
        alone, without certbound. That is beyond anybody who asks.
        """
        device = _done("losetup", "-n", "-O", "NAME", "-j", self.image)
        assert device is not None
        with held(server):
            Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("1")


@contextmanager
def held(server: Running) -> Iterator[None]:
    """All threads of all its processes stand still, none of them inside the kernel."""
    pids = machine.family(server.process.pid)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: all(_stands(pid) for pid in pids))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _stands(pid: int) -> bool:
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(") ")[2].startswith("T") for stat in stats)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """One with a file system of its own."""
    made = Disk(tmp_path / "image", tmp_path / "disk")
    made.folder.mkdir()
    with made.image.open("wb") as file:
        file.truncate(32 << 20)
    if _done("mkfs.ext4", "-q", made.image) is None or not made.mount():
        pytest.skip("this account cannot make and mount an ext4")
    with ExitStack() as stack:
        stack.callback(_done, "umount", "--lazy", made.folder)
        yield made


def test_a_file_system_that_gave_up(disk: Disk, home: Path) -> None:
    """503 while it lasts; once it is mounted anew, a server finds all that was acknowledged.

    The mount cannot change under open files, so the server is started anew for it.
    """
    url = f"sqlite:///{disk.folder / 'certbound.db'}"
    certbound(home, "quickstart", environment={"CERTBOUND_DATABASE_URL": url})
    with running(home, quickstart=False, database_url=url, workers="2") as server:
        eventually(lambda: len(crew.ready(server)) == 2)
        load = Steady([server])
        with load.running():
            disk.fail(server)
            assert_reads_only(server)
        assert set(load.others) == {(503, "2")}
        assert load.broken == []
        assert len(crew.ready(server)) == 2, "a worker had to be replaced"
    # Opened anew, SQLite reads a commit that failed too: it must not be taken for what there was.
    call(home, "client", "list", environment=server.environment)
    disk.unmount()
    assert disk.mount()
    with running(home, quickstart=False, database_url=url) as server:
        timing.until_tokens(server)
    assert_recorded(url, load.received)
