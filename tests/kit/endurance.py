"""A server under load for long: what it takes of the machine meanwhile, look by look."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from app.store.engine import Database
from app.store.tables import tokens
from bench import machine
from bench.load import Ask, Load, generator
from tests.kit import tokens as kit
from tests.kit.running import Running

FORM = "grant_type=client_credentials&client_id=bot"
KEPT, ANEW = 0.95, 0.05
"""Parts of the tokens asked for on connections that stay, and each on one of its own."""
AROUND = 5
"""Requests of each other kind per round."""


@dataclass(frozen=True, slots=True)
class Look:
    """At one moment, all processes of the server together."""

    given: int
    seconds: float
    memory: float
    """MiB resident."""
    open_files: int
    rows: int
    """Tokens on record."""

    def __str__(self) -> str:
        rate = self.given / self.seconds if self.seconds else 0
        return (
            f"{self.given:>9,} tokens  {self.seconds:7.1f} s  {rate:6,.0f} a second  "
            f"{self.memory:6.1f} MiB  {self.open_files:3} files  {self.rows:>7,} rows"
        )


@dataclass
class Endurance:
    """The load, and what was seen of the server between its rounds, when nobody is connected."""

    server: Running
    database: Database
    say: Callable[[Look], object]
    given: int = 0
    looks: list[Look] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    def look(self) -> Look:
        """Now."""
        pids = machine.family(self.server.process.pid)
        with self.database.read() as conn:
            rows = conn.execute(select(func.count()).select_from(tokens)).scalar_one()
        found = Look(
            self.given,
            time.monotonic() - self._began,
            machine.memory_mib(pids),
            sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
            rows,
        )
        self.looks.append(found)
        self.say(found)
        return found

    def run(self, tokens: int, rounds: int) -> None:
        """Get so many tokens in so many rounds; everything else that is asked for comes between."""
        load = Load(generator(), None, self.server.file(""))
        each = tokens // rounds
        self.look()
        for _ in range(rounds):
            for mode, part in (("keep", KEPT), ("full", ANEW)):
                ask = Ask("/token", "access_token", FORM, "bot", mode)  # type: ignore[arg-type] # one of Mode
                pids = machine.family(self.server.process.pid)
                most = max(1, round(each * part))
                done = load.run(
                    ask, self.server.mtls_port, pids, seconds=each / 20, warmup=0, most=most
                )
                self.given += done.answers
            self._others()
            self.look()

    def _others(self) -> None:
        """Refusals, introspection, revocation and status lists."""
        base = f"https://localhost:{self.server.mtls_port}"
        for _ in range(AROUND):
            with self.server.client("bot") as http:
                token = kit.issued(kit.ask(http, f"{base}/token"))
                kit.refused(kit.ask(http, f"{base}/token", "nobody"))
                about = {"client_id": "bot", "token": token}
                assert http.post(f"{base}/introspect", data=about).json()["active"] is True
                assert http.post(f"{base}/revoke", data=about).status_code == 200
                assert http.post(f"{base}/introspect", data=about).json()["active"] is False
                listed = str(kit.read(token)["status"]["status_list"]["uri"])
                assert http.get(listed).status_code == 200
            self.given += 1
