"""No room on the disk: 503, nothing torn, healed alone."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import timing
from tests.kit.crew import eventually
from tests.kit.recorded import assert_recorded
from tests.kit.running import Running, certbound, running
from tests.kit.steady import Steady


def unavailable(server: Running) -> bool:
    """Whether a request for a token is told to come again."""
    answer = timing.token(server)
    return (answer.status, answer.retry_after) == (503, "2")


def test_no_room(home: Path) -> None:
    """Nothing can be written any more, the log neither; with room again all goes on."""
    with running(home) as server:
        pid = server.process.pid
        load = Steady([server])
        with load.running():
            before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, before[1]))
            eventually(lambda: unavailable(server) and load.others)
            assert timing.timed(server, "GET", "/jwks").status == 200
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
            timing.until_tokens(server)
            load.wait(20)
        assert set(load.others) == {(503, "2")}
        assert load.broken == []
    assert_recorded(f"sqlite:///{home / 'certbound.db'}", load.received)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A small file system of the test's own; only root can have one."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    if not _mount(folder, "-t", "tmpfs", "-o", "size=12m", "tmpfs"):
        pytest.skip("this account cannot mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(folder: Path, *options: str) -> bool:
    if shutil.which("mount") is None:
        return False
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False)
    return done.returncode == 0


def test_a_full_file_system(mounted: Path, home: Path) -> None:
    """The same where the file system says so itself."""
    url = f"sqlite:///{mounted / 'certbound.db'}"
    certbound(home, "quickstart", environment={"CERTBOUND_DATABASE_URL": url})
    with running(home, quickstart=False, database_url=url) as server:
        load = Steady([server])
        with load.running():
            filler = mounted / "filler"
            with filler.open("wb", buffering=0) as file:
                while True:
                    try:
                        file.write(bytes(65_536))
                        file.flush()
                    except OSError:
                        break
            eventually(lambda: unavailable(server) and load.others)
            filler.unlink()
            timing.until_tokens(server)
            load.wait(20)
        assert set(load.others) == {(503, "2")}
        assert load.broken == []
    assert_recorded(url, load.received)
