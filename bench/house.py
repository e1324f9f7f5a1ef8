"""certbound as it is measured: a home like quickstart's, with one client per kind of certificate."""

import sys
from dataclasses import dataclass
from pathlib import Path

from app import config
from app.admin import authority, clients
from app.admin.authority import Request
from app.admin.client_wishes import Wishes
from app.admin.desk import at_desk
from app.admin.identity import Identity, by_certificate_name, by_certificates
from app.admin.quickstart import SCOPE, quickstart
from app.config import Settings
from bench.server import Server, free_ports

CLIENTS = {
    "ec": Request(dn="CN=ec,O=Bench"),
    "rsa": Request(dn="CN=rsa,O=Bench", key_type="rsa"),
    "ec-self": Request(dn="CN=ec-self,O=Bench", self_signed=True),
    "rsa-self": Request(dn="CN=rsa-self,O=Bench", self_signed=True, key_type="rsa"),
}
"""Client, which is the name of its files too, and its certificate."""


@dataclass(frozen=True, slots=True)
class Home:
    """A folder of certbound's own, and the database it works with."""

    folder: Path
    database_url: str | None = None
    """None: SQLite in the folder."""

    @property
    def certs(self) -> Path:
        """Certificates of the server and of all clients."""
        return self.folder / "certs"

    def make(self) -> None:
        """All that quickstart makes, and `CLIENTS`. Certificates that are there stay."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self._settings()
        for _part in quickstart(settings):
            pass
        with at_desk(settings) as desk:
            for name, request in CLIENTS.items():
                if not (self.certs / f"{name}.crt").exists():
                    authority.issue(self.certs, name, request)
                clients.add(desk, name, self._identity(name, request), Wishes(scopes=(SCOPE,)))

    def server(self, name: str, core: int | None, *, workers: int = 1) -> Server:
        """The server of this home, as ``certbound serve`` starts it."""
        port, mtls_port, ops_port = free_ports(3)
        wanted = {
            "PORT": port,
            "MTLS_PORT": mtls_port,
            "OPS_PORT": ops_port,
            "LOG_LEVEL": "warning",
            "WORKERS": workers,
            **({"DATABASE_URL": self.database_url} if self.database_url else {}),
        }
        environment = {f"CERTBOUND_{key}": str(value) for key, value in wanted.items()}
        command = [sys.executable, "-m", "app", "serve", "--home", str(self.folder)]
        return Server(name, command, port, self.certs, core, environment)

    def _settings(self) -> Settings:
        flags = {"database_url": self.database_url} if self.database_url else {}
        return config.load(self.folder, flags=flags, environ={}).settings

    def _identity(self, name: str, request: Request) -> Identity:
        path = self.certs / f"{name}.crt"
        return by_certificates([path]) if request.self_signed else by_certificate_name(path)
